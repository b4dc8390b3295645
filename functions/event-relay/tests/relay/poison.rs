//! What can never pass becomes a dead letter, and holds nothing up.

use base64::{Engine, prelude::BASE64_STANDARD};
use oms_event_relay::{Outcome, Record};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    proxy::Fault,
    stage::{Stage, TOPIC, details, event, failures, versions},
};

#[tokio::test]
async fn poison_in_the_middle_becomes_dead_letters_with_reasons_and_the_others_pass() {
    let stage = Stage::new(false).await;
    let entity = Uuid::now_v7();
    let with = |pointer: &str, value: Value| {
        let mut event = event(entity, 2);
        *event.pointer_mut(pointer).unwrap() = value;
        stage.record_of(entity, &event)
    };
    let raw = |value: Option<&[u8]>| Record { value: value.map(<[u8]>::to_vec), ..stage.record(entity, 2) };
    let first = stage.record(entity, 1);
    let poison = vec![
        (raw(None), "no value"),
        (raw(Some(b"{\"id\":")), "not JSON"),
        (raw(Some(b"\xff")), "not UTF-8"),
        (raw(Some(b"{\"id\":1}")), "not an event"),
        (with("/type", "SomethingElse".into()), "not an event"),
        (with("/metadata/schemaVersion", 2.into()), "schema version 2"),
        (with("/metadata/position", 0.into()), "position is 0"),
        (with("/data/version", 0.into()), "version is 0"),
        (with("/metadata/tenantId", "a/b".into()), "tenant"),
        (stage.record_of(Uuid::now_v7(), &event(entity, 2)), "key is not"),
        (Record { key: None, ..stage.record(entity, 2) }, "key is not"),
    ];
    let last = stage.record(entity, 3);
    let mut records = vec![first];
    records.extend(poison.iter().map(|(record, _)| record.clone()));
    records.push(last);
    let outcome = stage.relay.relay(records).await;
    assert_eq!(outcome, Outcome { relayed: 2, poisoned: poison.len() as u64, ..Outcome::default() });
    assert_eq!(versions(&details(&stage.target().await), entity).len(), 2);
    assert_eq!(stage.mark(entity).await, Some(3));

    let mut letters = stage.dead_letters().await;
    letters.sort_by_key(|letter| letter["offset"].as_i64());
    assert_eq!(letters.len(), poison.len());
    for (letter, (record, reason)) in letters.iter().zip(&poison) {
        let said = letter["reason"].as_str().unwrap().to_owned();
        assert!(said.contains(reason), "{said}: {reason}");
        let encoded = |bytes: &Vec<u8>| json!(BASE64_STANDARD.encode(bytes));
        let expected = json!({
            "topic": TOPIC, "partition": 0, "offset": record.offset, "timestamp": record.timestamp, "reason": said,
            "key": record.key.as_ref().map(|key| String::from_utf8(key.clone()).unwrap()),
            "value": record.value.as_ref().map(encoded),
            "headers": { "event-type": BASE64_STANDARD.encode("ObjectTypeUpdated") },
        });
        assert_eq!(*letter, expected);
    }
}

