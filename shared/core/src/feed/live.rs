//! One reader of the log for all who watch in this process: a window of the newest events, kept while anybody watches.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::watch;

use super::{FeedEvent, MAX_EVENTS, PAGE_BYTES};
use crate::{
    error::{Error, Result},
    event_log::{EventLog, LogEvent, readable, repository},
    postgres::Database,
};

/// The most events of the window, and about the most bytes; who needs older ones reads them from the database.
const WINDOW_EVENTS: usize = 10_000;
const WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// How many events are read at a time, and about how many bytes.
const READ: i64 = 1_000;
const READ_BYTES: i64 = 8 * 1024 * 1024;

/// How far the reader came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) epoch: i64,
    pub(super) until: i64,
}

/// The reader; a clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    db: Database,
    log: EventLog,
    written: watch::Receiver<u64>,
    poll: Duration,
    window: watch::Sender<Option<Window>>,
    recent: RwLock<Recent>,
    watchers: Mutex<Watchers>,
    ended: watch::Sender<bool>,
}

/// The events of the window.
#[derive(Debug, Default)]
struct Recent {
    /// Every event above this position is there, up to where the reader came.
    after: i64,
    events: VecDeque<Arc<FeedEvent>>,
    /// About how many bytes they have, as stored and as they are shown.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Watchers {
    count: usize,
    /// Whether a reader is at work. It ends, and says so, while it holds the lock: there are never two.
    read_for: bool,
}

/// One who watches. The reader ends with the last of them.
#[derive(Debug)]
pub(super) struct Watched {
    shared: Arc<Shared>,
    window: watch::Receiver<Option<Window>>,
}

impl Hub {
    pub(super) fn new(db: Database, log: EventLog, written: watch::Receiver<u64>, poll: Duration) -> Self {
        let (window, recent, watchers) = (watch::Sender::new(None), RwLock::default(), Mutex::default());
        let ended = watch::Sender::new(false);
        Self(Arc::new(Shared { db, log, written, poll, window, recent, watchers, ended }))
    }

    pub(super) fn end(&self) {
        self.0.ended.send_replace(true);
    }

    pub(super) async fn ended(&self) {
        // The sender lives as long as this value.
        let _ = self.0.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// One more who watches; the first one starts the reader.
    pub(super) fn join(&self) -> Watched {
        let mut watchers = self.0.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.count += 1;
        if !std::mem::replace(&mut watchers.read_for, true) {
            tokio::spawn(self.0.clone().read());
        }
        Watched { shared: self.0.clone(), window: self.0.window.subscribe() }
    }
}

impl Shared {
    /// Follows the log until nobody watches.
    async fn read(self: Arc<Self>) {
        let mut written = self.written.clone();
        let mut failing = false;
        loop {
            match self.catch_up().await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the event log can't be read for those who watch; it is tried again");
                    }
                }
            }
            if let Ok(Err(_)) = tokio::time::timeout(self.poll, written.changed()).await {
                // Nobody writes in this process any more.
                tokio::time::sleep(self.poll).await;
            }
            let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
            if watchers.count == 0 {
                watchers.read_for = false;
                *self.recent.write().unwrap_or_else(PoisonError::into_inner) = Recent::default();
                self.window.send_replace(None);
                return;
            }
        }
    }

    async fn catch_up(&self) -> Result<()> {
        let mut head = repository::head(&self.db).await?;
        if head.waiting {
            self.log.sequence().await?;
            head = repository::head(&self.db).await?;
        }
        let known = (*self.window.borrow()).filter(|window| window.epoch == head.epoch);
        let Some(mut window) = known else {
            *self.recent.write().unwrap_or_else(PoisonError::into_inner) =
                Recent { after: head.position, ..Recent::default() };
            self.window.send_replace(Some(Window { epoch: head.epoch, until: head.position }));
            return Ok(());
        };
        while window.until < head.position {
            let read = readable(repository::newest(&self.db, window.until, READ, READ_BYTES).await?)?;
            let Some(last) = read.last() else { break };
            window.until = last.position;
            self.recent
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .push(read.into_iter().map(|event| Arc::new(FeedEvent::new(event, &self.log))));
            self.window.send_replace(Some(window));
        }
        Ok(())
    }
}

impl Recent {
    fn push(&mut self, events: impl Iterator<Item = Arc<FeedEvent>>) {
        for event in events {
            self.bytes += 2 * event.event.stored_bytes();
            self.events.push_back(event);
        }
        while self.events.len() > WINDOW_EVENTS || (self.bytes > WINDOW_BYTES && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= 2 * oldest.event.stored_bytes();
            self.after = oldest.event.position;
        }
    }
}

impl Watched {
    /// What the window covers now; waits for the reader's first look.
    pub(super) async fn window(&mut self) -> Result<Window> {
        let ready = *self.window.wait_for(Option::is_some).await.map_err(Error::internal)?;
        ready.ok_or_else(|| Error::internal("the window is empty"))
    }

    /// Waits until the window reaches beyond a position.
    pub(super) async fn until_beyond(&mut self, position: i64) {
        // The sender lives as long as this value.
        let _ = self.window.wait_for(|window| window.is_some_and(|window| window.until > position)).await;
    }

    /// Events of the window above a position that are wanted, a page of them, and how far was looked. None when the window
    /// begins later.
    pub(super) fn newer(
        &self,
        position: i64,
        wanted: impl Fn(&LogEvent) -> bool,
    ) -> Option<(Vec<Arc<FeedEvent>>, i64)> {
        let recent = self.shared.recent.read().unwrap_or_else(PoisonError::into_inner);
        if position < recent.after {
            return None;
        }
        let first = recent.events.partition_point(|event| event.event.position <= position);
        let (mut newer, mut reached, mut room) = (Vec::new(), position, PAGE_BYTES.unsigned_abs());
        for event in recent.events.iter().skip(first) {
            if newer.len() == MAX_EVENTS as usize || room == 0 {
                break;
            }
            reached = event.event.position;
            if wanted(&event.event) {
                room = room.saturating_sub(event.event.stored_bytes() as u64);
                newer.push(event.clone());
            }
        }
        Some((newer, reached))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.watchers.lock().unwrap_or_else(PoisonError::into_inner).count -= 1;
    }
}
