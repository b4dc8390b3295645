//! Dead letters of the relay.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sqs::{Client, error::DisplayErrorContext, types::Message};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{Fate, Letter, RedriveOptions, Redriver, Report};
use crate::{Error, KafkaConfig, Result, record::Record};

/// How long a letter is hidden from others while it is put back.
const HIDDEN_SECONDS: i32 = 60;

/// How long to wait for letters when there seem to be no more.
const WAIT_SECONDS: i32 = 1;

/// A letter as the relay writes it.
#[derive(Debug, Deserialize)]
struct DeadLetter {
    topic: String,
    partition: i64,
    offset: i64,
    reason: String,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// Puts the letters of a queue back into the topic of events. One whose value was too large to keep stays; the report
/// names the record, which the topic may still have.
///
/// # Errors
///
/// SQS or Kafka can't be reached; the letters from there on stay.
pub async fn redrive_sqs(
    config: &KafkaConfig,
    client: &Client,
    queue_url: &str,
    options: RedriveOptions,
) -> Result<Report> {
    let mut report = Report { source: queue_url.to_owned(), dry_run: options.dry_run, letters: Vec::new() };
    let (mut seen, mut staying) = (BTreeSet::new(), Vec::new());
    let result = loop {
        let messages = match receive(client, queue_url).await {
            Ok(messages) => messages,
            Err(error) => break Err(error),
        };
        // Those that stay may come again before the end is reached.
        let fresh: Vec<_> = messages.into_iter().filter(|message| seen.insert(message.message_id.clone())).collect();
        if fresh.is_empty() {
            break Ok(());
        }
        if let Err(error) = handle(config, client, queue_url, options, fresh, &mut report, &mut staying).await {
            break Err(error);
        }
    };
    for receipt in staying {
        let shown =
            client.change_message_visibility().queue_url(queue_url).receipt_handle(receipt).visibility_timeout(0);
        if let Err(error) = shown.send().await {
            tracing::debug!(error = %DisplayErrorContext(&error), "a letter stays hidden for a minute");
        }
    }
    result.map(|()| report)
}

async fn receive(client: &Client, queue_url: &str) -> Result<Vec<Message>> {
    let asked = client.receive_message().queue_url(queue_url).max_number_of_messages(10);
    let received = asked.visibility_timeout(HIDDEN_SECONDS).wait_time_seconds(WAIT_SECONDS).send().await;
    Ok(received.map_err(|error| Error::Queue(DisplayErrorContext(&error).to_string()))?.messages.unwrap_or_default())
}

async fn handle(
    config: &KafkaConfig,
    client: &Client,
    queue_url: &str,
    options: RedriveOptions,
    messages: Vec<Message>,
    report: &mut Report,
    staying: &mut Vec<String>,
) -> Result<()> {
    let mut redriver = Redriver::new(config);
    let mut failure = None;
    for message in messages {
        let receipt = message.receipt_handle.clone().unwrap_or_default();
        let (letter, record) = read(&message);
        let fate = match record {
            // After a failure the others are only shown again.
            _ if failure.is_some() => {
                staying.push(receipt);
                continue;
            }
            Err(why) => Fate::Left(why),
            Ok(_) if options.dry_run => Fate::Shown,
            Ok(record) => match redriver.put_back(record).await {
                Ok(None) => Fate::Redriven,
                Ok(Some(reason)) => Fate::Left(reason),
                Err(error) => {
                    failure = Some(error);
                    staying.push(receipt);
                    continue;
                }
            },
        };
        if fate == Fate::Redriven {
            let deleted = client.delete_message().queue_url(queue_url).receipt_handle(receipt).send().await;
            failure = deleted.err().map(|error| Error::Queue(DisplayErrorContext(&error).to_string()));
        } else {
            staying.push(receipt);
        }
        report.letters.push(Letter { fate, ..letter });
    }
    failure.map_or(Ok(()), Err)
}

/// The letter, and its record or why there is none.
fn read(message: &Message) -> (Letter, Result<Record, String>) {
    let body = message.body.as_deref().unwrap_or_default();
    match serde_json::from_str::<DeadLetter>(body) {
        Ok(letter) => {
            let record = rebuild(&letter);
            let shown = Letter {
                record: format!("{}-{}@{}", letter.topic, letter.partition, letter.offset),
                key: letter.key,
                reason: letter.reason,
                fate: Fate::Shown,
            };
            (shown, record)
        }
        Err(error) => {
            let id = message.message_id.clone().unwrap_or_default();
            let shown =
                Letter { record: format!("message {id}"), key: None, reason: "unknown".to_owned(), fate: Fate::Shown };
            (shown, Err(format!("not a dead letter of the relay: {error}")))
        }
    }
}

fn rebuild(letter: &DeadLetter) -> Result<Record, String> {
    let decode = |text: &String| STANDARD.decode(text).map_err(|error| format!("malformed base64: {error}"));
    let value = letter.value.as_ref().ok_or("its value was too large for the queue; read the record in the topic")?;
    let headers = letter.headers.iter().map(|(name, value)| Ok((name.clone(), Some(decode(value)?))));
    Ok(Record {
        key: letter.key.as_ref().map(|key| key.as_bytes().to_vec()),
        value: Some(decode(value)?),
        headers: headers.collect::<Result<_, String>>()?,
    })
}
