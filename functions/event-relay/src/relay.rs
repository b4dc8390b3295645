//! One batch, from records to what should come back.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};

use crate::{
    batch::{BatchResponse, KafkaEvent},
    bus::Bus,
    chain::{Chain, Fate},
    config::{ATTEMPT_TIMEOUT, CALL_ATTEMPTS, CONNECT_TIMEOUT, RelayConfig},
    deliver::Delivery,
    gate::Gate,
    marks::{Marks, Move},
    poison::{DeadLetter, DeadLetters},
    queue::Queue,
    record::{self, Poison, Record, Relayable},
};

/// Relays records of Kafka to EventBridge, and to a FIFO queue where there is one.
#[derive(Debug, Clone)]
pub struct Relay {
    config: RelayConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    eventbridge: aws_sdk_eventbridge::Client,
    sqs: aws_sdk_sqs::Client,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What should come back, by topic, partition and offset. Start again in each partition at its lowest offset: what
    /// was done above it is known by the marks.
    pub failures: Vec<Failure>,
    /// Events that the bus accepted; those that come back nevertheless will repeat, with the same id.
    pub relayed: u64,
    /// Events that were dropped, since they were relayed before.
    pub repeats: u64,
    /// Records that can never pass and are dead letters now.
    pub poisoned: u64,
    /// Events that the FIFO queue accepted.
    pub queued: u64,
}

/// A record that should come back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// The topic.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
    /// The place in the partition.
    pub offset: i64,
}

impl From<&Record> for Failure {
    fn from(record: &Record) -> Self {
        Self { topic: record.topic.clone(), partition: record.partition, offset: record.offset }
    }
}

impl Relay {
    /// A relay with the credentials of the environment. Nothing is called yet.
    pub async fn connect(config: RelayConfig) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &config.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let sdk = loader.load().await;
        Self::with_sdk(config, &sdk)
    }

    /// A relay with these credentials, region and endpoint; time-outs and attempts are the relay's own.
    #[must_use]
    pub fn with_sdk(config: RelayConfig, sdk: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(CALL_ATTEMPTS).with_initial_backoff(Duration::from_millis(100));
        let sdk = sdk.to_builder().timeout_config(timeouts).retry_config(retries).build();
        Self {
            config,
            dynamodb: aws_sdk_dynamodb::Client::new(&sdk),
            eventbridge: aws_sdk_eventbridge::Client::new(&sdk),
            sqs: aws_sdk_sqs::Client::new(&sdk),
        }
    }

    /// Relays a batch of MSK within the deadline of the invocation.
    pub async fn handle(&self, event: KafkaEvent, deadline: Option<Instant>) -> BatchResponse {
        self.relay_before(event.into_records(), deadline).await.into()
    }

    /// Relays records. No partition may be in two calls at once.
    pub async fn relay(&self, records: Vec<Record>) -> Outcome {
        self.relay_before(records, None).await
    }

    /// Relays records, and stops in time before a deadline: what is not done by then should come back.
    #[tracing::instrument(name = "relay.batch", skip_all, fields(records = records.len()))]
    pub async fn relay_before(&self, mut records: Vec<Record>, deadline: Option<Instant>) -> Outcome {
        records.sort_unstable_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
        let outcome = Batch::new(self, deadline.map(Into::into)).run(records).await;
        metrics::counter!("oms_events_relayed_total").increment(outcome.relayed);
        metrics::counter!("oms_event_relay_repeats_total").increment(outcome.repeats);
        metrics::counter!("oms_event_relay_poisoned_total").increment(outcome.poisoned);
        metrics::counter!("oms_event_relay_failures_total").increment(outcome.failures.len() as u64);
        let Outcome { relayed, repeats, poisoned, queued, .. } = outcome;
        tracing::info!(relayed, repeats, poisoned, queued, failures = outcome.failures.len(), "a batch is relayed");
        outcome
    }
}

/// The work on one batch.
struct Batch<'a> {
    marks: Marks<'a>,
    bus: Bus<'a>,
    queue: Option<Queue<'a>>,
    dead_letters: DeadLetters<'a>,
    outcome: Outcome,
}

impl<'a> Batch<'a> {
    fn new(relay: &'a Relay, deadline: Option<tokio::time::Instant>) -> Self {
        let Relay { config, dynamodb, eventbridge, sqs } = relay;
        let queue = |url: &'a String| Queue { client: sqs, url, gate: Gate::new("SQS FIFO queue", deadline) };
        Self {
            marks: Marks { client: dynamodb, table: &config.table, gate: Gate::new("DynamoDB", deadline) },
            bus: Bus { client: eventbridge, name: &config.bus, gate: Gate::new("EventBridge", deadline) },
            queue: config.fifo.as_ref().map(queue),
            dead_letters: DeadLetters {
                client: sqs,
                url: &config.dead_letters,
                gate: Gate::new("SQS dead letters", deadline),
            },
            outcome: Outcome::default(),
        }
    }

    /// Records are in the order of each partition.
    async fn run(mut self, records: Vec<Record>) -> Outcome {
        let mut poison = Vec::new();
        let mut events = Vec::new();
        for record in records {
            match record::parse(record) {
                Ok(event) => events.push(event),
                Err(flawed) => poison.push(*flawed),
            }
        }
        let mut chains = Chain::by_entity(events);
        self.read_marks(&mut chains).await;
        self.put_on_bus(&mut chains).await;
        self.queue_in_order(&mut chains).await;
        self.move_marks(&mut chains).await;
        self.outcome.failures =
            chains.iter().flat_map(Chain::coming_back).map(|event| (&event.record).into()).collect();
        self.bury(&poison).await;
        self.outcome.failures.sort_unstable();
        self.outcome
    }

