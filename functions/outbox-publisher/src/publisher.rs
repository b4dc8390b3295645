//! Draining the log: claim partitions, produce their events in order, move their checkpoints, release them.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use metrics::counter;
use oms_core::{
    Registry,
    breaker::Breaker,
    event_log::{Claims, LogEvent, Pass},
};
use oms_kafka::KafkaConfig;
use tokio::sync::watch;

use crate::{
    Error, Result,
    batch::{Batch, Fate},
    producer::{Outcome, Producer, Reach, Sent},
    record::{ORIGINAL_ERROR, Record},
};

const PUBLISHED: &str = "oms_events_published_total";
const DEAD_LETTERED: &str = "oms_events_dead_lettered_total";
const FAILURES: &str = "oms_event_publish_failures_total";

/// Partitions of one claim: four publishers share the sixteen.
const CLAIM: usize = 4;

/// About how many events a batch has, over all claimed partitions.
const BATCH: i64 = 2_000;

/// Batches until other partitions have their turn.
const TURN: usize = 4;

/// How long the database may take for one step.
const STEP: Duration = Duration::from_secs(10);

/// How long after the deadline what Kafka has may still be noted and the partitions released. Lambda keeps more than that
/// in reserve.
const FINISH: Duration = Duration::from_secs(2);

/// What a drain did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// Events that Kafka acknowledged.
    pub published: u64,
    /// Events that Kafka can never take, now in the dead-letter topic.
    pub dead_lettered: u64,
    /// Claims of partitions; one partition may have been claimed again.
    pub partitions: u64,
    /// Whether time ran out before the log was drained.
    pub unfinished: bool,
}

/// When a drain has to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Until {
    pub(crate) deadline: Option<Instant>,
    pub(crate) stopped: Option<watch::Receiver<bool>>,
}

impl Until {
    fn is_reached(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
            || self.stopped.as_ref().is_some_and(|stopped| *stopped.borrow())
    }

    /// How long a step that begins something may take.
    fn patience(&self) -> Duration {
        self.left_after(Duration::ZERO)
    }

    /// How long a step that finishes something may take.
    fn last_patience(&self) -> Duration {
        self.left_after(FINISH)
    }

    fn left_after(&self, more: Duration) -> Duration {
        let left = self.deadline.map(|deadline| (deadline + more).saturating_duration_since(Instant::now()));
        left.map_or(STEP, |left| left.min(STEP))
    }
}

/// Sends the log on to Kafka. It keeps its producer and its connection from one drain to the next, and no partition.
pub struct Publisher {
    config: KafkaConfig,
    breaker: Breaker,
    producer: Option<Producer>,
    claims: Option<Claims>,
}

impl Publisher {
    /// Connects when it is first needed.
    #[must_use]
    pub fn new(config: KafkaConfig) -> Self {
        let breaker = Breaker::new("kafka", config.breaker);
        // A count that begins with the first letter never rises for who watches it.
        for metric in [PUBLISHED, DEAD_LETTERED, FAILURES] {
            counter!(metric).increment(0);
        }
        Self { config, breaker, producer: None, claims: None }
    }

    /// Connects to Kafka, so that the first event need not wait for that.
    pub async fn warm(&mut self) {
        if let Ok(producer) = Producer::new(&self.config) {
            producer.warm(&self.config.topic).await;
            self.producer = Some(producer);
        }
    }

    /// Publishes what is committed, until nothing is left that others don't have in hand, or the deadline is reached.
    /// No partition is locked when it returns.
    ///
    /// # Errors
    ///
    /// What keeps events from being published; they wait, and the next drain begins with them.
    pub async fn drain(&mut self, registry: &Registry, deadline: Option<Instant>) -> Result<Drained> {
        self.drain_until(registry, &Until { deadline, stopped: None }).await
    }

    pub(crate) async fn drain_until(&mut self, registry: &Registry, until: &Until) -> Result<Drained> {
        let mut drained = Drained::default();
        // On the heap: so many futures in each other are too deep for the compiler.
        let result = Box::pin(self.drain_into(&mut drained, registry, until)).await;
        if drained.published > 0 {
            counter!(PUBLISHED).increment(drained.published);
        }
        if drained.dead_lettered > 0 {
            counter!(DEAD_LETTERED).increment(drained.dead_lettered);
        }
        if result.is_err() {
            counter!(FAILURES).increment(1);
        }
        result.map(|()| drained)
    }

    async fn drain_into(&mut self, drained: &mut Drained, registry: &Registry, until: &Until) -> Result<()> {
        if until.is_reached() {
            drained.unfinished = true;
            return Ok(());
        }
        let mut pass = registry.events.pass();
        let mut more = sequence(&mut pass, until.deadline).await?;
        loop {
            if until.is_reached() {
                drained.unfinished = true;
                return Ok(());
            }
            // The rest of the outbox moves into the log while Kafka gets what is there already.
            let moving = async { if more { sequence(&mut pass, until.deadline).await } else { Ok(false) } };
            let (moved, published) = tokio::join!(moving, self.publish_log(drained, registry, until));
            published?;
            if !more {
                return Ok(());
            }
            more = moved?;
        }
    }

