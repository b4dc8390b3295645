//! A feed that goes on, from the window of this process where it reaches, else from the database.

use std::{sync::Arc, time::Duration};

use oms_events::EventType;

use super::{DEFAULT_EVENTS, EventFilter, FIRST_LOOK, Feed, FeedPage, Signer, live::Watched};
use crate::{
    error::{Error, Result},
    event_log::LogEvent,
};

/// A feed that goes on.
#[derive(Debug)]
pub struct Watch {
    pub(super) feed: Feed,
    /// With folded names.
    pub(super) filter: EventFilter,
    /// The types of events that may be seen and are asked for; none means all.
    pub(super) types: Option<Vec<EventType>>,
    /// The last one that was looked at.
    pub(super) position: i64,
    pub(super) signer: Signer,
    pub(super) watched: Watched,
}

impl Watch {
    /// The next events, as soon as there are any; after `wait` without one an empty page, whose token may be new. A reader
    /// that is slow, or comes from afar, reads from the database: no more than a page is ever kept for it.
    pub async fn next(&mut self, wait: Duration) -> Result<FeedPage> {
        let now = tokio::time::Instant::now();
        let deadline = now + wait;
        loop {
            // Without a first look of the reader there is nothing to tell yet.
            let Ok(window) = tokio::time::timeout_at(deadline.max(now + FIRST_LOOK), self.watched.window()).await
            else {
                return Ok(FeedPage { events: Vec::new(), resume_token: self.resume_token()?, has_more: false });
            };
            let window = window?;
            if window.epoch != self.signer.epoch {
                return Err(Error::ResumeTokenExpired);
            }
            let recent = self.watched.newer(self.position, |event| self.shows(event));
            let (mut events, reached) = match recent {
                Some(recent) => recent,
                None => {
                    let (tenant, types) = (&self.signer.tenant, self.types.clone());
                    let reading =
                        self.feed.read(tenant, &self.filter, types, self.position, window.until, DEFAULT_EVENTS);
                    let (events, reached) = reading.await?;
                    (events.into_iter().map(Arc::new).collect(), reached)
                }
            };
            events.retain(|event| self.filter.shows_labels(event));
            let has_more = reached < window.until;
            self.position = self.position.max(reached);
            if events.is_empty() && !has_more {
                let changed = self.watched.until_beyond(self.position);
                if tokio::time::timeout_at(deadline, changed).await.is_ok() {
                    continue;
                }
            }
            if events.is_empty() && has_more && tokio::time::Instant::now() < deadline {
                continue;
            }
            return Ok(FeedPage {
                events: events.into_iter().map(|event| self.signer.signed(event)).collect::<Result<_>>()?,
                resume_token: self.signer.sign(self.position)?,
                has_more,
            });
        }
    }

    /// Resumes after everything seen so far.
    pub fn resume_token(&self) -> Result<String> {
        self.signer.sign(self.position)
    }

    fn shows(&self, event: &LogEvent) -> bool {
        event.tenant == self.signer.tenant
            && self.types.as_ref().is_none_or(|types| types.contains(&event.event_type))
            && (self.filter.entities.is_empty() || self.filter.entities.contains(&event.entity_id))
            && (self.filter.names.is_empty() || self.filter.names.iter().any(|name| event.names.contains(name)))
    }
}
