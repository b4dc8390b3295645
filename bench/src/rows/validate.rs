//! Judging an instance of 20 properties, against the crate `jsonschema` with the same rules. Both have read the type and
//! compiled its patterns before, and both judge what is parsed already.

use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, Result, ensure};
use jsonschema::{PatternOptions, Validator};
use oms_core::{
    input::Faults,
    property::{Drafts, InstanceValidator, parse_list},
};
use serde_json::{Map, Value, json};

use super::Bench;
use crate::{
    measure::alternate,
    report::{Goal, Row},
};

/// Instances of one sample.
const JUDGED: u32 = 5_000;

/// All data types and validators, with a nested object and lists of three sorts.
fn definition() -> Value {
    let max = |length: u32| json!([{"type": "maxLength", "value": length}]);
    let between = |min: f64, max: f64| json!([{"type": "min", "value": min}, {"type": "max", "value": max}]);
    let pattern = |pattern: &str| json!([{"type": "pattern", "value": pattern}]);
    json!([
        {"name": "number", "dataType": "STRING", "required": true, "validators": pattern("^[A-Z]{2}-[0-9]{4}$")},
        {"name": "title", "dataType": "STRING", "required": true,
            "validators": [{"type": "minLength", "value": 1}, {"type": "maxLength", "value": 100}]},
        {"name": "email", "dataType": "STRING", "validators": pattern("^[^@\\s]+@[^@\\s]+$")},
        {"name": "language", "dataType": "STRING", "validators": pattern("^[a-z]{2}(-[A-Z]{2})?$")},
        {"name": "note", "dataType": "STRING", "validators": max(500)},
        {"name": "amount", "dataType": "NUMBER", "required": true, "validators": between(0.0, 1_000_000.0)},
        {"name": "discount", "dataType": "NUMBER", "validators": between(0.0, 1.0)},
        {"name": "priority", "dataType": "NUMBER", "validators": [{"type": "min", "value": 1}, {"type": "max", "value": 5}]},
        {"name": "weight", "dataType": "NUMBER"},
        {"name": "active", "dataType": "BOOLEAN", "required": true},
        {"name": "express", "dataType": "BOOLEAN"},
        {"name": "orderedOn", "dataType": "DATE", "required": true},
        {"name": "dueOn", "dataType": "DATE"},
        {"name": "createdAt", "dataType": "DATETIME", "required": true},
        {"name": "shippedAt", "dataType": "DATETIME"},
        {"name": "customer", "dataType": "REFERENCE", "required": true},
        {"name": "address", "dataType": "OBJECT", "properties": [
            {"name": "street", "dataType": "STRING", "validators": max(200)},
            {"name": "city", "dataType": "STRING", "required": true, "validators": max(100)},
            {"name": "postalCode", "dataType": "STRING", "validators": pattern("^[0-9A-Z -]{3,10}$")}]},
        {"name": "tags", "dataType": "ARRAY", "itemType": "STRING", "validators": max(40)},
        {"name": "readings", "dataType": "ARRAY", "itemType": "NUMBER", "validators": between(-50.0, 150.0)},
        {"name": "lines", "dataType": "ARRAY", "itemType": "OBJECT", "properties": [
            {"name": "product", "dataType": "REFERENCE", "required": true},
            {"name": "quantity", "dataType": "NUMBER", "required": true, "validators": between(1.0, 999.0)}]},
    ])
}

fn instance() -> Value {
    json!({
        "number": "AB-1234", "title": "Spare parts for 김", "email": "ada@example.org", "language": "en-GB",
        "note": "Call before you come.", "amount": 1_234.5, "discount": 0.15, "priority": 3, "weight": 12.75,
        "active": true, "express": false, "orderedOn": "2026-11-25", "dueOn": "2026-12-24",
        "createdAt": "2026-11-25T08:30:00.125Z", "shippedAt": "2026-11-26T17:00:00+09:00",
        "customer": "01976a3c-5e10-7b42-9c1d-4f0a8e25b701",
        "address": {"street": "1 Erewhon St", "city": "PleasantVille", "postalCode": "3999"},
        "tags": ["spare", "urgent"], "readings": [20, 21.5, 19.25],
        "lines": [{"product": "p-1", "quantity": 2}, {"product": "p-2", "quantity": 10}],
    })
}

/// One wrong value for each property and rule, and what is missing or unknown.
const FAULTY: &str = r#"[
    {"number": "AB-123"}, {"number": null}, {"number": 7}, {"title": ""}, {"email": "ada"}, {"language": "english"},
    {"note": 1}, {"amount": -0.5}, {"amount": 1000001}, {"amount": "1"}, {"discount": 1.5}, {"priority": 0},
    {"weight": "heavy"}, {"active": "yes"}, {"express": 1}, {"orderedOn": "2026-02-30"}, {"dueOn": "tomorrow"},
    {"createdAt": "2026-11-25"}, {"shippedAt": "2026-11-25T10:00:00"}, {"customer": ""}, {"customer": 1},
    {"address": {"street": "1 Erewhon St"}}, {"address": {"city": "P", "postalCode": "?"}}, {"address": {"city": "P", "x": 1}},
    {"tags": "spare"}, {"tags": [1]}, {"readings": [151]}, {"lines": [{"product": "p-1"}]},
    {"lines": [{"product": "p-1", "quantity": 0}]}, {"colour": "green"}
]"#;

