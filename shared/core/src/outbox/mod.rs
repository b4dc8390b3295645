//! The outbox: what every write leaves for publishers, in the same statement. It is only filled here; see
//! [`crate::event_log`] for where its rows go.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells this process's publisher, readers of the feed and pokes that something was committed. A clone is the same.
#[derive(Debug, Clone)]
pub struct Outbox {
    written: Arc<watch::Sender<u64>>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { written: Arc::new(watch::Sender::new(0)) }
    }

    /// Notes that a write was committed.
    pub(crate) fn note_write(&self) {
        self.written.send_modify(|writes| *writes += 1);
    }

    /// Changes with every committed write of this process. Writes while nobody looks are one change.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }
}
