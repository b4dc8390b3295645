//! Watching: what the feed says, as a stream of messages.

use buffa::{EnumValue, Message};
use buffa_types::google::protobuf::Timestamp;
use connectrpc::{ConnectError, RequestContext, ServiceStream};
use oms_core::{
    error::{Code, Error, Kind},
    event_log::Snapshot,
    fault::{Fault, FaultKind},
    feed::{Beat, EventFilter, FeedEvent, Follow, FollowStart, Step},
    input::{Faults, parameter},
};
use oms_edge::{ApiError, Edge, RequestInfo};
use oms_events::EventType;
use oms_proto::server::v1 as pb;

use crate::{
    call::{Call, some},
    list::{CLIENT_LIMIT, texts},
    message,
};

/// The most names, categories or tags of a filter.
const MAX_WANTED: usize = 1_000;
/// The longest text that can be a resume token, in bytes.
const MAX_TOKEN: usize = 128;
/// A stream ends so long before its client's deadline: the last message has to arrive.
const BEFORE_DEADLINE: std::time::Duration = std::time::Duration::from_millis(200);

/// What a watch request has, whichever the kind.
pub(crate) struct Asked<'a> {
    pub(crate) names: Vec<&'a str>,
    pub(crate) categories: Vec<&'a str>,
    pub(crate) tags: Vec<&'a str>,
    pub(crate) event_types: Vec<EnumValue<pb::EventType>>,
    pub(crate) start: EnumValue<pb::WatchStart>,
    pub(crate) resume_token: &'a str,
}

/// What a message of a watch tells, whichever the kind.
pub(crate) enum Said<T> {
    Opened,
    State(Result<T, pb::ClaimCheck>),
    Complete,
    Change(Change<T>),
    Alive,
    End,
}

/// A change.
pub(crate) struct Change<T> {
    pub(crate) event_id: String,
    pub(crate) event_type: EnumValue<pb::EventType>,
    pub(crate) id: String,
    pub(crate) version: i32,
    pub(crate) state: Result<T, pb::ClaimCheck>,
    pub(crate) changes: Vec<pb::FieldChange>,
    pub(crate) actor: String,
    pub(crate) occurred_at: Timestamp,
    pub(crate) position: i64,
    pub(crate) epoch: i64,
    pub(crate) correlation_id: String,
}

/// The message of a kind's watch.
pub(crate) trait Tell: Sized + Send + 'static {
    const KIND: Kind;
    /// The message of the type itself.
    type Type: Message;

    /// The type, if it is of this kind.
    fn show(snapshot: &Snapshot) -> Option<Self::Type>;
    /// The message; the token resumes right after it.
    fn tell(token: String, said: Said<Self::Type>) -> Self;
}

/// Starts a watch.
pub(crate) async fn open<M: Tell>(
    edge: &Edge,
    call: &Call,
    context: &RequestContext,
    asked: Asked<'_>,
) -> Result<ServiceStream<M>, Error> {
    let (filter, start) = read::<M>(&asked)?;
    let deadline = context.time_remaining().map(|left| left.saturating_sub(BEFORE_DEADLINE));
    let duration = deadline.map_or(edge.config.stream_duration, |left| left.min(edge.config.stream_duration));
    let follow = Follow::open(&edge.registry.feed, &call.context, filter, &start, duration).await?;
    Ok(Box::pin(messages(follow, call.info.clone())))
}

fn read<M: Tell>(asked: &Asked<'_>) -> Result<(EventFilter, FollowStart), Error> {
    let mut faults = Faults::default();
    let filter = EventFilter {
        types: event_types(&asked.event_types, M::KIND, &mut faults),
        names: texts("names", &asked.names, MAX_WANTED, &mut faults),
        categories: texts("categories", &asked.categories, MAX_WANTED, &mut faults),
        tags: texts("tags", &asked.tags, MAX_WANTED, &mut faults),
        ..EventFilter::default()
    };
    let start = match (some(asked.resume_token), asked.start.as_known()) {
        (Some(token), _) if token.len() <= MAX_TOKEN => FollowStart::After(token.to_owned()),
        (Some(_), _) => return Err(parameter("resume_token", FaultKind::ResumeToken)),
        (None, Some(pb::WatchStart::WATCH_START_UNSPECIFIED | pb::WatchStart::WATCH_START_NOW)) => FollowStart::Latest,
        (None, Some(pb::WatchStart::WATCH_START_SNAPSHOT)) => FollowStart::Snapshot,
        (None, None) => {
            let allowed = "WATCH_START_NOW, WATCH_START_SNAPSHOT";
            faults.add(Fault::of_parameter("start", FaultKind::NotOneOf { allowed }));
            FollowStart::Latest
        }
    };
    faults.finish(Code::InvalidRequest)?;
    Ok((filter, start))
}

