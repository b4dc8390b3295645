//! Puts dead letters back: those of the publisher from their topic, those of the relay from their queue. Each comes
//! back with the header `redriven: 1`, so that the relay lets it past what it relayed since; consumers drop what is not
//! above the version that they have.

mod kafka;
mod places;
mod sqs;

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use oms_events::REDRIVEN;
use oms_kafka::KafkaConfig;
use serde::Serialize;

pub use kafka::redrive_kafka;
pub use places::{DeadLetters, Place};
pub use sqs::redrive_sqs;

use crate::{
    Error, Result,
    producer::{Outcome, Producer},
    record::{ORIGINAL_ERROR, Record},
};

/// How to redrive.
#[derive(Debug, Clone, Copy, Default)]
pub struct RedriveOptions {
    /// Only shows what there is; every letter stays.
    pub dry_run: bool,
    /// When it has to have ended; without, it takes its time.
    pub until: Option<Instant>,
    /// How many letters a report may have; without, all.
    pub most: Option<usize>,
}

impl RedriveOptions {
    /// Whether another letter may be begun after so many, when one takes so long at most.
    fn allow_another(&self, letters: usize, longest: Duration) -> bool {
        self.most.is_none_or(|most| letters < most) && self.until.is_none_or(|until| Instant::now() + longest < until)
    }

    /// What comes of the work, if it ends in time.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.until {
            Some(until) => tokio::time::timeout_at(until.into(), work).await.ok(),
            None => Some(work.await),
        }
    }
}

/// What a redrive did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Where the letters were: a topic or the address of a queue.
    pub source: String,
    /// Whether nothing was put back on purpose.
    pub dry_run: bool,
    /// Each letter that it came to.
    pub letters: Vec<Letter>,
    /// Whether the time or the report's room ended before the last letter: those that are not in the report stay, for
    /// another redrive.
    pub unfinished: bool,
    /// What ended it before the last letter; those that are not in the report stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// Topic, partition and offset of the record.
    pub record: String,
    /// The entity's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why it became a dead letter.
    pub reason: String,
    /// What became of it now.
    pub fate: Fate,
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is", content = "why")]
pub enum Fate {
    /// It is in the topic of events again.
    Redriven,
    /// It stays, since this was a dry run.
    Shown,
    /// It can't be put back, and stays.
    Left(String),
    /// It may be in the topic of events again, and may still be a dead letter: another redrive may repeat it.
    Uncertain(String),
}

impl Report {
    fn new(source: &str, options: RedriveOptions) -> Self {
        Self {
            source: source.to_owned(),
            dry_run: options.dry_run,
            letters: Vec::new(),
            unfinished: false,
            failure: None,
        }
    }

    /// Notes whether the last letter was reached, or what prevented it.
    fn close(&mut self, reached: Result<bool>) {
        match reached {
            Ok(reached) => self.unfinished = !reached,
            Err(error) => self.failure = Some(error.to_string()),
        }
    }

    /// How many letters went back.
    #[must_use]
    pub fn redriven(&self) -> usize {
        self.letters.iter().filter(|letter| letter.fate == Fate::Redriven).count()
    }

    /// The letters that can't be put back.
    pub fn left(&self) -> impl Iterator<Item = &Letter> {
        self.letters.iter().filter(|letter| matches!(letter.fate, Fate::Left(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} dead letter(s), {} redriven", self.source, self.letters.len(), self.redriven())?;
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for letter in &self.letters {
            *reasons.entry(&letter.reason).or_default() += 1;
        }
        for (reason, count) in reasons {
            writeln!(f, "  {count} x {reason}")?;
        }
        if self.dry_run {
            for letter in &self.letters {
                writeln!(f, "  {} {}", letter.record, letter.key.as_deref().unwrap_or("(no key)"))?;
            }
            writeln!(f, "  nothing was put back: a dry run")?;
        }
        for letter in &self.letters {
            let (fate, why) = match &letter.fate {
                Fate::Left(why) => ("left", why),
                Fate::Uncertain(why) => ("another try may repeat it", why),
                Fate::Redriven | Fate::Shown => continue,
            };
            writeln!(f, "  {fate}: {} {}: {why}", letter.record, letter.key.as_deref().unwrap_or("(no key)"))?;
        }
        if self.unfinished {
            writeln!(f, "  stopped in time, further letters stay")?;
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "  stopped by a failure, further letters stay: {failure}")?;
        }
        Ok(())
    }
}

/// Begins a letter that is to be put back. Its fate is known at the end, and the work may be cut before.
fn begin(letters: &mut Vec<Letter>, letter: Letter) {
    letters.push(Letter { fate: Fate::Uncertain("the time ended before it was known".to_owned()), ..letter });
}

/// Ends the letter that was begun last.
fn end(letters: &mut [Letter], done: Result<Fate>) -> Result<()> {
    if let Some(letter) = letters.last_mut() {
        letter.fate = done.as_ref().map_or_else(|error| Fate::Uncertain(error.to_string()), Clone::clone);
    }
    done.map(drop)
}

/// Sends letters one by one: there are few, and each has its own fate.
struct Redriver<'a> {
    config: &'a KafkaConfig,
    producer: Option<Producer>,
}

impl<'a> Redriver<'a> {
    fn new(config: &'a KafkaConfig) -> Self {
        Self { config, producer: None }
    }

    /// Puts a record back; the reason if Kafka can't take it.
    async fn put_back(&mut self, record: Record) -> Result<Option<String>> {
        let topic = &self.config.topic;
        self.send(topic, &record.without(ORIGINAL_ERROR).with(REDRIVEN, "1")).await
    }

    /// The reason if Kafka can't take it.
    async fn send(&mut self, topic: &str, record: &Record) -> Result<Option<String>> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => Producer::new(self.config)?,
        };
        let mut sent = producer.send(topic, std::slice::from_ref(record), None).await;
        if !sent.is_spent {
            self.producer = Some(producer);
        }
        match (sent.outcomes.pop(), sent.failure) {
            (Some(Outcome::Acknowledged), _) => Ok(None),
            (Some(Outcome::Refused(reason)), _) => Ok(Some(reason)),
            (_, failure) => Err(failure.unwrap_or_else(|| Error::Kafka("not acknowledged".to_owned()))),
        }
    }
}
