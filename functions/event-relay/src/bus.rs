//! EventBridge: fans out to whoever has a rule.

use aws_sdk_eventbridge::{
    Client,
    primitives::DateTime,
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use oms_events::SOURCE;

use crate::{
    config::{EVENTBRIDGE_MAX_BYTES, EVENTBRIDGE_MAX_ENTRIES},
    deliver::{Carrier, Delivery, Entry, deliver},
    gate::{CallError, Gate, side_by_side},
    pack::pack,
    record::Relayable,
};

/// What the time of an entry counts for.
const TIME_BYTES: usize = 14;

/// The bus, for one batch.
pub(crate) struct Bus<'a> {
    pub(crate) client: &'a Client,
    pub(crate) name: &'a str,
    pub(crate) gate: Gate<'a>,
}

impl Bus<'_> {
    /// Puts events on the bus; the deliveries are in the order of the events.
    pub(crate) async fn put(&self, events: &[&Relayable]) -> Vec<Delivery> {
        let mut deliveries: Vec<Delivery> = events.iter().map(|event| too_large(size(event))).collect();
        let fitting: Vec<usize> = (0..events.len()).filter(|&index| deliveries[index] == Delivery::Failed).collect();
        let sizes: Vec<usize> = fitting.iter().map(|&index| size(events[index])).collect();
        let runs = pack(&sizes, EVENTBRIDGE_MAX_ENTRIES, EVENTBRIDGE_MAX_BYTES);
        let calls = runs.into_iter().map(|run| {
            let indices = fitting[run].to_vec();
            async move {
                let batch: Vec<&Relayable> = indices.iter().map(|&index| events[index]).collect();
                let answers = deliver(self, &batch).await;
                indices.into_iter().zip(answers).collect::<Vec<_>>()
            }
        });
        for (index, answer) in side_by_side(calls.collect()).await.into_iter().flatten() {
            deliveries[index] = answer;
        }
        deliveries
    }

    fn entry(&self, event: &Relayable) -> PutEventsRequestEntry {
        let time = event.event.timestamp;
        PutEventsRequestEntry::builder()
            .event_bus_name(self.name)
            .source(SOURCE)
            .detail_type(event.event_type().as_str())
            .detail(&event.detail)
            .time(DateTime::from_secs_and_nanos(time.timestamp(), time.timestamp_subsec_nanos()))
            .set_trace_header(event.traceparent().and_then(trace_header))
            .build()
    }
}

impl Carrier for Bus<'_> {
    const SERVICE: &'static str = "EventBridge";

    async fn send(&self, events: &[&Relayable]) -> Result<Vec<Entry>, CallError> {
        let entries = events.iter().map(|event| self.entry(event)).collect();
        let answer = self.gate.call(self.client.put_events().set_entries(Some(entries)).send()).await?;
        Ok(answer.entries().iter().map(read).collect())
    }
}

/// What AWS counts of an entry.
fn size(event: &Relayable) -> usize {
    SOURCE.len() + event.event_type().as_str().len() + event.detail.len() + TIME_BYTES
}

fn too_large(size: usize) -> Delivery {
    if size > EVENTBRIDGE_MAX_BYTES {
        Delivery::Refused(format!("EventBridge takes {EVENTBRIDGE_MAX_BYTES} bytes, and the event has {size}"))
    } else {
        Delivery::Failed
    }
}

fn read(entry: &PutEventsResultEntry) -> Entry {
    let Some(code) = entry.error_code() else { return Entry::Accepted };
    let error = format!("EventBridge: {code}: {}", entry.error_message().unwrap_or_default());
    match code {
        "MalformedDetail" | "InvalidArgument" => Entry::Refused(error),
        // Throttling and faults of AWS pass; rights that are missing are given.
        _ => Entry::Retry(error),
    }
}

/// The X-Ray header of a W3C `traceparent`.
fn trace_header(traceparent: &str) -> Option<String> {
    let mut parts = traceparent.split('-').skip(1);
    let (trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex(trace, 32) || !hex(parent, 16) || !hex(flags, 2) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    Some(format!("Root=1-{}-{};Parent={parent};Sampled={sampled}", &trace[..8], &trace[8..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_becomes_the_header_of_x_ray() {
        assert_eq!(
            trace_header("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_deref(),
            Some("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1")
        );
        for wrong in ["", "00-é", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"] {
            assert_eq!(trace_header(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_the_entry_itself_is_to_blame_for_is_refused() {
        let answer = |code: &str| read(&PutEventsResultEntry::builder().error_code(code).build());
        assert!(matches!(answer("MalformedDetail"), Entry::Refused(_)));
        for code in ["ThrottlingException", "InternalFailure", "NotAuthorizedForSourceException", "Unheard"] {
            assert!(matches!(answer(code), Entry::Retry(_)), "{code}");
        }
    }
}
