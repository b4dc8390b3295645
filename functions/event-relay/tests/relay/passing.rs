//! What gets through, and what is dropped since it got through before.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use oms_event_relay::{EVENTBRIDGE_MAX_BYTES, EVENTBRIDGE_MAX_ENTRIES, KafkaEvent, Outcome, Record};
use oms_events::REDRIVEN;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    proxy::Fault,
    stage::{Stage, details, event, failures, versions},
};

#[tokio::test]
async fn events_arrive_at_the_target_of_a_rule_as_they_are_in_kafka() {
    let stage = Stage::new(false).await;
    let entity = Uuid::now_v7();
    let record = stage.record(entity, 1);
    let value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
    let outcome = stage.relay.relay(vec![record]).await;
    assert_eq!(outcome, Outcome { relayed: 1, ..Outcome::default() });
    let arrived = stage.target().await;
    assert_eq!(arrived.len(), 1);
    let message = &arrived[0].body;
    assert_eq!(message["source"], "openfoundry.oms");
    assert_eq!(message["detail-type"], "ObjectTypeUpdated");
    assert_eq!(message["detail"], value);
    assert!(message["time"].to_string().contains("2026-11-25T01:02:03") || message["time"] == json!(1_795_568_523.456));
    assert_eq!(stage.mark(entity).await, Some(1));
}

#[tokio::test]
async fn a_batch_of_many_entities_goes_out_whole_and_a_second_time_not_at_all() {
    let stage = Stage::new(false).await;
    // More than one BatchGetItem takes.
    let entities: Vec<Uuid> = (0..105).map(|_| Uuid::now_v7()).collect();
    let mut records: Vec<Record> = (1..=2)
        .flat_map(|version| entities.iter().map(move |&entity| (entity, version)))
        .map(|(e, v)| stage.record(e, v))
        .collect();
    // MSK hands partitions over in any order; offsets count.
    records.reverse();
    let outcome = stage.relay.relay(records.clone()).await;
    assert_eq!(outcome, Outcome { relayed: 210, ..Outcome::default() });
    assert_eq!(stage.proxy.calls("PutEvents").len(), 21);
    let arrived = details(&stage.target().await);
    assert_eq!(arrived.len(), 210);
    assert_eq!(stage.marks().await.values().filter(|&&mark| mark == (1, 2)).count(), 105);
    for entity in entities {
        let mut versions = versions(&arrived, entity);
        versions.sort_unstable();
        assert_eq!(versions, [1, 2]);
    }

    let outcome = stage.relay.relay(records).await;
    assert_eq!(outcome, Outcome { repeats: 210, ..Outcome::default() });
    assert!(stage.target().await.is_empty());
}

#[tokio::test]
async fn what_is_not_above_the_mark_is_dropped_and_a_higher_epoch_begins_anew() {
    let stage = Stage::new(false).await;
    let entity = Uuid::now_v7();
    let of = |epoch: i64, version: i64| {
        let mut event = event(entity, version);
        event["metadata"]["epoch"] = epoch.into();
        stage.record_of(entity, &event)
    };
    let twice = of(1, 5);
    let again = Record { offset: 100, ..twice.clone() };
    assert_eq!(stage.relay.relay(vec![twice, again]).await, Outcome { relayed: 1, repeats: 1, ..Outcome::default() });
    let outcome = stage.relay.relay(vec![of(1, 4), of(1, 6), of(2, 1), of(1, 7)]).await;
    assert_eq!(outcome, Outcome { relayed: 2, repeats: 2, ..Outcome::default() });
    assert_eq!(versions(&details(&stage.target().await), entity).into_iter().collect::<HashSet<_>>(), [5, 6, 1].into());
    assert_eq!(stage.marks().await[&format!("default/{entity}")], (2, 1));
}

#[tokio::test]
async fn the_same_entity_of_another_tenant_has_a_mark_of_its_own() {
    let stage = Stage::new(false).await;
    let entity = Uuid::now_v7();
    let mut other = event(entity, 1);
    other["metadata"]["tenantId"] = "acme".into();
    let outcome = stage.relay.relay(vec![stage.record(entity, 3), stage.record_of(entity, &other)]).await;
    assert_eq!(outcome, Outcome { relayed: 2, ..Outcome::default() });
    let marks = stage.marks().await;
    assert_eq!((marks[&format!("default/{entity}")], marks[&format!("acme/{entity}")]), ((1, 3), (1, 1)));
}