    /// Publishes what is in the log, until nothing is left that others don't have in hand.
    async fn publish_log(&mut self, drained: &mut Drained, registry: &Registry, until: &Until) -> Result<()> {
        let (mut claims, mut claimed) = self.first_claim(registry, until).await?;
        loop {
            let is_idle = claimed.is_empty();
            let result = if is_idle {
                Ok(())
            } else {
                drained.partitions += u64::try_from(claimed.len()).unwrap_or(u64::MAX);
                self.take_turn(&mut claims, &claimed, drained, registry, until).await
            };
            // On a connection that is lost, or has a statement in flight, the locks end with it.
            if matches!(result, Err(Error::Log(_) | Error::LogTimeout)) {
                return result;
            }
            if !is_idle {
                step(until.last_patience(), claims.release()).await?;
            }
            drained.unfinished = !is_idle && until.is_reached();
            if is_idle || result.is_err() || drained.unfinished {
                self.claims = Some(claims);
                return result;
            }
            // What another publisher sequenced while the partitions were locked here, it could not claim: look again.
            claimed = step(until.patience(), claims.claim(CLAIM)).await?;
        }
    }

    /// Claims on the connection of the last drain, or on a new one when there is none or it has died since, as it does
    /// under a frozen Lambda environment. Whoever is cut in the middle of a drain keeps no connection.
    async fn first_claim(&mut self, registry: &Registry, until: &Until) -> Result<(Claims, Vec<i16>)> {
        if let Some(mut claims) = self.claims.take() {
            match step(until.patience(), claims.claim(CLAIM)).await {
                Ok(claimed) => return Ok((claims, claimed)),
                Err(error) => tracing::debug!(%error, "the publisher's connection is lost; opening another"),
            }
        }
        let mut claims = step(until.patience(), registry.events.claimer()).await?;
        let claimed = step(until.patience(), claims.claim(CLAIM)).await?;
        Ok((claims, claimed))
    }

    /// Publishes some batches of the claimed partitions.
    async fn take_turn(
        &mut self,
        claims: &mut Claims,
        claimed: &[i16],
        drained: &mut Drained,
        registry: &Registry,
        until: &Until,
    ) -> Result<()> {
        let mut done = Vec::new();
        let result = self.publish_batches(claims, claimed, &mut done, drained, registry, until).await;
        repeat_cache_writes(registry, &done, until).await;
        result
    }

