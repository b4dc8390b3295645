//! Dead letters of the relay.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_sdk_sqs::{
    Client,
    error::DisplayErrorContext,
    types::{ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName},
};
use oms_events::{DeadLetter, Undecodable};
use oms_kafka::KafkaConfig;

use super::{Fate, Letter, RedriveOptions, Redriver, Report, begin, end};
use crate::{Error, Result, record::Record};

/// How long a letter is hidden from others while it is put back.
const HIDDEN_SECONDS: i32 = 60;

/// After so many batches of letters that are too new or were seen there seem to be no more of the others.
const STALE_BATCHES: u32 = 3;

/// How many letters SQS lets a call be about.
const BATCH: usize = 10;

/// How long to wait for letters when there seem to be no more.
const WAIT_SECONDS: i32 = 1;

/// Puts the letters of a queue back into the topic of events. One whose value was too large to keep stays; the report
/// names the record, which the topic may still have.
pub async fn redrive_sqs(config: &KafkaConfig, client: &Client, queue_url: &str, options: RedriveOptions) -> Report {
    let mut report = Report::new(queue_url, options);
    let mut staying = BTreeSet::new();
    let work = redrive(config, client, queue_url, options, &mut report.letters, &mut staying);
    let reached = options.in_time(work).await.unwrap_or(Ok(false));
    report.close(reached);
    // Without time for it they come back by themselves.
    options.in_time(show(client, queue_url, staying)).await;
    report
}

/// Whether it came to the last letter.
async fn redrive(
    config: &KafkaConfig,
    client: &Client,
    queue_url: &str,
    options: RedriveOptions,
    letters: &mut Vec<Letter>,
    staying: &mut BTreeSet<String>,
) -> Result<bool> {
    let (mut redriver, mut seen) = (Redriver::new(config), BTreeSet::new());
    // What can never pass comes back as a new letter: only those that were there at the start are taken, or it never ends.
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut stale = 0;
    while options.allow_another(letters.len(), config.delivery_timeout) {
        let messages = receive(client, queue_url).await?;
        let nothing = messages.is_empty();
        staying.extend(messages.iter().filter_map(|message| message.receipt_handle.clone()));
        // Those that stay may come again before the end is reached.
        let is_fresh = |message: &Message| sent_at(message) <= began && seen.insert(message.message_id.clone());
        let fresh: Vec<_> = messages.into_iter().filter(is_fresh).collect();
        stale = if fresh.is_empty() { stale + 1 } else { 0 };
        if nothing || stale == STALE_BATCHES {
            return Ok(true);
        }
        for message in fresh {
            if !options.allow_another(letters.len(), config.delivery_timeout) {
                return Ok(false);
            }
            let receipt = message.receipt_handle.as_deref().unwrap_or_default();
            let (letter, record) = read(&message);
            match record {
                Err(why) => letters.push(Letter { fate: Fate::Left(why), ..letter }),
                Ok(_) if options.dry_run => letters.push(letter),
                Ok(record) => {
                    begin(letters, letter);
                    let done = put_back(&mut redriver, record, client, queue_url, receipt).await;
                    if let Ok(Fate::Redriven) = done {
                        staying.remove(receipt);
                    }
                    end(letters, done)?;
                }
            }
        }
    }
    Ok(false)
}

/// Lets others see letters again at once.
async fn show(client: &Client, queue_url: &str, receipts: BTreeSet<String>) {
    let receipts: Vec<String> = receipts.into_iter().collect();
    for receipts in receipts.chunks(BATCH) {
        let mut shown = client.change_message_visibility_batch().queue_url(queue_url);
        for (id, receipt) in receipts.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id.to_string());
            // The builder misses nothing that it needs.
            let Ok(entry) = entry.receipt_handle(receipt).visibility_timeout(0).build() else { continue };
            shown = shown.entries(entry);
        }
        if let Err(error) = shown.send().await {
            tracing::debug!(error = %DisplayErrorContext(&error), "letters stay hidden for a minute");
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

/// When it came into the queue, in milliseconds since 1970.
fn sent_at(message: &Message) -> u128 {
    let attributes = message.attributes.as_ref();
    let sent = attributes.and_then(|known| known.get(&MessageSystemAttributeName::SentTimestamp));
    sent.and_then(|sent| sent.parse().ok()).unwrap_or_default()
}

async fn receive(client: &Client, queue_url: &str) -> Result<Vec<Message>> {
    let asked = client.receive_message().queue_url(queue_url).max_number_of_messages(10);
    let asked = asked.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
    let received = asked.visibility_timeout(HIDDEN_SECONDS).wait_time_seconds(WAIT_SECONDS).send().await;
    Ok(received.map_err(|error| Error::Queue(DisplayErrorContext(&error).to_string()))?.messages.unwrap_or_default())
}

/// The letter, and its record or why there is none.
fn read(message: &Message) -> (Letter, Result<Record, String>) {
    let body = message.body.as_deref().unwrap_or_default();
    match serde_json::from_str::<DeadLetter>(body) {
        Ok(letter) => {
            let record = rebuild(&letter).map_err(|error| error.to_string());
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

fn rebuild(letter: &DeadLetter) -> Result<Record, Undecodable> {
    Ok(Record {
        key: letter.key.as_ref().map(|key| key.as_bytes().to_vec()),
        value: letter.decoded_value()?,
        headers: letter.decoded_headers()?.into_iter().map(|(name, value)| (name, Some(value))).collect(),
    })
}