#[tokio::test]
async fn a_redriven_letter_goes_past_the_mark_and_leaves_it_where_it_is() {
    let stage = Stage::new(false).await;
    let (entity, other) = (Uuid::now_v7(), Uuid::now_v7());
    stage.relay.relay(vec![stage.record(entity, 3)]).await;
    stage.target().await;
    let redriven = |entity, version| {
        let mut record = stage.record(entity, version);
        record.headers.push((REDRIVEN.to_owned(), b"1".to_vec()));
        record
    };
    let outcome = stage.relay.relay(vec![redriven(entity, 2), stage.record(entity, 2), redriven(other, 2)]).await;
    assert_eq!(outcome, Outcome { relayed: 2, repeats: 1, ..Outcome::default() });
    assert_eq!(versions(&details(&stage.target().await), entity), [2]);
    assert_eq!(stage.mark(entity).await, Some(3));
    // A letter may be ahead of versions that are still to come.
    assert_eq!(stage.mark(other).await, None);
    assert_eq!(stage.relay.relay(vec![stage.record(other, 1)]).await.relayed, 1);
}

#[tokio::test]
async fn calls_are_as_full_as_both_limits_allow() {
    let stage = Stage::new(false).await;
    let records: Vec<Record> = (0..24_usize)
        .map(|index| {
            let entity = Uuid::now_v7();
            let mut event = event(entity, 1);
            let bytes = if index < 12 { 10 } else { 60_000 };
            // Two bytes each: AWS counts bytes and not characters.
            event["data"]["objectType"]["description"] = "é".repeat(bytes / 2).into();
            stage.record_of(entity, &event)
        })
        .collect();
    let outcome = stage.relay.relay(records).await;
    assert_eq!(outcome, Outcome { relayed: 24, ..Outcome::default() });
    assert_eq!(stage.target().await.len(), 24);
    let mut counts = Vec::new();
    for call in stage.proxy.calls("PutEvents") {
        let size = |entry: &Value| {
            ["Source", "DetailType", "Detail"].map(|f| entry[f].as_str().unwrap().len()).iter().sum::<usize>()
        };
        let bytes: usize = call.entries().iter().map(|entry| size(entry) + 14).sum();
        assert!(bytes <= EVENTBRIDGE_MAX_BYTES && call.entries().len() <= EVENTBRIDGE_MAX_ENTRIES);
        counts.push(call.entries().len());
    }
    counts.sort_unstable();
    // 10 small ones; 2 small ones with 4 large ones; 4 and 4 large ones.
    assert_eq!(counts, [4, 4, 6, 10]);
}

#[tokio::test]
async fn a_batch_of_msk_is_answered_with_what_should_come_back() {
    let stage = Stage::new(false).await;
    let (good, bad) = (Uuid::now_v7(), Uuid::now_v7());
    stage.proxy.rule(move |call| match call.operation.as_str() {
        "PutEvents" => Fault::Entries(bad.to_string(), "InternalFailure"),
        _ => Fault::None,
    });
    let message = |entity: Uuid, offset: i64| {
        use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
        json!({ "topic": "oms-events", "partition": 7, "offset": offset, "timestamp": 1_763_000_000_000_i64,
            "timestampType": "CREATE_TIME", "key": BASE64.encode(entity.to_string()),
            "value": BASE64.encode(event(entity, 1).to_string()), "headers": [{ "ce_id": [49, -61] }] })
    };
    let batch =
        json!({ "eventSource": "aws:kafka", "records": { "oms-events-7": [message(good, 41), message(bad, 42)] } });
    let event: KafkaEvent = serde_json::from_value(batch).unwrap();
    let answer = stage.relay.handle(event, Some(Instant::now() + Duration::from_secs(60))).await;
    assert_eq!(
        serde_json::to_value(answer).unwrap(),
        json!({ "batchItemFailures": [{ "itemIdentifier": { "partition": "oms-events-7", "offset": 42 } }] })
    );
    assert_eq!(versions(&details(&stage.target().await), good), [1]);
}

#[tokio::test]
async fn nothing_is_started_when_the_deadline_is_near() {
    let stage = Stage::new(false).await;
    let (entity, other) = (Uuid::now_v7(), Uuid::now_v7());
    let mut no_event = stage.record(other, 1);
    no_event.value = None;
    let records = vec![stage.record(entity, 1), no_event];
    let outcome = stage.relay.relay_before(records.clone(), Some(Instant::now() + Duration::from_secs(1))).await;
    let mut expected = failures(&records.iter().collect::<Vec<_>>());
    expected.sort();
    assert_eq!(outcome, Outcome { failures: expected, ..Outcome::default() });
    assert!(stage.target().await.is_empty() && stage.marks().await.is_empty());
}