/// The types of events asked for; all of the kind when there are none.
fn event_types(asked: &[EnumValue<pb::EventType>], kind: Kind, faults: &mut Faults) -> Vec<EventType> {
    let (own, allowed): (&[EventType], _) = match kind {
        Kind::ObjectType => (
            &[
                EventType::ObjectTypeCreated,
                EventType::ObjectTypeUpdated,
                EventType::ObjectTypeDeleted,
                EventType::ObjectTypeRestored,
            ],
            "EVENT_TYPE_OBJECT_TYPE_CREATED, _UPDATED, _DELETED, _RESTORED",
        ),
        Kind::LinkType => (
            &[
                EventType::LinkTypeCreated,
                EventType::LinkTypeUpdated,
                EventType::LinkTypeDeleted,
                EventType::LinkTypeRestored,
            ],
            "EVENT_TYPE_LINK_TYPE_CREATED, _UPDATED, _DELETED, _RESTORED",
        ),
    };
    if asked.is_empty() {
        return own.to_vec();
    }
    let mut wanted = Vec::new();
    for (index, asked) in asked.iter().enumerate() {
        match own.iter().find(|own| event_type(**own) == *asked) {
            Some(own) if !wanted.contains(own) => wanted.push(*own),
            Some(_) => {}
            None => {
                faults.add(Fault::of_parameter(format!("event_types[{index}]"), FaultKind::NotOneOf { allowed }));
            }
        }
    }
    wanted
}

fn event_type(event_type: EventType) -> EnumValue<pb::EventType> {
    match event_type {
        EventType::ObjectTypeCreated => pb::EventType::EVENT_TYPE_OBJECT_TYPE_CREATED,
        EventType::ObjectTypeUpdated => pb::EventType::EVENT_TYPE_OBJECT_TYPE_UPDATED,
        EventType::ObjectTypeDeleted => pb::EventType::EVENT_TYPE_OBJECT_TYPE_DELETED,
        EventType::ObjectTypeRestored => pb::EventType::EVENT_TYPE_OBJECT_TYPE_RESTORED,
        EventType::LinkTypeCreated => pb::EventType::EVENT_TYPE_LINK_TYPE_CREATED,
        EventType::LinkTypeUpdated => pb::EventType::EVENT_TYPE_LINK_TYPE_UPDATED,
        EventType::LinkTypeDeleted => pb::EventType::EVENT_TYPE_LINK_TYPE_DELETED,
        EventType::LinkTypeRestored => pb::EventType::EVENT_TYPE_LINK_TYPE_RESTORED,
    }
    .into()
}

/// The stream is read only as fast as its client takes it: nothing is kept for a slow one.
fn messages<M: Tell>(follow: Follow, info: RequestInfo) -> impl futures::Stream<Item = Result<M, ConnectError>> + Send {
    futures::stream::unfold((follow, info), async |(mut follow, info)| {
        let step = follow.next().await.transpose()?;
        let message = step.and_then(message).map_err(|error| {
            let error = ApiError::from(error);
            if let Some(cause) = error.internal_cause() {
                tracing::warn!(cause, correlation_id = info.correlation_id(), "a watch ends");
            }
            crate::failure::explain(&error, &info)
        });
        Some((message, (follow, info)))
    })
}

fn message<M: Tell>(step: Step) -> Result<M, Error> {
    let (token, said) = match step {
        Step::State(snapshot, token) => (token, Said::State(state::<M>(&snapshot)?)),
        Step::Complete(token) => (token, Said::Complete),
        Step::Beat(Beat::Open(token)) => (token, Said::Opened),
        Step::Beat(Beat::Event(event, token)) => (token, Said::Change(change::<M>(&event)?)),
        Step::Beat(Beat::Alive(token)) => (token, Said::Alive),
        Step::Beat(Beat::End(token)) => (token, Said::End),
    };
    Ok(M::tell(token, said))
}

