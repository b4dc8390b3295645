//! The optional SQS FIFO queue: the order of each entity, and repeats dropped for five minutes.

use std::collections::HashMap;

use aws_sdk_sqs::{
    Client,
    error::BuildError,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};

use crate::{
    config::{SQS_MAX_BYTES, SQS_MAX_ENTRIES},
    deliver::{Carrier, Delivery, Entry, deliver},
    gate::{CallError, Gate, side_by_side},
    pack::pack,
    record::Relayable,
};

const EVENT_TYPE: &str = "event-type";
const POSITION: &str = "position";
const STRING: &str = "String";
const NUMBER: &str = "Number";

/// The queue, for one batch.
pub(crate) struct Queue<'a> {
    pub(crate) client: &'a Client,
    pub(crate) url: &'a str,
    pub(crate) gate: Gate<'a>,
}

impl Queue<'_> {
    /// Sends the events of groups, each in order; the deliveries are as the events are. A group stops at its first
    /// failure, so what comes after it has failed too. No call has two events of a group, and the next event of a group
    /// waits for the one before: a call that takes some entries and not others can't change their order.
    pub(crate) async fn send_groups(&self, groups: &[Vec<&Relayable>]) -> Vec<Vec<Delivery>> {
        let mut deliveries: Vec<Vec<Delivery>> = groups.iter().map(|_| Vec::new()).collect();
        let longest = groups.iter().map(Vec::len).max().unwrap_or(0);
        for turn in 0..longest {
            let mut wave = Vec::new();
            for (group, events) in groups.iter().enumerate() {
                let Some(&event) = events.get(turn) else { continue };
                if deliveries[group].last() == Some(&Delivery::Failed) {
                    deliveries[group].push(Delivery::Failed);
                } else if size(event) > SQS_MAX_BYTES {
                    deliveries[group].push(Delivery::Refused(format!(
                        "SQS takes {SQS_MAX_BYTES} bytes, and the event has {}",
                        size(event)
                    )));
                } else {
                    wave.push((group, event));
                }
            }
            for (group, delivery) in self.send_wave(&wave).await {
                deliveries[group].push(delivery);
            }
        }
        deliveries
    }

    async fn send_wave(&self, wave: &[(usize, &Relayable)]) -> Vec<(usize, Delivery)> {
        let sizes: Vec<usize> = wave.iter().map(|(_, event)| size(event)).collect();
        let calls = pack(&sizes, SQS_MAX_ENTRIES, SQS_MAX_BYTES).into_iter().map(|run| {
            let (groups, events): (Vec<usize>, Vec<&Relayable>) = wave[run].iter().copied().unzip();
            async move {
                let answers = deliver(self, &events).await;
                groups.into_iter().zip(answers).collect::<Vec<_>>()
            }
        });
        side_by_side(calls.collect()).await.into_iter().flatten().collect()
    }
}

impl Carrier for Queue<'_> {
    const SERVICE: &'static str = "SQS";

    async fn send(&self, events: &[&Relayable]) -> Result<Vec<Entry>, CallError> {
        let entries = events.iter().enumerate().map(|(index, event)| message(index, event)).collect::<Result<_, _>>();
        let entries = entries.map_err(|error| CallError::Refused(error.to_string()))?;
        let call = self.client.send_message_batch().queue_url(self.url).set_entries(Some(entries));
        let answer = self.gate.call(call.send()).await?;
        let mut read: HashMap<&str, Entry> =
            answer.successful().iter().map(|entry| (entry.id(), Entry::Accepted)).collect();
        for failed in answer.failed() {
            let error = format!("SQS: {}: {}", failed.code(), failed.message().unwrap_or_default());
            read.insert(
                failed.id(),
                if is_refusal(failed.code()) { Entry::Refused(error) } else { Entry::Retry(error) },
            );
        }
        let missing = || Entry::Retry("SQS: no answer".to_owned());
        Ok((0..events.len()).map(|index| read.remove(index.to_string().as_str()).unwrap_or_else(missing)).collect())
    }
}

/// Whether the message itself is at fault. The flag `SenderFault` doesn't tell: it is set for a missing right too.
fn is_refusal(code: &str) -> bool {
    let code = code.rsplit('.').next().unwrap_or(code);
    matches!(code, "InvalidMessageContents" | "InvalidParameterValue" | "InvalidParameter" | "MessageTooLong")
}

fn message(index: usize, event: &Relayable) -> Result<SendMessageBatchRequestEntry, BuildError> {
    // A redriven letter may come within five minutes of the first time: as the same message it would be swallowed.
    let deduplication = match event.redriven {
        true => format!("{}-redriven-{}", event.id(), event.record.offset),
        false => event.id().to_string(),
    };
    SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_group_id(event.event.entity_id.to_string())
        .message_deduplication_id(deduplication)
        .message_body(&event.detail)
        .message_attributes(EVENT_TYPE, attribute(STRING, event.event_type().as_str())?)
        .message_attributes(POSITION, attribute(NUMBER, &event.event.metadata.position.to_string())?)
        .build()
}

fn attribute(data_type: &str, value: &str) -> Result<MessageAttributeValue, BuildError> {
    MessageAttributeValue::builder().data_type(data_type).string_value(value).build()
}

/// What SQS counts of a message: its body and the names, types and values of its attributes.
fn size(event: &Relayable) -> usize {
    let attributes = [EVENT_TYPE, STRING, event.event_type().as_str(), POSITION, NUMBER];
    let position = event.event.metadata.position.to_string();
    event.detail.len() + attributes.iter().map(|text| text.len()).sum::<usize>() + position.len()
}
