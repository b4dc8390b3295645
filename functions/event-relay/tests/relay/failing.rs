//! Calls that fail: what comes back, and how far the marks go.

use std::time::{Duration, Instant};

use oms_core::breaker::BreakerConfig;
use oms_event_relay::{Outcome, Record, Relay, RelayConfig};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    proxy::{Call, Fault},
    stage::{Stage, details, event, failures, sdk, versions},
};

#[tokio::test]
async fn an_entry_that_fails_stops_its_entity_only_and_the_mark_never_passes_the_gap() {
    let stage = Stage::new(false).await;
    let (stopped, other) = (Uuid::now_v7(), Uuid::now_v7());
    let second = event(stopped, 2);
    let id = second["id"].as_str().unwrap().to_owned();
    stage.proxy.rule(move |call| match call.operation.as_str() {
        "PutEvents" => Fault::Entries(id.clone(), "ThrottlingException"),
        _ => Fault::None,
    });
    let records = vec![
        stage.record(stopped, 1),
        stage.record(other, 1),
        stage.record_of(stopped, &second),
        stage.record(other, 2),
        stage.record(stopped, 3),
        stage.record(other, 3),
    ];
    let outcome = stage.relay.relay(records.clone()).await;
    assert_eq!(outcome.failures, failures(&[&records[2], &records[4]]));
    assert_eq!((stage.mark(stopped).await, stage.mark(other).await), (Some(1), Some(3)));
    let before = details(&stage.target().await);
    assert_eq!((versions(&before, stopped), versions(&before, other)), (vec![1, 3], vec![1, 2, 3]));

    // AWS starts again at the lowest offset that failed.
    stage.proxy.heal();
    let outcome = stage.relay.relay(records[2..].to_vec()).await;
    assert_eq!(outcome, Outcome { relayed: 2, repeats: 2, ..Outcome::default() });
    let after = details(&stage.target().await);
    assert_eq!((versions(&after, stopped), versions(&after, other)), (vec![2, 3], vec![]));
    // What arrived twice is the same event.
    let third = |events: &[Value]| {
        events.iter().find(|event| event["data"]["version"] == 3 && event["entityId"] == json!(stopped)).cloned()
    };
    assert_eq!(third(&before), third(&after));
    assert_eq!(stage.mark(stopped).await, Some(3));
}

#[tokio::test]
async fn a_throttled_entry_is_offered_again_by_itself() {
    let stage = Stage::new(false).await;
    let entities: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
    let (throttled, mut left) = (entities[1], 2);
    stage.proxy.rule(move |call| {
        if call.operation == "PutEvents" && left > 0 {
            left -= 1;
            return Fault::Entries(throttled.to_string(), "ThrottlingException");
        }
        Fault::None
    });
    let outcome = stage.relay.relay(entities.iter().map(|&entity| stage.record(entity, 1)).collect()).await;
    assert_eq!(outcome, Outcome { relayed: 3, ..Outcome::default() });
    assert_eq!(stage.target().await.len(), 3);
    let sizes: Vec<usize> = stage.proxy.calls("PutEvents").iter().map(|call| call.entries().len()).collect();
    assert_eq!(sizes, [3, 1, 1]);
}

#[tokio::test]
async fn a_mark_that_is_not_written_repeats_events_with_the_same_id() {
    let stage = Stage::new(false).await;
    let (unlucky, other) = (Uuid::now_v7(), Uuid::now_v7());
    stage.proxy.rule(move |call| match call.operation == "UpdateItem" && call.mentions(&unlucky.to_string()) {
        true => Fault::Refused(500, "InternalServerError"),
        false => Fault::None,
    });
    let records = vec![stage.record(unlucky, 1), stage.record(other, 1), stage.record(unlucky, 2)];
    let outcome = stage.relay.relay(records.clone()).await;
    let back = failures(&[&records[0], &records[2]]);
    assert_eq!(outcome, Outcome { failures: back, relayed: 3, ..Outcome::default() });
    assert_eq!((stage.mark(unlucky).await, stage.mark(other).await), (None, Some(1)));
    let before = details(&stage.target().await);

    stage.proxy.heal();
    let outcome = stage.relay.relay(records).await;
    assert_eq!(outcome, Outcome { relayed: 2, repeats: 1, ..Outcome::default() });
    let after = details(&stage.target().await);
    assert_eq!((versions(&after, unlucky), versions(&after, other)), (vec![1, 2], vec![]));
    let ids = |events: &[Value]| -> Vec<Value> {
        events.iter().filter(|event| event["entityId"] == json!(unlucky)).map(|event| event["id"].clone()).collect()
    };
    assert_eq!(ids(&before), ids(&after));
    assert_eq!(stage.mark(unlucky).await, Some(2));
}

