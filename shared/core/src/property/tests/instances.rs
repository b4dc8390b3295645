use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{Field, a_field, fields, sound};
use crate::{
    fixture::{at, places_of},
    input::Faults,
    property::InstanceValidator,
};

/// What is wrong with an instance of a type with these properties.
fn faults_of(properties: &Value, instance: &Value) -> Vec<(String, &'static str)> {
    let mut faults = Faults::default();
    InstanceValidator::new(&sound(properties)).validate(instance, "", &mut faults);
    places_of(faults)
}

fn fits(rules: &Value, value: &Value) -> bool {
    let rules = crate::fixture::with(rules.clone(), json!({"name": "p"}));
    faults_of(&json!([rules]), &json!({"p": value})).is_empty()
}

#[test]
fn each_data_type_takes_its_own_values() {
    let values = [
        json!("text"),
        json!(1.5),
        json!(true),
        json!("2026-02-28"),
        json!("2026-11-22T20:19:00.5+09:00"),
        json!([1, "a", null]),
        json!({"a": 1}),
    ];
    for (data_type, fitting) in [
        ("STRING", &[0, 3, 4][..]),
        ("NUMBER", &[1]),
        ("BOOLEAN", &[2]),
        ("DATE", &[3]),
        ("DATETIME", &[4]),
        ("ARRAY", &[5]),
        ("OBJECT", &[6]),
        ("REFERENCE", &[0, 3, 4]),
    ] {
        for (i, value) in values.iter().enumerate() {
            let expected = if fitting.contains(&i) { at([]) } else { at([("/p", "INVALID_DATA_TYPE")]) };
            let properties = json!([{"name": "p", "dataType": data_type}]);
            assert_eq!(faults_of(&properties, &json!({"p": value})), expected, "{data_type} {value}");
        }
    }
}

#[test]
fn a_date_is_a_day_of_the_calendar_in_ten_characters() {
    for (text, good) in [
        ("2024-02-29", true),
        ("0001-01-01", true),
        ("2023-02-29", false),
        ("2026-13-01", false),
        ("2026-1-1", false),
        ("+2026-1-01", false),
        ("2026- 1-01", false),
        ("26-11-2026", false),
        ("2026/11/22", false),
        ("2026-11-22T00:00:00Z", false),
        ("２026-1-1", false),
        ("", false),
    ] {
        assert_eq!(fits(&json!({"dataType": "DATE"}), &json!(text)), good, "{text:?}");
    }
}

#[test]
fn a_date_time_has_an_offset() {
    for (text, good) in [
        ("2026-11-22T20:19:00Z", true),
        ("2026-11-22t20:19:00z", true),
        ("2026-11-22T20:19:00.123456789-03:30", true),
        ("2026-11-22T20:19:00", false),
        ("2026-11-22 20:19:00Z", false),
        ("2026-11-22T20:19Z", false),
        ("2026-11-22T25:00:00Z", false),
        ("2026-02-30T20:19:00Z", false),
        ("2026-11-22T20:19:00+0900", false),
        ("2026-11-22", false),
        ("+026-11-22T20:19:00Z", false),
        (" 2026-11-2T20:19:00Z", false),
    ] {
        assert_eq!(fits(&json!({"dataType": "DATETIME"}), &json!(text)), good, "{text:?}");
    }
}

#[test]
fn lengths_are_unicode_scalar_values() {
    let two = json!({"dataType": "STRING", "validators": [{"type": "minLength", "value": 2}, {"type": "maxLength", "value": 2}]});
    for (text, good) in
        [("고객", true), ("고객님", false), ("👩‍🚀", false), ("🚀🚀", true), ("e\u{301}", true), ("é", false)]
    {
        assert_eq!(fits(&two, &json!(text)), good, "{text}");
    }
}

#[test]
fn a_pattern_is_searched_for_unless_it_is_anchored() {
    let rule = |pattern: &str| json!({"dataType": "STRING", "validators": [{"type": "pattern", "value": pattern}]});
    assert!(fits(&rule("[0-9]{2}"), &json!("a12b")));
    assert!(!fits(&rule("^[0-9]{2}$"), &json!("a12b")));
    assert!(fits(&rule(r"^\p{Hangul}+$"), &json!("고객")));
}

#[test]
fn numbers_are_compared_exactly() {
    let rule = |min: Value, max: Value| json!({"dataType": "NUMBER", "validators": [{"type": "min", "value": min}, {"type": "max", "value": max}]});
    let big = 9_007_199_254_740_993_u64;
    assert!(fits(&rule(json!(big), json!(big)), &json!(big)));
    assert!(!fits(&rule(json!(big), json!(big)), &json!(big - 1)));
    assert!(fits(&rule(json!(-1), json!(u64::MAX)), &json!(u64::MAX)));
    assert!(fits(&rule(json!(0.1), json!(0.1)), &json!(0.1)));
    assert!(!fits(&rule(json!(0), json!(1)), &json!(1.000_000_1)));
}

