//! Dead letters: what can never pass waits in an SQS queue with its reason, until somebody has mended it and puts it
//! back.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{StreamExt, stream};
use serde::Serialize;

use crate::{
    config::{CALLS_IN_FLIGHT, SQS_MAX_BYTES},
    gate::{CallError, Gate},
    record::Record,
};

/// The most characters of a reason: it may quote the record.
const MAX_REASON: usize = 1_000;

/// The queue of dead letters, for one batch.
pub(crate) struct DeadLetters<'a> {
    pub(crate) client: &'a Client,
    pub(crate) url: &'a str,
    pub(crate) gate: Gate,
}

/// A record that can never pass.
pub(crate) struct DeadLetter<'a> {
    pub(crate) record: &'a Record,
    /// Its value; the record itself may have lost it to the event.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) reason: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    reason: &'a str,
    /// Null when it isn't text.
    key: Option<&'a str>,
    /// Base64; null when there was none, or it is too large for a message.
    value: Option<String>,
    /// Base64 by name, the first of each name.
    headers: BTreeMap<&'a str, String>,
}

impl DeadLetters<'_> {
    /// Sends letters; says of each, in order, whether it is safe.
    pub(crate) async fn send(&self, letters: &[DeadLetter<'_>]) -> Vec<bool> {
        let bodies: Vec<Option<String>> = letters.iter().map(DeadLetter::body).collect();
        let sent = bodies.into_iter().zip(letters).map(|(body, letter)| self.send_one(letter, body));
        stream::iter(sent).buffered(CALLS_IN_FLIGHT).collect().await
    }

    async fn send_one(&self, letter: &DeadLetter<'_>, body: Option<String>) -> bool {
        let Record { topic, partition, offset, .. } = letter.record;
        let reason = letter.reason;
        let Some(body) = body else {
            tracing::error!(topic, partition, offset, reason, "a dead letter can't be written");
            return false;
        };
        match self.gate.call(self.client.send_message().queue_url(self.url).message_body(body).send()).await {
            Ok(_) => {
                tracing::error!(topic, partition, offset, reason, "a record can never pass: it is a dead letter now");
                true
            }
            Err(CallError::Refused(error)) => {
                tracing::error!(topic, partition, offset, reason, error, "a dead letter is refused");
                false
            }
            Err(CallError::Failed) => false,
        }
    }
}

impl DeadLetter<'_> {
    /// The letter as JSON, with as much of the record as a message takes: where the record stands tells the rest.
    fn body(&self) -> Option<String> {
        let record = self.record;
        let reason: String = self.reason.chars().take(MAX_REASON).collect();
        let mut body = Body {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            reason: &reason,
            key: record.key.as_deref().and_then(|key| str::from_utf8(key).ok()),
            value: self.value.map(|value| BASE64_STANDARD.encode(value)),
            headers: BTreeMap::new(),
        };
        for (name, value) in &record.headers {
            body.headers.entry(name).or_insert_with(|| BASE64_STANDARD.encode(value));
        }
        let mut text = json(&body)?;
        if text.len() > SQS_MAX_BYTES {
            body.value = None;
            text = json(&body)?;
        }
        if text.len() > SQS_MAX_BYTES {
            body.headers.clear();
            body.key = None;
            text = json(&body)?;
        }
        Some(text)
    }
}

/// SQS refuses two characters that JSON allows. A letter that is refused would come back for ever.
fn json(body: &Body<'_>) -> Option<String> {
    let text = serde_json::to_string(body).ok()?;
    Some(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_is_too_large_says_where_the_record_is() {
        let mut record = Record {
            topic: "oms-events".to_owned(),
            partition: 3,
            offset: 15,
            timestamp: None,
            key: Some("key\u{ffff}".into()),
            value: None,
            headers: vec![("event-type".to_owned(), b"X".to_vec())],
        };
        let value = vec![b'x'; 200_000];
        let body = |record: &Record| {
            let letter = DeadLetter { record, value: Some(&value), reason: "too large" };
            serde_json::from_str::<serde_json::Value>(&letter.body().unwrap()).unwrap()
        };
        let expected = serde_json::json!({
            "topic": "oms-events", "partition": 3, "offset": 15, "timestamp": null, "reason": "too large",
            "key": "key\u{ffff}", "value": null, "headers": { "event-type": "WA==" },
        });
        assert_eq!(body(&record), expected);
        record.headers[0].1 = vec![0; 200_000];
        assert_eq!((&body(&record)["headers"], &body(&record)["offset"]), (&serde_json::json!({}), &15.into()));
    }
}
