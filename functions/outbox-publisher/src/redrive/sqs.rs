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
pub async fn redrive_sqs(config: &KafkaConfig, client: &Client, queue_url: &str, options: RedriveOptions) -> Report {
    let mut report = Report::new(queue_url, options);
    let mut staying = BTreeSet::new();
    let result = redrive(config, client, queue_url, options, &mut report.letters, &mut staying).await;
    for receipt in staying {
        let shown =
            client.change_message_visibility().queue_url(queue_url).receipt_handle(receipt).visibility_timeout(0);
        if let Err(error) = shown.send().await {
            tracing::debug!(error = %DisplayErrorContext(&error), "a letter stays hidden for a minute");
        }
    }
    report.failure = result.err().map(|error| error.to_string());
    report
}

async fn redrive(
    config: &KafkaConfig,
    client: &Client,
    queue_url: &str,
    options: RedriveOptions,
    letters: &mut Vec<Letter>,
    staying: &mut BTreeSet<String>,
) -> Result<()> {
    let (mut redriver, mut seen) = (Redriver::new(config), BTreeSet::new());
    loop {
        let messages = receive(client, queue_url).await?;
        staying.extend(messages.iter().filter_map(|message| message.receipt_handle.clone()));
        // Those that stay may come again before the end is reached.
        let fresh: Vec<_> = messages.into_iter().filter(|message| seen.insert(message.message_id.clone())).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        for message in fresh {
            let receipt = message.receipt_handle.as_deref().unwrap_or_default();
            let (letter, record) = read(&message);
            let done = match record {
                Err(why) => Ok(Fate::Left(why)),
                Ok(_) if options.dry_run => Ok(Fate::Shown),
                Ok(record) => put_back(&mut redriver, record, client, queue_url, receipt).await,
            };
            let fate = done.as_ref().map_or_else(|error| Fate::Uncertain(error.to_string()), Clone::clone);
            letters.push(Letter { fate, ..letter });
            if done? == Fate::Redriven {
                staying.remove(receipt);
            }
        }
    }
}

/// Puts a letter back, and takes it out of the queue.
async fn put_back(
    redriver: &mut Redriver<'_>,
    record: Record,
    client: &Client,
    queue_url: &str,
    receipt: &str,
) -> Result<Fate> {
    if let Some(reason) = redriver.put_back(record).await? {
        return Ok(Fate::Left(reason));
    }
    let deleted = client.delete_message().queue_url(queue_url).receipt_handle(receipt).send().await;
    deleted.map_err(|error| Error::Queue(DisplayErrorContext(&error).to_string()))?;
    Ok(Fate::Redriven)
}

async fn receive(client: &Client, queue_url: &str) -> Result<Vec<Message>> {
    let asked = client.receive_message().queue_url(queue_url).max_number_of_messages(10);
    let received = asked.visibility_timeout(HIDDEN_SECONDS).wait_time_seconds(WAIT_SECONDS).send().await;
    Ok(received.map_err(|error| Error::Queue(DisplayErrorContext(&error).to_string()))?.messages.unwrap_or_default())
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