#[test]
fn null_is_absent_and_absent_is_fine_unless_it_is_required_without_a_default() {
    let properties = json!([
        {"name": "must", "dataType": "STRING", "required": true},
        {"name": "may", "dataType": "STRING", "validators": [{"type": "minLength", "value": 1}]},
        {"name": "preset", "dataType": "STRING", "required": true, "defaultValue": "x"},
    ]);
    let missing = at([("/must", "REQUIRED_FIELD_MISSING")]);
    assert_eq!(faults_of(&properties, &json!({})), missing);
    assert_eq!(faults_of(&properties, &json!({"must": null, "may": null, "preset": null})), missing);
    assert_eq!(faults_of(&properties, &json!({"must": ""})), []);
}

#[test]
fn every_fault_is_named_at_once_through_objects_and_lists() {
    let properties = json!([
        {"name": "address", "dataType": "OBJECT", "required": true, "properties": [
            {"name": "city", "dataType": "STRING", "required": true},
            {"name": "zip", "dataType": "STRING", "validators": [
                {"type": "pattern", "value": "^[0-9]+$"}, {"type": "maxLength", "value": 3}]},
        ]},
        {"name": "orders", "dataType": "ARRAY", "itemType": "OBJECT", "properties": [
            {"name": "total", "dataType": "NUMBER", "required": true, "validators": [{"type": "min", "value": 0}, {"type": "max", "value": 9}]},
        ]},
        {"name": "tags", "dataType": "ARRAY", "itemType": "STRING", "validators": [{"type": "minLength", "value": 2}]},
        {"name": "owner", "dataType": "REFERENCE"},
        {"name": "anything", "dataType": "OBJECT"},
    ]);
    let instance = json!({
        "address": {"zip": "abcd", "a/b": 1},
        "orders": [{"total": 5}, {}, {"total": -1}, {"total": 10}, null, 3],
        "tags": ["ab", "a", 7],
        "owner": "",
        "anything": {"goes": [null]},
        "unknown": null,
    });
    assert_eq!(
        faults_of(&properties, &instance),
        at([
            ("/address/city", "REQUIRED_FIELD_MISSING"),
            ("/address/zip", "PATTERN_MISMATCH"),
            ("/address/zip", "MAX_LENGTH"),
            ("/address/a~1b", "UNKNOWN_PROPERTY"),
            ("/orders/1/total", "REQUIRED_FIELD_MISSING"),
            ("/orders/2/total", "MIN"),
            ("/orders/3/total", "MAX"),
            ("/orders/4", "INVALID_DATA_TYPE"),
            ("/orders/5", "INVALID_DATA_TYPE"),
            ("/tags/1", "MIN_LENGTH"),
            ("/tags/2", "INVALID_DATA_TYPE"),
            ("/owner", "TOO_SHORT"),
            ("/unknown", "UNKNOWN_PROPERTY"),
        ])
    );
}

#[test]
fn an_instance_is_an_object() {
    for instance in [json!(null), json!([]), json!("x")] {
        assert_eq!(faults_of(&json!([]), &instance), at([("", "INVALID_DATA_TYPE")]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_instance_that_is_made_to_fit_fits(members in vec((a_field(), any::<bool>()), 0..5)) {
        let (properties, instance) = fields(&members);
        prop_assert_eq!(faults_of(&properties, &instance), []);
    }

    #[test]
    fn one_value_that_does_not_fit_is_one_fault_at_its_place(
        members in vec((a_field(), any::<bool>()), 1..5),
        which: Index,
        how in 0..3,
    ) {
        let (properties, mut instance) = fields(&members);
        let number = which.index(members.len());
        let (Field { rules, .. }, required) = &members[number];
        let name = format!("p{number}");
        let expected = match how {
            0 => {
                let unfit = if rules["dataType"] == "OBJECT" { json!("x") } else { json!({"x": 1}) };
                instance[&name] = unfit;
                vec![(format!("/{name}"), "INVALID_DATA_TYPE")]
            }
            1 => {
                instance.as_object_mut().unwrap().remove(&name);
                if *required { vec![(format!("/{name}"), "REQUIRED_FIELD_MISSING")] } else { vec![] }
            }
            _ => {
                instance["q"] = json!(1);
                vec![("/q".to_owned(), "UNKNOWN_PROPERTY")]
            }
        };
        prop_assert_eq!(faults_of(&properties, &instance), expected);
    }
}
