//! What became of events that were sent together.

use std::collections::BTreeMap;

use oms_core::event_log::LogEvent;

use crate::{Error, producer::Reach};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Published,
    DeadLettered,
    Waiting,
}

/// What became of events that were read together.
pub(crate) struct Batch {
    /// In the order of the events.
    pub(crate) fates: Vec<Fate>,
    /// Why some wait.
    pub(crate) failure: Option<Error>,
    /// What was learned of Kafka.
    pub(crate) reach: Reach,
}

impl Batch {
    /// How far each partition was published without a gap.
    pub(crate) fn reached(&self, events: &[LogEvent]) -> Vec<(i16, i64)> {
        let mut reached: BTreeMap<i16, (i64, bool)> = BTreeMap::new();
        for (event, fate) in events.iter().zip(&self.fates) {
            let (position, is_open) = reached.entry(event.partition).or_insert((0, true));
            *is_open &= *fate != Fate::Waiting;
            if *is_open {
                *position = event.position;
            }
        }
        let moved = reached.into_iter().filter(|(_, (position, _))| *position > 0);
        moved.map(|(partition, (position, _))| (partition, position)).collect()
    }

    pub(crate) fn count(&self, fate: &Fate) -> u64 {
        u64::try_from(self.fates.iter().filter(|known| *known == fate).count()).unwrap_or(u64::MAX)
    }

    /// The events that Kafka has.
    pub(crate) fn done(&self, events: Vec<LogEvent>) -> Vec<LogEvent> {
        events
            .into_iter()
            .zip(&self.fates)
            .filter(|(_, fate)| **fate != Fate::Waiting)
            .map(|(event, _)| event)
            .collect()
    }
}