    /// The same but for the cache, which was not told of what is left in `done`.
    async fn publish_batches(
        &mut self,
        claims: &mut Claims,
        claimed: &[i16],
        done: &mut Vec<LogEvent>,
        drained: &mut Drained,
        registry: &Registry,
        until: &Until,
    ) -> Result<()> {
        let mut events = Vec::new();
        for turn in 0..=TURN {
            if until.is_reached() {
                return Ok(());
            }
            // Who waits for Kafka reads nothing for it, and leaves the partitions to others.
            let breaker = self.breaker.clone();
            let admission = breaker.admit().map_err(|open| Error::Kafka(open.to_string()))?;
            // While Kafka takes a batch, the next one is read and the cache told of the one before.
            let read = async {
                match turn {
                    TURN => Ok(Vec::new()),
                    _ => step(until.patience(), claims.next(claimed, BATCH)).await,
                }
            };
            let told = repeat_cache_writes(registry, done, until);
            let publish = self.publish(&events, registry.events.claim_check_bytes(), until.deadline);
            let (next, batch, ()) = tokio::join!(read, publish, told);
            match batch.reach {
                Reach::Unknown => drop(admission),
                Reach::Answered => admission.succeeded(),
                Reach::Away => admission.failed(),
            }
            let reached = batch.reached(&events);
            if !reached.is_empty() {
                step(until.last_patience(), claims.advance(&reached)).await?;
            }
            drained.published += batch.count(&Fate::Published);
            drained.dead_lettered += batch.count(&Fate::DeadLettered);
            *done = batch.done(events);
            if let Some(failure) = batch.failure {
                return Err(failure);
            }
            // Fewer than the limit are not all: large events come in smaller batches.
            events = next?;
            if events.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends events in order; what became of each.
    async fn publish(&mut self, events: &[LogEvent], max_bytes: usize, deadline: Option<Instant>) -> Batch {
        let mut batch = Batch { fates: vec![Fate::Waiting; events.len()], failure: None, reach: Reach::Unknown };
        let (mut indices, mut records) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        // Events whose type can't be read: not for Kafka either.
        let mut corrupt = Vec::new();
        for (index, event) in events.iter().enumerate() {
            match Record::of(event, max_bytes) {
                Ok(record) => {
                    indices.push(index);
                    records.push(record);
                }
                Err(error) => corrupt.push((index, error.to_string())),
            }
        }
        let topic = self.config.topic.clone();
        let sent = self.send(&topic, &records, deadline).await;
        let suspected = sent.outcomes.contains(&Outcome::Suspected);
        batch.reach = sent.reach;
        batch.failure = sent.failure.filter(|_| !suspected);
        for ((index, record), outcome) in indices.into_iter().zip(records).zip(sent.outcomes) {
            let outcome = match outcome {
                // Kafka refused a batch. Each of what it did not take goes alone, to find which is to blame; what comes
                // after a failure waits, so that nothing overtakes.
                Outcome::Pending | Outcome::Suspected if suspected && batch.failure.is_none() => {
                    let mut alone = self.send(&topic, std::slice::from_ref(&record), deadline).await;
                    batch.failure = alone.failure;
                    batch.reach = batch.reach.max(alone.reach);
                    alone.outcomes.pop().unwrap_or(Outcome::Pending)
                }
                outcome => outcome,
            };
            match outcome {
                Outcome::Acknowledged => batch.fates[index] = Fate::Published,
                Outcome::Refused(reason) => match self.bury(&events[index], Some(record), &reason, deadline).await {
                    Ok(()) => batch.fates[index] = Fate::DeadLettered,
                    Err(error) => {
                        batch.failure.get_or_insert(error);
                    }
                },
                Outcome::Suspected | Outcome::Pending => {}
            }
        }
        for (index, reason) in corrupt {
            if batch.failure.is_none() {
                match self.bury(&events[index], None, &reason, deadline).await {
                    Ok(()) => batch.fates[index] = Fate::DeadLettered,
                    Err(error) => batch.failure = Some(error),
                }
            }
        }
        batch
    }

    /// Puts what Kafka can never take into the dead-letter topic, as a claim check if it can't be had whole there
    /// either.
    async fn bury(
        &mut self,
        event: &LogEvent,
        record: Option<Record>,
        reason: &str,
        deadline: Option<Instant>,
    ) -> Result<()> {
        let topic = self.config.dlq_topic.clone();
        let mut failure = None;
        for record in record.into_iter().chain([Record::claim_check(event)?]) {
            let letter = record.with(ORIGINAL_ERROR, reason);
            let mut sent = self.send(&topic, std::slice::from_ref(&letter), deadline).await;
            match sent.outcomes.pop() {
                Some(Outcome::Acknowledged) => {
                    tracing::error!(
                        event.id = %event.id, entity.id = %event.entity_id, event.position, reason, topic,
                        "Kafka can't take an event; it is in the dead-letter topic"
                    );
                    return Ok(());
                }
                Some(Outcome::Refused(reason)) => failure = Some(Error::Kafka(format!("{topic}: {reason}"))),
                _ => return Err(sent.failure.unwrap_or_else(|| Error::Kafka(format!("{topic}: not acknowledged")))),
            }
        }
        Err(failure.unwrap_or_else(|| Error::Kafka(format!("{topic}: not acknowledged"))))
    }

    /// Sends with the producer at hand, and throws it away when it fails or is cut: what it still had is sent again by
    /// the next one, from the checkpoint on.
    async fn send(&mut self, topic: &str, records: &[Record], deadline: Option<Instant>) -> Sent {
        let producer = match self.producer.take().map_or_else(|| Producer::new(&self.config), Ok) {
            Ok(producer) => producer,
            Err(error) => return Sent::nothing(records.len(), error),
        };
        let sent = producer.send(topic, records, deadline).await;
        if !sent.is_spent {
            self.producer = Some(producer);
        }
        sent
    }
}

/// Moves some of what is committed into the log; whether there may be more. The transaction that is in flight when the time
/// ends is not waited for, since the environment would be stopped with it.
async fn sequence(pass: &mut Pass<'_>, deadline: Option<Instant>) -> Result<bool> {
    let (_, more) = match deadline {
        None => pass.step().await?,
        Some(deadline) => {
            tokio::time::timeout_at(deadline.into(), pass.step()).await.map_err(|_| Error::LogTimeout)??
        }
    };
    Ok(more)
}

async fn repeat_cache_writes(registry: &Registry, done: &[LogEvent], until: &Until) {
    if tokio::time::timeout(until.last_patience(), registry.repeat_cache_writes(done)).await.is_err() {
        tracing::debug!("the cache did not take the writes in time; they expire there by themselves");
    }
}

/// A step with the database. On a connection that does not answer nothing can be waited for.
async fn step<T>(patience: Duration, step: impl Future<Output = oms_core::error::Result<T>>) -> Result<T> {
    match tokio::time::timeout(patience, step).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::LogTimeout),
    }
}
