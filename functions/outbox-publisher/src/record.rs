//! An event as a record of Kafka: CloudEvents 1.0 in binary mode, plus the headers of specification 5.2.

use oms_core::event_log::LogEvent;
use oms_events::HeaderParts;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::FutureRecord,
};

use crate::Result;

/// Why Kafka could not take it; on records of the dead-letter topic.
pub(crate) const ORIGINAL_ERROR: &str = "original-error";

/// A record without its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// The event's record; its value is a claim check when it would have more than `max_bytes`.
    pub(crate) fn of(event: &LogEvent, max_bytes: usize) -> Result<Self> {
        Ok(Self::with_value(event, event.to_json(max_bytes)?))
    }

    /// The same with a claim check, whatever the event is like.
    pub(crate) fn claim_check(event: &LogEvent) -> Result<Self> {
        Ok(Self::with_value(event, event.to_claim_check()?))
    }

    fn with_value(event: &LogEvent, value: String) -> Self {
        let headers = oms_events::headers(&HeaderParts {
            id: event.id,
            event_type: event.event_type,
            entity_id: event.entity_id,
            timestamp: event.occurred_at,
            correlation_id: event.correlation_id.as_deref(),
            traceparent: event.traceparent.as_deref(),
        });
        Self {
            key: Some(event.entity_id.to_string().into_bytes()),
            value: Some(value.into_bytes()),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes()))).collect(),
        }
    }

    /// The record with a header more; one of the same name goes.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.to_owned(), Some(value.as_bytes().to_vec())));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// As librdkafka takes it.
    pub(crate) fn to<'a>(&'a self, topic: &'a str) -> FutureRecord<'a, [u8], [u8]> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let record = FutureRecord::to(topic).headers(headers);
        let record = match &self.key {
            Some(key) => record.key(key.as_slice()),
            None => record,
        };
        match &self.value {
            Some(value) => record.payload(value.as_slice()),
            None => record,
        }
    }
}
