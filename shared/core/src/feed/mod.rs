//! The change feed: the event log as the clients of one tenant read it in pages, or watch it.
//!
//! A place in it is a resume token. Whoever comes back with one gets everything after it, each event once; when that is no
//! longer possible the answer is `RESUME_TOKEN_EXPIRED`, never a silent gap. An event that commits late has a late position,
//! so no reader has passed it.

mod live;
mod session;
#[cfg(test)]
mod tests;
mod token;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use oms_events::{ClaimCheck, EntityKind, EventType};
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

pub use session::{Beat, Session};

use self::{
    live::{Hub, Watched},
    token::Token,
};
use crate::{
    context::{Context, Permission},
    error::{Error, Result},
    event_log::{
        EventLog, LogEvent, readable,
        repository::{self, FeedFilter, Head},
    },
    id::TenantId,
};

/// Page size when a client names none.
pub const DEFAULT_EVENTS: u32 = 100;
/// The greatest page size.
pub const MAX_EVENTS: u32 = 1_000;

/// About how many bytes the events of one page have together, as stored: what one reader keeps in hand.
const PAGE_BYTES: i64 = 1024 * 1024;

/// How long the reader of this process may take for its first look at the log.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// Which events a feed shows; all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of one of these types; empty means all.
    pub types: Vec<EventType>,
    /// Of one of these object types or link types; empty means all.
    pub entities: Vec<Uuid>,
    /// Of types with one of these names, compared without case; a rename is of both names. Empty means all.
    pub names: Vec<String>,
}

/// Where a feed starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is kept.
    Earliest,
    /// With what comes from now on.
    Latest,
    /// After this resume token.
    After(String),
}

impl Start {
    /// `earliest`, `latest` or a resume token.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "earliest" => Self::Earliest,
            "latest" => Self::Latest,
            token => Self::After(token.to_owned()),
        }
    }
}

/// An event as a feed shows it.
#[derive(Debug)]
pub struct FeedEvent {
    /// The event.
    pub event: LogEvent,
    max_bytes: usize,
    /// Made once however many watch.
    envelope: OnceLock<(String, Option<ClaimCheck>)>,
}

impl FeedEvent {
    fn new(event: LogEvent, log: &EventLog) -> Self {
        Self { event, max_bytes: log.claim_check_bytes(), envelope: OnceLock::new() }
    }

    /// The envelope as JSON.
    pub fn json(&self) -> Result<&str> {
        self.envelope().map(|(json, _)| json.as_str())
    }

    /// What stands in place of the type and the changes, when they are too large.
    pub fn claim_check(&self) -> Result<Option<&ClaimCheck>> {
        self.envelope().map(|(_, claim_check)| claim_check.as_ref())
    }

    fn envelope(&self) -> Result<&(String, Option<ClaimCheck>)> {
        if let Some(envelope) = self.envelope.get() {
            return Ok(envelope);
        }
        // An event whose type can't be read is ours to mend; it must not end the feed for everybody.
        let envelope = self.event.envelope(self.max_bytes).or_else(|error| {
            tracing::error!(%error, "an event is shown as a claim check");
            self.event.checked(self.event.stored_bytes())
        })?;
        Ok(self.envelope.get_or_init(|| envelope))
    }
}

/// A part of the feed.
#[derive(Debug)]
pub struct FeedPage {
    /// Events in order of position, each with the token that resumes after it.
    pub events: Vec<(Arc<FeedEvent>, String)>,
    /// Resumes after everything that this page speaks of; a page may be empty and still move it on.
    pub resume_token: String,
    /// Whether there is more already.
    pub has_more: bool,
}

/// The feed; a clone is the same feed.
#[derive(Debug, Clone)]
pub struct Feed {
    pool: PgPool,
    log: EventLog,
    hub: Hub,
}

impl Feed {
    pub(crate) fn new(pool: PgPool, log: EventLog, written: watch::Receiver<u64>, poll: Duration) -> Self {
        Self { hub: Hub::new(pool.clone(), log.clone(), written, poll), pool, log }
    }

    /// The next events, at most `limit` of them. What is committed is in it, whether a publisher runs or not.
    pub async fn page(&self, context: &Context, filter: &EventFilter, start: &Start, limit: u32) -> Result<FeedPage> {
        let types = permitted(context, filter)?;
        let mut head = repository::head(&self.pool).await?;
        if head.waiting {
            self.log.sequence().await?;
            head = repository::head(&self.pool).await?;
        }
        let place = place(&head, &context.tenant, start)?;
        let (events, reached) = self.read(&context.tenant, filter, types, place.position, head.position, limit).await?;
        let signer = Signer { key: head.token_key, epoch: head.epoch, tenant: context.tenant.clone() };
        let events = events.into_iter().map(Arc::new);
        Ok(FeedPage {
            events: events.map(|event| signer.signed(event)).collect::<Result<_>>()?,
            resume_token: signer.sign(reached)?,
            has_more: reached < head.position,
        })
    }

