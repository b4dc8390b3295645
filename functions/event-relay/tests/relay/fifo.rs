//! The FIFO queue: order, repeats dropped, and failures that can't change the order.

use aws_sdk_sqs::types::MessageSystemAttributeName;
use oms_event_relay::{Outcome, Record, SQS_MAX_BYTES};
use oms_events::REDRIVEN;
use serde_json::json;
use uuid::Uuid;

use crate::{
    proxy::Fault,
    stage::{Stage, bodies, event, failures, versions},
};

#[tokio::test]
async fn each_group_is_in_order_and_no_call_has_two_events_of_a_group() {
    let stage = Stage::new(true).await;
    let entities: Vec<Uuid> = (0..13).map(|_| Uuid::now_v7()).collect();
    let mut records: Vec<Record> = Vec::new();
    for version in 1..=4 {
        records.extend(entities.iter().map(|&entity| stage.record(entity, version)));
    }
    let outcome = stage.relay.relay(records).await;
    assert_eq!(outcome, Outcome { relayed: 52, queued: 52, ..Outcome::default() });
    let arrived = stage.fifo().await;
    for &entity in &entities {
        assert_eq!(versions(&bodies(&arrived), entity), [1, 2, 3, 4]);
    }
    let first = &arrived[0];
    let system = first.message.attributes().unwrap();
    assert_eq!(json!(system[&MessageSystemAttributeName::MessageGroupId]), first.body["entityId"]);
    assert_eq!(json!(system[&MessageSystemAttributeName::MessageDeduplicationId]), first.body["id"]);
    let attributes = first.message.message_attributes().unwrap();
    assert_eq!(attributes["event-type"].string_value(), Some("ObjectTypeUpdated"));
    assert_eq!(attributes["position"].string_value(), Some("10"));
    for call in stage.proxy.calls("SendMessageBatch") {
        let mut groups: Vec<_> = call.entries().iter().map(|entry| entry["MessageGroupId"].as_str().unwrap()).collect();
        let count = groups.len();
        groups.sort_unstable();
        groups.dedup();
        assert!(count <= 10 && groups.len() == count);
    }
}

#[tokio::test]
async fn a_repeat_is_dropped_by_its_id_and_a_redriven_letter_is_not() {
    let stage = Stage::new(true).await;
    let entity = Uuid::now_v7();
    stage.proxy.rule(|call| match call.operation.as_str() {
        "UpdateItem" => Fault::Refused(500, "InternalServerError"),
        _ => Fault::None,
    });
    let record = stage.record(entity, 1);
    assert_eq!(stage.relay.relay(vec![record.clone()]).await.failures, failures(&[&record]));
    stage.proxy.heal();
    assert_eq!(stage.relay.relay(vec![record.clone()]).await.failures, []);
    assert_eq!(stage.target().await.len(), 2);
    assert_eq!(versions(&bodies(&stage.fifo().await), entity), [1]);

    let mut redriven = Record { offset: 77, ..record };
    redriven.headers.push((REDRIVEN.to_owned(), b"1".to_vec()));
    assert_eq!(stage.relay.relay(vec![redriven]).await.queued, 1);
    assert_eq!(versions(&bodies(&stage.fifo().await), entity), [1]);
}

#[tokio::test]
async fn a_group_stops_at_its_first_failure_and_the_others_go_on() {
    let stage = Stage::new(true).await;
    let (stopped, other) = (Uuid::now_v7(), Uuid::now_v7());
    let second = event(stopped, 2);
    let id = second["id"].as_str().unwrap().to_owned();
    stage.proxy.rule(move |call| match call.operation.as_str() {
        "SendMessageBatch" => Fault::Entries(id.clone(), "InternalError"),
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
    let back = failures(&[&records[2], &records[4]]);
    assert_eq!(outcome, Outcome { failures: back, relayed: 6, queued: 4, ..Outcome::default() });
    assert_eq!((stage.mark(stopped).await, stage.mark(other).await), (Some(1), Some(3)));

    stage.proxy.heal();
    let outcome = stage.relay.relay(records[2..].to_vec()).await;
    assert_eq!(outcome, Outcome { relayed: 2, queued: 2, repeats: 2, ..Outcome::default() });
    let arrived = bodies(&stage.fifo().await);
    assert_eq!((versions(&arrived, stopped), versions(&arrived, other)), (vec![1, 2, 3], vec![1, 2, 3]));
}

#[tokio::test]
async fn what_fits_on_the_bus_but_not_in_the_queue_becomes_a_dead_letter_and_its_group_goes_on() {
    let stage = Stage::new(true).await;
    let entity = Uuid::now_v7();
    let mut large = event(entity, 2);
    large["data"]["objectType"]["description"] = "".into();
    // On the bus there are 46 bytes beside the detail, in the queue 66 or so.
    let rest = SQS_MAX_BYTES - 46 - large.to_string().len();
    large["data"]["objectType"]["description"] = "x".repeat(rest).into();
    let records = vec![stage.record(entity, 1), stage.record_of(entity, &large), stage.record(entity, 3)];
    let outcome = stage.relay.relay(records).await;
    assert_eq!(outcome, Outcome { relayed: 3, queued: 2, poisoned: 1, ..Outcome::default() });
    assert_eq!(versions(&bodies(&stage.fifo().await), entity), [1, 3]);
    let letters = stage.dead_letters().await;
    assert!(letters[0]["reason"].as_str().unwrap().contains("SQS takes 262144 bytes"), "{letters:?}");
    assert_eq!(stage.mark(entity).await, Some(3));
}
