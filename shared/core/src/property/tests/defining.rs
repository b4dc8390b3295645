use serde_json::{Value, json};

use super::{parse, parse_over, sound};
use crate::{
    fixture::{at, with},
    property::{DataType, MAX_DEPTH, Property, Validator},
};

/// A property with a name, and what is wrong with it.
fn faults_of(rules: Value) -> Vec<(String, &'static str)> {
    parse(&json!([with(json!({"name": "p"}), rules)])).1
}

#[test]
fn a_property_has_a_name_and_a_known_data_type() {
    let long = "x".repeat(65);
    let (_, faults) =
        parse(&json!([{}, {"name": "1", "dataType": "TEXT"}, {"name": long, "dataType": "STRING"}, 7, null]));
    assert_eq!(
        faults,
        at([
            ("/0/name", "REQUIRED_FIELD_MISSING"),
            ("/0/dataType", "REQUIRED_FIELD_MISSING"),
            ("/1/name", "INVALID_NAME"),
            ("/1/dataType", "INVALID_DATA_TYPE"),
            ("/2/name", "INVALID_NAME"),
            ("/3", "INVALID_FIELD_TYPE"),
            ("/4", "INVALID_FIELD_TYPE"),
        ])
    );
    for data_type in DataType::ALL {
        sound(&json!([{"name": "p", "dataType": data_type.as_str()}]));
    }
}

#[test]
fn what_is_left_out_has_its_default_and_null_is_left_out() {
    let absent = json!([{"name": "p", "dataType": "STRING"}]);
    let null = json!([{
        "name": "p", "dataType": "STRING", "id": null, "displayName": null, "required": null, "unique": null,
        "indexed": null, "defaultValue": null, "description": null, "validators": null, "metadata": null,
        "itemType": null, "properties": null, "referenceTo": null,
    }]);
    let (absent, mut null) = (sound(&absent).remove(0), sound(&null).remove(0));
    assert_eq!(
        (absent.display_name.as_str(), absent.required, absent.unique, absent.indexed),
        ("p", false, false, false)
    );
    null.id = absent.id;
    assert_eq!(null, absent);
}

#[test]
fn all_faults_of_a_property_are_named_at_once() {
    let faults = faults_of(json!({
        "dataType": "STRING", "displayName": "", "required": "yes", "unique": 1, "indexed": [], "description": 5,
        "metadata": {"a": ["x\0"], "b\0": 1}, "itemType": "NUMBER", "properties": [], "referenceTo": "Customer",
        "validators": [{"type": "min", "value": 1}], "colour": "red", "a/b~c": 1,
    }));
    assert_eq!(
        faults,
        at([
            ("/0/displayName", "TOO_SHORT"),
            ("/0/required", "INVALID_FIELD_TYPE"),
            ("/0/unique", "INVALID_FIELD_TYPE"),
            ("/0/indexed", "INVALID_FIELD_TYPE"),
            ("/0/description", "INVALID_FIELD_TYPE"),
            ("/0/metadata/a/0", "INVALID_TEXT"),
            ("/0/metadata/b\u{fffd}", "INVALID_TEXT"),
            ("/0/itemType", "FIELD_NOT_APPLICABLE"),
            ("/0/properties", "FIELD_NOT_APPLICABLE"),
            ("/0/referenceTo", "FIELD_NOT_APPLICABLE"),
            ("/0/validators/0/type", "INVALID_VALIDATOR"),
            ("/0/colour", "UNKNOWN_FIELD"),
            ("/0/a~1b~0c", "UNKNOWN_FIELD"),
        ])
    );
}

#[test]
fn a_name_stands_once_on_each_level_and_case_tells_names_apart() {
    let (_, faults) = parse(&json!([
        {"name": "a", "dataType": "STRING"},
        {"name": "A", "dataType": "STRING"},
        {"name": "o", "dataType": "OBJECT", "properties": [{"name": "a", "dataType": "STRING"}, {"name": "a", "dataType": "NUMBER"}]},
        {"name": "a", "dataType": "STRING"},
    ]));
    assert_eq!(
        faults,
        at([("/2/properties/1/name", "DUPLICATE_PROPERTY_NAME"), ("/3/name", "DUPLICATE_PROPERTY_NAME")])
    );
}

