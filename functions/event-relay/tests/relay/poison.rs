//! What can never pass becomes a dead letter, and holds nothing up.

use base64::{Engine, prelude::BASE64_STANDARD};
use oms_event_relay::{Outcome, Record};
use oms_events::{DeadLetter, REDRIVEN};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    proxy::{Call, Fault},
    stage::{Stage, TOPIC, bodies, details, event, failures, versions},
};

/// The value of a letter's record.
fn value(letter: &Value) -> String {
    let letter: DeadLetter = serde_json::from_value(letter.clone()).unwrap();
    String::from_utf8(letter.decoded_value().unwrap().unwrap()).unwrap()
}

/// Where the records of letters were, in order: the offsets.
fn offsets(letters: &[Value]) -> Vec<i64> {
    let mut offsets: Vec<i64> = letters.iter().map(|letter| letter["offset"].as_i64().unwrap()).collect();
    offsets.sort_unstable();
    offsets
}

/// Whether a call sends the letter of this offset.
fn sends_letter(call: &Call, offset: i64) -> bool {
    let body = || serde_json::from_str::<Value>(call.body["MessageBody"].as_str().unwrap()).unwrap();
    call.operation == "SendMessage" && body()["offset"] == offset
}

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
        let (value, encoding) = match record.value.as_deref().map(str::from_utf8) {
            None => (Value::Null, "none"),
            Some(Ok(text)) => (json!(text), "utf-8"),
            Some(Err(_)) => (json!("/w=="), "base64"),
        };
        let expected = json!({
            "topic": TOPIC, "partition": 0, "offset": record.offset, "timestamp": record.timestamp, "reason": said,
            "key": record.key.as_ref().map(|key| String::from_utf8(key.clone()).unwrap()),
            "value": value, "encoding": encoding,
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
    assert_eq!(letters[0]["value"], malformed.to_string());
    assert!(letters[0]["reason"].as_str().unwrap().contains("MalformedDetail"));
    assert!(letters[1]["reason"].as_str().unwrap().contains("262144 bytes"));
    assert_eq!(letters[1]["offset"], 3);
    assert_eq!(value(&letters[1]), too_large.to_string());

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
        move |call: &Call| match call.operation.as_str() {
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
    assert_eq!(offsets(&stage.dead_letters().await), [9, 100, 102]);
}

#[tokio::test]
async fn a_partition_stops_at_the_first_letter_that_is_not_safe() {
    let stage = Stage::new(false).await;
    let mut records: Vec<Record> = (0..4).map(|_| Record { value: None, ..stage.record(Uuid::now_v7(), 1) }).collect();
    records[3].partition = 1;
    stage.proxy.rule(|call| match sends_letter(call, 1) {
        true => Fault::Refused(500, "InternalFailure"),
        false => Fault::None,
    });
    let outcome = stage.relay.relay(records.clone()).await;
    let back = failures(&[&records[1], &records[2]]);
    assert_eq!(outcome, Outcome { failures: back, poisoned: 2, ..Outcome::default() });
    stage.proxy.heal();
    assert_eq!(stage.relay.relay(records[1..3].to_vec()).await, Outcome { poisoned: 2, ..Outcome::default() });
    assert_eq!(offsets(&stage.dead_letters().await), [0, 1, 2, 3], "one letter each");
}

#[tokio::test]
async fn an_entity_stops_at_the_first_letter_that_is_not_safe() {
    let stage = Stage::new(false).await;
    let entity = Uuid::now_v7();
    let faults = move |letters_fail: bool| {
        move |call: &Call| match call.operation.as_str() {
            _ if letters_fail && sends_letter(call, 0) => Fault::Refused(500, "InternalFailure"),
            "PutEvents" => Fault::Entries(entity.to_string(), "MalformedDetail"),
            _ => Fault::None,
        }
    };
    stage.proxy.rule(faults(true));
    let records = vec![stage.record(entity, 1), stage.record(entity, 2)];
    let outcome = stage.relay.relay(records.clone()).await;
    let back = failures(&[&records[0], &records[1]]);
    assert_eq!(outcome, Outcome { failures: back, ..Outcome::default() });
    stage.proxy.rule(faults(false));
    assert_eq!(stage.relay.relay(records).await, Outcome { poisoned: 2, ..Outcome::default() });
    assert_eq!((offsets(&stage.dead_letters().await), stage.mark(entity).await), (vec![0, 1], Some(2)));
}

#[tokio::test]
async fn a_redriven_event_that_is_refused_again_behind_a_failure_is_one_letter() {
    let stage = Stage::new(false).await;
    let (failing, refused) = (Uuid::now_v7(), Uuid::now_v7());
    let faults = move |marks_fail: bool| {
        move |call: &Call| match call.operation.as_str() {
            "UpdateItem" if marks_fail && call.mentions(&failing.to_string()) => {
                Fault::Refused(500, "InternalServerError")
            }
            "PutEvents" => Fault::Entries(refused.to_string(), "MalformedDetail"),
            _ => Fault::None,
        }
    };
    stage.proxy.rule(faults(true));
    let redriven = || {
        let mut record = stage.record(refused, 1);
        record.headers.push((REDRIVEN.to_owned(), b"1".to_vec()));
        record
    };
    let records = vec![redriven(), stage.record(failing, 1), redriven()];
    let outcome = stage.relay.relay(records.clone()).await;
    let back = failures(&[&records[1], &records[2]]);
    assert_eq!(outcome, Outcome { failures: back, relayed: 1, poisoned: 1, ..Outcome::default() });
    stage.proxy.rule(faults(false));
    let outcome = stage.relay.relay(records[1..].to_vec()).await;
    assert_eq!(outcome, Outcome { relayed: 1, poisoned: 1, ..Outcome::default() });
    assert_eq!(offsets(&stage.dead_letters().await), [0, 2]);
}

#[tokio::test]
async fn a_refused_event_behind_one_that_the_queue_did_not_take_is_one_letter() {
    let stage = Stage::new(true).await;
    let entity = Uuid::now_v7();
    let malformed = event(entity, 2);
    let id = malformed["id"].as_str().unwrap().to_owned();
    let faults = move |queue_fails: bool| {
        let id = id.clone();
        move |call: &Call| match call.operation.as_str() {
            "SendMessageBatch" if queue_fails => Fault::Refused(500, "InternalFailure"),
            "PutEvents" => Fault::Entries(id.clone(), "MalformedDetail"),
            _ => Fault::None,
        }
    };
    stage.proxy.rule(faults(true));
    let records = vec![stage.record(entity, 1), stage.record_of(entity, &malformed), stage.record(entity, 3)];
    let outcome = stage.relay.relay(records.clone()).await;
    let back = failures(&[&records[0], &records[1], &records[2]]);
    assert_eq!(outcome, Outcome { failures: back, relayed: 2, ..Outcome::default() });
    stage.proxy.rule(faults(false));
    let outcome = stage.relay.relay(records).await;
    assert_eq!(outcome, Outcome { relayed: 2, poisoned: 1, queued: 2, ..Outcome::default() });
    assert_eq!((offsets(&stage.dead_letters().await), stage.mark(entity).await), (vec![1], Some(3)));
    assert_eq!(versions(&bodies(&stage.fifo().await), entity), [1, 3]);
}

#[tokio::test]
async fn an_event_as_large_as_they_get_and_full_of_quotes_is_kept_whole() {
    let stage = Stage::new(false).await;
    let entity = Uuid::now_v7();
    let mut large = event(entity, 1);
    large["data"]["objectType"]["description"] = "".into();
    let room = 250_000 - large.to_string().len();
    large["data"]["objectType"]["description"] = "\"".repeat(room / 2).into();
    stage.proxy.rule(move |call| match call.operation.as_str() {
        "PutEvents" => Fault::Entries(entity.to_string(), "MalformedDetail"),
        _ => Fault::None,
    });
    let record = stage.record_of(entity, &large);
    assert!((249_990..=250_000).contains(&record.value.as_ref().unwrap().len()));
    assert_eq!(stage.relay.relay(vec![record]).await, Outcome { poisoned: 1, ..Outcome::default() });
    let letters = stage.dead_letters().await;
    assert_eq!((letters.len(), &letters[0]["encoding"]), (1, &json!("gzip+base64")));
    assert_eq!(serde_json::from_str::<Value>(&value(&letters[0])).unwrap(), large);
}
