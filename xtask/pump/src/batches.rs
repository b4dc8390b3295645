//! Batches as the MSK trigger makes them: what is sent together, and what comes back.

use std::collections::{BTreeMap, VecDeque};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// The most records of an invocation.
const RECORDS: usize = 100;

/// The most bytes of an invocation, of the 6 MB that Lambda takes.
const BYTES: usize = 6_000_000 - 64 * 1024;

/// A record as the function gets it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    partition: i32,
    offset: i64,
    json: Value,
    bytes: usize,
}

/// What a consumer knows of a record.
pub(crate) struct Received<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl From<Received<'_>> for Record {
    fn from(received: Received<'_>) -> Self {
        // The bytes of headers are those of Java: signed.
        let signed =
            |value: Option<&[u8]>| value.unwrap_or_default().iter().map(|b| b.cast_signed()).collect::<Vec<_>>();
        let headers: Vec<_> = received.headers.iter().map(|(name, value)| json!({*name: signed(*value)})).collect();
        let json = json!({
            "topic": received.topic,
            "partition": received.partition,
            "offset": received.offset,
            "timestamp": received.timestamp,
            "timestampType": "CREATE_TIME",
            "key": received.key.map(|key| STANDARD.encode(key)),
            "value": received.value.map(|value| STANDARD.encode(value)),
            "headers": headers,
        });
        let bytes = json.to_string().len() + 1;
        Self { partition: received.partition, offset: received.offset, json, bytes }
    }
}

/// Records that wait for an invocation, by partition and in order.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    partitions: BTreeMap<i32, VecDeque<Record>>,
    /// The partition that the next batch begins with, so that none starves.
    turn: i32,
}

/// Records of one invocation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch(Vec<Record>);

/// The offsets up to which partitions are done: partition and the next offset.
pub(crate) type Done = Vec<(i32, i64)>;

impl Waiting {
    pub(crate) fn push(&mut self, record: Record) {
        self.partitions.entry(record.partition).or_default().push_back(record);
    }

    pub(crate) fn len(&self) -> usize {
        self.partitions.values().map(VecDeque::len).sum()
    }

    /// Takes the next batch: a record of each partition in turn, as far as they fit. None when nothing waits.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let from_turn = self.partitions.range(self.turn..).chain(self.partitions.range(..self.turn));
        let mut order: VecDeque<i32> = from_turn.map(|(partition, _)| *partition).collect();
        while let Some(partition) = order.pop_front() {
            let Some(queue) = self.partitions.get_mut(&partition) else { continue };
            let fits = queue.front().is_some_and(|next| batch.is_empty() || bytes + next.bytes <= BYTES);
            let Some(record) = queue.pop_front_if(|_| fits && batch.len() < RECORDS) else { continue };
            bytes += record.bytes;
            batch.push(record);
            order.push_back(partition);
        }
        self.turn = batch.first().map_or(0, |first: &Record| first.partition + 1);
        self.partitions.retain(|_, queue| !queue.is_empty());
        (!batch.is_empty()).then_some(Batch(batch))
    }

    /// Takes an answer in: what is done, and whether something came back. From the lowest offset that is reported of a
    /// partition on, its records wait again, before all others. None when the answer makes no sense: AWS sends the
    /// whole batch again.
    pub(crate) fn settle(&mut self, topic: &str, batch: &Batch, answer: &Value) -> Option<(Done, bool)> {
        let failures = match answer.get("batchItemFailures") {
            None | Some(Value::Null) => &[],
            Some(failures) => failures.as_array()?.as_slice(),
        };
        let mut lowest: BTreeMap<i32, i64> = BTreeMap::new();
        for failure in failures {
            let identifier = &failure["itemIdentifier"];
            let (place, offset) = (identifier["partition"].as_str()?, identifier["offset"].as_i64()?);
            let partition = place.strip_prefix(topic)?.strip_prefix('-')?.parse().ok()?;
            batch.0.iter().find(|record| (record.partition, record.offset) == (partition, offset))?;
            lowest.entry(partition).and_modify(|known| *known = offset.min(*known)).or_insert(offset);
        }
        let mut done: BTreeMap<i32, i64> = BTreeMap::new();
        for record in batch.0.iter().rev() {
            if lowest.get(&record.partition).is_some_and(|lowest| record.offset >= *lowest) {
                self.partitions.entry(record.partition).or_default().push_front(record.clone());
            } else {
                done.entry(record.partition).or_insert(record.offset + 1);
            }
        }
        Some((done.into_iter().collect(), !lowest.is_empty()))
    }
}

impl Batch {
    /// The event of the invocation.
    pub(crate) fn event(&self, topic: &str, brokers: &str) -> Value {
        let mut records: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for record in &self.0 {
            records.entry(format!("{topic}-{}", record.partition)).or_default().push(&record.json);
        }
        let records: Map<String, Value> = records.into_iter().map(|(place, records)| (place, json!(records))).collect();
        json!({
            "eventSource": "aws:kafka",
            "eventSourceArn": "arn:aws:kafka:local:000000000000:cluster/oms/00000000-0000-0000-0000-000000000000-1",
            "bootstrapServers": brokers,
            "records": records,
        })
    }

