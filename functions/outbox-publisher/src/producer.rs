//! One life of a Kafka producer: from its first record to its first failure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use oms_kafka::{KafkaConfig, KafkaContext, producer_config};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureProducer, Producer as _, PurgeConfig},
};

use crate::{Error, Result, record::Record};

/// How long a purged producer may take to say what became of its records.
const SETTLE: Duration = Duration::from_secs(1);

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Kafka has it.
    Acknowledged,
    /// Kafka can never take it, and why.
    Refused(String),
    /// Kafka refused it together with others; one of them may be to blame.
    Suspected,
    /// Nobody knows, or Kafka does not have it.
    Pending,
}

/// What was learned of Kafka, the weightier the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Nothing: there was too little time, or it was not asked.
    Unknown,
    /// It is there, whatever it said.
    Answered,
    /// It does not answer, or has nobody who could take events.
    Away,
}

/// What became of records that were sent together.
#[derive(Debug)]
pub(crate) struct Sent {
    /// In the order of the records.
    pub(crate) outcomes: Vec<Outcome>,
    /// Why some are pending, if it is nothing about the records.
    pub(crate) failure: Option<Error>,
    /// Whether the producer is of no use any more.
    pub(crate) is_spent: bool,
    /// What it tells of Kafka.
    pub(crate) reach: Reach,
}

impl Sent {
    /// Nothing was sent.
    pub(crate) fn nothing(records: usize, failure: Error) -> Self {
        let outcomes = vec![Outcome::Pending; records];
        Self { outcomes, failure: Some(failure), is_spent: true, reach: Reach::Unknown }
    }
}

/// A producer that sends each partition without a gap, or not at all.
pub(crate) struct Producer {
    /// None only while it is dropped.
    inner: Option<FutureProducer<KafkaContext>>,
    context: KafkaContext,
    timeout: Duration,
}

impl Drop for Producer {
    /// librdkafka waits for its threads when it ends: not on a thread of the runtime.
    fn drop(&mut self) {
        let inner = self.inner.take();
        std::thread::spawn(move || drop(inner));
    }
}

impl Producer {
    /// Connects in the background.
    pub(crate) fn new(config: &KafkaConfig) -> Result<Self> {
        let context = KafkaContext::new(config);
        let inner = producer_config(config)?.create_with_context(context.clone())?;
        Ok(Self { inner: Some(inner), context, timeout: config.delivery_timeout })
    }

    fn inner(&self) -> Result<&FutureProducer<KafkaContext>> {
        self.inner.as_ref().ok_or_else(|| Error::Kafka("the producer has ended".to_owned()))
    }

    /// Connects, gets a producer id and learns of the topic, so that the first event need not wait for it. A Kafka that
    /// does not answer shows when there is something to send. Tokens are made by the producer's own thread meanwhile.
    pub(crate) async fn warm(&self, topic: &str) {
        let Some(inner) = self.inner.clone() else { return };
        let (topic, timeout) = (topic.to_owned(), self.timeout);
        let fetched =
            tokio::task::spawn_blocking(move || inner.client().fetch_metadata(Some(&topic), timeout).map(drop));
        match fetched.await {
            Ok(Ok(())) => tracing::debug!("connected to Kafka"),
            Ok(Err(error)) => tracing::debug!(%error, "Kafka does not answer yet"),
            Err(error) => tracing::debug!(%error, "warming up was cut"),
        }
    }

    /// Sends records in order and awaits their acknowledgements; none later than `until`. The time-out runs from one
    /// acknowledgement to the next.
    pub(crate) async fn send(&self, topic: &str, records: &[Record], until: Option<Instant>) -> Sent {
        let mut batch = Batch {
            outcomes: vec![Outcome::Pending; records.len()],
            alone: records.len() == 1,
            failure: None,
            reach: Reach::Unknown,
            waiting: VecDeque::with_capacity(records.len()),
        };
        for (index, record) in records.iter().enumerate() {
            if batch.failure.is_some() {
                break;
            }
            self.enqueue(&mut batch, topic, index, record, until).await;
        }
        while batch.failure.is_none()
            && let Some(next) = batch.waiting.pop_front()
        {
            self.settle(&mut batch, next, until).await;
        }
        if batch.failure.is_some() {
            self.purge(&mut batch, until).await;
        }
        let is_spent = batch.failure.is_some();
        let is_explained = matches!(batch.outcomes.as_slice(), [Outcome::Refused(_)]);
        let failure = batch.failure.filter(|_| !is_explained).map(|failure| self.context.explain(&failure).into());
        Sent { outcomes: batch.outcomes, failure, is_spent, reach: batch.reach }
    }

