//! Reads a definition out of JSON: every rule, every fault, for create and update alike.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{DatasetReference, Definition, TypeRef};
use crate::{
    error::Kind,
    fault::FaultKind,
    id::ObjectTypeId,
    input::{Faults, Fields, refuse_nul, step},
    link_type::Cardinality,
    name::{TypeKey, TypeName},
    property::{self, Drafts, WantedReferences},
};

/// A definition as a client wants it: sound in itself, its references not yet resolved.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where it stands in the body.
    pub pointer: String,
    /// All but the references.
    pub definition: Definition,
    /// Where REFERENCE properties shall point.
    pub references: WantedReferences,
    /// What a link type shall link.
    pub ends: Option<WantedEnds>,
    /// Why the change is made, kept with the version.
    pub change_description: Option<String>,
}

/// The ends of a link type as a client wrote them.
#[derive(Debug, Clone)]
pub struct WantedEnds {
    /// Where links start.
    pub source: WantedEnd,
    /// Where they end.
    pub target: WantedEnd,
    /// How many on each side.
    pub cardinality: Cardinality,
}

/// One end as a client wrote it.
#[derive(Debug, Clone)]
pub struct WantedEnd {
    /// Name or id of an object type.
    pub key: TypeKey,
    /// Where it stands in the body.
    pub pointer: String,
}

impl Draft {
    /// Reads a definition. `base` is the type as it is now with its public JSON: it keeps the identity of properties and
    /// lets through read-only fields that are not changed.
    pub fn parse(
        kind: Kind,
        value: &Value,
        base: Option<(&Definition, &Value)>,
        pointer: &str,
        faults: &mut Faults,
    ) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, faults)?;
        for key in ["id", "version", "createdAt", "createdBy", "updatedAt", "updatedBy"] {
            fields.read_only(key, base.and_then(|(_, json)| json.get(key)), faults);
        }
        let name = fields.any_text("name", faults);
        let name = fields.require("name", name, faults).and_then(|text| match text.parse::<TypeName>() {
            Ok(name) => Some(name),
            Err(kind) => {
                faults.push(fields.at("name"), kind);
                None
            }
        });
        let display_name = fields.text("displayName", 1, 255, faults);
        let display_name = fields.require("displayName", display_name, faults).map(str::to_owned);
        let description = fields.text("description", 0, 65_536, faults).map(str::to_owned);
        let category = fields.text("category", 1, 64, faults).map(str::to_owned);
        let tags = fields.text_set("tags", 100, 64, faults);
        let metadata = fields.object("metadata", faults).unwrap_or_default();
        let base_datasets = datasets(&mut fields, faults);
        let change_description = fields.text("changeDescription", 1, 1_000, faults).map(str::to_owned);
        let ends = match kind {
            Kind::ObjectType => None,
            Kind::LinkType => ends(&mut fields, base.map(|(_, json)| json), faults),
        };

        let mut drafts = Drafts::default();
        let at = fields.at("properties");
        let items = fields.array("properties", property::MAX_PROPERTIES, faults).unwrap_or_default();
        let known = base.map(|(definition, _)| definition.properties.as_slice()).unwrap_or_default();
        let properties = property::parse_list(items, known, &at, 1, &mut drafts, faults);
        fields.finish(faults);
        if kind == Kind::LinkType && ends.is_none() {
            return None;
        }

        let mut references = drafts.references;
        property::walk(&properties, true, &mut |property, forced| {
            if let Some(wanted) = references.get_mut(&property.id) {
                wanted.required = forced;
            }
        });
        Some(Self {
            pointer: pointer.to_owned(),
            definition: Definition {
                name: name?,
                display_name: display_name?,
                description,
                category,
                tags,
                properties,
                references: BTreeMap::new(),
                base_datasets,
                metadata,
            },
            references,
            ends,
            change_description,
        })
    }

    /// The definition as it will be, so far as can be said before the database resolves names: a target that `base` has
    /// already keeps its identity, another one is shown as the client wrote it.
    pub fn preview(&self, base: &Definition) -> Definition {
        let references = self.references.iter().map(|(id, wanted)| {
            let known = base.references.get(id).filter(|known| same(known, &wanted.key));
            (*id, known.cloned().unwrap_or_else(|| as_written(&wanted.key)))
        });
        Definition { references: references.collect(), ..self.definition.clone() }
    }
}

