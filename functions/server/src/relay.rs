//! The relay inside a long-lived process: what MSK does for the Lambda function, done by a consumer here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use oms_event_relay::{Outcome, Record, Relay, RelayConfig};
use oms_kafka::{KafkaConfig, KafkaContext, client_config};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::KafkaResult,
    message::{BorrowedMessage, Headers},
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use crate::until;

/// The most records of a batch.
const BATCH: usize = 500;
/// About the most bytes of a batch.
const BATCH_BYTES: usize = 8 << 20;
/// How long a batch that has begun waits for more.
const FILL: Duration = Duration::from_millis(5);
/// The first pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a batch in hand may take once the process is to end.
const GRACE: Duration = Duration::from_secs(3);
/// How long a consumer may take to go back, or to leave.
const SEEK: Duration = Duration::from_secs(2);

/// Who consumes.
#[derive(Debug, Clone)]
pub struct Group {
    /// `RELAY_GROUP`: the consumer group.
    pub id: String,
    /// `RELAY_INSTANCE`: a name that this process keeps over restarts, and no other has. Its partitions wait for it then, and
    /// one that comes back after a crash goes on at once.
    pub instance: Option<String>,
}

/// Relays until it is stopped. What should come back is read again from its offset; offsets are committed behind it.
pub(crate) async fn run(kafka: KafkaConfig, group: Group, config: RelayConfig, stopped: watch::Receiver<bool>) {
    let relay = Relay::connect(config).await;
    let mut pause = Pause::default();
    loop {
        let consumer = match consumer(&kafka, &group) {
            Ok(consumer) => Arc::new(consumer),
            Err(error) => {
                tracing::error!(error, "events are not relayed: the consumer can't be made");
                return;
            }
        };
        let end = follow(&relay, &consumer, &mut pause, &stopped).await;
        close(consumer).await;
        match end {
            End::Stopped => return,
            // Another one begins at the committed offsets, whoever has the partitions by then.
            End::Lost => pause.wait(&stopped).await,
        }
    }
}

/// Why a consumer is no longer followed.
enum End {
    Stopped,
    /// It can't go back to what should come back.
    Lost,
}

async fn follow(
    relay: &Relay,
    consumer: &Arc<StreamConsumer<KafkaContext>>,
    pause: &mut Pause,
    stopped: &watch::Receiver<bool>,
) -> End {
    loop {
        let records = tokio::select! {
            records = batch(consumer) => records,
            () = until(stopped.clone()) => return End::Stopped,
        };
        let ends = ends(&records);
        // Cut in the middle, it is as after a crash: what was relayed and not marked repeats.
        let outcome = tokio::select! {
            outcome = relay.relay(records) => outcome,
            () = async { until(stopped.clone()).await; tokio::time::sleep(GRACE).await } => return End::Stopped,
        };
        let reached = reached(ends, &outcome);
        if let Err(error) = commit(consumer, &reached) {
            // What is not committed is read again after a restart, and dropped by the marks.
            tracing::warn!(%error, "the offsets of relayed events are not committed");
        }
        if outcome.failures.is_empty() {
            *pause = Pause::default();
            continue;
        }
        pause.wait(stopped).await;
        if *stopped.borrow() {
            return End::Stopped;
        }
        let (seeking, back) = (consumer.clone(), reached);
        let back = tokio::task::spawn_blocking(move || go_back(&seeking, &back)).await;
        if !matches!(back, Ok(Ok(()))) {
            tracing::warn!(
                "events that failed can't be read again by this consumer; another begins at the committed offsets"
            );
            return End::Lost;
        }
    }
}

/// Says goodbye to the group, so that its partitions are free at once. librdkafka waits for that, on a thread that nobody
/// has to wait for.
async fn close(consumer: Arc<StreamConsumer<KafkaContext>>) {
    let (closed, waits) = oneshot::channel();
    std::thread::spawn(move || {
        drop(consumer);
        // Whoever waited may have lost its patience.
        let _ = closed.send(());
    });
    if tokio::time::timeout(SEEK, waits).await.is_err() {
        tracing::debug!("the relay's consumer takes long to leave its group");
    }
}

