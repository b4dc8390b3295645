//! Dead letters of the publisher.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use oms_kafka::{KafkaConfig, KafkaContext, client_config};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};

use super::{Fate, Letter, RedriveOptions, Redriver, Report, begin, end};
use crate::{
    Error, Result,
    record::{ORIGINAL_ERROR, Record},
};

/// Remembers which letters were put back.
const GROUP: &str = "oms-redrive";

/// How long the consumer may take to end.
const CLOSE: Duration = Duration::from_secs(1);

type Letters = StreamConsumer<KafkaContext>;

/// Puts back what is in the dead-letter topic when it begins. What the topic of events still can't take goes to the end
/// of the dead letters again, so that it blocks no other. If it is cut, letters since the last one noted are put back
/// twice.
pub async fn redrive_kafka(config: &KafkaConfig, options: RedriveOptions) -> Report {
    let mut report = Report::new(&config.dlq_topic, options);
    let reached = redrive(config, options, &mut report.letters).await;
    report.close(reached);
    report
}

/// Whether it came to the last letter.
async fn redrive(config: &KafkaConfig, options: RedriveOptions, letters: &mut Vec<Letter>) -> Result<bool> {
    if !options.allow_another(0, config.delivery_timeout) {
        return Ok(false);
    }
    let consumer = Arc::new(consumer(config)?);
    let work = async {
        let ends = assign(&consumer, config).await?;
        redrive_until(ends, &consumer, config, options, letters).await
    };
    let reached = options.in_time(work).await;
    // Its threads take a moment to end. What is known does not wait for them for long.
    let closed = blocking(move || {
        drop(consumer);
        Ok(())
    });
    if let Ok(closed) = tokio::time::timeout(CLOSE, closed).await {
        closed?;
    }
    reached.unwrap_or(Ok(false))
}

/// Puts back the letters before these ends. Whether it came to all of them.
async fn redrive_until(
    mut ends: BTreeMap<i32, i64>,
    consumer: &Arc<Letters>,
    config: &KafkaConfig,
    options: RedriveOptions,
    letters: &mut Vec<Letter>,
) -> Result<bool> {
    let mut redriver = Redriver::new(config);
    while !ends.is_empty() {
        if !options.allow_another(letters.len(), config.delivery_timeout) {
            return Ok(false);
        }
        let received = tokio::time::timeout(config.delivery_timeout, consumer.recv()).await;
        let message = match received {
            Err(_) => return Err(consumer.context().explain("the dead letters can't be read").into()),
            Ok(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
                continue;
            }
            // librdkafka connects again by itself.
            Ok(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure))) => continue,
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(message)) => message,
        };
        let (partition, offset) = (message.partition(), message.offset());
        let Some(last) = ends.get(&partition).copied() else { continue };
        if offset < last {
            let (letter, record) = read(&message);
            if options.dry_run {
                letters.push(letter);
            } else {
                begin(letters, letter);
                let done = match put_back(&mut redriver, config, record).await {
                    Ok(fate) => note(consumer, &config.dlq_topic, partition, offset + 1).await.map(|()| fate),
                    Err(error) => Err(error),
                };
                end(letters, done)?;
            }
        }
        if offset + 1 >= last {
            ends.remove(&partition);
        }
    }
    Ok(true)
}

async fn put_back(redriver: &mut Redriver<'_>, config: &KafkaConfig, record: Record) -> Result<Fate> {
    match redriver.put_back(record.clone()).await? {
        None => Ok(Fate::Redriven),
        Some(reason) => match redriver.send(&config.dlq_topic, &record.with(ORIGINAL_ERROR, &reason)).await? {
            None => Ok(Fate::Left(reason)),
            Some(_) => Err(Error::Kafka(format!("{} can't keep a letter: {reason}", config.dlq_topic))),
        },
    }
}

fn read(message: &BorrowedMessage<'_>) -> (Letter, Record) {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect::<Vec<_>>()
    });
    let record = Record {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    };
    let reason = record.headers.iter().find(|(name, _)| name == ORIGINAL_ERROR);
    let letter = Letter {
        record: format!("{}-{}@{}", message.topic(), message.partition(), message.offset()),
        key: record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned()),
        reason: match reason {
            Some((_, Some(reason))) => String::from_utf8_lossy(reason).into_owned(),
            _ => "no reason is given".to_owned(),
        },
        fate: Fate::Shown,
    };
    (letter, record)
}

fn consumer(config: &KafkaConfig) -> Result<Letters> {
    Ok(client_config(config)?
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .create_with_context(KafkaContext::new(config))?)
}

/// Lets the consumer go on behind the letters that were put back; the end of each partition that has more.
async fn assign(consumer: &Arc<Letters>, config: &KafkaConfig) -> Result<BTreeMap<i32, i64>> {
    let (asking, topic, timeout) = (consumer.clone(), config.dlq_topic.clone(), config.delivery_timeout);
    let (assigned, ends) = tokio::select! {
        found = blocking(move || find(&asking, &topic, timeout)) => found?,
        never = serve(consumer) => match never {},
    };
    consumer.assign(&assigned)?;
    Ok(ends)
}

/// Serves what librdkafka asks for besides letters, as long as none is assigned. Without it nobody would make the token
/// that it waits for before it connects to MSK.
async fn serve(consumer: &Letters) -> Infallible {
    loop {
        // The context keeps the reason of a failure.
        if let Err(error) = consumer.recv().await {
            tracing::debug!(%error, "the consumer of dead letters");
        }
    }
}

/// Where to go on in each partition that has more letters, and its end.
fn find(consumer: &Letters, topic: &str, timeout: Duration) -> Result<(TopicPartitionList, BTreeMap<i32, i64>)> {
    let unreachable = |error: KafkaError| consumer.context().explain(&error.to_string());
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(unreachable)?;
    let known = metadata.topics().iter().filter(|known| known.name() == topic);
    let partitions: BTreeSet<i32> =
        known.flat_map(|known| known.partitions()).map(|partition| partition.id()).collect();
    let mut asked = TopicPartitionList::new();
    for partition in &partitions {
        asked.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(asked, timeout).map_err(unreachable)?;
    let (mut assigned, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
    for partition in partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition, timeout).map_err(unreachable)?;
        let next = match committed.find_partition(topic, partition).map(|known| known.offset()) {
            // Retention may have taken what comes next.
            Some(Offset::Offset(next)) => next.max(first),
            _ => first,
        };
        if next < end {
            assigned.add_partition_offset(topic, partition, Offset::Offset(next))?;
            ends.insert(partition, end);
        }
    }
    Ok((assigned, ends))
}

/// Notes where the next redrive begins.
async fn note(consumer: &Arc<Letters>, topic: &str, partition: i32, next: i64) -> Result<()> {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(next))?;
    let consumer = consumer.clone();
    blocking(move || Ok(consumer.commit(&offsets, CommitMode::Sync)?)).await
}

/// librdkafka's synchronous calls, off the runtime's threads.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(|error| Error::Kafka(error.to_string()))?
}
