//! Topics of Kafka that no other test has, and what is in them.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Headers as _,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::Value;

use crate::{environment::kafka_brokers, settings::Settings, wait::until};

/// How long Kafka may take for anything: it may have been started a moment ago, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A topic of events, and its topic of dead letters.
#[derive(Debug, Clone)]
pub struct Topic {
    brokers: String,
    name: String,
    dlq_name: String,
}

/// A message as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Its headers by name.
    pub headers: BTreeMap<String, String>,
}

impl Message {
    /// The JSON of its value.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.value).unwrap_or_else(|error| panic!("{error}: {}", self.value))
    }
}

impl Topic {
    /// A topic with so many partitions on the Kafka of `KAFKA_BROKERS`.
    pub async fn create(partitions: i32) -> Self {
        Self::create_on(&kafka_brokers(), partitions).await
    }

    /// The same on another Kafka.
    pub async fn create_on(brokers: &str, partitions: i32) -> Self {
        let name = format!("events-{}", uuid::Uuid::now_v7().simple());
        let topic = Self { brokers: brokers.to_owned(), dlq_name: format!("{name}-dlq"), name };
        let admin: AdminClient<DefaultClientContext> = topic.client().create().unwrap();
        let topics = [(&topic.name, partitions), (&topic.dlq_name, 1)]
            .map(|(name, partitions)| NewTopic::new(name, partitions, TopicReplication::Fixed(1)))
            // When Kafka had it, not when its producer took it in hand.
            .map(|topic| topic.set("message.timestamp.type", "LogAppendTime"));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        for created in admin.create_topics(&topics, &options).await.unwrap() {
            created.unwrap();
        }
        topic
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `host:port` of its Kafka.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The settings with this topic, and a consumer group that no other test has.
    #[must_use]
    pub fn settings(&self, settings: Settings) -> Settings {
        settings
            .set("KAFKA_BROKERS", &self.brokers)
            .set("KAFKA_TOPIC", &self.name)
            .set("KAFKA_DLQ_TOPIC", &self.dlq_name)
            .set("RELAY_GROUP", format!("relay-{}", self.name))
    }

    /// Everything that is in it now, partition by partition, in order.
    pub async fn messages(&self) -> Vec<Message> {
        let topic = self.clone();
        tokio::task::spawn_blocking(move || topic.read_all(&topic.name)).await.unwrap()
    }

    /// Everything that is in the topic of dead letters now.
    pub async fn dead_letters(&self) -> Vec<Message> {
        let topic = self.clone();
        tokio::task::spawn_blocking(move || topic.read_all(&topic.dlq_name)).await.unwrap()
    }

    /// Waits until there are so many messages, and gives all that are there.
    pub async fn wait_for(&self, messages: usize) -> Vec<Message> {
        until(&format!("there were not {messages} messages in Kafka"), async || {
            Some(self.messages().await).filter(|found| found.len() >= messages)
        })
        .await
    }

    /// Puts a record of somebody else into it.
    pub async fn send(&self, partition: i32, key: &str, value: &str) {
        let producer: FutureProducer = self.client().create().unwrap();
        let record = FutureRecord::to(&self.name).partition(partition).key(key).payload(value);
        producer.send(record, PATIENCE).await.unwrap();
    }

    /// How a client of these brokers begins.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// A consumer of all partitions, from the beginning.
    #[must_use]
    pub fn consumer(&self, name: &str) -> (BaseConsumer, HashSet<i32>) {
        let mut config = self.client();
        config.set("group.id", "tests").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(name), PATIENCE).unwrap();
        let partitions: HashSet<i32> = metadata.topics()[0].partitions().iter().map(|known| known.id()).collect();
        let mut all = TopicPartitionList::new();
        for partition in &partitions {
            all.add_partition_offset(name, *partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        (consumer, partitions)
    }

    fn read_all(&self, name: &str) -> Vec<Message> {
        let (consumer, mut open) = self.consumer(name);
        let (mut found, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "the end of {name} is not reached");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => found.push(read(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                // It comes back by itself.
                Some(Err(_)) | None => {}
            }
        }
        found.sort_by_key(|message| (message.partition, message.offset));
        found
    }
}

fn read(message: &rdkafka::message::BorrowedMessage<'_>) -> Message {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    let headers =
        message.headers().map(|headers| headers.iter().map(|header| (header.key.to_owned(), text(header.value))));
    Message {
        partition: message.partition(),
        offset: message.offset(),
        key: text(message.key()),
        value: text(message.payload()),
        headers: headers.into_iter().flatten().collect(),
    }
}
