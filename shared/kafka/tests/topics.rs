//! Topics on a real Kafka.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "Clippy takes what tests call for no part of them")]

use std::time::{Duration, Instant};

use oms_core::config::Source;
use oms_kafka::{
    KafkaConfig, client_config,
    topics::{self, Topic, TopicsConfig},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

/// Topics that no other test has, on the Kafka that `KAFKA_BROKERS` names.
fn config() -> KafkaConfig {
    let brokers = std::env::var("KAFKA_BROKERS");
    let brokers = brokers.expect("these tests need a Kafka: set KAFKA_BROKERS, or run them with `cargo xtask test`");
    let name = format!("events-{}", Uuid::new_v4());
    let dlq = format!("{name}-dlq");
    let pairs = [("KAFKA_BROKERS", brokers), ("KAFKA_TOPIC", name), ("KAFKA_DLQ_TOPIC", dlq)];
    KafkaConfig::read(&mut Source::from_pairs(pairs))
}

fn wanted(partitions: &str) -> TopicsConfig {
    let pairs = [("KAFKA_PARTITIONS", partitions), ("KAFKA_RETENTION_HOURS", "3")];
    let mut source = Source::from_pairs(pairs);
    let config = TopicsConfig::read(&mut source);
    source.finish().unwrap();
    config
}

async fn ensure(config: &KafkaConfig, partitions: &str) -> Vec<Topic> {
    topics::ensure(config, &wanted(partitions), Instant::now() + PATIENCE).await.unwrap()
}

/// What the brokers say of a topic: its partitions and its retention.
async fn described(config: &KafkaConfig, name: &str) -> (usize, String) {
    let consumer: BaseConsumer = client_config(config).unwrap().create().unwrap();
    let partitions = consumer.fetch_metadata(Some(name), PATIENCE).unwrap().topics()[0].partitions().len();
    let admin: AdminClient<DefaultClientContext> = client_config(config).unwrap().create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let described = admin.describe_configs([&ResourceSpecifier::Topic(name)], &options).await.unwrap();
    let retention = described[0].as_ref().unwrap().get("retention.ms").unwrap().value.clone().unwrap();
    (partitions, retention)
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_once_and_then_left_alone() {
    let config = config();
    let topic = |name: &str, partitions, created| Topic { name: name.to_owned(), partitions, created, warning: None };
    let made = ensure(&config, "4").await;
    assert_eq!(made, [topic(&config.topic, 4, true), topic(&config.dlq_topic, 1, true)]);
    assert_eq!(described(&config, &config.topic).await, (4, "10800000".to_owned()));
    assert_eq!(described(&config, &config.dlq_topic).await, (1, "10800000".to_owned()));
    // Fewer than there are is nothing to speak of.
    assert_eq!(ensure(&config, "3").await, [topic(&config.topic, 4, false), topic(&config.dlq_topic, 1, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_fewer_partitions_keeps_them_and_says_so() {
    let config = config();
    ensure(&config, "2").await;
    let again = ensure(&config, "16").await;
    assert_eq!((again[0].partitions, again[0].created), (2, false));
    let warning = again[0].warning.as_deref().unwrap();
    assert!(warning.contains("has 2 partition(s) where 16 are wanted"), "{warning}");
    assert_eq!(again[1].warning, None);
    assert_eq!(described(&config, &config.topic).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_make_the_same_topics_at_once_both_find_them() {
    let config = config();
    let (first, second) = tokio::join!(ensure(&config, "4"), ensure(&config, "4"));
    for topics in [&first, &second] {
        assert_eq!(topics.iter().map(|topic| topic.partitions).collect::<Vec<_>>(), [4, 1]);
    }
    for (one, other) in first.iter().zip(&second) {
        assert_ne!(one.created, other.created, "{} is made once", one.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_topic_from_being_made_is_said() {
    let (first, second) = (config(), config());
    // Kafka takes no two names that only differ in these.
    let alike = |config: KafkaConfig, separator| KafkaConfig { topic: config.topic.replace('-', separator), ..config };
    ensure(&alike(first.clone(), "."), "1").await;
    let alike = KafkaConfig { dlq_topic: second.dlq_topic, ..alike(first, "_") };
    let error = topics::ensure(&alike, &wanted("1"), Instant::now() + PATIENCE).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("Kafka: the topic {} can't be made: ", alike.topic)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_is_away_is_not_waited_for_after_the_deadline() {
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let brokers = format!("127.0.0.1:{port}");
    let config = KafkaConfig::read(&mut Source::from_pairs([("KAFKA_BROKERS", brokers.as_str())]));
    let began = Instant::now();
    let error = topics::ensure(&config, &wanted("4"), began + Duration::from_secs(1)).await.unwrap_err();
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn every_problem_is_named() {
    for (partitions, hours) in [("0", "-1"), ("100001", "0"), ("many", "long")] {
        let mut source = Source::from_pairs([("KAFKA_PARTITIONS", partitions), ("KAFKA_RETENTION_HOURS", hours)]);
        TopicsConfig::read(&mut source);
        let problems = source.finish().unwrap_err().0.join("\n");
        assert!(problems.contains("KAFKA_PARTITIONS") && problems.contains("KAFKA_RETENTION_HOURS"), "{problems}");
    }
}