/// Waits longer and longer while it fails.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pause {
    async fn wait(&mut self, stopped: &watch::Receiver<bool>) {
        tokio::select! {
            () = tokio::time::sleep(self.0) => {}
            () = until(stopped.clone()) => {}
        }
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

fn go_back(consumer: &StreamConsumer<KafkaContext>, reached: &Offsets) -> KafkaResult<()> {
    for ((topic, partition), offset) in reached {
        consumer.seek(topic, *partition, Offset::Offset(*offset), SEEK)?;
    }
    Ok(())
}

fn consumer(kafka: &KafkaConfig, group: &Group) -> Result<StreamConsumer<KafkaContext>, String> {
    let mut config = client_config(kafka).map_err(|error| error.to_string())?;
    if let Some(instance) = &group.instance {
        config.set("group.instance.id", instance);
    }
    config
        .set("group.id", &group.id)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // A crash holds its partitions back for so long.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("fetch.wait.max.ms", "50")
        .set("allow.auto.create.topics", "true")
        .set("topic.metadata.refresh.interval.ms", "10000");
    let consumer: KafkaResult<StreamConsumer<KafkaContext>> = config.create_with_context(KafkaContext::new(kafka));
    let consumer = consumer.map_err(|error| error.to_string())?;
    consumer.subscribe(&[&kafka.topic]).map_err(|error| error.to_string())?;
    Ok(consumer)
}

/// The next records: one, and what comes within a moment.
async fn batch(consumer: &StreamConsumer<KafkaContext>) -> Vec<Record> {
    let (mut records, mut bytes, mut full_at) = (Vec::new(), 0, None);
    while records.len() < BATCH && bytes < BATCH_BYTES {
        let received = match full_at {
            None => consumer.recv().await,
            Some(deadline) => match tokio::time::timeout_at(deadline, consumer.recv()).await {
                Ok(received) => received,
                Err(_) => break,
            },
        };
        match received {
            Ok(message) => {
                bytes += message.payload_len() + message.key_len();
                records.push(record(&message));
                full_at.get_or_insert_with(|| Instant::now() + FILL);
            }
            // The client goes on by itself; its context keeps the reason.
            Err(error) => tracing::debug!(%error, "the relay's consumer"),
        }
    }
    records
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
    });
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

type Offsets = BTreeMap<(String, i32), i64>;

/// Where each partition goes on when the whole batch is done.
fn ends(records: &[Record]) -> Offsets {
    let mut ends = Offsets::new();
    for record in records {
        let end = ends.entry((record.topic.clone(), record.partition)).or_default();
        *end = (*end).max(record.offset + 1);
    }
    ends
}

/// Where each partition goes on: at the first record that should come back.
fn reached(mut ends: Offsets, outcome: &Outcome) -> Offsets {
    for failure in &outcome.failures {
        if let Some(end) = ends.get_mut(&(failure.topic.clone(), failure.partition)) {
            *end = (*end).min(failure.offset);
        }
    }
    ends
}

fn commit(consumer: &StreamConsumer<KafkaContext>, reached: &Offsets) -> KafkaResult<()> {
    let mut offsets = TopicPartitionList::with_capacity(reached.len());
    for ((topic, partition), offset) in reached {
        offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    consumer.commit(&offsets, CommitMode::Async)
}

#[cfg(test)]
mod tests {
    use oms_event_relay::Failure;

    use super::*;

    #[test]
    fn a_partition_goes_on_at_its_first_failure_and_the_others_at_their_end() {
        let record = |partition, offset| Record {
            topic: "t".into(),
            partition,
            offset,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let records = [record(0, 5), record(0, 6), record(0, 7), record(1, 40)];
        let failures = [6, 7].map(|offset| Failure { topic: "t".into(), partition: 0, offset }).into();
        let reached = reached(ends(&records), &Outcome { failures, ..Outcome::default() });
        assert_eq!(reached, Offsets::from([(("t".into(), 0), 6), (("t".into(), 1), 41)]));
    }
}
