//! What changed between two states of a type. Properties are matched by id, so a rename is one modified field.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::{ChangeType, FieldChange, change};
use crate::{
    definition::{Definition, TypeRef},
    entity::Entity,
    id::PropertyId,
    property::Property,
};

type References = BTreeMap<PropertyId, TypeRef>;

/// Every change from `old` to `new`; empty exactly when the definitions are the same.
pub fn compare<E: Entity>(old: &E, new: &E) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let (a, b) = (old.definition(), new.definition());
    let mut field = |name: &str, old: Option<Value>, new: Option<Value>| changes.extend(change(name, old, new));
    field("name", to_json(&a.name), to_json(&b.name));
    field("displayName", to_json(&a.display_name), to_json(&b.display_name));
    field("description", a.description.as_ref().and_then(to_json), b.description.as_ref().and_then(to_json));
    field("category", a.category.as_ref().and_then(to_json), b.category.as_ref().and_then(to_json));
    // A set: another order is no change.
    let set = |tags: &[String]| tags.iter().cloned().collect::<BTreeSet<_>>();
    if set(&a.tags) != set(&b.tags) {
        field("tags", to_json(&a.tags), to_json(&b.tags));
    }
    field("baseDatasets", to_json(&a.base_datasets), to_json(&b.base_datasets));
    field("metadata", to_json(&a.metadata), to_json(&b.metadata));
    old.compare_ends(new, &mut changes);
    compare_level(&Level::of(a), &Level::of(b), "properties", &mut changes);
    changes
}

fn to_json(value: impl Serialize) -> Option<Value> {
    serde_json::to_value(value).ok()
}

/// Properties of one level, with the references of their type.
struct Level<'a> {
    properties: &'a [Property],
    references: &'a References,
}

impl<'a> Level<'a> {
    fn of(definition: &'a Definition) -> Self {
        Self { properties: &definition.properties, references: &definition.references }
    }

    fn find(&self, id: PropertyId) -> Option<&'a Property> {
        self.properties.iter().find(|property| property.id == id)
    }

    fn names_shared_with(&self, other: &Level<'_>) -> Vec<PropertyId> {
        self.properties.iter().map(|property| property.id).filter(|id| other.find(*id).is_some()).collect()
    }
}

fn compare_level(old: &Level<'_>, new: &Level<'_>, path: &str, changes: &mut Vec<FieldChange>) {
    for property in old.properties {
        if new.find(property.id).is_none() {
            changes.push(FieldChange {
                field: format!("{path}.{}", property.name),
                old_value: to_json(property.view(old.references)),
                new_value: None,
                change_type: ChangeType::Removed,
            });
        }
    }
    for property in new.properties {
        let path = format!("{path}.{}", property.name);
        match old.find(property.id) {
            Some(before) => compare_property(before, old.references, property, new.references, &path, changes),
            None => changes.push(FieldChange {
                field: path,
                old_value: None,
                new_value: to_json(property.view(new.references)),
                change_type: ChangeType::Added,
            }),
        }
    }
    // The order of those that stayed; that of the others follows from what was added and removed.
    let (before, after) = (old.names_shared_with(new), new.names_shared_with(old));
    if before != after {
        let names = |level: &Level<'_>| json!(level.properties.iter().map(|p| p.name.as_str()).collect::<Vec<_>>());
        changes.push(FieldChange::modified(format!("{path}.order"), names(old), names(new)));
    }
}

fn compare_property(
    a: &Property,
    a_refs: &References,
    b: &Property,
    b_refs: &References,
    path: &str,
    out: &mut Vec<FieldChange>,
) {
    let mut field = |name: &str, old: Option<Value>, new: Option<Value>| {
        out.extend(change(format!("{path}.{name}"), old, new));
    };
    field("name", to_json(&a.name), to_json(&b.name));
    field("displayName", to_json(&a.display_name), to_json(&b.display_name));
    field("dataType", to_json(a.data_type), to_json(b.data_type));
    field("required", to_json(a.required), to_json(b.required));
    field("unique", to_json(a.unique), to_json(b.unique));
    field("indexed", to_json(a.indexed), to_json(b.indexed));
    field("defaultValue", a.default_value.clone(), b.default_value.clone());
    field("description", a.description.as_ref().and_then(to_json), b.description.as_ref().and_then(to_json));
    field("validators", to_json(&a.validators), to_json(&b.validators));
    field("metadata", to_json(&a.metadata), to_json(&b.metadata));
    field("itemType", a.item_type.and_then(to_json), b.item_type.and_then(to_json));
    let (old, new) = (a_refs.get(&a.id), b_refs.get(&b.id));
    // By identity, as with the ends of link types.
    if old.map(|target| target.id) != new.map(|target| target.id) {
        field(
            "referenceTo",
            old.and_then(|target| to_json(&target.name)),
            new.and_then(|target| to_json(&target.name)),
        );
    }
    match (&a.properties, &b.properties) {
        (Some(old), Some(new)) => {
            let (old, new) =
                (Level { properties: old, references: a_refs }, Level { properties: new, references: b_refs });
            compare_level(&old, &new, &format!("{path}.properties"), out);
        }
        (old, new) => {
            let shown = |nested: &Option<Vec<Property>>, refs| {
                nested.as_ref().and_then(|list| to_json(list.iter().map(|p| p.view(refs)).collect::<Vec<_>>()))
            };
            field("properties", shown(old, a_refs), shown(new, b_refs));
        }
    }
}
