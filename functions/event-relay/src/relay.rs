//! One batch, from records to what should come back.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use oms_core::breaker::Breaker;
use oms_events::DeadRecord;

use crate::{
    batch::{BatchResponse, KafkaEvent},
    bus::Bus,
    chain::{Chain, Fate},
    config::{ATTEMPT_TIMEOUT, CALL_ATTEMPTS, CONNECT_TIMEOUT, RelayConfig},
    deliver::Delivery,
    gate::Gate,
    marks::{Marks, Move},
    poison::DeadLetters,
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
    breakers: Breakers,
}

/// Of each service that is called, over all batches.
#[derive(Debug, Clone)]
struct Breakers {
    dynamodb: Breaker,
    eventbridge: Breaker,
    sqs: Breaker,
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

impl From<&DeadRecord<'_>> for Failure {
    fn from(record: &DeadRecord<'_>) -> Self {
        Self { topic: record.topic.to_owned(), partition: record.partition, offset: record.offset }
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

    /// A relay with these credentials, region and endpoint. Attempts and time-outs are the relay's own, but for a
    /// time-out of an attempt that is set here.
    #[must_use]
    pub fn with_sdk(config: RelayConfig, sdk: &SdkConfig) -> Self {
        let attempt = sdk.timeout_config().and_then(TimeoutConfig::operation_attempt_timeout);
        let attempt = attempt.unwrap_or(ATTEMPT_TIMEOUT);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(attempt)
            .operation_timeout(attempt * CALL_ATTEMPTS + CONNECT_TIMEOUT)
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(CALL_ATTEMPTS).with_initial_backoff(Duration::from_millis(100));
        let sdk = sdk.to_builder().timeout_config(timeouts).retry_config(retries).build();
        let breaker = |dependency| Breaker::new(dependency, config.breaker);
        // A count that begins with the first record never rises for who watches it.
        count(&Outcome::default());
        Self {
            breakers: Breakers {
                dynamodb: breaker("dynamodb"),
                eventbridge: breaker("eventbridge"),
                sqs: breaker("sqs"),
            },
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
        count(&outcome);
        let Outcome { relayed, repeats, poisoned, queued, .. } = outcome;
        tracing::info!(relayed, repeats, poisoned, queued, failures = outcome.failures.len(), "a batch is relayed");
        outcome
    }
}

fn count(outcome: &Outcome) {
    metrics::counter!("oms_events_relayed_total").increment(outcome.relayed);
    metrics::counter!("oms_event_relay_repeats_total").increment(outcome.repeats);
    metrics::counter!("oms_event_relay_poisoned_total").increment(outcome.poisoned);
    metrics::counter!("oms_event_relay_failures_total").increment(outcome.failures.len() as u64);
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
        let Relay { config, dynamodb, eventbridge, sqs, breakers } = relay;
        let gate = |service, breaker| Gate::new(service, breaker, deadline);
        let queue = |url: &'a String| Queue { client: sqs, url, gate: gate("SQS FIFO queue", &breakers.sqs) };
        Self {
            marks: Marks { client: dynamodb, table: &config.table, gate: gate("DynamoDB", &breakers.dynamodb) },
            bus: Bus { client: eventbridge, name: &config.bus, gate: gate("EventBridge", &breakers.eventbridge) },
            queue: config.fifo.as_ref().map(queue),
            dead_letters: DeadLetters {
                client: sqs,
                url: &config.dead_letters,
                gate: gate("SQS dead letters", &breakers.sqs),
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
        self.bury_refused(&mut chains).await;
        self.move_marks(&mut chains).await;
        self.outcome.failures =
            chains.iter().flat_map(Chain::coming_back).map(|event| (&event.record).into()).collect();
        self.bury_unmarked(&poison, &chains).await;
        self.outcome.failures.sort_unstable();
        self.outcome.failures.dedup();
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
        apply(chains, open.into_iter().zip(deliveries));
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
        apply(chains, steps.into_iter().flatten().zip(deliveries));
    }

    /// Makes dead letters of refused events, once nothing but their marks can fail before them, and before the marks
    /// pass them. What comes after a letter that isn't safe fails with it.
    async fn bury_refused(&mut self, chains: &mut [Chain]) {
        let safe = self.dead_letters.send(chains.iter().map(Chain::refused).collect()).await;
        for (chain, safe) in chains.iter_mut().zip(safe) {
            chain.bury(safe);
            self.outcome.poisoned += safe as u64;
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

    /// Makes dead letters of what no mark knows: records without an event, and redriven events that are refused again.
    /// A partition that starts again brings all of them, so they go last, and in each partition in order up to the
    /// first failure.
    async fn bury_unmarked(&mut self, poison: &[Poison], chains: &[Chain]) {
        let mut partitions: BTreeMap<(&str, i32), Vec<DeadRecord<'_>>> = BTreeMap::new();
        for record in poison.iter().map(Poison::dead).chain(chains.iter().flat_map(Chain::refused_again)) {
            partitions.entry((record.topic, record.partition)).or_default().push(record);
        }
        let mut lowest: HashMap<(&str, i32), i64> = HashMap::new();
        for Failure { topic, partition, offset } in &self.outcome.failures {
            let lowest = lowest.entry((topic, *partition)).or_insert(*offset);
            *lowest = *offset.min(lowest);
        }
        let mut runs = Vec::new();
        for (partition, records) in &mut partitions {
            records.sort_unstable_by_key(|record| record.offset);
            let end = lowest.get(partition).copied().unwrap_or(i64::MAX);
            runs.push(records[..records.partition_point(|record| record.offset < end)].to_vec());
        }
        let safe = self.dead_letters.send(runs).await;
        for (records, safe) in partitions.values().zip(safe) {
            self.outcome.poisoned += safe as u64;
            self.outcome.failures.extend(records[safe..].iter().map(Failure::from));
        }
    }
}

/// Notes what became of events.
fn apply(chains: &mut [Chain], answers: impl IntoIterator<Item = ((usize, usize), Delivery)>) {
    for ((chain, step), delivery) in answers {
        let fate = &mut chains[chain].steps[step].fate;
        match delivery {
            Delivery::Accepted => {}
            Delivery::Refused(reason) => *fate = Fate::Refused(reason),
            Delivery::Failed => *fate = Fate::Failed,
        }
    }
}

fn accepted(deliveries: &[Delivery]) -> u64 {
    deliveries.iter().map(|delivery| u64::from(*delivery == Delivery::Accepted)).sum()
}

#[cfg(test)]
mod tests {
    use oms_core::breaker::BreakerConfig;

    use super::*;

    #[test]
    fn a_relay_may_work_in_a_task_of_its_own() {
        fn assert_send<T: Send + 'static>(_: T) {}
        let config = RelayConfig {
            bus: String::new(),
            table: String::new(),
            dead_letters: String::new(),
            fifo: None,
            endpoint: None,
            region: None,
            breaker: BreakerConfig::default(),
        };
        assert_send(async {
            let relay = Relay::connect(config).await;
            relay.relay(Vec::new()).await;
            relay.relay_before(Vec::new(), None).await;
            relay.handle(KafkaEvent::default(), None).await
        });
    }
}