#[tokio::test]
async fn many_marks_move_together_and_one_by_one_when_one_of_them_is_in_the_way() {
    let stage = Stage::new(false).await;
    let entities: Vec<Uuid> = (0..12).map(|_| Uuid::now_v7()).collect();
    let records = |version| entities.iter().map(|&entity| stage.record(entity, version)).collect::<Vec<_>>();
    let calls = |operation| stage.proxy.calls(operation).len();
    let all_at = async |version| stage.marks().await.values().filter(|&&mark| mark == (1, version)).count() == 12;
    assert_eq!(stage.relay.relay(records(1)).await, Outcome { relayed: 12, ..Outcome::default() });
    assert!(all_at(1).await);
    assert_eq!((calls("TransactWriteItems"), calls("UpdateItem")), (1, 0));

    stage.proxy.rule(|call| match call.operation.as_str() {
        "TransactWriteItems" => Fault::Refused(400, "TransactionCanceledException"),
        _ => Fault::None,
    });
    assert_eq!(stage.relay.relay(records(2)).await, Outcome { relayed: 12, ..Outcome::default() });
    assert!(all_at(2).await);
    assert_eq!((calls("TransactWriteItems"), calls("UpdateItem")), (2, 12));

    stage.proxy.rule(|call| match call.operation.as_str() {
        "TransactWriteItems" => Fault::Refused(500, "InternalServerError"),
        _ => Fault::None,
    });
    let third = records(3);
    let back = failures(&third.iter().collect::<Vec<_>>());
    assert_eq!(stage.relay.relay(third).await, Outcome { failures: back, relayed: 12, ..Outcome::default() });
    assert!(all_at(2).await, "they will repeat");
}

#[tokio::test]
async fn without_its_mark_an_entity_waits() {
    let stage = Stage::new(false).await;
    let entity = Uuid::now_v7();
    stage.proxy.rule(|call| match call.operation.as_str() {
        "BatchGetItem" => Fault::Refused(500, "InternalServerError"),
        _ => Fault::None,
    });
    let records = vec![stage.record(entity, 1), stage.record(entity, 2)];
    let outcome = stage.relay.relay(records.clone()).await;
    let back = failures(&[&records[0], &records[1]]);
    assert_eq!(outcome, Outcome { failures: back, ..Outcome::default() });
    assert!(stage.target().await.is_empty());
}

#[tokio::test]
async fn marks_that_dynamodb_leaves_unread_are_asked_for_again() {
    let stage = Stage::new(false).await;
    let (read, unread) = (Uuid::now_v7(), Uuid::now_v7());
    stage.relay.relay(vec![stage.record(read, 1), stage.record(unread, 1)]).await;
    stage.target().await;
    let mut answered = false;
    let table = stage.config.table.clone();
    stage.proxy.rule(move |call| {
        if call.operation != "BatchGetItem" || answered {
            return Fault::None;
        }
        answered = true;
        // All keys come back, as from a table that is too busy.
        Fault::Answered(json!({ "Responses": { table.clone(): [] }, "UnprocessedKeys": call.body["RequestItems"] }))
    });
    let outcome =
        stage.relay.relay(vec![stage.record(read, 1), stage.record(unread, 1), stage.record(unread, 2)]).await;
    assert_eq!(outcome, Outcome { relayed: 1, repeats: 2, ..Outcome::default() });
    for call in stage.proxy.calls("BatchGetItem") {
        assert_eq!(call.body["RequestItems"][&stage.config.table]["ConsistentRead"], true);
    }
}

#[tokio::test]
async fn when_aws_is_away_everything_comes_back_soon_and_nothing_is_marked() {
    let stage = Stage::new(true).await;
    // Nobody listens on a port that was just given back.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let relay = Relay::with_sdk(stage.config.clone(), &sdk(&format!("http://127.0.0.1:{port}")));
    let mut records: Vec<Record> = (0..300).map(|_| stage.record(Uuid::now_v7(), 1)).collect();
    records[7].value = None;
    let begun = Instant::now();
    let outcome = relay.relay(records.clone()).await;
    let back = failures(&records.iter().collect::<Vec<_>>());
    assert_eq!(outcome, Outcome { failures: back, ..Outcome::default() });
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(stage.marks().await.is_empty() && stage.target().await.is_empty() && stage.fifo().await.is_empty());
}

#[tokio::test]
async fn when_the_bus_is_away_nothing_is_queued_or_marked() {
    let stage = Stage::new(true).await;
    let entity = Uuid::now_v7();
    let away = |call: &Call| match call.operation.as_str() {
        "PutEvents" => Fault::Refused(503, "ServiceUnavailable"),
        _ => Fault::None,
    };
    stage.proxy.rule(away);
    let records = vec![stage.record(entity, 1), stage.record(entity, 2)];
    let outcome = stage.relay.relay(records.clone()).await;
    let back = failures(&[&records[0], &records[1]]);
    assert_eq!(outcome, Outcome { failures: back, ..Outcome::default() });
    assert!(stage.fifo().await.is_empty() && stage.marks().await.is_empty());
}

