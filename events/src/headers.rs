//! The headers of an event's Kafka message.

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use crate::{EventType, SCHEMA_VERSION, SOURCE};

/// What the headers of a message say of its event.
#[derive(Debug, Clone, Copy)]
pub struct HeaderParts<'a> {
    /// The event's id.
    pub id: Uuid,
    /// What happened.
    pub event_type: EventType,
    /// The object type or link type that it happened to.
    pub entity_id: Uuid,
    /// When it was written.
    pub timestamp: DateTime<Utc>,
    /// Ties it to its request.
    pub correlation_id: Option<&'a str>,
    /// W3C trace context of its request.
    pub traceparent: Option<&'a str>,
}

/// What a Kafka message has for headers: CloudEvents 1.0 in binary mode, and those of specification 5.2.
#[must_use]
pub fn headers(parts: &HeaderParts<'_>) -> Vec<(&'static str, String)> {
    let event_type = parts.event_type.as_str();
    let mut headers = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", parts.id.to_string()),
        ("ce_source", SOURCE.to_owned()),
        ("ce_type", event_type.to_owned()),
        ("ce_time", parts.timestamp.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        ("ce_subject", parts.entity_id.to_string()),
        ("content-type", "application/json".to_owned()),
        ("event-type", event_type.to_owned()),
        ("event-version", SCHEMA_VERSION.to_string()),
    ];
    headers.extend(parts.correlation_id.map(|id| ("correlation-id", id.to_owned())));
    headers.extend(parts.traceparent.map(|trace| ("traceparent", trace.to_owned())));
    headers
}