#[test]
fn item_type_fields_and_target_apply_where_they_mean_something() {
    for fitting in [
        json!({"dataType": "ARRAY"}),
        json!({"dataType": "ARRAY", "itemType": "STRING", "validators": [{"type": "minLength", "value": 1}]}),
        json!({"dataType": "ARRAY", "itemType": "OBJECT", "properties": [{"name": "a", "dataType": "NUMBER"}]}),
        json!({"dataType": "ARRAY", "itemType": "REFERENCE", "referenceTo": "Customer"}),
        json!({"dataType": "REFERENCE", "referenceTo": "01890a5d-ac96-774b-bcce-b302099a8057"}),
        json!({"dataType": "OBJECT", "properties": []}),
    ] {
        assert_eq!(faults_of(fitting.clone()), [], "{fitting}");
    }
    let nested = json!([{"name": "a", "dataType": "STRING"}]);
    for (unfit, place, code) in [
        (json!({"dataType": "ARRAY", "itemType": "ARRAY"}), "/0/itemType", "INVALID_VALUE"),
        (json!({"dataType": "ARRAY", "itemType": "LIST"}), "/0/itemType", "INVALID_DATA_TYPE"),
        (json!({"dataType": "OBJECT", "itemType": "STRING"}), "/0/itemType", "FIELD_NOT_APPLICABLE"),
        (
            json!({"dataType": "ARRAY", "itemType": "STRING", "properties": nested}),
            "/0/properties",
            "FIELD_NOT_APPLICABLE",
        ),
        (json!({"dataType": "NUMBER", "properties": nested}), "/0/properties", "FIELD_NOT_APPLICABLE"),
        (
            json!({"dataType": "ARRAY", "itemType": "NUMBER", "referenceTo": "A"}),
            "/0/referenceTo",
            "FIELD_NOT_APPLICABLE",
        ),
        (json!({"dataType": "REFERENCE", "referenceTo": "no name"}), "/0/referenceTo", "INVALID_NAME"),
        (json!({"dataType": "REFERENCE", "referenceTo": 1}), "/0/referenceTo", "INVALID_FIELD_TYPE"),
    ] {
        assert_eq!(faults_of(unfit.clone()), at([(place, code)]), "{unfit}");
    }
}

#[test]
fn an_array_says_what_its_items_are_before_it_says_more_of_them() {
    let more = json!({
        "properties": [{"name": "a", "dataType": "STRING"}], "referenceTo": "Customer",
        "validators": [{"type": "min", "value": 1}, {"type": "pattern", "value": "a"}],
    });
    let faults = faults_of(with(json!({"dataType": "ARRAY"}), more.clone()));
    assert_eq!(
        faults,
        at([
            ("/0/properties", "FIELD_NOT_APPLICABLE"),
            ("/0/referenceTo", "FIELD_NOT_APPLICABLE"),
            ("/0/validators/0/type", "INVALID_VALIDATOR"),
            ("/0/validators/1/type", "INVALID_VALIDATOR"),
        ])
    );
    // Where the type itself is wrong, that is the one fault.
    for (wrong, place) in [
        (json!({"dataType": "LIST"}), "/0/dataType"),
        (json!({"dataType": "ARRAY", "itemType": "LIST"}), "/0/itemType"),
    ] {
        assert_eq!(faults_of(with(wrong, more.clone())), at([(place, "INVALID_DATA_TYPE")]));
    }
}

