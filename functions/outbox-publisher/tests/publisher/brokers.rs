//! Kafka as tests see it: a mock cluster or a real one, and what is in a topic.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use oms_core::config::Source;
use oms_kafka::KafkaConfig;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
    mocking::MockCluster,
    producer::DefaultProducerContext,
};
use serde_json::Value;
use uuid::Uuid;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Mock = MockCluster<'static, DefaultProducerContext>;

/// A mock cluster with the topics of events and dead letters.
pub(crate) fn mock(partitions: i32) -> (Mock, KafkaConfig) {
    let mock = MockCluster::new(1).unwrap();
    let config = config(&mock.bootstrap_servers(), &[]);
    mock.create_topic(&config.topic, partitions, 1).unwrap();
    mock.create_topic(&config.dlq_topic, 1, 1).unwrap();
    (mock, config)
}

/// Settings for these brokers, with topics that no other test has.
pub(crate) fn config(brokers: &str, more: &[(&str, &str)]) -> KafkaConfig {
    let topic = format!("events-{}", Uuid::new_v4());
    let dlq = format!("{topic}-dlq");
    let pairs = [("KAFKA_BROKERS", brokers), ("KAFKA_TOPIC", &topic), ("KAFKA_DLQ_TOPIC", &dlq)];
    let mut source = Source::from_pairs(pairs.into_iter().chain(more.iter().copied()));
    let config = KafkaConfig::read(&mut source);
    source.finish().unwrap();
    config
}

/// A message as a consumer gets it.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Got {
    pub(crate) fn entity(&self) -> Uuid {
        self.key.parse().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.value["id"].as_str().unwrap()
    }

    pub(crate) fn position(&self) -> i64 {
        self.value["metadata"]["position"].as_i64().unwrap()
    }

    pub(crate) fn version(&self) -> i64 {
        self.value["data"]["version"].as_i64().unwrap()
    }
}

/// All that is in a topic now, partition by partition, in order.
pub(crate) fn messages(config: &KafkaConfig, topic: &str) -> Vec<Got> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", config.brokers.as_deref().unwrap())
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions: HashSet<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut all = TopicPartitionList::new();
    for partition in &partitions {
        all.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut got, mut ended, deadline) = (Vec::new(), HashSet::new(), Instant::now() + PATIENCE);
    while ended != partitions {
        assert!(Instant::now() < deadline, "the end of {topic} is not reached");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            // Tests cut connections: the consumer comes back by itself.
            Some(Err(_)) => {}
            Some(Ok(message)) => {
                let headers = message.headers().map(|headers| {
                    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
                    headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
                });
                got.push(Got {
                    partition: message.partition(),
                    key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
                    value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
                    headers: headers.unwrap_or_default(),
                });
            }
        }
    }
    got
}

/// That each entity's versions come in order once repeats are dropped, and that a repeat is the same event at the same
/// position. Gives the versions of each entity.
pub(crate) fn assert_order(got: &[Got]) -> HashMap<Uuid, Vec<i64>> {
    let mut known: HashMap<&str, (Uuid, i64)> = HashMap::new();
    let mut versions: HashMap<Uuid, Vec<i64>> = HashMap::new();
    for message in got {
        let place = (message.entity(), message.position());
        if let Some(first) = known.insert(message.id(), place) {
            assert_eq!(first, place, "a repeat is the same event");
            continue;
        }
        versions.entry(message.entity()).or_default().push(message.version());
    }
    for (entity, versions) in &versions {
        let expected: Vec<i64> = (1..).take(versions.len()).collect();
        assert_eq!(*versions, expected, "versions of {entity}");
    }
    versions
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes every Produce request fail until [`heal`].
pub(crate) fn break_produce<C: ClientContext>(
    mock: &MockCluster<'_, C>,
    error: rdkafka::types::RDKafkaRespErr,
    times: usize,
) {
    mock.request_errors(rdkafka::types::RDKafkaApiKey::Produce, &vec![error; times]);
}

pub(crate) fn heal<C: ClientContext>(mock: &MockCluster<'_, C>) {
    mock.clear_request_errors(rdkafka::types::RDKafkaApiKey::Produce);
}
