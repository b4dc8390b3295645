//! The batch as MSK hands it to a Lambda function, and the answer that says what should come back. The shapes are our
//! own: a header without a value, or with bytes above 127, must not fail the batch that it is in.

use std::{collections::HashMap, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};

use crate::{record::Record, relay::Outcome};

/// A batch of records, by partition.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct KafkaEvent {
    /// By `<topic>-<partition>`. What has none comes from another trigger, and is refused.
    records: HashMap<String, Vec<Message>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Message {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Encoded>,
    value: Option<Encoded>,
    #[serde(default)]
    headers: Option<Vec<Headers>>,
}

impl KafkaEvent {
    /// The records, in no particular order of partitions.
    #[must_use]
    pub fn into_records(self) -> Vec<Record> {
        self.records.into_values().flatten().map(Record::from).collect()
    }
}

impl From<Message> for Record {
    fn from(message: Message) -> Self {
        Self {
            topic: message.topic,
            partition: message.partition,
            offset: message.offset,
            timestamp: message.timestamp,
            key: message.key.map(|key| key.0),
            value: message.value.map(|value| value.0),
            headers: message.headers.into_iter().flatten().flat_map(|headers| headers.0).collect(),
        }
    }
}

/// Base64, decoded as it is read. What isn't Base64 is kept as it is, and poison: nothing else could say what came.
#[derive(Debug, Clone)]
struct Encoded(Vec<u8>);

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Encoded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Base64")
            }

            fn visit_str<E>(self, text: &str) -> Result<Encoded, E> {
                Ok(Encoded(BASE64_STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// One map for each header, so that a name may come twice.
#[derive(Debug, Clone)]
struct Headers(Vec<(String, Vec<u8>)>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::with_capacity(1);
                while let Some((name, value)) = map.next_entry::<String, Option<Vec<Octet>>>()? {
                    headers.push((name, value.into_iter().flatten().map(|octet| octet.0).collect()));
                }
                Ok(Headers(headers))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Java's bytes have signs.
#[derive(Debug, Clone, Copy)]
struct Octet(u8);

impl<'de> Deserialize<'de> for Octet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(i16::deserialize(deserializer)?.to_le_bytes()[0]))
    }
}

/// What should come back. AWS starts again in each partition at the lowest offset named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// Empty when all is done.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// One record that should come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// Which one.
    pub item_identifier: ItemIdentifier,
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemIdentifier {
    /// `<topic>-<partition>`.
    pub partition: String,
    /// The place in the partition.
    pub offset: i64,
}

impl From<Outcome> for BatchResponse {
    fn from(outcome: Outcome) -> Self {
        let failure = |failure: crate::Failure| BatchItemFailure {
            item_identifier: ItemIdentifier {
                partition: format!("{}-{}", failure.topic, failure.partition),
                offset: failure.offset,
            },
        };
        Self { batch_item_failures: outcome.failures.into_iter().map(failure).collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Failure;

    #[test]
    fn a_batch_is_read_whatever_its_headers_are() {
        let event: KafkaEvent = serde_json::from_value(json!({
            "eventSource": "aws:kafka",
            "bootstrapServers": "b-1.test:9098",
            "records": { "oms-events-3": [
                { "topic": "oms-events", "partition": 3, "offset": 15, "timestamp": 1545084650987_i64,
                  "timestampType": "CREATE_TIME", "key": "a2V5", "value": "eyJhIjoxfQ==",
                  "headers": [{ "ce_id": [49] }, { "odd": [-61, -87, 233] }, { "none": null }] },
                { "topic": "oms-events", "partition": 3, "offset": 16, "key": null, "value": "%", "headers": null },
            ] },
        }))
        .unwrap();
        let records = event.into_records();
        assert_eq!(
            records[0],
            Record {
                topic: "oms-events".to_owned(),
                partition: 3,
                offset: 15,
                timestamp: Some(1_545_084_650_987),
                key: Some(b"key".to_vec()),
                value: Some(b"{\"a\":1}".to_vec()),
                headers: vec![
                    ("ce_id".to_owned(), b"1".to_vec()),
                    ("odd".to_owned(), vec![0xc3, 0xa9, 0xe9]),
                    ("none".to_owned(), Vec::new())
                ],
            }
        );
        assert_eq!((records[1].key.as_ref(), records[1].value.as_deref()), (None, Some(&b"%"[..])));
    }

    #[test]
    fn an_answer_names_what_comes_back_as_aws_reads_it() {
        let failure = Failure { topic: "oms-events".to_owned(), partition: 3, offset: 15 };
        let outcome = Outcome { failures: vec![failure], ..Outcome::default() };
        assert_eq!(
            serde_json::to_value(BatchResponse::from(outcome)).unwrap(),
            json!({ "batchItemFailures": [{ "itemIdentifier": { "partition": "oms-events-3", "offset": 15 } }] })
        );
        assert_eq!(
            serde_json::to_value(BatchResponse::from(Outcome::default())).unwrap(),
            json!({ "batchItemFailures": [] })
        );
    }
}