#[test]
fn properties_are_nested_eight_levels_deep_and_no_deeper() {
    let nested = |depth: usize| {
        (1..depth).fold(
            json!([{"name": "p", "dataType": "STRING"}]),
            |inner, _| json!([{"name": "p", "dataType": "OBJECT", "properties": inner}]),
        )
    };
    sound(&nested(MAX_DEPTH));
    let too_deep = "/0/properties".repeat(MAX_DEPTH);
    assert_eq!(parse(&nested(MAX_DEPTH + 1)).1, at([(too_deep.as_str(), "TOO_DEEP")]));
}

#[test]
fn validators_fit_the_data_type_and_each_other() {
    let one = |name: &str, value: Value| json!({"type": name, "value": value});
    let text = |validators: Value| json!({"dataType": "STRING", "validators": validators});
    let number = |validators: Value| json!({"dataType": "NUMBER", "validators": validators});
    for (rules, place, code) in [
        (text(json!([one("minLength", json!(-1))])), "/0/validators/0/value", "INVALID_VALIDATOR"),
        (text(json!([one("maxLength", json!(1.5))])), "/0/validators/0/value", "INVALID_VALIDATOR"),
        (text(json!([one("pattern", json!(7))])), "/0/validators/0/value", "INVALID_VALIDATOR"),
        (text(json!([one("pattern", json!("("))])), "/0/validators/0/value", "INVALID_PATTERN"),
        (text(json!([one("pattern", json!("(a){9999}{9999}"))])), "/0/validators/0/value", "INVALID_PATTERN"),
        (text(json!([one("pattern", json!("a\0"))])), "/0/validators/0/value", "INVALID_TEXT"),
        (text(json!([one("pattern", json!("a".repeat(1_001)))])), "/0/validators/0/value", "TOO_LONG"),
        (text(json!([one("length", json!(1))])), "/0/validators/0/type", "INVALID_VALUE"),
        (text(json!([one("max", json!(1))])), "/0/validators/0/type", "INVALID_VALIDATOR"),
        (
            text(json!([one("minLength", json!(1)), one("minLength", json!(2))])),
            "/0/validators/1/type",
            "DUPLICATE_ITEM",
        ),
        (text(json!([one("minLength", json!(3)), one("maxLength", json!(2))])), "/0/validators", "INVALID_VALIDATOR"),
        (text(json!([{"value": 1}])), "/0/validators/0/type", "REQUIRED_FIELD_MISSING"),
        (text(json!([{"type": "minLength"}])), "/0/validators/0/value", "REQUIRED_FIELD_MISSING"),
        (text(json!([{"type": "minLength", "value": 1, "message": "!"}])), "/0/validators/0/message", "UNKNOWN_FIELD"),
        (text(json!(["minLength"])), "/0/validators/0", "INVALID_FIELD_TYPE"),
        (text(json!({})), "/0/validators", "INVALID_FIELD_TYPE"),
        (number(json!([one("min", json!("1"))])), "/0/validators/0/value", "INVALID_VALIDATOR"),
        (number(json!([one("min", json!(2)), one("max", json!(1.5))])), "/0/validators", "INVALID_VALIDATOR"),
        (number(json!([one("pattern", json!("a"))])), "/0/validators/0/type", "INVALID_VALIDATOR"),
        (
            json!({"dataType": "DATE", "validators": [one("minLength", json!(1))]}),
            "/0/validators/0/type",
            "INVALID_VALIDATOR",
        ),
    ] {
        assert_eq!(faults_of(rules.clone()), at([(place, code)]), "{rules}");
    }
    // Neither is above the other, though a double can't tell them apart.
    let equal = json!([one("min", json!(9_007_199_254_740_993_u64)), one("max", json!(9_007_199_254_740_993_u64))]);
    assert_eq!(faults_of(number(equal)), []);
    let above = json!([one("min", json!(9_007_199_254_740_993_u64)), one("max", json!(9_007_199_254_740_992_u64))]);
    assert_eq!(faults_of(number(above)), at([("/0/validators", "INVALID_VALIDATOR")]));
}