#[tokio::test]
async fn an_event_that_the_bus_will_never_take_becomes_a_dead_letter_and_its_entity_goes_on() {
    let stage = Stage::new(false).await;
    let (entity, large) = (Uuid::now_v7(), Uuid::now_v7());
    let malformed = event(entity, 2);
    let id = malformed["id"].as_str().unwrap().to_owned();
    stage.proxy.rule(move |call| match call.operation.as_str() {
        "PutEvents" => Fault::Entries(id.clone(), "MalformedDetail"),
        _ => Fault::None,
    });
    let mut too_large = event(large, 1);
    too_large["data"]["objectType"]["description"] = "x".repeat(262_144).into();
    let records = vec![
        stage.record(entity, 1),
        stage.record_of(entity, &malformed),
        stage.record(entity, 3),
        stage.record_of(large, &too_large),
        stage.record(large, 2),
    ];
    let outcome = stage.relay.relay(records.clone()).await;
    assert_eq!(outcome, Outcome { relayed: 3, poisoned: 2, ..Outcome::default() });
    assert_eq!((stage.mark(entity).await, stage.mark(large).await), (Some(3), Some(2)));
    let mut letters = stage.dead_letters().await;
    letters.sort_by_key(|letter| letter["offset"].as_i64());
    assert_eq!(letters[0]["value"], BASE64_STANDARD.encode(malformed.to_string()));
    assert!(letters[0]["reason"].as_str().unwrap().contains("MalformedDetail"));
    assert!(letters[1]["reason"].as_str().unwrap().contains("262144 bytes"));
    assert_eq!((&letters[1]["value"], &letters[1]["offset"]), (&Value::Null, &json!(3)));

    // The mark knows the letters too: a batch that comes again makes no second ones.
    assert_eq!(stage.relay.relay(records).await, Outcome { repeats: 5, ..Outcome::default() });
    assert!(stage.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_call_that_is_refused_whole_is_sent_one_by_one() {
    let stage = Stage::new(false).await;
    let entities: Vec<Uuid> = (0..10).map(|_| Uuid::now_v7()).collect();
    let bad = entities[4];
    stage.proxy.rule(move |call| match call.operation == "PutEvents" && call.mentions(&bad.to_string()) {
        true => Fault::Refused(400, "ValidationException"),
        false => Fault::None,
    });
    let outcome = stage.relay.relay(entities.iter().map(|&entity| stage.record(entity, 1)).collect()).await;
    assert_eq!(outcome, Outcome { relayed: 9, poisoned: 1, ..Outcome::default() });
    assert_eq!(stage.target().await.len(), 9);
    let letters = stage.dead_letters().await;
    assert_eq!((letters.len(), &letters[0]["offset"]), (1, &json!(4)));
    assert!(letters[0]["reason"].as_str().unwrap().contains("ValidationException"));
}

#[tokio::test]
async fn a_dead_letter_that_is_not_safe_comes_back() {
    let stage = Stage::new(false).await;
    let (entity, id) = (Uuid::now_v7(), Uuid::now_v7());
    let mut malformed = event(entity, 2);
    malformed["id"] = json!(id);
    let poison = Record { value: None, ..stage.record(entity, 1) };
    let records =
        vec![poison.clone(), stage.record(entity, 1), stage.record_of(entity, &malformed), stage.record(entity, 3)];
    let faults = move |letters_fail: bool| {
        move |call: &crate::proxy::Call| match call.operation.as_str() {
            "SendMessage" if letters_fail => Fault::Refused(500, "InternalFailure"),
            "PutEvents" => Fault::Entries(id.to_string(), "MalformedDetail"),
            _ => Fault::None,
        }
    };
    stage.proxy.rule(faults(true));
    let outcome = stage.relay.relay(records.clone()).await;
    // Version 3 would take the mark past version 2, which is neither relayed nor a letter.
    assert_eq!(outcome.failures, failures(&[&records[0], &records[2], &records[3]]));
    assert_eq!((outcome.poisoned, stage.mark(entity).await), (0, Some(1)));

    stage.proxy.rule(faults(false));
    let outcome = stage.relay.relay(records).await;
    assert_eq!(outcome, Outcome { relayed: 1, repeats: 1, poisoned: 2, ..Outcome::default() });
    assert_eq!((stage.dead_letters().await.len(), stage.mark(entity).await), (2, Some(3)));
}

#[tokio::test]
async fn poison_after_a_failure_waits_so_that_it_is_one_letter() {
    let stage = Stage::new(false).await;
    let entity = Uuid::now_v7();
    stage.proxy.rule(|call| match call.operation.as_str() {
        "PutEvents" => Fault::Refused(500, "InternalFailure"),
        _ => Fault::None,
    });
    let no_value = |offset| Record { value: None, offset, ..stage.record(entity, 1) };
    let other_partition = Record { partition: 1, ..no_value(9) };
    let records =
        vec![no_value(100), Record { offset: 101, ..stage.record(entity, 1) }, no_value(102), other_partition];
    let outcome = stage.relay.relay(records.clone()).await;
    assert_eq!(outcome.failures, failures(&[&records[1], &records[2]]));
    assert_eq!(outcome.poisoned, 2);
    stage.proxy.heal();
    assert_eq!(stage.relay.relay(records[1..3].to_vec()).await.failures, []);
    let mut letters: Vec<_> =
        stage.dead_letters().await.iter().map(|letter| letter["offset"].as_i64().unwrap()).collect();
    letters.sort_unstable();
    assert_eq!(letters, [9, 100, 102]);
}