    async fn enqueue(&self, batch: &mut Batch, topic: &str, index: usize, record: &Record, until: Option<Instant>) {
        let inner = match self.inner() {
            Ok(inner) => inner,
            Err(error) => return batch.failure = Some(error.to_string()),
        };
        let mut message = record.to(topic);
        loop {
            match inner.send_result(message) {
                Ok(delivery) => return batch.waiting.push_back((index, delivery)),
                Err((error, unsent)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    message = unsent;
                    let Some(oldest) = batch.waiting.pop_front() else {
                        return batch.failure = Some(error.to_string());
                    };
                    self.settle(batch, oldest, until).await;
                    if batch.failure.is_some() {
                        return;
                    }
                }
                // What librdkafka itself refuses never was in a batch with others.
                Err((error, _)) if is_hopeless(&error) => {
                    return batch.outcomes[index] = Outcome::Refused(error.to_string());
                }
                Err((error, _)) => {
                    batch.reach = batch.reach.max(reach(&error));
                    return batch.failure = Some(error.to_string());
                }
            }
        }
    }

    async fn settle(&self, batch: &mut Batch, (index, delivery): (usize, DeliveryFuture), until: Option<Instant>) {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let patience = left.map_or(self.timeout, |left| left.min(self.timeout));
        match tokio::time::timeout(patience, delivery).await {
            Ok(Ok(Ok(_))) => {
                batch.outcomes[index] = Outcome::Acknowledged;
                batch.reach = batch.reach.max(Reach::Answered);
            }
            Ok(Ok(Err((error, _)))) => batch.fail(index, &error),
            Ok(Err(_)) => batch.failure = Some("the producer ended".to_owned()),
            Err(_) => {
                // A drain that ends soon gives Kafka less than its time.
                if patience == self.timeout {
                    batch.reach = Reach::Away;
                }
                batch.failure = Some(format!("no acknowledgement within {} ms", patience.as_millis()));
            }
        }
    }

    /// Takes back what was not sent. What was acknowledged meanwhile counts.
    async fn purge(&self, batch: &mut Batch, until: Option<Instant>) {
        if let Some(inner) = &self.inner {
            inner.purge(PurgeConfig::default().queue().inflight());
        }
        // However many producers are purged after the deadline, together they have that time once.
        let now = Instant::now();
        let until = until.map_or(now, |until| until.min(now)) + SETTLE;
        while let Some((index, delivery)) = batch.waiting.pop_front() {
            match tokio::time::timeout(until.saturating_duration_since(Instant::now()), delivery).await {
                Ok(Ok(Ok(_))) => batch.outcomes[index] = Outcome::Acknowledged,
                Ok(Ok(Err((error, _)))) if is_hopeless(&error) => batch.outcomes[index] = Outcome::Suspected,
                _ => {}
            }
        }
    }
}

/// Records on their way.
struct Batch {
    outcomes: Vec<Outcome>,
    alone: bool,
    failure: Option<String>,
    reach: Reach,
    waiting: VecDeque<(usize, DeliveryFuture)>,
}

impl Batch {
    fn fail(&mut self, index: usize, error: &KafkaError) {
        if is_hopeless(error) {
            self.outcomes[index] = if self.alone { Outcome::Refused(error.to_string()) } else { Outcome::Suspected };
        }
        self.reach = self.reach.max(reach(error));
        self.failure = Some(error.to_string());
    }
}

/// What a delivery that failed tells of Kafka. Missing rights and topics are answers.
fn reach(error: &KafkaError) -> Reach {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, LeaderNotAvailable, MessageTimedOut,
        NetworkException, NotEnoughReplicas, NotEnoughReplicasAfterAppend, OperationTimedOut, RequestTimedOut, Resolve,
    };
    match error.rdkafka_error_code() {
        Some(
            AllBrokersDown
            | BrokerNotAvailable
            | BrokerTransportFailure
            | LeaderNotAvailable
            | MessageTimedOut
            | NetworkException
            | NotEnoughReplicas
            | NotEnoughReplicasAfterAppend
            | OperationTimedOut
            | RequestTimedOut
            | Resolve,
        ) => Reach::Away,
        Some(_) => Reach::Answered,
        None => Reach::Unknown,
    }
}

/// What no other attempt can change: the record is too large or makes no sense to Kafka. Everything else may pass,
/// missing rights and topics too.
fn is_hopeless(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        InvalidMessageSize, InvalidRecord, InvalidTimestamp, MessageBatchTooLarge, MessageSizeTooLarge,
        UnsupportedForMessageFormat,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            MessageSizeTooLarge
                | MessageBatchTooLarge
                | InvalidMessageSize
                | InvalidRecord
                | InvalidTimestamp
                | UnsupportedForMessageFormat
        )
    )
}