    /// Drops what was relayed before. An entity whose mark can't be read waits.
    async fn read_marks(&mut self, chains: &mut [Chain]) {
        let entities: Vec<&str> = chains.iter().map(|chain| chain.entity.as_str()).collect();
        let marks = self.marks.read(&entities).await;
        for chain in chains {
            match marks.get(&chain.entity) {
                Some(&mark) => self.outcome.repeats += chain.start_above(mark),
                None => chain.fail(),
            }
        }
    }

    async fn put_on_bus(&mut self, chains: &mut [Chain]) {
        let mut open: Vec<(usize, usize)> =
            (0..chains.len()).flat_map(|chain| chains[chain].open().map(move |step| (chain, step))).collect();
        open.sort_unstable_by_key(|&(chain, step)| chains[chain].steps[step].arrival);
        let events: Vec<&Relayable> = open.iter().map(|&(chain, step)| &chains[chain].steps[step].event).collect();
        let deliveries = self.bus.put(&events).await;
        self.outcome.relayed += accepted(&deliveries);
        self.apply(chains, open.into_iter().zip(deliveries).collect()).await;
    }

    /// What the bus has taken follows into the FIFO queue.
    async fn queue_in_order(&mut self, chains: &mut [Chain]) {
        let Some(queue) = &self.queue else { return };
        let steps: Vec<Vec<(usize, usize)>> =
            (0..chains.len()).map(|chain| chains[chain].open().map(|step| (chain, step)).collect()).collect();
        let groups: Vec<Vec<&Relayable>> = steps
            .iter()
            .map(|steps| steps.iter().map(|&(chain, step)| &chains[chain].steps[step].event).collect())
            .collect();
        let deliveries: Vec<Delivery> = queue.send_groups(&groups).await.into_iter().flatten().collect();
        self.outcome.queued += accepted(&deliveries);
        self.apply(chains, steps.into_iter().flatten().zip(deliveries).collect()).await;
    }

    /// Notes what became of events. What is refused becomes a dead letter; it fails when the letter isn't safe.
    async fn apply(&mut self, chains: &mut [Chain], answers: Vec<((usize, usize), Delivery)>) {
        let mut refused = Vec::new();
        for ((chain, step), delivery) in answers {
            match delivery {
                Delivery::Accepted => {}
                Delivery::Refused(reason) => refused.push((chain, step, reason)),
                Delivery::Failed => chains[chain].steps[step].fate = Fate::Failed,
            }
        }
        // After a failure it comes back anyway, and would be two letters.
        refused.retain(|&(chain, step, _)| chains[chain].reaches(step));
        let letters: Vec<DeadLetter<'_>> = refused
            .iter()
            .map(|(chain, step, reason)| {
                let event = &chains[*chain].steps[*step].event;
                DeadLetter { record: &event.record, value: Some(event.detail.as_bytes()), reason }
            })
            .collect();
        let safe = self.dead_letters.send(&letters).await;
        for (&(chain, step, _), safe) in refused.iter().zip(safe) {
            chains[chain].steps[step].fate = if safe { Fate::Buried } else { Fate::Failed };
            self.outcome.poisoned += u64::from(safe);
        }
    }

    /// Moves each mark to the last event before the first failure: a mark never passes what is still to come.
    async fn move_marks(&mut self, chains: &mut [Chain]) {
        let moving: Vec<(usize, usize)> =
            chains.iter().enumerate().filter_map(|(index, chain)| Some((index, chain.highest()?))).collect();
        let moves: Vec<Move<'_>> = moving
            .iter()
            .map(|&(chain, step)| {
                let event = &chains[chain].steps[step].event;
                let position = event.event.metadata.position;
                Move { entity: &chains[chain].entity, place: event.place(), position }
            })
            .collect();
        let moved = self.marks.write(&moves).await;
        for ((chain, _), moved) in moving.into_iter().zip(moved) {
            if !moved {
                chains[chain].fail();
            }
        }
    }

    /// Sends records without an event to the dead letters. Those after a failure of their partition come back anyway,
    /// and would be two letters.
    async fn bury(&mut self, poison: &[Poison]) {
        let mut first: HashMap<(&str, i32), i64> = HashMap::new();
        let failures = std::mem::take(&mut self.outcome.failures);
        for failure in &failures {
            let lowest = first.entry((&failure.topic, failure.partition)).or_insert(failure.offset);
            *lowest = failure.offset.min(*lowest);
        }
        let (now, later): (Vec<&Poison>, Vec<&Poison>) = poison.iter().partition(|Poison { record, .. }| {
            first.get(&(record.topic.as_str(), record.partition)).is_none_or(|&lowest| record.offset < lowest)
        });
        let letters: Vec<DeadLetter<'_>> = now
            .iter()
            .map(|Poison { record, reason }| DeadLetter { record, value: record.value.as_deref(), reason })
            .collect();
        let safe = self.dead_letters.send(&letters).await;
        self.outcome.poisoned += safe.iter().map(|&safe| u64::from(safe)).sum::<u64>();
        let unsafe_ones = now.into_iter().zip(safe).filter(|(_, safe)| !safe).map(|(poison, _)| poison);
        let back: Vec<Failure> = unsafe_ones.chain(later).map(|poison| (&poison.record).into()).collect();
        self.outcome.failures = failures;
        self.outcome.failures.extend(back);
    }
}

fn accepted(deliveries: &[Delivery]) -> u64 {
    deliveries.iter().map(|delivery| u64::from(*delivery == Delivery::Accepted)).sum()
}
