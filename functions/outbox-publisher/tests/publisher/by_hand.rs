//! What somebody asks the function for: dead letters on a real Kafka and in a queue of moto.

use std::{collections::BTreeMap, time::Duration};

use lambda_runtime::Error;
use oms_core::Registry;
use oms_outbox_publisher::{Publisher, lambda::handle, redrive::DeadLetters};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    brokers::{Got, messages, mock},
    lambda::invocation,
    oms::{caller, create, registry, unpublished},
    real::kafka,
    redrive::{PLENTY, letter, queue},
};

const MINUTE: Duration = Duration::from_secs(60);

/// The function with its settings.
struct Function {
    oms: Registry,
    publisher: Publisher,
    letters: DeadLetters,
}

impl Function {
    fn new(pool: &PgPool, letters: DeadLetters) -> Self {
        Self { oms: registry(pool), publisher: Publisher::new(letters.kafka.clone()), letters }
    }

    async fn ask(&mut self, payload: Value, time: Duration) -> Result<Value, Error> {
        handle(&self.oms, &mut self.publisher, &self.letters, &invocation(payload, time)).await
    }

    async fn redrive(&mut self, from: &str, dry_run: bool, time: Duration) -> Value {
        self.ask(json!({"action": "redrive", "from": from, "dryRun": dry_run}), time).await.unwrap()
    }

    /// What is in the topic of events.
    fn topic(&self) -> Vec<Got> {
        messages(&self.letters.kafka, &self.letters.kafka.topic)
    }
}

/// Letters of an answer by their records, and what became of each.
fn fates(answer: &Value) -> BTreeMap<&str, &str> {
    let letters = answer["reports"].as_array().unwrap().iter().flat_map(|report| report["letters"].as_array().unwrap());
    letters.map(|letter| (letter["record"].as_str().unwrap(), letter["fate"]["is"].as_str().unwrap())).collect()
}

