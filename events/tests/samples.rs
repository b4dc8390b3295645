//! The samples are events: for Rust, and for whoever goes by the schemas.

#![expect(clippy::unwrap_used, reason = "Clippy takes what tests call for no part of them")]

use base64::{Engine, prelude::BASE64_STANDARD};
use oms_events::{EntityKind, Event, EventType, samples, schema};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

fn all() -> Vec<Event> {
    samples::events().into_iter().chain([samples::claim_check()]).collect()
}

fn is_valid(event_type: EventType, event: &Value) -> bool {
    validator(event_type).is_valid(event)
}

fn validator(event_type: EventType) -> jsonschema::Validator {
    let schema = schema::of(event_type);
    assert!(jsonschema::meta::is_valid(&schema), "the schema of {event_type} is none");
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[test]
fn every_type_has_a_sample_that_reads_back_the_same() {
    let types: Vec<_> = samples::events().iter().map(|event| event.event_type).collect();
    assert_eq!(types, EventType::ALL);
    for event in all() {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}

#[test]
fn the_envelope_can_be_read_without_the_types() {
    for event in all() {
        let text = serde_json::to_string(&event).unwrap();
        let read: Event<IgnoredAny, IgnoredAny> = serde_json::from_str(&text).unwrap();
        assert_eq!((read.id, read.event_type, read.entity_id), (event.id, event.event_type, event.entity_id));
        assert_eq!((read.data.version, read.metadata), (event.data.version, event.metadata));
        assert_eq!(read.data.claim_check, event.data.claim_check);
        assert_eq!(read.data.object_type.is_some(), event.data.object_type.is_some());
        assert_eq!(read.data.link_type.is_some(), event.data.link_type.is_some());
    }
}

#[test]
fn every_sample_is_what_its_schema_says_and_no_other() {
    for event in all() {
        let value = serde_json::to_value(&event).unwrap();
        for &event_type in EventType::ALL {
            let errors: Vec<_> = validator(event_type).iter_errors(&value).map(|error| error.to_string()).collect();
            assert_eq!(
                errors.is_empty(),
                event_type == event.event_type,
                "{} by {event_type}: {errors:?}",
                event.event_type
            );
        }
    }
}

#[test]
fn a_wrong_event_is_refused() {
    let wrong: [(&str, Value); 9] = [
        ("/id", json!("1")),
        ("/type", json!("ObjectTypeRenamed")),
        ("/timestamp", json!("yesterday")),
        ("/correlationId", Value::Null),
        ("/data/version", json!(0)),
        ("/data/changes", json!([{ "field": "name", "type": "renamed" }])),
        ("/data/objectType/properties/0/required", json!("yes")),
        ("/metadata/position", json!("7")),
        ("/metadata/schemaVersion", json!(2)),
    ];
    let right = serde_json::to_value(samples::event(EventType::ObjectTypeUpdated)).unwrap();
    for (pointer, value) in wrong {
        let mut event = right.clone();
        *event.pointer_mut(pointer).unwrap() = value;
        assert!(!is_valid(EventType::ObjectTypeUpdated, &event), "{pointer}");
    }
}

#[test]
fn an_event_has_its_type_or_a_claim_check() {
    for event in samples::events() {
        let (event_type, field) = match event.event_type.kind() {
            EntityKind::ObjectType => (event.event_type, "objectType"),
            EntityKind::LinkType => (event.event_type, "linkType"),
        };
        let check = serde_json::to_value(samples::claim_check().data.claim_check).unwrap();
        let mut value = serde_json::to_value(&event).unwrap();
        value["data"]["claimCheck"] = check;
        value["data"]["claimCheck"]["entityKind"] = serde_json::to_value(event_type.kind()).unwrap();
        assert!(!is_valid(event_type, &value), "{event_type} with both");
        value["data"].as_object_mut().unwrap().remove(field);
        assert!(is_valid(event_type, &value), "{event_type} with a claim check");
        value["data"].as_object_mut().unwrap().remove("claimCheck");
        assert!(!is_valid(event_type, &value), "{event_type} with neither");
    }
}

#[test]
fn fields_that_are_not_known_yet_are_accepted() {
    let event = samples::event(EventType::ObjectTypeUpdated);
    let mut value = serde_json::to_value(&event).unwrap();
    for pointer in ["", "/data", "/data/objectType", "/data/objectType/properties/0", "/data/changes/0", "/metadata"] {
        value.pointer_mut(pointer).unwrap()["later"] = json!({ "a": 1 });
    }
    assert!(is_valid(event.event_type, &value));
    assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event);
}

#[test]
fn the_batch_of_msk_holds_events_with_their_keys_and_headers() {
    let payloads = samples::payloads().unwrap();
    let (_, batch) = payloads.iter().find(|(name, _)| *name == "msk.json").unwrap();
    let partitions = batch["records"].as_object().unwrap();
    let records: Vec<_> = partitions.values().flat_map(|records| records.as_array().unwrap()).collect();
    assert_eq!((partitions.len(), records.len()), (2, 3));
    for record in records {
        let decoded = |field: &str| BASE64_STANDARD.decode(record[field].as_str().unwrap()).unwrap();
        let event: Event = serde_json::from_slice(&decoded("value")).unwrap();
        assert_eq!(decoded("key"), event.entity_id.to_string().into_bytes());
        assert!(partitions.contains_key(&format!("{}-{}", record["topic"].as_str().unwrap(), record["partition"])));
        let header = |name: &str| {
            let found = record["headers"].as_array().unwrap().iter().find_map(|header| header.get(name)).unwrap();
            String::from_utf8(serde_json::from_value(found.clone()).unwrap()).unwrap()
        };
        assert_eq!((header("ce_id"), header("ce_type")), (event.id.to_string(), event.event_type.to_string()));
    }
}