    /// For the log: how many records, and where.
    pub(crate) fn describe(&self) -> String {
        let mut offsets: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        for record in &self.0 {
            offsets
                .entry(record.partition)
                .and_modify(|(_, last)| *last = record.offset)
                .or_insert((record.offset, record.offset));
        }
        let places: Vec<_> = offsets.into_iter().map(|(p, (first, last))| format!("{p}@{first}..={last}")).collect();
        format!("{} record(s), {}", self.0.len(), places.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::kafka::KafkaEvent;

    use super::*;

    fn record(partition: i32, offset: i64, bytes: usize) -> Record {
        Received {
            topic: "t",
            partition,
            offset,
            timestamp: 1_700_000_000_000,
            key: Some(b"key"),
            value: Some(&vec![0; bytes]),
            headers: vec![("event-type", Some("\u{e9}".as_bytes()))],
        }
        .into()
    }

    fn places(batch: &Batch) -> Vec<(i32, i64)> {
        batch.0.iter().map(|record| (record.partition, record.offset)).collect()
    }

    fn failure(partition: i32, offset: i64) -> Value {
        json!({"itemIdentifier": {"partition": format!("t-{partition}"), "offset": offset}})
    }

    #[test]
    fn a_batch_has_a_hundred_records_of_all_partitions_in_turn() {
        let mut waiting = Waiting::default();
        for offset in 0..200 {
            waiting.push(record(0, offset, 1));
        }
        waiting.push(record(1, 7, 1));
        let first = places(&waiting.take().unwrap());
        assert_eq!(first.len(), 100);
        assert!(first.contains(&(1, 7)));
        let second = places(&waiting.take().unwrap());
        assert_eq!((second.len(), second[0]), (100, (0, 99)));
        assert_eq!(places(&waiting.take().unwrap()), [(0, 199)]);
        assert_eq!((waiting.take(), waiting.len()), (None, 0));
    }

    #[test]
    fn a_batch_stays_below_six_megabytes_and_a_partition_keeps_its_order() {
        let mut waiting = Waiting::default();
        for offset in 0..8 {
            // A large one in front of small ones, which must not overtake it.
            waiting.push(record(0, offset, if offset % 2 == 0 { 1_500_000 } else { 1 }));
        }
        let mut seen = Vec::new();
        while let Some(batch) = waiting.take() {
            assert!(batch.event("t", "b").to_string().len() < 6_000_000);
            seen.extend(places(&batch));
        }
        assert_eq!(seen, (0..8).map(|offset| (0, offset)).collect::<Vec<_>>());
    }

    #[test]
    fn each_partition_goes_on_from_its_lowest_reported_offset() {
        let mut waiting = Waiting::default();
        for offset in 10..14 {
            waiting.push(record(0, offset, 1));
            waiting.push(record(1, offset, 1));
        }
        let batch = waiting.take().unwrap();
        waiting.push(record(0, 14, 1));
        let answer = json!({"batchItemFailures": [failure(0, 13), failure(0, 11)]});
        let (done, came_back) = waiting.settle("t", &batch, &answer).unwrap();
        assert_eq!((done, came_back), (vec![(0, 11), (1, 14)], true));
        let again = waiting.take().unwrap();
        assert_eq!(places(&again), [(0, 11), (0, 12), (0, 13), (0, 14)]);
        let (done, came_back) = waiting.settle("t", &again, &json!({"batchItemFailures": [failure(0, 11)]})).unwrap();
        assert_eq!((done, came_back, waiting.len()), (vec![], true, 4), "nothing of it is done");
        let last = waiting.take().unwrap();
        assert_eq!(waiting.settle("t", &last, &Value::Null).unwrap(), (vec![(0, 15)], false));
    }

    #[test]
    fn an_answer_that_makes_no_sense_says_nothing() {
        let mut waiting = Waiting::default();
        waiting.push(record(0, 1, 1));
        let batch = waiting.take().unwrap();
        for answer in [
            json!({"batchItemFailures": [failure(0, 2)]}),
            json!({"batchItemFailures": [failure(3, 1)]}),
            json!({"batchItemFailures": [{"itemIdentifier": "0"}]}),
            json!({"batchItemFailures": "all"}),
        ] {
            assert_eq!(waiting.settle("t", &batch, &answer), None, "{answer}");
        }
    }

    #[test]
    fn the_event_is_one_of_msk() {
        let mut waiting = Waiting::default();
        waiting.push(record(2, 5, 3));
        let event = waiting.take().unwrap().event("t", "127.0.0.1:9092");
        let event: KafkaEvent = serde_json::from_value(event).unwrap();
        assert_eq!(event.event_source.as_deref(), Some("aws:kafka"));
        let record = &event.records["t-2"][0];
        assert_eq!((record.partition, record.offset), (2, 5));
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some("a2V5"), Some("AAAA")));
        assert_eq!(record.headers[0]["event-type"], [-61, -87]);
    }
}
