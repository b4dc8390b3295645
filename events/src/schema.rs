//! What an event looks like, as JSON Schema 2020-12: one document for each type of event, generated from the types.
//!
//! They describe what is sent. Fields that they don't name are allowed, so an optional field may be added and the
//! version of the payload stays.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Map, Value, json};

use crate::{EntityKind, Event, EventType, LinkType, ObjectType, SCHEMA_VERSION};

/// The folder of the committed schemas, beside the AsyncAPI document that refers to them.
pub const FOLDER: &str = "schemas";

/// The file of a type's schema, in [`FOLDER`].
#[must_use]
pub fn file_name(event_type: EventType) -> String {
    format!("{event_type}.v{SCHEMA_VERSION}.json")
}

/// The name that a type's schema gives itself.
#[must_use]
pub fn id(event_type: EventType) -> String {
    format!("urn:openfoundry:oms:event:{event_type}:v{SCHEMA_VERSION}")
}

/// What happened, in words.
#[must_use]
pub fn description(event_type: EventType) -> String {
    let types = root::<EventType>();
    let variants = types.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let variant = variants.into_iter().find(|variant| variant["const"] == event_type.as_str());
    variant.and_then(|variant| variant["description"].as_str()).unwrap_or_default().to_owned()
}

/// The schema of the events of one type.
#[must_use]
pub fn of(event_type: EventType) -> Value {
    let mut schema = match event_type.kind() {
        EntityKind::ObjectType => root::<Event<ObjectType, Absent>>(),
        EntityKind::LinkType => root::<Event<Absent, LinkType>>(),
    };
    let (present, absent, kind) = match event_type.kind() {
        EntityKind::ObjectType => ("objectType", "linkType", "object_type"),
        EntityKind::LinkType => ("linkType", "objectType", "link_type"),
    };
    schema["$id"] = id(event_type).into();
    schema["title"] = event_type.as_str().into();
    schema["description"] = description(event_type).into();
    schema["properties"]["type"] = json!({ "const": event_type.as_str(), "description": "What happened." });
    let definitions = &mut schema["$defs"];
    for unused in ["Absent", "EntityKind", "EventType"] {
        remove(definitions, unused);
    }
    let data = &mut definitions["Data"];
    remove(&mut data["properties"], absent);
    // The claim check stands in place of the type.
    data["oneOf"] = json!([{ "required": [present] }, { "required": ["claimCheck"] }]);
    definitions["ClaimCheck"]["properties"]["entityKind"] =
        json!({ "const": kind, "description": "What the entity is." });
    definitions["Metadata"]["properties"]["schemaVersion"] =
        json!({ "const": SCHEMA_VERSION, "description": "The version of the payload that this schema describes." });
    schema
}

/// The text of a document, as it is committed.
#[must_use]
pub fn to_text(document: &Value) -> String {
    let mut document = document.clone();
    // The order must not depend on the features that a build happens to give serde_json.
    document.sort_all_objects();
    format!("{document:#}\n")
}

/// Takes the place of the type that events of the other kind carry.
#[derive(serde::Serialize)]
struct Absent;

impl JsonSchema for Absent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Absent".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        false.into()
    }
}

fn root<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(present).with_transform(plain);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// An absent value is left out, never null.
fn present(schema: &mut Schema) {
    transform_subschemas(&mut present, schema);
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    if let [Value::Object(only)] = choices.as_mut_slice() {
        let only: Map<_, _> = std::mem::take(only);
        schema.remove("anyOf");
        let object = schema.ensure_object();
        object.extend(only);
    }
}

/// Documentation is one line, and links in it lead nowhere outside of Rust. What a reader takes for a field that is
/// missing says nothing about what is sent.
fn plain(schema: &mut Schema) {
    transform_subschemas(&mut plain, schema);
    schema.remove("default");
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let words: Vec<_> = text.split_whitespace().collect();
        *text = words.join(" ").replace("[`", "`").replace("`]", "`");
    }
}

fn remove(object: &mut Value, key: &str) {
    if let Some(object) = object.as_object_mut() {
        object.remove(key);
    }
}