    /// Watches the feed from a place on. The place is checked at once.
    pub async fn watch(&self, context: &Context, filter: EventFilter, start: &Start) -> Result<Watch> {
        let types = permitted(context, &filter)?;
        let watched = self.hub.join();
        let mut head = repository::head(&self.pool).await?;
        if head.waiting {
            self.log.sequence().await?;
            head = repository::head(&self.pool).await?;
        }
        let place = place(&head, &context.tenant, start)?;
        let signer = Signer { key: head.token_key, epoch: head.epoch, tenant: context.tenant.clone() };
        let names = filter.names.iter().map(|name| name.to_lowercase()).collect();
        let filter = EventFilter { names, ..filter };
        Ok(Watch { feed: self.clone(), filter, types, position: place.position, signer, watched })
    }

    /// Ends every watch of this process: their readers resume elsewhere.
    pub fn end(&self) {
        self.hub.end();
    }

    /// Waits until watches are to end.
    pub async fn ended(&self) {
        self.hub.ended().await;
    }

    /// A page from the database, checked afterwards: what it was to show must still have been there.
    async fn read(
        &self,
        tenant: &TenantId,
        filter: &EventFilter,
        types: Option<Vec<EventType>>,
        after: i64,
        until: i64,
        limit: u32,
    ) -> Result<(Vec<FeedEvent>, i64)> {
        let names: Vec<String> = filter.names.iter().map(|name| name.to_lowercase()).collect();
        let question = FeedFilter {
            tenant: tenant.as_str(),
            types: types.map(|types| types.iter().map(|kind| kind.as_str().to_owned()).collect()),
            entities: Some(filter.entities.as_slice()).filter(|entities| !entities.is_empty()),
            names: Some(names.as_slice()).filter(|names| !names.is_empty()),
        };
        let (rows, reached) =
            repository::page(&self.pool, &question, (after, until), i64::from(limit), PAGE_BYTES).await?;
        let whole = rows.len();
        let events = readable(rows)?;
        // What can't be read waits for a version that can.
        let reached = events.last().filter(|_| events.len() < whole).map_or(reached, |last| last.position);
        // An old range may have been dropped between the look at the head and the page.
        if repository::head(&self.pool).await?.first_position > after + 1 {
            return Err(Error::ResumeTokenExpired);
        }
        Ok((events.into_iter().map(|event| FeedEvent::new(event, &self.log)).collect(), reached))
    }
}

/// A feed that goes on.
#[derive(Debug)]
pub struct Watch {
    feed: Feed,
    filter: EventFilter,
    types: Option<Vec<EventType>>,
    position: i64,
    signer: Signer,
    watched: Watched,
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
            let (events, reached) = match recent {
                Some(recent) => recent,
                None => {
                    let (tenant, types) = (&self.signer.tenant, self.types.clone());
                    let reading =
                        self.feed.read(tenant, &self.filter, types, self.position, window.until, DEFAULT_EVENTS);
                    let (events, reached) = reading.await?;
                    (events.into_iter().map(Arc::new).collect(), reached)
                }
            };
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

/// Makes the tokens of one reader.
#[derive(Debug)]
struct Signer {
    key: Vec<u8>,
    epoch: i64,
    tenant: TenantId,
}

impl Signer {
    fn sign(&self, position: i64) -> Result<String> {
        Token { epoch: self.epoch, position }.encode(&self.key, &self.tenant)
    }

    fn signed(&self, event: Arc<FeedEvent>) -> Result<(Arc<FeedEvent>, String)> {
        let token = self.sign(event.event.position)?;
        Ok((event, token))
    }
}

/// The types of events that the caller may see of those that are asked for; none means all. Asking for one that may not be
/// seen is refused, and so is a caller who may see nothing.
fn permitted(context: &Context, filter: &EventFilter) -> Result<Option<Vec<EventType>>> {
    let permission = |kind: EventType| match kind.kind() {
        EntityKind::ObjectType => Permission::ObjectTypeRead,
        EntityKind::LinkType => Permission::LinkTypeRead,
    };
    if !filter.types.is_empty() {
        for kind in &filter.types {
            context.require(permission(*kind))?;
        }
        return Ok(Some(filter.types.clone()));
    }
    let seen: Vec<EventType> =
        EventType::ALL.iter().copied().filter(|kind| context.permissions.has(permission(*kind))).collect();
    if seen.is_empty() {
        context.require(Permission::ObjectTypeRead)?;
    }
    Ok((seen.len() < EventType::ALL.len()).then_some(seen))
}

/// The place to start at, if it can still be had.
fn place(head: &Head, tenant: &TenantId, start: &Start) -> Result<Token> {
    let position = match start {
        Start::Earliest => head.first_position - 1,
        Start::Latest => head.position,
        Start::After(text) => {
            let token = Token::decode(text, &head.token_key, tenant)?;
            let known = token.epoch == head.epoch && token.position <= head.position;
            if !known || token.position + 1 < head.first_position {
                return Err(Error::ResumeTokenExpired);
            }
            return Ok(token);
        }
    };
    Ok(Token { epoch: head.epoch, position })
}