#[test]
fn a_default_keeps_the_rules_of_its_property() {
    let object =
        json!([{"name": "city", "dataType": "STRING", "required": true}, {"name": "zip", "dataType": "NUMBER"}]);
    for (rules, faults) in [
        (json!({"dataType": "STRING", "defaultValue": 1}), at([("/0/defaultValue", "INVALID_DATA_TYPE")])),
        (json!({"dataType": "DATE", "defaultValue": "soon"}), at([("/0/defaultValue", "INVALID_DATA_TYPE")])),
        (
            json!({"dataType": "STRING", "defaultValue": "long", "validators": [
                {"type": "maxLength", "value": 3}, {"type": "pattern", "value": "^[0-9]+$"}]}),
            at([("/0/defaultValue", "MAX_LENGTH"), ("/0/defaultValue", "PATTERN_MISMATCH")]),
        ),
        (
            json!({"dataType": "NUMBER", "defaultValue": 0, "validators": [{"type": "min", "value": 1}]}),
            at([("/0/defaultValue", "MIN")]),
        ),
        (json!({"dataType": "STRING", "defaultValue": "a\0"}), at([("/0/defaultValue", "INVALID_TEXT")])),
        (
            json!({"dataType": "OBJECT", "properties": object, "defaultValue": {"zip": "x", "street": 1}}),
            at([
                ("/0/defaultValue/city", "REQUIRED_FIELD_MISSING"),
                ("/0/defaultValue/zip", "INVALID_DATA_TYPE"),
                ("/0/defaultValue/street", "UNKNOWN_PROPERTY"),
            ]),
        ),
        (
            json!({"dataType": "ARRAY", "itemType": "NUMBER", "defaultValue": [1, "2"]}),
            at([("/0/defaultValue/1", "INVALID_DATA_TYPE")]),
        ),
        (
            json!({"dataType": "ARRAY", "itemType": "OBJECT", "properties": object, "defaultValue": [{"city": "Ulm"}]}),
            at([]),
        ),
        (json!({"dataType": "DATETIME", "defaultValue": "2026-11-22T20:19:00+09:00"}), at([])),
    ] {
        assert_eq!(faults_of(rules.clone()), faults, "{rules}");
    }
}

#[test]
fn a_default_is_judged_only_by_rules_that_are_sound_themselves() {
    // The nested property is not there because of its own fault; the default is not to blame for naming it.
    let rules =
        json!({"dataType": "OBJECT", "properties": [{"name": "zip", "dataType": "TEXT"}], "defaultValue": {"zip": 1}});
    assert_eq!(faults_of(rules), at([("/0/properties/0/dataType", "INVALID_DATA_TYPE")]));
    // A fault that says nothing of the values hides nothing.
    let rules = json!({"dataType": "NUMBER", "colour": "red", "defaultValue": "x"});
    assert_eq!(faults_of(rules), at([("/0/colour", "UNKNOWN_FIELD"), ("/0/defaultValue", "INVALID_DATA_TYPE")]));
}

fn a_and_b() -> Vec<Property> {
    sound(&json!([{"name": "a", "dataType": "STRING"}, {"name": "b", "dataType": "STRING"}]))
}

fn ids(properties: &[Property]) -> Vec<uuid::Uuid> {
    properties.iter().map(|property| property.id.0).collect()
}

#[test]
fn a_property_is_the_one_with_its_id_else_the_one_with_its_name_else_new() {
    let base = a_and_b();
    let [a, b] = ids(&base)[..] else { panic!("two") };
    let (next, faults) = parse_over(
        &json!([
            {"id": b, "name": "renamed", "dataType": "STRING"},
            {"name": "a", "dataType": "NUMBER"},
            {"name": "b", "dataType": "STRING"},
        ]),
        &base,
    );
    assert_eq!(faults, []);
    let next = ids(&next);
    assert_eq!(next[..2], [b, a]);
    // The old name is free: whoever takes it is somebody else.
    assert!(next[2] != a && next[2] != b);
}

