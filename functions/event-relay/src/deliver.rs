//! Delivers a run of events with calls that may take some of their entries and not others.

use crate::{
    gate::{CallError, back_off},
    record::Relayable,
};

/// How often an entry is offered.
const ENTRY_ATTEMPTS: u32 = 4;

/// What became of an event in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    Accepted,
    /// It will never be taken, for this reason.
    Refused(String),
    /// It may be taken another time. It is logged already.
    Failed,
}

/// The answer for one entry of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Accepted,
    Refused(String),
    Retry(String),
}

/// What takes events by the batch.
pub(crate) trait Carrier {
    /// As in log lines.
    const SERVICE: &'static str;

    /// Makes one call, and has an answer for each event in order.
    fn send(&self, events: &[&Relayable]) -> impl Future<Output = Result<Vec<Entry>, CallError>> + Send;
}

/// Delivers events that fit into one call.
pub(crate) async fn deliver<C: Carrier>(carrier: &C, events: &[&Relayable]) -> Vec<Delivery> {
    let mut deliveries = vec![Delivery::Failed; events.len()];
    let mut calls = vec![(0..events.len()).collect::<Vec<_>>()];
    while let Some(mut left) = calls.pop() {
        for attempt in 0..ENTRY_ATTEMPTS {
            if attempt > 0 {
                back_off(attempt).await;
            }
            let batch: Vec<&Relayable> = left.iter().map(|&index| events[index]).collect();
            match carrier.send(&batch).await {
                Ok(entries) => {
                    let last = attempt + 1 == ENTRY_ATTEMPTS;
                    let mut again = Vec::new();
                    if entries.len() < left.len() {
                        tracing::warn!(service = C::SERVICE, "the answer is short of entries: the rest has failed");
                    }
                    for (&index, entry) in left.iter().zip(entries) {
                        match entry {
                            Entry::Accepted => deliveries[index] = Delivery::Accepted,
                            Entry::Refused(reason) => deliveries[index] = Delivery::Refused(reason),
                            Entry::Retry(error) if last => {
                                let event = events[index].id();
                                tracing::warn!(service = C::SERVICE, %event, %error, "an event was not taken");
                            }
                            Entry::Retry(_) => again.push(index),
                        }
                    }
                    left = again;
                }
                Err(CallError::Refused(reason)) if left.len() == 1 => {
                    deliveries[left[0]] = Delivery::Refused(reason);
                    break;
                }
                // One of them is at fault: alone it will be refused, and the others taken.
                Err(CallError::Refused(_)) => {
                    calls.extend(left.iter().rev().map(|&index| vec![index]));
                    break;
                }
                Err(CallError::Failed) => break,
            }
            if left.is_empty() {
                break;
            }
        }
    }
    deliveries
}
