//! The change feed: the event log as the clients of one tenant read it in pages, or watch it.
//!
//! A place in it is a resume token. Whoever comes back with one gets everything after it, each event once; when that is no
//! longer possible the answer is `RESUME_TOKEN_EXPIRED`, never a silent gap. An event that commits late has a late position,
//! so no reader has passed it.

mod live;
mod session;
mod snapshot;
#[cfg(test)]
mod tests;
mod token;
mod watch;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use oms_events::{ClaimCheck, EntityKind, EventType};
use tokio::sync::watch::Receiver;
use uuid::Uuid;

pub use session::{Beat, Session};
pub use snapshot::{Follow, FollowStart, Step};
pub use watch::Watch;

use self::{
    live::Hub,
    token::{SnapshotPlace, Token},
};
use crate::{
    context::{Context, Permission},
    error::{Error, Result},
    event_log::{
        EventLog, Labels, LogEvent, readable,
        repository::{self, FeedFilter, Head},
    },
    id::TenantId,
    postgres::Database,
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
    /// Of types of one of these categories, compared exactly; a change of category is of both. Empty means all.
    pub categories: Vec<String>,
    /// Of types with at least one of these tags, before the write or after it, compared exactly. Empty means all.
    pub tags: Vec<String>,
}

impl EventFilter {
    /// Whether an event has a category and a tag that are asked for. The database does not know them of an event, so this is
    /// asked of each one that was read.
    fn shows_labels(&self, event: &FeedEvent) -> bool {
        if self.categories.is_empty() && self.tags.is_empty() {
            return true;
        }
        let any = |wanted: &[String], had: &[String]| wanted.is_empty() || wanted.iter().any(|text| had.contains(text));
        // What can't be read is shown to everybody: to leave it out would be a silent gap.
        event.labels().is_none_or(|labels| any(&self.categories, &labels.categories) && any(&self.tags, &labels.tags))
    }
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
    /// The same; only when somebody filters by them.
    labels: OnceLock<Option<Labels>>,
}

impl FeedEvent {
    fn new(event: LogEvent, log: &EventLog) -> Self {
        let max_bytes = log.claim_check_bytes();
        Self { event, max_bytes, envelope: OnceLock::new(), labels: OnceLock::new() }
    }

    /// The envelope as JSON.
    pub fn json(&self) -> Result<&str> {
        self.envelope().map(|(json, _)| json.as_str())
    }

    /// What stands in place of the type and the changes, when they are too large.
    pub fn claim_check(&self) -> Result<Option<&ClaimCheck>> {
        self.envelope().map(|(_, claim_check)| claim_check.as_ref())
    }

    /// Its categories and tags; none when it can't be read.
    fn labels(&self) -> Option<&Labels> {
        let read = || {
            let labels = self.event.labels();
            labels.inspect_err(|error| tracing::error!(%error, "an event is shown to all, whatever their filters")).ok()
        };
        self.labels.get_or_init(read).as_ref()
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
    db: Database,
    log: EventLog,
    hub: Hub,
}

impl Feed {
    pub(crate) fn new(db: Database, log: EventLog, written: Receiver<u64>, poll: Duration) -> Self {
        Self { hub: Hub::new(db.clone(), log.clone(), written, poll), db, log }
    }

    /// The next events, at most `limit` of them. What is committed is in it, whether a publisher runs or not. A filter by
    /// category or tag may leave a page short, even empty, though there is more.
    pub async fn page(&self, context: &Context, filter: &EventFilter, start: &Start, limit: u32) -> Result<FeedPage> {
        let types = permitted(context, filter)?;
        let head = self.head().await?;
        let place = place(&head, &context.tenant, start)?;
        let (mut events, reached) =
            self.read(&context.tenant, filter, types, place.position, head.position, limit).await?;
        events.retain(|event| filter.shows_labels(event));
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
        let (watch, _) = self.watch_from(context, filter, |head| place(head, &context.tenant, start)).await?;
        Ok(watch)
    }

    /// The same from any place, with what the place says of a snapshot.
    async fn watch_from(
        &self,
        context: &Context,
        filter: EventFilter,
        place: impl FnOnce(&Head) -> Result<Token>,
    ) -> Result<(Watch, Option<SnapshotPlace>)> {
        let types = permitted(context, &filter)?;
        let watched = self.hub.join();
        let head = self.head().await?;
        let place = place(&head)?;
        let signer = Signer { key: head.token_key, epoch: head.epoch, tenant: context.tenant.clone() };
        let names = filter.names.iter().map(|name| name.to_lowercase()).collect();
        let filter = EventFilter { names, ..filter };
        let watch = Watch { feed: self.clone(), filter, types, position: place.position, signer, watched };
        Ok((watch, place.snapshot))
    }

    /// Where the log ends. What was committed before is in it.
    async fn head(&self) -> Result<Head> {
        let head = repository::head(&self.db).await?;
        if !head.waiting {
            return Ok(head);
        }
        self.log.sequence().await?;
        Ok(repository::head(&self.db).await?)
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
            repository::page(&self.db, &question, (after, until), i64::from(limit), PAGE_BYTES).await?;
        let whole = rows.len();
        let events = readable(rows)?;
        // What can't be read waits for a version that can.
        let reached = events.last().filter(|_| events.len() < whole).map_or(reached, |last| last.position);
        // An old range may have been dropped between the look at the head and the page.
        if repository::head(&self.db).await?.first_position > after + 1 {
            return Err(Error::ResumeTokenExpired);
        }
        Ok((events.into_iter().map(|event| FeedEvent::new(event, &self.log)).collect(), reached))
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
        Token { epoch: self.epoch, position, snapshot: None }.encode(&self.key, &self.tenant)
    }

    /// Of a place within a snapshot, after which everything above the position follows.
    fn sign_within(&self, position: i64, snapshot: SnapshotPlace) -> Result<String> {
        Token { epoch: self.epoch, position, snapshot: Some(snapshot) }.encode(&self.key, &self.tenant)
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
        Start::After(text) => return kept(Token::decode_event(text, &head.token_key, tenant)?, head),
    };
    Ok(Token { epoch: head.epoch, position, snapshot: None })
}

/// The token, if everything after it can still be had.
fn kept(token: Token, head: &Head) -> Result<Token> {
    let known = token.epoch == head.epoch && token.position <= head.position;
    if !known || token.position + 1 < head.first_position {
        return Err(Error::ResumeTokenExpired);
    }
    Ok(token)
}
