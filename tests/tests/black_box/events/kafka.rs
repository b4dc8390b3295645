//! Kafka behind the server.

use oms_tests::{Database, Message, Server, Settings, Topic, samples};
use serde_json::{Value, json};
use tokio::process::Command;
use xtask::services::Kafka;

use super::{HISTORY, assert_valid, database, history};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What an event's headers have to be.
fn headers(event: &Value) -> Value {
    json!({
        "ce_specversion": "1.0",
        "ce_id": event["id"],
        "ce_source": "openfoundry.oms",
        "ce_type": event["type"],
        "ce_time": event["timestamp"],
        "ce_subject": event["entityId"],
        "content-type": "application/json",
        "event-type": event["type"],
        "event-version": "1",
        "correlation-id": event["correlationId"],
    })
}

/// Those that are always there; the trace has a header of its own.
fn shown(message: &Message) -> Value {
    let mut headers = message.headers.clone();
    headers.remove("traceparent");
    json!(headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_is_a_message_with_the_headers_of_cloudevents_and_the_event_of_the_feed() {
    let (_database, settings) = database().await;
    let topic = Topic::create(4).await;
    let server = Server::start(&topic.settings(settings)).await;
    let editor = server.client("editor");
    history(&editor).await;
    let traced = editor.post("object-types", &samples::object_type("Traced"));
    traced.header("x-correlation-id", "find-me").header("traceparent", TRACEPARENT).expect(201).await;

    let mut messages = topic.wait_for(HISTORY + 1).await;
    messages.sort_by_key(|message| message.json()["metadata"]["position"].as_i64());
    let feed = editor.get("events").expect(200).await;
    let values: Vec<Value> = messages.iter().map(Message::json).collect();
    assert_eq!(json!(values), feed["data"], "once each, and the same as in the feed");
    for (message, event) in messages.iter().zip(&values) {
        assert_valid(event);
        assert_eq!(json!(message.key), event["entityId"]);
        assert_eq!(shown(message), headers(event));
    }
    let traced = &messages[HISTORY].headers;
    assert_eq!(traced["correlation-id"], "find-me");
    assert_eq!(traced["traceparent"].split('-').nth(1), TRACEPARENT.split('-').nth(1), "the trace of the caller");
    // An entity stays in its partition, which is the one that every Java client finds for the key.
    for message in &messages {
        assert_eq!(message.partition, murmur2_partition(&message.key, 4), "{}", message.key);
    }
    assert_eq!(topic.dead_letters().await, []);
    server.stop().await;
}

/// Where Kafka's own clients put a key.
fn murmur2_partition(key: &str, partitions: i32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let bytes = key.as_bytes();
    let mix = |k: u32| {
        let k = k.wrapping_mul(M);
        (k ^ (k >> 24)).wrapping_mul(M)
    };
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(bytes.len()).unwrap();
    let (chunks, rest) = bytes.as_chunks::<4>();
    for chunk in chunks {
        hash = hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(*chunk));
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^= hash >> 15;
    i32::try_from(hash & 0x7fff_ffff).unwrap() % partitions
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_reads_the_topic_and_its_headers() {
    let (_database, settings) = database().await;
    let topic = Topic::create(2).await;
    let server = Server::start(&topic.settings(settings)).await;
    history(&server.client("editor")).await;
    topic.wait_for(HISTORY).await;
    let output = Command::new("kcat")
        .args(["-C", "-b", topic.brokers(), "-t", topic.name(), "-o", "beginning", "-e", "-q", "-J"])
        .output()
        .await
        .expect("kcat is not installed; run `cargo xtask test`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), HISTORY);
    for line in &lines {
        let event: Value = serde_json::from_str(line["payload"].as_str().unwrap()).unwrap();
        // kcat lists names and values in turn.
        let pairs = line["headers"].as_array().unwrap().chunks(2);
        let mut found: Value = pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].clone())).collect();
        found.as_object_mut().unwrap().remove("traceparent");
        assert_eq!((found, &line["key"]), (headers(&event), &event["entityId"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_kafka_is_down_and_their_events_arrive_when_it_is_back() {
    let mut kafka = Kafka::temporary().unwrap();
    let database = Database::create().await;
    let topic = Topic::create_on(&kafka.brokers(), 3).await;
    let server = Server::start(&topic.settings(Settings::for_database(&database))).await;
    let editor = server.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    topic.wait_for(1).await;

    kafka.stop().unwrap();
    for version in 1..=20 {
        editor.patch("object-types/Order", version, &json!({"description": version.to_string()})).expect(200).await;
    }
    let feed = editor.get("events").expect(200).await;
    assert_eq!(feed["data"].as_array().unwrap().len(), 21, "the feed needs no Kafka");
    kafka.start().unwrap();
    let messages = topic.wait_for(21).await;
    let mut versions: Vec<i64> =
        messages.iter().map(|message| message.json()["data"]["version"].as_i64().unwrap()).collect();
    // A record whose acknowledgement was lost may be there twice.
    versions.dedup();
    assert_eq!(versions, (1..=21).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_too_large_for_an_event_is_a_claim_check() {
    let (_database, settings) = database().await;
    let topic = Topic::create(1).await;
    let server = Server::start(&topic.settings(settings).set("EVENT_MAX_BYTES", 8_192)).await;
    let editor = server.client("editor");
    let mut large = samples::object_type("Large");
    large["metadata"] = json!({"text": "x".repeat(20_000)});
    let large = editor.post("object-types", &large).v2().expect(201).await;
    let event = topic.wait_for(1).await.remove(0).json();
    assert_valid(&event);
    assert_eq!((event["data"].get("objectType"), &event["data"]["version"]), (None, &json!(1)));
    let check = &event["data"]["claimCheck"];
    assert!(check["bytes"].as_u64().unwrap() > 20_000, "{check}");
    let version = editor.get(check["href"].as_str().unwrap()).v2().expect(200).await;
    assert_eq!(version["snapshot"], large, "what was left out is where the check says");
}
