//! The topics of events and of dead letters: made where they are missing, and otherwise left as they are.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use oms_core::config::Source;
use rdkafka::{
    admin::{AdminOptions, NewTopic, TopicReplication},
    error::RDKafkaErrorCode,
    producer::{FutureProducer, Producer as _},
};
use serde::Serialize;

use crate::{Error, KafkaConfig, KafkaContext, Result, admin, client_config};

/// What topics are made with.
#[derive(Debug, Clone)]
pub struct TopicsConfig {
    /// `KAFKA_PARTITIONS`: partitions of the topic of events; that of dead letters has one.
    pub partitions: i32,
    /// `KAFKA_RETENTION_HOURS`: how long records stay.
    pub retention: Duration,
}

impl TopicsConfig {
    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let partitions = source.parse("KAFKA_PARTITIONS", 16, "a number of partitions");
        // librdkafka takes no more.
        if !(1..=100_000).contains(&partitions) {
            source.problem("KAFKA_PARTITIONS: must be from 1 to 100000");
        }
        let hours = source.parse("KAFKA_RETENTION_HOURS", 168_u32, "a number of hours");
        if hours == 0 {
            source.problem("KAFKA_RETENTION_HOURS: must be 1 or more");
        }
        Self { partitions, retention: Duration::from_secs(u64::from(hours) * 3_600) }
    }
}

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Whether it was made now.
    pub created: bool,
    /// That it has fewer partitions than it should, and what that means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Makes the topics that are missing. One that is there with fewer partitions keeps them: with more, the keys would move to
/// others, and events of an entity could overtake each other.
///
/// # Errors
///
/// Kafka does not answer in time, or does not let us make a topic.
pub async fn ensure(config: &KafkaConfig, wanted: &TopicsConfig, deadline: Instant) -> Result<Vec<Topic>> {
    let names = [(config.topic.as_str(), wanted.partitions), (config.dlq_topic.as_str(), 1)];
    let mut known = known(config, deadline).await?;
    let missing: Vec<_> = names.into_iter().filter(|(name, _)| !known.contains_key(*name)).collect();
    let made = if missing.is_empty() { Vec::new() } else { create(config, &missing, wanted, deadline).await? };
    if made.len() < missing.len() {
        // Somebody else was faster.
        known.append(&mut self::known(config, deadline).await?);
    }
    let topics = names.into_iter().map(|(name, wanted)| {
        let created = made.iter().any(|made| made == name);
        let partitions = if created { wanted } else { known.get(name).copied().unwrap_or(wanted) };
        let warning = (partitions < wanted).then(|| {
            format!(
                "the topic has {partitions} partition(s) where {wanted} are wanted; they stay, since the keys of events \
                would move with more"
            )
        });
        Topic { name: name.to_owned(), partitions, created, warning }
    });
    Ok(topics.collect())
}

/// How many partitions each topic has.
///
/// A producer asks: other than an administrator it is told why Kafka does not answer. All topics are asked for, since asking
/// for one by name may make it.
async fn known(config: &KafkaConfig, deadline: Instant) -> Result<BTreeMap<String, i32>> {
    let config = config.clone();
    blocking(move || {
        let context = KafkaContext::new(&config);
        let producer: FutureProducer<KafkaContext> = client_config(&config)?.create_with_context(context.clone())?;
        let metadata = producer.client().fetch_metadata(None, deadline.saturating_duration_since(Instant::now()));
        let metadata = metadata.map_err(|error| context.explain(&error.to_string()))?;
        let partitions = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        Ok(metadata.topics().iter().map(|t| (t.name().to_owned(), partitions(t.partitions().len()))).collect())
    })
    .await
}

/// Makes topics; the names of those that were not there already.
async fn create(
    config: &KafkaConfig,
    topics: &[(&str, i32)],
    wanted: &TopicsConfig,
    deadline: Instant,
) -> Result<Vec<String>> {
    let for_admin = config.clone();
    let admin = blocking(move || admin::admin(&for_admin)).await?;
    let retention = wanted.retention.as_millis().to_string();
    let new = topics.iter().map(|(name, partitions)| {
        // As many replicas as the brokers make by default.
        NewTopic::new(name, *partitions, TopicReplication::Fixed(-1)).set("retention.ms", &retention)
    });
    let new: Vec<_> = new.collect();
    let left = Some(deadline.saturating_duration_since(Instant::now()));
    let options = AdminOptions::new().request_timeout(left).operation_timeout(left);
    let results = admin.create_topics(&new, &options).await;
    // Its threads take a moment to end.
    blocking(move || {
        drop(admin);
        Ok(())
    })
    .await?;
    let mut made = Vec::new();
    for result in results? {
        match result {
            Ok(name) => made.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(Error::Kafka(format!("the topic {name} can't be made: {code}"))),
        }
    }
    Ok(made)
}

/// librdkafka's synchronous calls, off the runtime's threads.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(|error| Error::Kafka(error.to_string()))?
}