/// A relay whose breakers open after two calls that failed.
fn guarded(stage: &Stage, open: Duration) -> Relay {
    let config = RelayConfig { breaker: BreakerConfig { failures: 2, open }, ..stage.config.clone() };
    Relay::with_sdk(config, &sdk(&stage.proxy.endpoint))
}

#[tokio::test]
async fn a_service_that_stays_away_is_left_alone_over_batches_and_the_others_are_not() {
    for (away, other) in [("PutEvents", "BatchGetItem"), ("BatchGetItem", "PutEvents")] {
        let stage = Stage::new(false).await;
        let relay = guarded(&stage, Duration::from_secs(3_600));
        stage.proxy.rule(move |call| match call.operation == away {
            true => Fault::Refused(503, "ServiceUnavailable"),
            false => Fault::None,
        });
        let record = stage.record(Uuid::now_v7(), 1);
        let back = Outcome { failures: failures(&[&record]), ..Outcome::default() };
        for _ in 0..2 {
            assert_eq!(relay.relay(vec![record.clone()]).await, back);
        }
        let calls = (stage.proxy.calls(away).len(), stage.proxy.calls(other).len());
        stage.proxy.heal();
        for _ in 0..3 {
            assert_eq!(relay.relay(vec![record.clone()]).await, back, "{away}");
        }
        assert_eq!(stage.proxy.calls(away).len(), calls.0, "{away} is called no more");
        let more = if other == "BatchGetItem" { 3 } else { 0 };
        assert_eq!(stage.proxy.calls(other).len(), calls.1 + more);
        assert!(stage.marks().await.is_empty() && stage.target().await.is_empty(), "{away}");
    }
}

#[tokio::test]
async fn a_service_that_is_back_is_probed_by_one_call_and_the_rest_of_the_batch_follows() {
    let stage = Stage::new(true).await;
    let relay = guarded(&stage, Duration::from_millis(1));
    stage.proxy.rule(|_| Fault::Refused(500, "InternalServerError"));
    // Ten events are a call for the bus, and one for the queue.
    let records: Vec<Record> = (0..100).map(|_| stage.record(Uuid::now_v7(), 1)).collect();
    for _ in 0..3 {
        assert_eq!(relay.relay(records.clone()).await.failures.len(), records.len());
    }
    // The bus and the queue go away when they are first called, and open their breakers with their calls side by side.
    let away = |call: &Call| match matches!(call.operation.as_str(), "PutEvents" | "SendMessageBatch") {
        true => Fault::Refused(503, "ServiceUnavailable"),
        false => Fault::None,
    };
    stage.proxy.rule(away);
    let deadline = Instant::now() + Duration::from_secs(30);
    while stage.proxy.calls("PutEvents").is_empty() {
        assert!(Instant::now() < deadline, "DynamoDB was not asked again");
        relay.relay(records.clone()).await;
    }
    stage.proxy.heal();
    let mut outcome = relay.relay(records.clone()).await;
    while outcome.relayed == 0 {
        assert!(Instant::now() < deadline, "the bus was not asked again");
        outcome = relay.relay(records.clone()).await;
    }
    assert_eq!(outcome, Outcome { relayed: 100, queued: 100, ..Outcome::default() });
    assert_eq!((stage.target().await.len(), stage.fifo().await.len(), stage.marks().await.len()), (100, 100, 100));
    assert!(stage.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_service_that_refuses_is_not_away() {
    let stage = Stage::new(false).await;
    let relay = guarded(&stage, Duration::from_secs(3_600));
    stage.proxy.rule(|call| match call.operation.as_str() {
        "PutEvents" => Fault::Refused(400, "AccessDeniedException"),
        _ => Fault::None,
    });
    let record = stage.record(Uuid::now_v7(), 1);
    for _ in 0..5 {
        assert_eq!(relay.relay(vec![record.clone()]).await.relayed, 0);
    }
    stage.proxy.heal();
    assert_eq!(relay.relay(vec![record]).await, Outcome { relayed: 1, ..Outcome::default() });
}

#[tokio::test]
async fn a_missing_right_makes_no_dead_letters() {
    let stage = Stage::new(false).await;
    stage.proxy.rule(|call| match call.operation.as_str() {
        "PutEvents" => Fault::Refused(400, "AccessDeniedException"),
        _ => Fault::None,
    });
    let record = stage.record(Uuid::now_v7(), 1);
    let outcome = stage.relay.relay(vec![record.clone()]).await;
    assert_eq!(outcome, Outcome { failures: failures(&[&record]), ..Outcome::default() });
    assert!(stage.dead_letters().await.is_empty());
}