/// Whether a client that writes `key` means this type.
pub(crate) fn same(known: &TypeRef, key: &TypeKey) -> bool {
    match key {
        TypeKey::Id(id) => known.id.0 == *id,
        TypeKey::Name(name) => known.name.eq_ignore_ascii_case(name.as_str()),
    }
}

/// A target that is not resolved yet.
pub(crate) fn as_written(key: &TypeKey) -> TypeRef {
    TypeRef { id: ObjectTypeId(key.id().unwrap_or(Uuid::nil())), name: key.to_string() }
}

fn datasets(fields: &mut Fields<'_>, faults: &mut Faults) -> Vec<DatasetReference> {
    let list = fields.at("baseDatasets");
    let mut datasets: Vec<DatasetReference> = Vec::new();
    for (index, item) in fields.array("baseDatasets", 100, faults).unwrap_or_default().iter().enumerate() {
        let pointer = step(&list, index);
        let Some(mut inner) = Fields::of(item, &pointer, faults) else { continue };
        let rid = inner.text("datasetRid", 1, 255, faults);
        let rid = inner.require("datasetRid", rid, faults);
        let name = inner.text("name", 1, 255, faults);
        let name = inner.require("name", name, faults);
        let at = inner.at("datasetRid");
        inner.finish(faults);
        if let (Some(rid), Some(name)) = (rid, name) {
            if datasets.iter().any(|known| known.dataset_rid == rid) {
                faults.push(at, FaultKind::Duplicate);
            }
            datasets.push(DatasetReference { dataset_rid: rid.to_owned(), name: name.to_owned() });
        }
    }
    datasets
}

fn ends(fields: &mut Fields<'_>, base: Option<&Value>, faults: &mut Faults) -> Option<WantedEnds> {
    for key in ["sourceObjectTypeId", "targetObjectTypeId"] {
        fields.read_only(key, base.and_then(|json| json.get(key)), faults);
    }
    let mut end = |key: &'static str| {
        let text = fields.any_text(key, faults);
        let text = fields.require(key, text, faults)?;
        let pointer = fields.at(key);
        match TypeKey::parse(text) {
            Ok(key) => Some(WantedEnd { key, pointer }),
            Err(kind) => {
                faults.push(pointer, kind);
                None
            }
        }
    };
    let (source, target) = (end("source"), end("target"));
    let text = fields.any_text("cardinality", faults);
    let cardinality = fields.require("cardinality", text, faults).and_then(|text| {
        let parsed = Cardinality::parse(text);
        if parsed.is_none() {
            faults.push(
                fields.at("cardinality"),
                FaultKind::NotOneOf { allowed: "ONE_TO_ONE, ONE_TO_MANY, MANY_TO_MANY" },
            );
        }
        parsed
    });
    Some(WantedEnds { source: source?, target: target?, cardinality: cardinality? })
}

/// A merge patch (RFC 7396) applied to the public JSON of a type.
pub(crate) fn merge(current: &Value, patch: &Value, faults: &mut Faults) -> Option<Value> {
    if !patch.is_object() {
        faults.push("", FaultKind::WrongType { expected: "object", found: crate::input::type_of(patch) });
        return None;
    }
    // Keys that only the patch has reach no field reader when their value is null: refuse them here.
    refuse_nul(patch, "", faults);
    let empty = Map::new();
    let known = current.as_object().unwrap_or(&empty);
    for (key, value) in patch.as_object().unwrap_or(&empty) {
        let optional =
            ["description", "category", "changeDescription", "tags", "properties", "baseDatasets", "metadata"];
        if value.is_null() && !known.contains_key(key) && !optional.contains(&key.as_str()) {
            faults.push(step("", key), FaultKind::UnknownField);
        }
    }
    let mut merged = current.clone();
    json_patch::merge(&mut merged, patch);
    Some(merged)
}
