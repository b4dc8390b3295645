use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Definition, Draft, merge};
use crate::{
    definition::Stamp,
    entity::Entity,
    error::Kind,
    fixture::{at, link, object, places_of, with},
    input::Faults,
    object_type::ObjectType,
    property::tests::{a_level, definition_of},
};

fn parse(kind: Kind, input: &Value) -> (Option<Draft>, Vec<(String, &'static str)>) {
    let mut faults = Faults::default();
    let draft = Draft::parse(kind, input, None, "", &mut faults);
    (draft, places_of(faults))
}

fn faults_of(fields: Value) -> Vec<(String, &'static str)> {
    parse(Kind::ObjectType, &with(object("Customer"), fields)).1
}

fn stored(definition: Definition) -> ObjectType {
    let now = chrono::DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap();
    let stamp =
        Stamp { version: 3, created_at: now, created_by: "ada".into(), updated_at: now, updated_by: "bob".into() };
    ObjectType { id: uuid::Uuid::from_u128(77).into(), definition, stamp }
}

/// What a merge patch makes of a type, or what is wrong with it.
fn patched(base: &ObjectType, patch: &Value) -> Result<Definition, Vec<(String, &'static str)>> {
    let json = base.to_json().unwrap();
    let mut faults = Faults::default();
    let draft = merge(&json, patch, &mut faults)
        .and_then(|merged| Draft::parse(Kind::ObjectType, &merged, Some((&base.definition, &json)), "", &mut faults));
    match draft {
        Some(draft) if faults.is_empty() => Ok(draft.preview(&base.definition)),
        _ => Err(places_of(faults)),
    }
}

fn base() -> ObjectType {
    let input = json!({
        "name": "Customer", "displayName": "고객", "description": "Who buys", "category": "sales", "tags": ["a", "b"],
        "properties": [{"name": "email", "dataType": "STRING"}], "baseDatasets": [{"datasetRid": "ri.1", "name": "crm"}],
        "metadata": {"team": {"name": "core", "size": 3}},
    });
    stored(parse(Kind::ObjectType, &input).0.unwrap().definition)
}

#[test]
fn only_the_names_are_required() {
    let (_, faults) = parse(Kind::ObjectType, &json!({}));
    assert_eq!(faults, at([("/name", "REQUIRED_FIELD_MISSING"), ("/displayName", "REQUIRED_FIELD_MISSING")]));
    let (draft, faults) = parse(Kind::ObjectType, &object("Customer"));
    let definition = draft.unwrap().definition;
    assert_eq!(faults, []);
    assert_eq!((definition.description, definition.category, definition.tags.len()), (None, None, 0));
}

#[test]
fn all_faults_of_a_definition_are_named_at_once() {
    let faults = faults_of(json!({
        "name": "x".repeat(65), "displayName": "x".repeat(256), "description": ["a"], "category": "",
        "tags": ["a", "b", "a", "", 7, "c\0"], "metadata": [], "changeDescription": "x".repeat(1_001),
        "baseDatasets": [{"datasetRid": "ri.1"}, {"name": "n", "rid": 1}, 5,
            {"datasetRid": "r", "name": "n"}, {"datasetRid": "r", "name": "m"}],
        "properties": [{"name": "a", "dataType": "TEXT"}], "colour": "red",
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "version": 7, "createdAt": "2026-11-22T20:19:00Z",
    }));
    assert_eq!(
        faults,
        at([
            ("/name", "INVALID_NAME"),
            ("/displayName", "TOO_LONG"),
            ("/description", "INVALID_FIELD_TYPE"),
            ("/category", "TOO_SHORT"),
            ("/tags/2", "DUPLICATE_ITEM"),
            ("/tags/3", "TOO_SHORT"),
            ("/tags/4", "INVALID_FIELD_TYPE"),
            ("/tags/5", "INVALID_TEXT"),
            ("/metadata", "INVALID_FIELD_TYPE"),
            ("/changeDescription", "TOO_LONG"),
            ("/baseDatasets/0/name", "REQUIRED_FIELD_MISSING"),
            ("/baseDatasets/1/datasetRid", "REQUIRED_FIELD_MISSING"),
            ("/baseDatasets/1/rid", "UNKNOWN_FIELD"),
            ("/baseDatasets/2", "INVALID_FIELD_TYPE"),
            ("/baseDatasets/4/datasetRid", "DUPLICATE_ITEM"),
            ("/properties/0/dataType", "INVALID_DATA_TYPE"),
            ("/colour", "UNKNOWN_FIELD"),
            ("/id", "READ_ONLY_FIELD"),
            ("/version", "READ_ONLY_FIELD"),
            ("/createdAt", "READ_ONLY_FIELD"),
        ])
    );
    assert_eq!(parse(Kind::ObjectType, &json!([])).1, at([("", "INVALID_FIELD_TYPE")]));
}

#[test]
fn null_is_absent_and_lengths_are_characters() {
    let nulls = json!({"description": null, "category": null, "tags": null, "metadata": null, "properties": null,
        "baseDatasets": null, "changeDescription": null, "id": null, "version": null});
    assert_eq!(faults_of(nulls), []);
    assert_eq!(faults_of(json!({"displayName": null})), at([("/displayName", "REQUIRED_FIELD_MISSING")]));
    assert_eq!(faults_of(json!({"displayName": "가".repeat(255), "category": "가".repeat(64)})), []);
    assert_eq!(faults_of(json!({"displayName": "가".repeat(256)})), at([("/displayName", "TOO_LONG")]));
}

#[test]
fn nul_is_refused_in_texts_and_keys() {
    let faults = faults_of(json!({
        "displayName": "a\0", "description": "\0", "metadata": {"a": {"b\0": 1, "c": ["\0"]}}, "tag\0": 1,
    }));
    assert_eq!(
        faults,
        at([
            ("/displayName", "INVALID_TEXT"),
            ("/description", "INVALID_TEXT"),
            ("/metadata/a/b\u{fffd}", "INVALID_TEXT"),
            ("/metadata/a/c/0", "INVALID_TEXT"),
            ("/tag\u{fffd}", "UNKNOWN_FIELD"),
        ])
    );
}

#[test]
fn a_type_has_at_most_two_thousand_properties_nested_ones_included() {
    let level =
        |count: usize| (0..count).map(|i| json!({"name": format!("p{i}"), "dataType": "STRING"})).collect::<Vec<_>>();
    assert_eq!(faults_of(json!({"properties": level(2_000)})), []);
    assert_eq!(faults_of(json!({"properties": level(2_001)})), at([("/properties", "TOO_MANY_ITEMS")]));
    let nested = json!([{"name": "a", "dataType": "OBJECT", "properties": level(1_000)},
        {"name": "b", "dataType": "OBJECT", "properties": level(1_000)}]);
    assert_eq!(faults_of(json!({"properties": nested})), at([("/properties/1/properties", "TOO_MANY_ITEMS")]));
}

#[test]
fn a_link_type_has_two_ends_and_a_cardinality() {
    let (_, faults) = parse(Kind::LinkType, &object("Owns"));
    let missing = ["/source", "/target", "/cardinality"].map(|place| (place, "REQUIRED_FIELD_MISSING"));
    assert_eq!(faults, at(missing));
    let wrong = json!({"source": "no name", "target": 5, "cardinality": "MANY", "sourceObjectTypeId": "x"});
    assert_eq!(
        parse(Kind::LinkType, &with(object("Owns"), wrong)).1,
        at([
            ("/source", "INVALID_NAME"),
            ("/target", "INVALID_FIELD_TYPE"),
            ("/cardinality", "INVALID_VALUE"),
            ("/sourceObjectTypeId", "READ_ONLY_FIELD"),
        ])
    );
    // An object type has none of these.
    let faults = parse(Kind::ObjectType, &link("Owns", "A", "B")).1;
    assert_eq!(faults, at(["/source", "/target", "/cardinality"].map(|place| (place, "UNKNOWN_FIELD"))));
}

#[test]
fn a_patch_changes_what_it_names_and_keeps_the_rest() {
    let base = base();
    let after = patched(
        &base,
        &json!({"displayName": "Client", "description": null, "metadata": {"team": {"size": null}, "x": 1}}),
    );
    let after = after.unwrap();
    assert_eq!(after.display_name, "Client");
    assert_eq!(after.description, None);
    assert_eq!(Value::from(after.metadata.clone()), json!({"team": {"name": "core"}, "x": 1}));
    assert_eq!((&after.tags, &after.properties), (&base.definition.tags, &base.definition.properties));
    // Lists are replaced as a whole, and taken away by null.
    let after = patched(&base, &json!({"tags": ["c"], "properties": null, "category": null})).unwrap();
    assert_eq!((after.tags, after.properties.len(), after.category), (vec!["c".to_owned()], 0, None));
}

#[test]
fn a_patch_is_refused_at_the_places_that_it_names() {
    let base = base();
    assert_eq!(patched(&base, &json!([])).unwrap_err(), at([("", "INVALID_FIELD_TYPE")]));
    assert_eq!(patched(&base, &json!({"name": null})).unwrap_err(), at([("/name", "REQUIRED_FIELD_MISSING")]));
    // Taken away as nulls are, these would pass unseen.
    let unseen = json!({"colour": null, "metadata": {"a\0": null}});
    assert_eq!(
        patched(&base, &unseen).unwrap_err(),
        at([("/colour", "UNKNOWN_FIELD"), ("/metadata/a\u{fffd}", "INVALID_TEXT")])
    );
}

#[test]
fn a_patch_may_repeat_read_only_fields_but_not_change_them() {
    let base = base();
    assert_eq!(patched(&base, &base.to_json().unwrap()).unwrap(), base.definition);
    let changed = json!({"version": 4, "id": "x", "createdBy": "eve", "updatedAt": "2026-11-22T20:19:00Z"});
    let places = ["/version", "/id", "/createdBy", "/updatedAt"].map(|place| (place, "READ_ONLY_FIELD"));
    assert_eq!(patched(&base, &changed).unwrap_err(), at(places));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_stored_document_reads_back_as_it_was(properties in a_level(), variant: u8) {
        let entity = stored(definition_of(properties, variant));
        let text = serde_json::to_string(&entity).unwrap();
        prop_assert_eq!(serde_json::from_str::<ObjectType>(&text).unwrap(), entity);
    }

    #[test]
    fn the_public_json_of_a_type_is_a_definition_of_the_same_type(properties in a_level(), variant: u8) {
        let entity = stored(definition_of(properties, variant));
        let after = patched(&entity, &json!({}));
        prop_assert_eq!(after.unwrap(), entity.definition);
    }
}
