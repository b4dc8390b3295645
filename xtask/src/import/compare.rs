//! What a definition in a file changes in the one that is there.
//!
//! Only the fields that the file names count. `properties` is such a field: the list in the file is the whole list,
//! its order does not matter, and each property counts by the fields the file names.

use serde_json::{Map, Value};

use super::Definition;

/// The JSON merge patch that brings `found` to what `wanted` says; empty when it is there already.
pub(super) fn patch(wanted: &Definition, found: &Definition) -> Definition {
    wanted
        .iter()
        .filter(|(field, value)| !field_is(field, value, found.get(*field)))
        .map(|(field, value)| (field.clone(), field_patch(field, value, found.get(field))))
        .collect()
}

fn field_is(field: &str, wanted: &Value, found: Option<&Value>) -> bool {
    match (field, wanted, found) {
        (_, wanted, None) => is_nothing(wanted),
        ("properties", Value::Array(wanted), Some(Value::Array(found))) => properties_are(wanted, found),
        ("tags", Value::Array(wanted), Some(Value::Array(found))) => {
            wanted.iter().all(|tag| found.contains(tag)) && found.iter().all(|tag| wanted.contains(tag))
        }
        // Given by name in any case, shown by the current name.
        ("source" | "target" | "referenceTo", Value::String(wanted), Some(Value::String(found))) => {
            wanted.to_lowercase() == found.to_lowercase()
        }
        (_, wanted, Some(found)) => is(wanted, found),
    }
}

fn properties_are(wanted: &[Value], found: &[Value]) -> bool {
    wanted.len() == found.len()
        && wanted.iter().all(|property| match (property, same_name(property, found)) {
            (Value::Object(property), Some(Value::Object(found))) => {
                property.iter().all(|(field, value)| field_is(field, value, found.get(field)))
            }
            _ => false,
        })
}

/// Equal as far as the API can tell: it keeps no difference between `1` and `1.0`, nor between null and absent.
fn is(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(wanted), Value::Number(found)) => wanted == found || wanted.as_f64() == found.as_f64(),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| is(wanted, found))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            let wanted_is =
                |(key, value)| found.get(key).map_or_else(|| Value::is_null(value), |found| is(value, found));
            wanted.iter().all(wanted_is) && found.iter().all(|(key, value)| value.is_null() || wanted.contains_key(key))
        }
        (wanted, Value::Null) => is_nothing(wanted),
        (wanted, found) => wanted == found,
    }
}

/// What the API may leave out of an answer.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A merge patch replaces arrays as a whole and merges objects, so a key that has to go is named with null.
fn field_patch(field: &str, wanted: &Value, found: Option<&Value>) -> Value {
    match (field, wanted, found) {
        ("properties", Value::Array(wanted), Some(Value::Array(found))) => merged_properties(wanted, found).into(),
        (_, Value::Object(wanted), Some(Value::Object(found))) => {
            let gone = found.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
            let changed = wanted
                .iter()
                .filter(|(key, value)| found.get(*key).is_none_or(|found| !is(value, found)))
                .map(|(key, value)| (key.clone(), field_patch("", value, found.get(key))));
            Value::Object(gone.chain(changed).collect())
        }
        _ => wanted.clone(),
    }
}

/// The file's list, where each property keeps its identity and the fields that the file does not name.
fn merged_properties(wanted: &[Value], found: &[Value]) -> Vec<Value> {
    let merge = |property: &Value| match (property, same_name(property, found)) {
        (Value::Object(property), Some(Value::Object(found))) => {
            let mut merged: Map<String, Value> = found.clone();
            for (field, value) in property {
                let value = match (field.as_str(), value, found.get(field)) {
                    ("properties", Value::Array(wanted), Some(Value::Array(found))) => {
                        merged_properties(wanted, found).into()
                    }
                    _ => value.clone(),
                };
                merged.insert(field.clone(), value);
            }
            Value::Object(merged)
        }
        _ => property.clone(),
    };
    wanted.iter().map(merge).collect()
}

fn same_name<'a>(property: &Value, found: &'a [Value]) -> Option<&'a Value> {
    found.iter().find(|other| property.get("name").is_some() && other.get("name") == property.get("name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(wanted: Value, found: Value) -> Value {
        let object = |value: Value| match value {
            Value::Object(object) => object,
            _ => panic!("an object"),
        };
        Value::Object(patch(&object(wanted), &object(found)))
    }

    #[test]
    fn fields_that_the_file_does_not_name_do_not_count() {
        let found = json!({"id": "1", "version": 7, "name": "A", "description": "kept", "tags": ["x"]});
        assert_eq!(patched(json!({"name": "A"}), found), json!({}));
    }

    #[test]
    fn an_absent_answer_is_an_empty_value() {
        let wanted = json!({"name": "A", "description": null, "tags": [], "metadata": {}, "properties": []});
        assert_eq!(patched(wanted.clone(), json!({"name": "A"})), json!({}));
        assert_eq!(patched(wanted, json!({"name": "A", "metadata": null, "description": null})), json!({}));
        assert_eq!(patched(json!({"description": null}), json!({"description": "old"})), json!({"description": null}));
    }

    #[test]
    fn order_case_and_number_form_do_not_count_where_the_api_ignores_them() {
        let wanted = json!({
            "tags": ["b", "a"],
            "source": "customer",
            "properties": [
                {"name": "y", "required": false},
                {"name": "x", "validators": [{"type": "min", "value": 1}], "referenceTo": "ORDER"},
            ],
        });
        let found = json!({
            "tags": ["a", "b"],
            "source": "Customer",
            "properties": [
                {"id": "1", "name": "x", "validators": [{"type": "min", "value": 1.0}], "referenceTo": "Order"},
                {"id": "2", "name": "y", "unique": true},
            ],
        });
        assert_eq!(patched(wanted, found), json!({}));
    }

    #[test]
    fn a_changed_property_keeps_its_identity_and_unnamed_fields() {
        let wanted = json!({"properties": [
            {"name": "address", "properties": [{"name": "city", "required": true}, {"name": "zip"}]},
        ]});
        let found = json!({"properties": [
            {"id": "1", "name": "address", "unique": true, "properties": [{"id": "2", "name": "city", "required": false}]},
            {"id": "3", "name": "gone"},
        ]});
        assert_eq!(
            patched(wanted, found),
            json!({"properties": [{
                "id": "1", "name": "address", "unique": true,
                "properties": [{"id": "2", "name": "city", "required": true}, {"name": "zip"}],
            }]})
        );
    }

    #[test]
    fn a_patched_object_loses_the_keys_that_the_file_does_not_have() {
        let wanted = json!({"metadata": {"same": 1, "changed": {"a": 1}, "new": true}});
        let found = json!({"metadata": {"same": 1, "changed": {"a": 2, "b": 3}, "gone": 1}});
        assert_eq!(
            patched(wanted, found),
            json!({"metadata": {"changed": {"a": 1, "b": null}, "new": true, "gone": null}})
        );
    }
}