/// Lets a topic take what it has refused.
async fn mend(function: &Function) {
    let brokers = function.letters.kafka.brokers.as_deref().unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let larger =
        AlterConfig::new(ResourceSpecifier::Topic(&function.letters.kafka.topic)).set("max.message.bytes", "1000000");
    for altered in admin.alter_configs([&larger], &AdminOptions::new()).await.unwrap() {
        altered.unwrap();
    }
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn letters_of_both_places_are_shown_and_then_put_back_once(pool: PgPool) {
    let config = kafka(1, &[("max.message.bytes", "20000")]).await;
    let (sqs, url) = queue().await;
    let mut function = Function::new(&pool, DeadLetters { kafka: config.clone(), queue_url: Some(url.clone()) });
    // Nothing that zstd could make small.
    let noise: String = (0..4_000).map(|_| Uuid::new_v4().simple().to_string()).collect();
    let large = json!({"name": "Large", "displayName": "Large", "metadata": {"noise": noise}});
    let large = function.oms.object_types.create(&caller(), &large).await.unwrap().id.0;
    function.ask(json!({}), MINUTE).await.unwrap();
    let relayed = Uuid::new_v4().to_string();
    sqs.send_message().queue_url(&url).message_body(letter(&relayed, 7, "{}", PLENTY)).send().await.unwrap();
    let (of_the_queue, of_the_topic) = ("oms-events-3@7", format!("{}-0@0", config.dlq_topic));

    let shown = function.redrive("all", true, MINUTE).await;
    assert_eq!(fates(&shown), [(of_the_queue, "shown"), (&of_the_topic, "shown")].into(), "{shown}");
    let sources: Vec<&Value> = shown["reports"].as_array().unwrap().iter().map(|report| &report["source"]).collect();
    assert_eq!(sources, [&json!(url), &json!(config.dlq_topic)]);
    assert!(shown["reports"][1]["letters"][0]["reason"].as_str().unwrap().contains("too large"), "{shown}");
    assert!(function.topic().is_empty(), "a dry run puts nothing back");

    mend(&function).await;
    let done = function.redrive("sqs", false, MINUTE).await;
    assert_eq!(fates(&done), [(of_the_queue, "redriven")].into(), "{done}");
    let done = function.redrive("kafka", false, MINUTE).await;
    assert_eq!(fates(&done), [(of_the_topic.as_str(), "redriven")].into(), "{done}");
    assert_eq!((&done["redriven"], &done["left"], &done["unfinished"]), (&json!(1), &json!(0), &json!(false)));
    let got: Vec<_> =
        function.topic().into_iter().map(|message| (message.key, message.headers["redriven"].clone())).collect();
    assert_eq!(got, [(relayed, "1".to_owned()), (large.to_string(), "1".to_owned())]);

    let again = function.redrive("all", false, MINUTE).await;
    assert_eq!((fates(&again), &again["redriven"]), (BTreeMap::new(), &json!(0)), "it is done once");
    assert_eq!(function.topic().len(), 2);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn what_it_does_not_come_to_in_time_stays_for_the_next_invocations(pool: PgPool) {
    let mut config = kafka(1, &[]).await;
    // Each letter takes that long, and five seconds are kept for the one in hand, beside three for the function itself.
    config.linger = Duration::from_millis(500);
    config.delivery_timeout = Duration::from_secs(5);
    let (sqs, url) = queue().await;
    for n in 0..8 {
        let body = letter(&format!("key-{n}"), n, "{}", PLENTY);
        sqs.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    }
    let mut function = Function::new(&pool, DeadLetters { kafka: config, queue_url: Some(url) });
    let answer = function.redrive("all", false, Duration::from_secs(8)).await;
    assert_eq!((fates(&answer), &answer["unfinished"]), (BTreeMap::new(), &json!(true)), "without any time: {answer}");

    let (mut invocations, mut redriven) = (0, 0);
    loop {
        let answer = function.redrive("sqs", false, Duration::from_secs(10)).await;
        invocations += 1;
        redriven += answer["redriven"].as_u64().unwrap();
        assert_eq!(answer["redriven"], fates(&answer).len(), "nothing else is in hand: {answer}");
        if answer["unfinished"] == false {
            break;
        }
        assert!(invocations < 100, "it never comes to the end: {answer}");
    }
    assert!(invocations > 1, "eight letters of half a second in two");
    let mut keys: Vec<String> = function.topic().into_iter().map(|message| message.key).collect();
    keys.sort_unstable();
    let expected: Vec<String> = (0..8).map(|n| format!("key-{n}")).collect();
    assert_eq!((redriven, keys), (8, expected), "each comes back once");
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn what_it_does_not_know_it_does_not_do(pool: PgPool) {
    let (_mock, kafka) = mock(1);
    let (sqs, url) = queue().await;
    let mut function = Function::new(&pool, DeadLetters { kafka, queue_url: Some(url.clone()) });
    create(&function.oms, ["Customer".to_owned()]).await;
    sqs.send_message().queue_url(&url).message_body(letter("k", 1, "{}", PLENTY)).send().await.unwrap();
    for payload in [
        json!({"action": "redraw", "from": "sqs"}),
        json!({"action": null}),
        json!({"action": "redrive"}),
        json!({"action": "redrive", "from": "kinesis"}),
        json!({"action": "redrive", "from": "sqs", "dry_run": true}),
        json!({"action": "redrive", "from": "sqs", "dryRun": "yes"}),
    ] {
        let error = function.ask(payload.clone(), MINUTE).await.unwrap_err().to_string();
        for word in ["redrive", "sqs", "kafka", "all", "dryRun"] {
            assert!(error.contains(word), "{payload}: {error}");
        }
    }
    assert!(function.topic().is_empty(), "no letter went back");
    assert_eq!(unpublished(&pool).await, 1, "nor was the log drained");

    function.letters.queue_url = None;
    let error = function.ask(json!({"action": "redrive", "from": "sqs"}), MINUTE).await.unwrap_err().to_string();
    assert!(error.contains("RELAY_DLQ_URL"), "{error}");
}
