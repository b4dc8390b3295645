//! The MSK trigger: batches of the topic to event-relay.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use oms_kafka::{KafkaConfig, KafkaContext, client_config};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};

use crate::{
    batches::{Done, Received, Record, Waiting},
    invoke::Functions,
    pause::Pause,
};

/// Remembers what was relayed.
const GROUP: &str = "oms-pump";

/// Records in memory; the rest waits in Kafka.
const MOST_WAITING: usize = 1_000;

/// How long to wait for more records of a batch.
const WINDOW: Duration = Duration::from_millis(50);

/// How long Kafka may take to say something of the topic.
const PATIENCE: Duration = Duration::from_secs(5);

type Kafka = StreamConsumer<KafkaContext>;

/// Invokes with one batch after the other, so that a partition never is in two invocations. An invocation that fails is
/// repeated with the same batch, for ever; a partial failure brings back only what AWS would bring back.
pub(crate) async fn pump(config: KafkaConfig, functions: Functions) -> Result<()> {
    let brokers = config.brokers.clone().unwrap_or_default();
    let consumer = connect(&config).await?;
    let (mut waiting, mut pause) = (Waiting::default(), Pause::default());
    loop {
        fill(&consumer, &mut waiting).await;
        let Some(batch) = waiting.take() else { continue };
        let event = batch.event(&config.topic, &brokers);
        let (done, came_back) = loop {
            let answer = functions.invoke("event-relay", &batch.describe(), &event).await;
            match answer.ok().and_then(|answer| waiting.settle(&config.topic, &batch, &answer)) {
                Some(settled) => break settled,
                None => pause.after_failure().await,
            }
        };
        commit(&consumer, &config.topic, &done).await;
        if came_back {
            pause.after_failure().await;
        } else {
            pause.reset();
        }
    }
}

/// A consumer of every partition, from where it was left; waits until Kafka is there and has the topic.
async fn connect(config: &KafkaConfig) -> Result<Arc<Kafka>> {
    let consumer: Kafka = client_config(config)?
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // A batch is full of what came within its window, and Kafka need not wait for more.
        .set("fetch.wait.max.ms", "100")
        .create_with_context(KafkaContext::new(config))?;
    let consumer = Arc::new(consumer);
    let mut pause = Pause::default();
    loop {
        let (asked, topic) = (consumer.clone(), config.topic.clone());
        let assigned = tokio::task::spawn_blocking(move || assign(&asked, &topic)).await.context("rdkafka panicked")?;
        match assigned {
            Ok(()) => return Ok(consumer),
            Err(error) => eprintln!("{}: {error:#}", config.topic),
        }
        pause.after_failure().await;
    }
}

fn assign(consumer: &Kafka, topic: &str) -> Result<()> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut partitions = TopicPartitionList::new();
    for partition in metadata.topics().iter().filter(|known| known.name() == topic).flat_map(|known| known.partitions())
    {
        partitions.add_partition(topic, partition.id());
    }
    anyhow::ensure!(partitions.count() > 0, "there is no such topic yet");
    let mut offsets = consumer.committed_offsets(partitions, PATIENCE)?;
    for partition in offsets.elements() {
        partition.error()?;
    }
    // Without a committed offset: from the first.
    let unknown: Vec<_> = offsets
        .elements()
        .iter()
        .filter(|known| known.offset() == Offset::Invalid)
        .map(|known| known.partition())
        .collect();
    for partition in unknown {
        offsets.set_partition_offset(topic, partition, Offset::Beginning)?;
    }
    Ok(consumer.assign(&offsets)?)
}

/// Waits for a record if there is none, and then a little for more.
async fn fill(consumer: &Kafka, waiting: &mut Waiting) {
    let mut until = (waiting.len() > 0).then(|| Instant::now() + WINDOW);
    while waiting.len() < MOST_WAITING {
        let received = match until {
            None => consumer.recv().await,
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                match tokio::time::timeout(left, consumer.recv()).await {
                    Ok(received) => received,
                    Err(_) => return,
                }
            }
        };
        match received {
            Ok(message) => {
                waiting.push(read(&message));
                until.get_or_insert_with(|| Instant::now() + WINDOW);
            }
            // librdkafka connects again by itself.
            Err(error) => report(&error),
        }
    }
}

fn report(error: &KafkaError) {
    eprintln!("Kafka: {error}");
}

fn read(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers();
    Received {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or_default(),
        key: message.key(),
        value: message.payload(),
        headers: headers.into_iter().flat_map(|headers| headers.iter()).map(|h| (h.key, h.value)).collect(),
    }
    .into()
}

/// What is not noted is invoked again after a restart.
async fn commit(consumer: &Arc<Kafka>, topic: &str, done: &Done) {
    let mut offsets = TopicPartitionList::new();
    for (partition, next) in done {
        if let Err(error) = offsets.add_partition_offset(topic, *partition, Offset::Offset(*next)) {
            report(&error);
        }
    }
    if offsets.count() == 0 {
        return;
    }
    let consumer = consumer.clone();
    match tokio::task::spawn_blocking(move || consumer.commit(&offsets, CommitMode::Sync)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => report(&error),
        Err(error) => eprintln!("Kafka: {error}"),
    }
}
