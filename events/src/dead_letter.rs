//! What the relay could never pass, as it waits in an SQS queue until somebody puts it back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(feature = "dead-letter")]
mod codec;

#[cfg(feature = "dead-letter")]
pub use codec::{DeadRecord, Undecodable};

/// The header, with the value `1`, of a record that was put back by hand: it may come late.
pub const REDRIVEN: &str = "redriven";

/// The body of a message in the queue of dead letters, as JSON. Feature `dead-letter` writes and decodes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Where the record was: the topic.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
    /// The place in the partition.
    pub offset: i64,
    /// When the record was written, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Why it can never pass.
    pub reason: String,
    /// The record's key; null when there is none or it isn't text.
    pub key: Option<String>,
    /// The record's value in its encoding; null for [`Encoding::None`] and [`Encoding::Omitted`].
    pub value: Option<String>,
    /// How the value is written.
    pub encoding: Encoding,
    /// Base64 by name, the first of each name.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// How a dead letter has the value of its record. An event is text that anybody can read in the queue; gzip is for what
/// would be too large with its quotes escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// The record had no value.
    #[serde(rename = "none")]
    None,
    /// The value is text, and stands there as it is.
    #[serde(rename = "utf-8")]
    Utf8,
    /// The value is not text.
    #[serde(rename = "base64")]
    Base64,
    /// The value is compressed (RFC 1952), then Base64.
    #[serde(rename = "gzip+base64")]
    Gzip,
    /// The value is too large for a message even when it is compressed. The topic may still have it.
    #[serde(rename = "omitted")]
    Omitted,
}
