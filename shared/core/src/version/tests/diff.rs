use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    definition::{Draft, Stamp},
    error::Kind,
    fixture::{object, with},
    input::Faults,
    object_type::ObjectType,
    property::tests::{a_level, definition_of},
    version::{ChangeType, FieldChange, compare},
};

fn with_definition(definition: crate::definition::Definition) -> ObjectType {
    let now = chrono::DateTime::UNIX_EPOCH;
    let stamp =
        Stamp { version: 1, created_at: now, created_by: "ada".into(), updated_at: now, updated_by: "ada".into() };
    ObjectType { id: uuid::Uuid::nil().into(), definition, stamp }
}

/// A type with these properties; `base` keeps their identity.
fn with_properties(properties: Value, base: Option<&ObjectType>) -> ObjectType {
    let mut faults = Faults::default();
    let input = with(object("Customer"), json!({"properties": properties}));
    let base = base.map(|base| (&base.definition, &Value::Null));
    let draft = Draft::parse(Kind::ObjectType, &input, base, "", &mut faults).unwrap();
    assert_eq!(faults.into_vec(), []);
    with_definition(draft.definition)
}

fn changed(changes: &[FieldChange]) -> Vec<(&str, ChangeType)> {
    changes.iter().map(|change| (change.field.as_str(), change.change_type)).collect()
}

#[test]
fn every_field_of_a_type_is_compared() {
    let (old, new) = (with_definition(definition_of(vec![], 0)), with_definition(definition_of(vec![], 0b1111_1110)));
    use ChangeType::{Added, Modified};
    assert_eq!(
        changed(&compare(&old, &new)),
        [
            ("name", Modified),
            ("displayName", Modified),
            ("description", Added),
            ("category", Added),
            ("tags", Modified),
            ("baseDatasets", Modified),
            ("metadata", Modified),
        ]
    );
}

#[test]
fn a_renamed_property_is_one_modified_field_and_its_path_has_the_new_name() {
    let old = with_properties(json!([{"name": "mail", "dataType": "STRING"}]), None);
    let id = old.definition.properties[0].id.0;
    let new =
        with_properties(json!([{"id": id, "name": "email", "displayName": "mail", "dataType": "STRING"}]), Some(&old));
    assert_eq!(compare(&old, &new), [FieldChange::modified("properties.email.name", json!("mail"), json!("email"))]);
}

#[test]
fn nested_properties_are_named_by_their_whole_path() {
    let address = |city: Value| json!([{"name": "address", "dataType": "OBJECT", "properties": [city]}]);
    let old = with_properties(address(json!({"name": "city", "dataType": "STRING"})), None);
    let new = with_properties(address(json!({"name": "city", "dataType": "STRING", "required": true})), Some(&old));
    let expected = FieldChange::modified("properties.address.properties.city.required", json!(false), json!(true));
    assert_eq!(compare(&old, &new), [expected]);
}

#[test]
fn what_came_and_what_went_is_shown_whole() {
    let old = with_properties(json!([{"name": "a", "dataType": "STRING"}, {"name": "b", "dataType": "DATE"}]), None);
    let new =
        with_properties(json!([{"name": "c", "dataType": "NUMBER"}, {"name": "b", "dataType": "DATE"}]), Some(&old));
    let changes = compare(&old, &new);
    assert_eq!(changed(&changes), [("properties.a", ChangeType::Removed), ("properties.c", ChangeType::Added)]);
    assert_eq!(changes[0].old_value.as_ref().unwrap()["dataType"], "STRING");
    assert_eq!(changes[1].new_value.as_ref().unwrap()["dataType"], "NUMBER");
    let shown = serde_json::to_value(&changes[1]).unwrap();
    assert_eq!((&shown["type"], shown.get("oldValue")), (&json!("added"), None));
}

#[test]
fn another_order_is_a_change_of_its_own() {
    let level = |names: [&str; 3]| json!(names.map(|name| json!({"name": name, "dataType": "STRING"})));
    let old = with_properties(level(["a", "b", "c"]), None);
    let moved = with_properties(level(["c", "a", "b"]), Some(&old));
    let expected = FieldChange::modified("properties.order", json!(["a", "b", "c"]), json!(["c", "a", "b"]));
    assert_eq!(compare(&old, &moved), [expected]);
    // Where one is new, the others have kept theirs.
    let inserted = with_properties(level(["a", "x", "c"]), Some(&old));
    assert_eq!(
        changed(&compare(&old, &inserted)),
        [("properties.b", ChangeType::Removed), ("properties.x", ChangeType::Added)]
    );
}

fn a_type() -> impl Strategy<Value = ObjectType> {
    (a_level(), any::<u8>()).prop_map(|(properties, variant)| with_definition(definition_of(properties, variant)))
}

proptest! {
    #[test]
    fn no_change_is_found_exactly_where_nothing_changed(old in a_type(), new in a_type()) {
        prop_assert_eq!(compare(&old, &old), []);
        prop_assert_eq!(compare(&old, &new).is_empty(), old == new);
    }

    #[test]
    fn the_way_back_undoes_the_way_there(old in a_type(), new in a_type()) {
        // A renamed property goes by its new name on each way, so values tell which change is which, not paths.
        let told = |kind: ChangeType, old: Option<Value>, new: Option<Value>| format!("{kind:?} {old:?} {new:?}");
        let mut there: Vec<_> =
            compare(&old, &new).into_iter().map(|c| told(c.change_type, c.old_value, c.new_value)).collect();
        let mut back: Vec<_> = compare(&new, &old)
            .into_iter()
            .map(|c| {
                let kind = match c.change_type {
                    ChangeType::Added => ChangeType::Removed,
                    ChangeType::Removed => ChangeType::Added,
                    ChangeType::Modified => ChangeType::Modified,
                };
                told(kind, c.new_value, c.old_value)
            })
            .collect();
        there.sort();
        back.sort();
        prop_assert_eq!(there, back);
    }
}
