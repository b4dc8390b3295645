//! The SQS trigger: pokes to outbox-publisher.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use aws_config::BehaviorVersion;
use aws_sdk_sqs::{
    Client,
    error::DisplayErrorContext,
    types::{Message, MessageSystemAttributeName},
};
use serde_json::{Map, Value, json};

use crate::{invoke::Functions, pause::Pause};

/// The most messages of an invocation.
const BATCH: i32 = 10;

/// How long messages of an invocation are hidden from the next; what was not deleted by then comes again.
const VISIBILITY_SECONDS: i32 = 30;

/// How long to wait for the first message.
const WAIT_SECONDS: i32 = 5;

/// Invokes with what is in the queue, and deletes what the function did not report as failed.
pub(crate) async fn pump(queue_url: String, functions: Functions) -> Result<()> {
    let client = Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let mut pause = Pause::default();
    loop {
        let asked = client
            .receive_message()
            .queue_url(&queue_url)
            .max_number_of_messages(BATCH)
            .visibility_timeout(VISIBILITY_SECONDS)
            .wait_time_seconds(WAIT_SECONDS)
            .message_system_attribute_names(MessageSystemAttributeName::All);
        let messages = match asked.send().await {
            Ok(received) => received.messages.unwrap_or_default(),
            Err(error) => {
                eprintln!("{queue_url}: {}", DisplayErrorContext(&error));
                pause.after_failure().await;
                continue;
            }
        };
        pause.reset();
        if messages.is_empty() {
            continue;
        }
        let what = format!("{} poke(s)", messages.len());
        let Ok(answer) = functions.invoke("outbox-publisher", &what, &event(&queue_url, &messages)).await else {
            // They come again once they are visible.
            continue;
        };
        for message in handled(&messages, &answer) {
            if let Err(error) = delete(&client, &queue_url, message).await {
                eprintln!("{queue_url}: {error:#}");
            }
        }
    }
}

async fn delete(client: &Client, queue_url: &str, message: &Message) -> Result<()> {
    let receipt = message.receipt_handle.as_deref().context("a message without a receipt")?;
    let deleted = client.delete_message().queue_url(queue_url).receipt_handle(receipt).send().await;
    deleted.map(drop).map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(&error)))
}

fn event(queue_url: &str, messages: &[Message]) -> Value {
    let queue = queue_url.rsplit('/').next().unwrap_or_default();
    let records = messages.iter().map(|message| {
        let attributes = message.attributes.iter().flatten();
        let attributes: Map<String, Value> =
            attributes.map(|(name, value)| (name.as_str().to_owned(), json!(value))).collect();
        json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": attributes,
            "messageAttributes": {},
            "md5OfBody": message.md5_of_body,
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:local:000000000000:{queue}"),
            "awsRegion": "local",
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

/// The messages that the answer does not report. A report of an unknown message makes AWS treat all as failed.
fn handled<'a>(messages: &'a [Message], answer: &Value) -> Vec<&'a Message> {
    let failures = answer["batchItemFailures"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed: BTreeSet<&str> =
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap_or_default()).collect();
    let is_failed = |message: &Message| failed.contains(message.message_id.as_deref().unwrap_or_default());
    if messages.iter().filter(|message| is_failed(message)).count() < failed.len() {
        return Vec::new();
    }
    messages.iter().filter(|message| !is_failed(message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_comes_again_and_an_unknown_report_brings_all_back() {
        let messages = ["a", "b", "c"].map(|id| Message::builder().message_id(id).build());
        let kept = |answer: Value| -> Vec<String> {
            handled(&messages, &answer).into_iter().filter_map(|message| message.message_id.clone()).collect()
        };
        assert_eq!(kept(Value::Null), ["a", "b", "c"]);
        assert_eq!(kept(json!({"batchItemFailures": []})), ["a", "b", "c"]);
        assert_eq!(kept(json!({"batchItemFailures": [{"itemIdentifier": "b"}]})), ["a", "c"]);
        assert!(kept(json!({"batchItemFailures": [{"itemIdentifier": "x"}]})).is_empty());
        assert!(kept(json!({"batchItemFailures": [{}]})).is_empty());
    }
}
