//! The batch as MSK hands it to a Lambda function, and the answer that says what should come back. The shapes are our
//! own: a header without a value, or with bytes above 127, must not fail the batch that it is in.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

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
    key: Option<String>,
    value: Option<String>,
    /// One map for each header, so that a name may come twice.
    #[serde(default)]
    headers: Option<Vec<HashMap<String, Option<Vec<i16>>>>>,
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
        let headers = message.headers.into_iter().flatten().flatten();
        Self {
            topic: message.topic,
            partition: message.partition,
            offset: message.offset,
            timestamp: message.timestamp,
            key: message.key.map(decoded),
            value: message.value.map(decoded),
            headers: headers.map(|(name, value)| (name, value.map(octets).unwrap_or_default())).collect(),
        }
    }
}

/// What isn't Base64 is kept as it is, and poison: nothing else could say what came.
fn decoded(text: String) -> Vec<u8> {
    BASE64_STANDARD.decode(&text).unwrap_or_else(|_| text.into_bytes())
}

/// Java's bytes have signs.
fn octets(signed: Vec<i16>) -> Vec<u8> {
    signed.into_iter().map(|byte| byte.to_le_bytes()[0]).collect()
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
