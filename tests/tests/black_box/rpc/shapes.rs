//! Messages in the shape that REST has, for comparing them.

use oms_proto::client::{LinkType, ObjectType, Property, Validator, VersionInfo};
use prost_types::{Struct, Timestamp, value::Kind};
use serde_json::{Map, Value, json};

/// A value of protobuf as JSON.
pub(super) fn value(value: &prost_types::Value) -> Value {
    match value.kind.as_ref().expect("a value is of some kind") {
        Kind::NullValue(_) => Value::Null,
        Kind::NumberValue(number) => json!(number),
        Kind::StringValue(text) => json!(text),
        Kind::BoolValue(flag) => json!(flag),
        Kind::StructValue(fields) => object(fields),
        Kind::ListValue(list) => list.values.iter().map(self::value).collect(),
    }
}

/// A structure of protobuf as JSON.
pub(super) fn object(fields: &Struct) -> Value {
    Value::Object(fields.fields.iter().map(|(key, each)| (key.clone(), value(each))).collect())
}

/// JSON as a structure of protobuf; numbers become doubles.
pub(super) fn to_struct(json: &Map<String, Value>) -> Struct {
    Struct { fields: json.iter().map(|(key, each)| (key.clone(), to_value(each))).collect() }
}

fn to_value(json: &Value) -> prost_types::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(prost_types::ListValue { values: items.iter().map(to_value).collect() }),
        Value::Object(fields) => Kind::StructValue(to_struct(fields)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// What REST answers, with numbers as doubles and times as protobuf writes them.
pub(super) fn of_rest(rest: &Value) -> Value {
    match rest {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(of_rest).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, each)| match key.as_str() {
                    "createdAt" | "updatedAt" => (key.clone(), json!(time(each).to_string())),
                    _ => (key.clone(), of_rest(each)),
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

/// A time of REST.
pub(super) fn time(rest: &Value) -> Timestamp {
    rest.as_str().unwrap().parse().unwrap()
}

/// An object type by its typed fields.
pub(super) fn object_type(found: &ObjectType) -> Value {
    shape([
        ("id", json!(found.id)),
        ("name", json!(found.name)),
        ("displayName", json!(found.display_name)),
        ("description", text_or_none(&found.description)),
        ("category", json!(found.category)),
        ("tags", json!(found.tags)),
        ("properties", found.properties.iter().map(property).collect()),
        ("baseDatasets", found.base_datasets.iter().map(dataset).collect()),
        ("metadata", object(found.metadata_values.as_ref().unwrap())),
        ("version", json!(f64::from(found.version))),
        ("createdAt", json!(found.created_at.unwrap().to_string())),
        ("createdBy", json!(found.created_by)),
        ("updatedAt", json!(found.updated_at.unwrap().to_string())),
        ("updatedBy", json!(found.updated_by)),
    ])
}

/// A link type by its typed fields.
pub(super) fn link_type(found: &LinkType) -> Value {
    shape([
        ("id", json!(found.id)),
        ("name", json!(found.name)),
        ("displayName", json!(found.display_name)),
        ("description", text_or_none(&found.description)),
        ("category", json!(found.category)),
        ("tags", json!(found.tags)),
        ("properties", found.properties.iter().map(property).collect()),
        ("baseDatasets", found.base_datasets.iter().map(dataset).collect()),
        ("metadata", object(found.metadata_values.as_ref().unwrap())),
        ("version", json!(f64::from(found.version))),
        ("createdAt", json!(found.created_at.unwrap().to_string())),
        ("createdBy", json!(found.created_by)),
        ("updatedAt", json!(found.updated_at.unwrap().to_string())),
        ("updatedBy", json!(found.updated_by)),
        ("source", json!(found.source)),
        ("sourceObjectTypeId", json!(found.source_object_type_id)),
        ("target", json!(found.target)),
        ("targetObjectTypeId", json!(found.target_object_type_id)),
        ("cardinality", json!(found.cardinality().as_str_name().strip_prefix("CARDINALITY_").unwrap())),
    ])
}

/// A version without its type.
pub(super) fn version(found: &VersionInfo) -> Value {
    shape([
        ("version", json!(f64::from(found.version))),
        ("action", json!(found.action().as_str_name().strip_prefix("ACTION_").unwrap())),
        ("changeDescription", json!(found.change_description)),
        ("createdAt", json!(found.created_at.unwrap().to_string())),
        ("createdBy", json!(found.created_by)),
    ])
}

fn property(found: &Property) -> Value {
    let data_type = |name: &str| json!(name.strip_prefix("DATA_TYPE_").unwrap());
    let item_type = match found.item_type().as_str_name() {
        "DATA_TYPE_UNSPECIFIED" => Value::Null,
        name => data_type(name),
    };
    let nested = found.fields.as_ref().map(|list| list.properties.iter().map(property).collect::<Value>());
    let mut shape = shape([
        ("id", json!(found.id)),
        ("name", json!(found.name)),
        ("displayName", json!(found.display_name)),
        ("description", text_or_none(&found.description)),
        ("dataType", data_type(found.data_type().as_str_name())),
        ("required", json!(found.required)),
        ("unique", json!(found.unique)),
        ("indexed", json!(found.indexed)),
        ("validators", found.validators.iter().map(validator).collect()),
        ("metadata", object(found.metadata.as_ref().unwrap())),
        ("itemType", item_type),
        ("properties", json!(nested)),
        ("referenceTo", json!(found.reference_to)),
    ]);
    if let Some(default) = &found.default_value_typed {
        // Null may be a default as well.
        shape["defaultValue"] = value(default);
    }
    shape
}

fn validator(found: &Validator) -> Value {
    let name = found.r#type().as_str_name().strip_prefix("VALIDATOR_TYPE_").unwrap().to_lowercase();
    let name = name.replace("_l", "L");
    json!({"type": name, "value": value(found.value_typed.as_ref().unwrap())})
}

fn dataset(found: &oms_proto::client::DatasetReference) -> Value {
    json!({"datasetRid": found.dataset_rid, "name": found.name})
}

fn text_or_none(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn shape<const COUNT: usize>(fields: [(&str, Value); COUNT]) -> Value {
    fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.to_owned(), value)).collect()
}
