//! One reader's stream of the feed, whatever transport carries it: where it starts, its heartbeats, its end.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{EventFilter, Feed, FeedEvent, Start, Watch};
use crate::{context::Context, error::Result};

/// After so long without an event a sign of life tells how far the feed came.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a stream says. The text is a resume token: of the place right after.
#[derive(Debug)]
pub enum Beat {
    /// Where it starts, so that nothing is lost if it breaks at once.
    Open(String),
    /// An event.
    Event(Arc<FeedEvent>, String),
    /// Nothing has happened for a while that the reader wants to know.
    Alive(String),
    /// It ends, and its reader resumes.
    End(String),
}

/// A stream. It reads on only when what it has is taken.
#[derive(Debug)]
pub struct Session {
    feed: Feed,
    pub(super) watch: Watch,
    waiting: VecDeque<(Arc<FeedEvent>, String)>,
    ends_at: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// Something was read, or there was nothing to read.
    Read,
    Opened,
    Ended,
}

impl Session {
    /// Opens a stream that lasts at most so long, and not longer than the caller's token. With a duration of zero it tells
    /// what is there, as much as a page has, and ends.
    pub async fn open(
        feed: &Feed,
        context: &Context,
        filter: EventFilter,
        start: &Start,
        duration: Duration,
    ) -> Result<Self> {
        Ok(Self::over(feed.watch(context, filter, start).await?, context, duration))
    }

    pub(super) fn over(watch: Watch, context: &Context, duration: Duration) -> Self {
        let valid =
            context.expires_at.map(|at| SystemTime::from(at).duration_since(SystemTime::now()).unwrap_or_default());
        let ends_at = Instant::now() + valid.map_or(duration, |valid| valid.min(duration));
        Self { feed: watch.feed.clone(), watch, waiting: VecDeque::new(), ends_at, state: State::New }
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.ends_at
    }

    /// The position up to which everything was told.
    pub(super) fn told(&self) -> i64 {
        self.waiting.front().map_or(self.watch.position, |(event, _)| event.event.position - 1)
    }

    /// What comes next; none after the end, or after an error.
    pub async fn next(&mut self) -> Result<Option<Beat>> {
        if self.state == State::Ended {
            return Ok(None);
        }
        let beat = self.beat().await;
        if matches!(beat, Err(_) | Ok(Beat::End(_))) {
            self.state = State::Ended;
        }
        beat.map(Some)
    }

    async fn beat(&mut self) -> Result<Beat> {
        if self.state == State::New {
            self.state = State::Opened;
            return Ok(Beat::Open(self.watch.resume_token()?));
        }
        if let Some((event, token)) = self.waiting.pop_front() {
            return Ok(Beat::Event(event, token));
        }
        // Also a reader that is behind for ever gets its end in time, but not before it came a step further.
        if self.state == State::Read && self.is_over() {
            return Ok(Beat::End(self.watch.resume_token()?));
        }
        let left = self.ends_at.saturating_duration_since(Instant::now());
        let page = tokio::select! {
            page = self.watch.next(HEARTBEAT.min(left)) => page?,
            () = self.feed.ended() => return Ok(Beat::End(self.watch.resume_token()?)),
        };
        self.state = State::Read;
        self.waiting = page.events.into();
        match self.waiting.pop_front() {
            Some((event, token)) => Ok(Beat::Event(event, token)),
            None if self.is_over() => Ok(Beat::End(page.resume_token)),
            None => Ok(Beat::Alive(page.resume_token)),
        }
    }
}
