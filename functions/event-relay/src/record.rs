//! Records of Kafka, and what is read from them once, at the border.

use std::str;

use oms_core::id::TenantId;
use oms_events::{DeadRecord, Event, EventType, REDRIVEN, SCHEMA_VERSION};
use serde::de::IgnoredAny;
use uuid::Uuid;

/// One message of Kafka, wherever it was consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
    /// The place in the partition.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// The id of the entity as text.
    pub key: Option<Vec<u8>>,
    /// An [`Event`] as JSON.
    pub value: Option<Vec<u8>>,
    /// In the order of the message; a name may come twice.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    fn dead<'a>(&'a self, value: Option<&'a [u8]>, reason: &'a str) -> DeadRecord<'a> {
        DeadRecord {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            reason,
            key: self.key.as_deref(),
            value,
            headers: &self.headers,
        }
    }
}

/// A record that holds an event.
#[derive(Debug)]
pub(crate) struct Relayable {
    /// The record, but for its value.
    pub(crate) record: Record,
    /// The value, as the detail for the bus and the body for the queue: it is never written anew.
    pub(crate) detail: String,
    pub(crate) event: Event<IgnoredAny, IgnoredAny>,
    /// A redriven letter goes past the mark.
    pub(crate) redriven: bool,
}

impl Relayable {
    /// The key of the mark: whose version it is.
    pub(crate) fn entity(&self) -> String {
        format!("{}/{}", self.event.metadata.tenant_id, self.event.entity_id)
    }

    /// Where the event stands among those of its entity.
    pub(crate) fn place(&self) -> Place {
        Place { epoch: self.event.metadata.epoch, version: i64::from(self.event.data.version) }
    }

    /// As a dead letter has it.
    pub(crate) fn dead<'a>(&'a self, reason: &'a str) -> DeadRecord<'a> {
        self.record.dead(Some(self.detail.as_bytes()), reason)
    }

    pub(crate) fn id(&self) -> Uuid {
        self.event.id
    }

    pub(crate) fn event_type(&self) -> EventType {
        self.event.event_type
    }

    /// The trace that the event came from (W3C).
    pub(crate) fn traceparent(&self) -> Option<&str> {
        self.record.header("traceparent").and_then(|value| str::from_utf8(value).ok())
    }
}

/// The order of an entity's events: a restored database begins the versions anew in a higher epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) epoch: i64,
    pub(crate) version: i64,
}

/// A record that can never pass, with what it was and why.
#[derive(Debug)]
pub(crate) struct Poison {
    /// The record, with its value.
    pub(crate) record: Record,
    pub(crate) reason: String,
}

impl Poison {
    /// As a dead letter has it.
    pub(crate) fn dead(&self) -> DeadRecord<'_> {
        self.record.dead(self.record.value.as_deref(), &self.reason)
    }
}

/// Why a record can never pass.
#[derive(Debug, thiserror::Error)]
enum Flaw {
    #[error("the record has no value")]
    NoValue,
    #[error("the value is not UTF-8: {0}")]
    NotText(str::Utf8Error),
    #[error("the value is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("the value is not an event: {0}")]
    NotAnEvent(serde_json::Error),
    #[error("schema version {0} is above {SCHEMA_VERSION}, the highest that is known")]
    Newer(u32),
    #[error("{0} is {1}, and must be 1 or more")]
    BelowOne(&'static str, i64),
    #[error("the tenant is wrong: {0}")]
    Tenant(&'static str),
    #[error("the key is not {0}, the id of the entity")]
    Key(Uuid),
}

/// Reads the event of a record.
pub(crate) fn parse(mut record: Record) -> Result<Relayable, Box<Poison>> {
    match event(&record) {
        Ok(event) => {
            // `event` has found UTF-8, so nothing is replaced and nothing copied.
            let detail = String::from_utf8(record.value.take().unwrap_or_default())
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
            let redriven = record.header(REDRIVEN).is_some();
            Ok(Relayable { record, detail, event, redriven })
        }
        Err(flaw) => Err(Box::new(Poison { record, reason: flaw.to_string() })),
    }
}

fn event(record: &Record) -> Result<Event<IgnoredAny, IgnoredAny>, Flaw> {
    let value = record.value.as_deref().ok_or(Flaw::NoValue)?;
    let text = str::from_utf8(value).map_err(Flaw::NotText)?;
    let event: Event<IgnoredAny, IgnoredAny> = serde_json::from_str(text)
        .map_err(|error| if error.is_data() { Flaw::NotAnEvent(error) } else { Flaw::NotJson(error) })?;
    let metadata = &event.metadata;
    if metadata.schema_version > SCHEMA_VERSION {
        return Err(Flaw::Newer(metadata.schema_version));
    }
    for (name, value) in [("position", metadata.position), ("version", i64::from(event.data.version))] {
        if value < 1 {
            return Err(Flaw::BelowOne(name, value));
        }
    }
    // It becomes a part of a DynamoDB key: one that is too long would fail the marks of every record in the batch.
    metadata.tenant_id.parse::<TenantId>().map_err(Flaw::Tenant)?;
    // Kafka keeps the order by key: under another key it may be in another partition.
    if record.key.as_deref() != Some(event.entity_id.to_string().as_bytes()) {
        return Err(Flaw::Key(event.entity_id));
    }
    Ok(event)
}
