//! How long an event takes, and whether a write notices Kafka at all. Numbers to look at; nothing fails for being slow.

use std::{
    collections::HashMap,
    sync::mpsc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use oms_tests::{Client, Database, Server, Settings, Topic, samples};
use rdkafka::{Message as _, Timestamp, consumer::BaseConsumer};
use serde_json::{Value, json};
use xtask::services::Kafka;

const WRITES: i64 = 400;

/// Writes one after the other; when each was answered by its version, and how long the writes took.
async fn write(editor: &Client, first: i64) -> (HashMap<i64, SystemTime>, Vec<Duration>) {
    let (mut answered, mut took) = (HashMap::new(), Vec::new());
    for version in first..first + WRITES {
        let began = Instant::now();
        editor.patch("object-types/Order", version, &json!({"description": version.to_string()})).expect(200).await;
        answered.insert(version + 1, SystemTime::now());
        took.push(began.elapsed());
    }
    (answered, took)
}

/// An event may be there before its writer has the answer.
fn since(answered: SystemTime, appended: SystemTime) -> Duration {
    appended.duration_since(answered).unwrap_or_default()
}

fn shown(name: &str, mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
    println!("{name}: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms", at(50), at(95), at(99));
    at(50)
}

/// Notes when Kafka appended each version, by its own clock, which is that of this machine. When a consumer gets it is up to
/// the consumer: how it fetches, and how long it lets a fetch wait.
fn follow(consumer: &BaseConsumer, arrived: &mpsc::Sender<(i64, SystemTime)>) {
    loop {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let Timestamp::LogAppendTime(millis) = message.timestamp() else { panic!("not appended by Kafka's clock") };
        let appended = UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs());
        let event: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        if arrived.send((event["data"]["version"].as_i64().unwrap(), appended)).is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_answer_of_a_write_to_its_event_in_kafka() {
    let mut kafka = Kafka::temporary().unwrap();
    let database = Database::create().await;
    let topic = Topic::create_on(&kafka.brokers(), 6).await;
    let server = Server::start(&topic.settings(Settings::for_database(&database))).await;
    let editor = server.client("editor");
    let (sender, arrived) = mpsc::channel();
    let (consumer, _) = topic.consumer(topic.name());
    std::thread::spawn(move || follow(&consumer, &sender));

    // The first ones connect and fill caches.
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    write(&editor, 1).await;
    let (answered, running) = write(&editor, WRITES + 1).await;
    let arrival = |wanted: i64| loop {
        let (version, came) = arrived.recv_timeout(Duration::from_secs(30)).expect("every event comes");
        if version == wanted {
            return came;
        }
    };
    let under_load = (WRITES + 2..=2 * WRITES + 1).map(|n| since(answered[&n], arrival(n))).collect();
    shown("answer of a write to its event in Kafka, while others follow at once", under_load);
    let mut alone = Vec::new();
    for version in 2 * WRITES + 1..3 * WRITES + 1 {
        editor.patch("object-types/Order", version, &json!({"description": version.to_string()})).expect(200).await;
        let answered = SystemTime::now();
        alone.push(since(answered, arrival(version + 1)));
    }
    shown("answer of a write to its event in Kafka, one by one", alone);

    kafka.stop().unwrap();
    let (_, stopped) = write(&editor, 3 * WRITES + 1).await;
    let with = shown("a write while Kafka runs", running);
    let without = shown("a write while Kafka is down", stopped);
    println!("ratio {:.2}", without / with);
    kafka.start().unwrap();
    let last = 4 * WRITES + 1;
    arrival(last);
}
