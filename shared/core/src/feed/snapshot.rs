//! The feed for a reader that starts with nothing: every live type as it is, then what changed since.
//!
//! The end of the log is looked at first, and the types are read after it. So a write that happens meanwhile is in the log
//! above that place, whether the reading came by it or not: it comes as a change, unless the snapshot has shown its version.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use oms_events::{EntityKind, EventType};
use uuid::Uuid;

use super::{
    Beat, EventFilter, Feed, FeedEvent, Head, PAGE_BYTES, Session, Watch, kept,
    token::{SnapshotPlace, Token},
};
use crate::{
    context::Context,
    entity::{
        Store as _,
        listing::{self, ListRow, WalkStep},
    },
    error::{Error, Kind, Result},
    event_log::Snapshot,
    link_type::{LinkType, LinkTypes},
    object_type::{ObjectType, ObjectTypes},
};

/// The most types that are read at a time.
const PAGE_TYPES: i64 = 200;

/// Where a reader starts that may begin with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowStart {
    /// With what comes from now on.
    Latest,
    /// After this resume token, which may be from within a snapshot: then with the rest of it.
    After(String),
    /// With every live type that the filter shows, then what comes from now on.
    Snapshot,
}

/// What a stream says that may begin with a snapshot. The text is a resume token: of the place right after.
#[derive(Debug)]
pub enum Step {
    /// A live type, as it was when it was read.
    State(Snapshot, String),
    /// The snapshot is complete; what follows are changes.
    Complete(String),
    /// As in every stream.
    Beat(Beat),
}

/// A stream that may begin with a snapshot. It reads on only when what it has is taken.
///
/// The same filter is to be given with each token of a snapshot. Names, categories, tags and entities are those of the types
/// as they are; of the types of events only the kind counts. A type that leaves the filter meanwhile comes as the change that
/// it left by, and one that is deleted as its deletion, even if it was not shown.
///
/// Within one stream a version comes once: in the snapshot or as a change. What changed while the snapshot was taken comes
/// again after a resumption, with the same versions.
#[derive(Debug)]
pub struct Follow {
    session: Session,
    is_opened: bool,
    has_ended: bool,
    /// What is left of the snapshot.
    rest: Option<Rest>,
    shown: Shown,
}

/// What is left of a snapshot.
#[derive(Debug)]
struct Rest {
    /// How far the stream came; its kind is the one at work.
    place: SnapshotPlace,
    /// The kinds that come after it.
    kinds: VecDeque<Kind>,
    /// Documents that were read and not yet taken.
    read: VecDeque<String>,
    /// Whether there are more of the kind, as far as is known.
    has_more: bool,
    /// Whether some of the kind were read in this stream.
    has_begun: bool,
}

/// What a snapshot has shown whose events may still come.
#[derive(Debug, Default)]
struct Shown {
    versions: HashMap<Uuid, i32>,
    /// The last position that an event of a version which was shown may have.
    until: i64,
}

impl Follow {
    /// Opens a stream that lasts at most so long, and not longer than the caller's token. With a duration of zero it tells
    /// what is there, as much as a page has, and ends; also within a snapshot.
    pub async fn open(
        feed: &Feed,
        context: &Context,
        filter: EventFilter,
        start: &FollowStart,
        duration: Duration,
    ) -> Result<Self> {
        let place = |head: &Head| {
            let latest = Token { epoch: head.epoch, position: head.position, snapshot: None };
            match start {
                FollowStart::Latest => Ok(latest),
                FollowStart::Snapshot => Ok(Token { snapshot: Some(SnapshotPlace::START), ..latest }),
                FollowStart::After(text) => kept(Token::decode(text, &head.token_key, &context.tenant)?, head),
            }
        };
        let (watch, place) = feed.watch_from(context, filter, place).await?;
        let rest = place.map(|place| Rest::new(place, &watch));
        let session = Session::over(watch, context, duration);
        Ok(Self { session, is_opened: false, has_ended: false, rest, shown: Shown::default() })
    }

    /// What comes next; none after the end, or after an error.
    pub async fn next(&mut self) -> Result<Option<Step>> {
        if self.has_ended {
            return Ok(None);
        }
        let step = self.step().await;
        if matches!(step, Err(_) | Ok(None | Some(Step::Beat(Beat::End(_))))) {
            self.has_ended = true;
        }
        step
    }