#[test]
fn two_properties_may_swap_names() {
    let base = a_and_b();
    let [a, b] = ids(&base)[..] else { panic!("two") };
    let swapped = json!([{"id": a, "name": "b", "dataType": "STRING"}, {"id": b, "name": "a", "dataType": "STRING"}]);
    let (next, faults) = parse_over(&swapped, &base);
    assert_eq!((ids(&next), faults), (vec![a, b], vec![]));
}

#[test]
fn an_id_stands_once_in_a_type_and_is_a_uuid() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let (_, faults) = parse(&json!([
        {"id": id, "name": "a", "dataType": "STRING"},
        {"id": id, "name": "b", "dataType": "STRING"},
        {"id": "b", "name": "c", "dataType": "STRING"},
        {"id": 4, "name": "d", "dataType": "STRING"},
        {"name": "e", "dataType": "OBJECT", "properties": [{"id": id, "name": "f", "dataType": "STRING"}]},
    ]));
    assert_eq!(
        faults,
        at([
            ("/1/id", "DUPLICATE_ITEM"),
            ("/2/id", "INVALID_VALUE"),
            ("/3/id", "INVALID_FIELD_TYPE"),
            ("/4/properties/0/id", "DUPLICATE_ITEM"),
        ])
    );
}

#[test]
fn nested_properties_keep_their_identity_under_a_renamed_parent() {
    let base =
        sound(&json!([{"name": "o", "dataType": "OBJECT", "properties": [{"name": "a", "dataType": "STRING"}]}]));
    let nested = |properties: &[Property]| properties[0].properties.as_ref().unwrap()[0].id;
    let renamed = json!([{"id": base[0].id.0, "name": "p", "dataType": "OBJECT", "properties": [{"name": "a", "dataType": "DATE"}]}]);
    let (next, faults) = parse_over(&renamed, &base);
    assert_eq!(faults, []);
    assert_eq!(nested(&next), nested(&base));
}

#[test]
fn validators_read_as_they_are_written() {
    let written = json!([{"type": "minLength", "value": 1}, {"type": "pattern", "value": "^a"}]);
    let property = sound(&json!([{"name": "p", "dataType": "STRING", "validators": written}])).remove(0);
    assert_eq!(property.validators, [Validator::MinLength(1), Validator::Pattern("^a".into())]);
    assert_eq!(serde_json::to_value(&property.validators).unwrap(), written);
}

fn with_patterns(patterns: impl Iterator<Item = String>) -> Value {
    let property = |(n, pattern)| json!({"name": format!("p{n}"), "dataType": "STRING", "validators": [{"type": "pattern", "value": pattern}]});
    patterns.enumerate().map(property).collect()
}

#[test]
fn ordinary_patterns_fit_and_greedy_ones_do_not() {
    let ordinary = [r"^[\p{L}\s]{1,64}$", r"^[^@]+@[^@]+\.[a-z]{2,63}$", r"^[가-힣]{2,100}$", r"^(\d{3})-?(\d{4})$"];
    sound(&with_patterns(ordinary.iter().map(|pattern| (*pattern).to_owned())));
    let (_, faults) = parse(&with_patterns([r"^(\w{100}){100}$".to_owned()].into_iter()));
    assert_eq!(faults, [("/0/validators/0/value".to_owned(), "INVALID_PATTERN")]);
}

#[test]
fn a_type_has_a_limited_number_of_patterns_and_fewer_large_ones() {
    let (_, faults) = parse(&with_patterns((0..201).map(|n| format!("^{n}$"))));
    assert_eq!(faults, [("/200/validators".to_owned(), "TOO_MANY_ITEMS")]);
    let (_, faults) = parse(&with_patterns((0..11).map(|n| format!(r"^{n}\w{{1,8}}$"))));
    assert_eq!(faults, [("/10/validators/0/value".to_owned(), "INVALID_PATTERN")]);
}
