//! The rows of a write statement, made from drafts and from types as they are.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    Entity,
    statement::{ReferenceRow, Row},
};
use crate::{
    definition::{Definition, Draft, WantedEnd, same},
    error::{Error, Result},
    id::PropertyId,
    property, search,
    version::Action,
};

/// A row with the draft it came from, whose pointers say where its parts stand in the body.
pub(super) struct Item {
    pub(super) row: Row,
    pub(super) draft: Option<Draft>,
}

pub(super) fn row_of(definition: &Definition, id: Uuid) -> Row {
    let words = search::document_words(definition);
    Row {
        ordinal: 0,
        id,
        expected: 0,
        action: Action::Create,
        is_deleted: false,
        name: definition.name.to_string(),
        display_name: definition.display_name.clone(),
        description: definition.description.clone(),
        category: definition.category.clone(),
        tags: definition.tags.clone(),
        properties: definition.properties.clone(),
        base_datasets: definition.base_datasets.clone(),
        metadata: definition.metadata.clone(),
        refs: Vec::new(),
        source_id: None,
        source_name: None,
        target_id: None,
        target_name: None,
        cardinality: None,
        search_a: words.a,
        search_b: words.b,
        search_c: words.c,
        search_text: words.text,
        change_description: None,
        old: None,
        changes: Vec::new(),
    }
}

/// The row of a type that is deleted or restored as it is.
pub(super) fn row_again<E: Entity>(base: &E, action: Action) -> Result<Row> {
    let required = required_targets(base.definition());
    let references = base.definition().references.iter().map(|(property, target)| ReferenceRow {
        property_id: property.0,
        target_id: Some(target.id.0),
        // Only for messages: the id decides.
        target_name: Some(target.name.clone()),
        required: required.contains(property),
        // Nothing points at a type that is not live: its return alone closes no cycle.
        added: false,
    });
    let ends = base.ends();
    let old = match action {
        Action::Delete => Some(serde_json::to_value(base).map_err(Error::internal)?),
        _ => None,
    };
    Ok(Row {
        expected: base.stamp().version,
        action,
        is_deleted: action == Action::Delete,
        refs: references.collect(),
        source_id: ends.map(|ends| ends.source.id.0),
        source_name: ends.map(|ends| ends.source.name.clone()),
        target_id: ends.map(|ends| ends.target.id.0),
        target_name: ends.map(|ends| ends.target.name.clone()),
        cardinality: ends.map(|ends| ends.cardinality.as_str()),
        old,
        ..row_of(base.definition(), base.id())
    })
}

/// The properties through which a type requires an instance of another.
fn required_targets(definition: &Definition) -> HashSet<PropertyId> {
    let mut required = HashSet::new();
    property::walk(&definition.properties, true, &mut |property, forced| {
        if forced && definition.references.contains_key(&property.id) {
            required.insert(property.id);
        }
    });
    required
}

/// The references of a draft: by id where the client, the base or a sibling in the batch gives it, else by name.
pub(super) fn references(
    draft: &Draft,
    base: Option<&Definition>,
    siblings: &HashMap<String, Uuid>,
) -> Vec<ReferenceRow> {
    let required_before: HashSet<Uuid> = base
        .map(|base| required_targets(base).iter().filter_map(|id| Some(base.references.get(id)?.id.0)).collect())
        .unwrap_or_default();
    let rows = draft.references.iter().map(|(property, wanted)| {
        let known = base.and_then(|base| base.references.get(property)).filter(|known| same(known, &wanted.key));
        let name = wanted.key.folded_name();
        let sibling = name.as_ref().and_then(|name| siblings.get(name).copied());
        let target_id = known.map(|known| known.id.0).or(wanted.key.id()).or(sibling);
        ReferenceRow {
            property_id: property.0,
            target_id,
            target_name: name.filter(|_| target_id.is_none()),
            required: wanted.required,
            // A new type has nothing pointing at it but its siblings, and these are looked at before.
            added: base.is_some() && target_id.is_none_or(|id| !required_before.contains(&id)),
        }
    });
    rows.collect()
}

type EndColumns = (Option<Uuid>, Option<String>, Option<Uuid>, Option<String>, Option<&'static str>);

pub(super) fn ends<E: Entity>(draft: &Draft, base: Option<&E>) -> EndColumns {
    let Some(wanted) = &draft.ends else { return EndColumns::default() };
    let known = base.and_then(Entity::ends);
    let end = |wanted: &WantedEnd, known: Option<&crate::definition::TypeRef>| {
        let known = known.filter(|known| same(known, &wanted.key)).map(|known| known.id.0);
        let id = known.or(wanted.key.id());
        (id, wanted.key.folded_name().filter(|_| id.is_none()))
    };
    let source = end(&wanted.source, known.map(|ends| &ends.source));
    let target = end(&wanted.target, known.map(|ends| &ends.target));
    (source.0, source.1, target.0, target.1, Some(wanted.cardinality.as_str()))
}

/// Every target of an item: pointer, id or folded name, and the key as a client wrote it.
pub(super) fn wanted(item: &Item) -> Vec<(String, Option<Uuid>, Option<String>, String)> {
    let at = |property: Uuid| {
        let written = item.draft.as_ref().and_then(|draft| draft.references.get(&PropertyId(property)));
        written.map_or_else(|| (String::new(), None), |w| (w.pointer.clone(), Some(w.key.to_string())))
    };
    let mut all = Vec::new();
    for row in &item.row.refs {
        let (pointer, written) = at(row.property_id);
        let key = written.or(row.target_name.clone()).or(row.target_id.map(|id| id.to_string())).unwrap_or_default();
        all.push((pointer, row.target_id, row.target_name.clone(), key));
    }
    let ends = item.draft.as_ref().and_then(|draft| draft.ends.as_ref());
    let sides = [
        (item.row.source_id, &item.row.source_name, ends.map(|ends| &ends.source)),
        (item.row.target_id, &item.row.target_name, ends.map(|ends| &ends.target)),
    ];
    for (id, name, end) in sides {
        if id.is_some() || name.is_some() {
            let pointer = end.map(|end| end.pointer.clone()).unwrap_or_default();
            let written = end.map(|end| end.key.to_string());
            let key = written.or(name.clone()).or(id.map(|id| id.to_string())).unwrap_or_default();
            all.push((pointer, id, name.clone(), key));
        }
    }
    all
}