    async fn step(&mut self) -> Result<Option<Step>> {
        if !self.is_opened {
            self.is_opened = true;
            let opened = self.session.next().await?;
            // A stream that breaks at once resumes before the snapshot, not after it.
            return match &self.rest {
                Some(rest) => Ok(Some(Step::Beat(Beat::Open(self.session.watch.token_within(rest.place)?)))),
                None => Ok(opened.map(Step::Beat)),
            };
        }
        if self.rest.is_some() {
            return self.state().await.map(Some);
        }
        loop {
            if self.shown.until <= self.session.told() {
                self.shown = Shown::default();
            }
            match self.session.next().await? {
                Some(Beat::Event(event, _)) if self.shown.covers(&event) => {}
                beat => return Ok(beat.map(Step::Beat)),
            }
        }
    }

    /// The next step of the snapshot.
    async fn state(&mut self) -> Result<Step> {
        let watch = &self.session.watch;
        while let Some(rest) = &mut self.rest {
            if let Some(document) = rest.read.pop_front() {
                let (id, version, snapshot) = parse(rest.place.kind, &document)?;
                rest.place.after = id;
                self.shown.versions.insert(id, version);
                return Ok(Step::State(snapshot, watch.token_within(rest.place)?));
            }
            if !rest.has_more {
                if !rest.turn() {
                    break;
                }
            } else if rest.has_begun && self.session.is_over() {
                // Also a reader that is slow gets its end in time, but not before it came a step further.
                return Ok(Step::Beat(Beat::End(watch.token_within(rest.place)?)));
            }
            let walked = tokio::select! {
                biased;
                () = watch.feed.ended() => return Ok(Step::Beat(Beat::End(watch.token_within(rest.place)?))),
                walked = watch.walk(rest.place) => walked?,
            };
            (rest.has_begun, rest.has_more, rest.read) = (true, walked.has_more, walked.documents.into());
        }
        // Every version that was shown is committed, and so its event is in the log as it is now.
        let head = watch.feed.head().await?;
        if head.epoch != watch.signer.epoch {
            return Err(Error::ResumeTokenExpired);
        }
        self.shown.until = head.position;
        self.rest = None;
        Ok(Step::Complete(watch.resume_token()?))
    }
}

impl Rest {
    fn new(place: SnapshotPlace, watch: &Watch) -> Self {
        let shown = |kind: &Kind| {
            let types = watch.types.as_ref();
            types.is_none_or(|types| types.iter().any(|event| kind_of(*event) == *kind))
        };
        let kinds = [Kind::ObjectType, Kind::LinkType].into_iter().filter(shown);
        Self {
            place,
            has_more: shown(&place.kind),
            kinds: kinds.filter(|kind| *kind > place.kind).collect(),
            read: VecDeque::new(),
            has_begun: false,
        }
    }

    /// Goes on to the next kind, if there is one.
    fn turn(&mut self) -> bool {
        let next = self.kinds.pop_front();
        if let Some(kind) = next {
            self.place = SnapshotPlace { kind, after: Uuid::nil() };
            self.has_begun = false;
        }
        next.is_some()
    }
}

impl Shown {
    /// Whether the snapshot has shown what an event tells.
    fn covers(&self, event: &FeedEvent) -> bool {
        self.versions.get(&event.event.entity_id).is_some_and(|version| event.event.version <= *version)
    }
}

impl Watch {
    /// The types that come next in a snapshot.
    async fn walk(&self, place: SnapshotPlace) -> Result<ListRow> {
        let step = WalkStep {
            after: place.after,
            ids: &self.filter.entities,
            names: &self.filter.names,
            categories: &self.filter.categories,
            tags: &self.filter.tags,
            limit: PAGE_TYPES,
            bytes: PAGE_BYTES,
        };
        let columns = match place.kind {
            Kind::ObjectType => ObjectType::COLUMNS,
            Kind::LinkType => LinkType::COLUMNS,
        };
        let mut query = listing::walk(&columns, &self.signer.tenant, &step);
        Ok(query.build_query_as().fetch_one(&self.feed.db).await?)
    }

    /// Resumes within a snapshot, with what changed since then to come after it.
    fn token_within(&self, place: SnapshotPlace) -> Result<String> {
        self.signer.sign_within(self.position, place)
    }
}

fn kind_of(event: EventType) -> Kind {
    match event.kind() {
        EntityKind::ObjectType => Kind::ObjectType,
        EntityKind::LinkType => Kind::LinkType,
    }
}

fn parse(kind: Kind, document: &str) -> Result<(Uuid, i32, Snapshot)> {
    Ok(match kind {
        Kind::ObjectType => {
            let found = ObjectTypes::parse(document)?;
            (found.id.0, found.stamp.version, Snapshot::ObjectType(Box::new(found)))
        }
        Kind::LinkType => {
            let found = LinkTypes::parse(document)?;
            (found.id.0, found.stamp.version, Snapshot::LinkType(Box::new(found)))
        }
    })
}