/// What is right although something is absent.
const SPARSE: &str =
    r#"[{"email": null}, {"discount": null}, {"dueOn": null}, {"address": null}, {"tags": []}, {"lines": null}]"#;

/// The same rules as JSON Schema: null is absent where that is allowed.
fn schema(properties: &Value) -> Value {
    let properties = properties.as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |property: &Value| property["name"].as_str().unwrap_or_default().to_owned();
    let is_required = |property: &&Value| property["required"] == json!(true);
    let schemas: Map<String, Value> =
        properties.iter().map(|property| (name(property), of_property(property))).collect();
    let required: Vec<String> = properties.iter().filter(is_required).map(name).collect();
    json!({"type": "object", "properties": schemas, "required": required, "additionalProperties": false})
}

fn of_property(property: &Value) -> Value {
    let mut schema = if property["dataType"] == json!("ARRAY") {
        json!({"type": "array", "items": of_value(&property["itemType"], property)})
    } else {
        of_value(&property["dataType"], property)
    };
    if property["required"] != json!(true) {
        schema["type"] = json!([schema["type"], "null"]);
    }
    schema
}

fn of_value(data_type: &Value, property: &Value) -> Value {
    let mut schema = match data_type.as_str().unwrap_or_default() {
        "NUMBER" => json!({"type": "number"}),
        "BOOLEAN" => json!({"type": "boolean"}),
        "DATE" => json!({"type": "string", "format": "date"}),
        "DATETIME" => json!({"type": "string", "format": "date-time"}),
        "REFERENCE" => json!({"type": "string", "minLength": 1}),
        "OBJECT" => schema(&property["properties"]),
        _ => json!({"type": "string"}),
    };
    for validator in property["validators"].as_array().into_iter().flatten() {
        let keyword = match validator["type"].as_str().unwrap_or_default() {
            "min" => "minimum",
            "max" => "maximum",
            same => same,
        };
        schema[keyword] = validator["value"].clone();
    }
    schema
}

/// The instance with other values.
fn with(changes: &str) -> Result<Vec<Value>> {
    let changes: Vec<Map<String, Value>> = serde_json::from_str(changes)?;
    let mut instances = Vec::with_capacity(changes.len());
    for change in changes {
        let mut instance = instance();
        instance.as_object_mut().context("an instance is an object")?.extend(change);
        instances.push(instance);
    }
    Ok(instances)
}

/// How many faults we find.
fn ours(validator: &InstanceValidator<'_>, instance: &Value) -> usize {
    let mut faults = Faults::default();
    validator.validate(instance, "", &mut faults);
    faults.len()
}

/// How many errors it finds. Whoever answers them has to have them all, and where they are.
fn theirs(validator: &Validator, instance: &Value) -> usize {
    let places: Vec<String> = validator.iter_errors(instance).map(|error| error.instance_path().to_string()).collect();
    places.len()
}

/// Both find the same instances wrong.
fn agree(validator: &InstanceValidator<'_>, reference: &Validator) -> Result<()> {
    let right = [with(SPARSE)?, vec![instance()]].concat().into_iter().map(|instance| (instance, true));
    for (instance, is_right) in right.chain(with(FAULTY)?.into_iter().map(|instance| (instance, false))) {
        ensure!((ours(validator, &instance) == 0) == is_right, "we judge wrongly of {instance}");
        ensure!(reference.is_valid(&instance) == is_right, "jsonschema judges wrongly of {instance}");
    }
    Ok(())
}

/// Microseconds of one instance.
fn time(mut judge: impl FnMut() -> usize) -> f64 {
    let started = Instant::now();
    for _ in 0..JUDGED {
        black_box(judge());
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(JUDGED)
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let definition = definition();
    let mut faults = Faults::default();
    let items = definition.as_array().context("the properties are a list")?;
    ensure!(items.len() == 20, "the type has {} properties", items.len());
    let properties = parse_list(items, &[], "", 1, &mut Drafts::default(), &mut faults);
    ensure!(faults.is_empty(), "the type is wrong: {:?}", faults.into_vec());
    let validator = InstanceValidator::new(&properties);
    // As ours, a pattern is of the crate `regex`, which takes linear time.
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex()).should_validate_formats(true);
    let reference = options.build(&schema(&definition))?;
    agree(&validator, &reference)?;

    let rounds = bench.rounds(40, 20);
    let right = instance();
    let valid = alternate(
        rounds,
        async || Ok(time(|| ours(&validator, black_box(&right)))),
        // Of what is right it can be asked more cheaply than for all that is wrong.
        async || Ok(time(|| usize::from(reference.is_valid(black_box(&right))))),
    );
    let valid = Row::new("validate an instance, 20 properties", "us", &valid.await?, Some(Goal::AtMost(1.0)));

    let wrong = with(r#"[{"email": "ada", "priority": 9, "colour": "green"}]"#)?.remove(0);
    ensure!(ours(&validator, &wrong) == 3 && theirs(&reference, &wrong) == 3, "three things are wrong");
    let invalid = alternate(
        rounds,
        async || Ok(time(|| ours(&validator, black_box(&wrong)))),
        async || Ok(time(|| theirs(&reference, black_box(&wrong)))),
    );
    let invalid = Row::new("the same, with three faults", "us", &invalid.await?, Some(Goal::AtMost(1.0)));
    Ok(vec![valid, invalid])
}