/// The type, or what stands for it when clients would not take it.
fn state<M: Tell>(snapshot: &Snapshot) -> Result<Result<M::Type, pb::ClaimCheck>, Error> {
    let shown = M::show(snapshot).ok_or_else(|| Error::internal("a type of another kind"))?;
    let bytes = shown.encoded_len();
    if (bytes as usize) <= CLIENT_LIMIT {
        return Ok(Ok(shown));
    }
    let (collection, id, version) = match snapshot {
        Snapshot::ObjectType(entity) => ("object-types", entity.id.0, entity.stamp.version),
        Snapshot::LinkType(entity) => ("link-types", entity.id.0, entity.stamp.version),
    };
    Ok(Err(pb::ClaimCheck {
        id: id.to_string(),
        version,
        size_bytes: bytes.into(),
        href: format!("/api/v1/{collection}/{id}/versions/{version}"),
        ..pb::ClaimCheck::default()
    }))
}

fn change<M: Tell>(event: &FeedEvent) -> Result<Change<M::Type>, Error> {
    let (state, changes) = match event.claim_check()? {
        Some(check) => {
            let check = pb::ClaimCheck {
                id: check.entity_id.to_string(),
                version: check.version,
                size_bytes: i64::try_from(check.bytes).unwrap_or(i64::MAX),
                href: check.href.clone(),
                ..pb::ClaimCheck::default()
            };
            (Err(check), Vec::new())
        }
        None => (state::<M>(&event.event.snapshot()?)?, message::changes(&event.event.changes()?)),
    };
    let event = &event.event;
    Ok(Change {
        event_id: event.id.to_string(),
        event_type: event_type(event.event_type),
        id: event.entity_id.to_string(),
        version: event.version,
        state,
        changes,
        actor: event.actor.clone(),
        occurred_at: event.occurred_at.into(),
        position: event.position,
        epoch: event.epoch,
        correlation_id: event.correlation_id.clone().unwrap_or_default(),
    })
}

/// What the two kinds tell differs in the names of messages alone.
macro_rules! tell {
    ($Event:ident, $event:ident, $Change:ident, $change:ident, $Snapshot:ident, $snapshot:ident, $Type:ident, $show:path, $id:ident) => {
        impl Tell for pb::$Event {
            const KIND: Kind = Kind::$Type;
            type Type = pb::$Type;

            fn show(snapshot: &Snapshot) -> Option<pb::$Type> {
                match snapshot {
                    Snapshot::$Type(entity) => Some($show(entity)),
                    _ => None,
                }
            }

            fn tell(resume_token: String, said: Said<pb::$Type>) -> Self {
                use pb::{$change::State as Changed, $event::Event, $snapshot::State as Shown};
                let event = match said {
                    Said::Opened => Event::Opened(Box::default()),
                    Said::State(state) => Event::Snapshot(Box::new(pb::$Snapshot {
                        state: Some(state.map_or_else(|check| Shown::from(check), Shown::from)),
                        ..pb::$Snapshot::default()
                    })),
                    Said::Complete => Event::SnapshotComplete(Box::default()),
                    Said::Change(change) => Event::Change(Box::new(pb::$Change {
                        event_id: change.event_id,
                        r#type: change.event_type,
                        $id: change.id,
                        version: change.version,
                        changes: change.changes,
                        actor: change.actor,
                        occurred_at: change.occurred_at.into(),
                        position: change.position,
                        epoch: change.epoch,
                        correlation_id: change.correlation_id,
                        state: Some(change.state.map_or_else(|check| Changed::from(check), Changed::from)),
                        ..pb::$Change::default()
                    })),
                    Said::Alive => Event::Heartbeat(Box::default()),
                    Said::End => Event::End(Box::default()),
                };
                Self { resume_token, event: Some(event), ..Self::default() }
            }
        }
    };
}

tell!(
    ObjectTypeEvent,
    object_type_event,
    ObjectTypeChange,
    object_type_change,
    ObjectTypeSnapshot,
    object_type_snapshot,
    ObjectType,
    message::object_type,
    object_type_id
);
tell!(
    LinkTypeEvent,
    link_type_event,
    LinkTypeChange,
    link_type_change,
    LinkTypeSnapshot,
    link_type_snapshot,
    LinkType,
    message::link_type,
    link_type_id
);
