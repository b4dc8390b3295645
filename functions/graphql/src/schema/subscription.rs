//! What can be watched.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_graphql::{Context, ID, Result};
use futures::stream;
use oms_core::{
    error::{Code, Error},
    fault::FaultKind,
    feed::{EventFilter, FeedEvent, Session, Start},
    input::{Faults, check_text, parameter, step},
};
use uuid::Uuid;

use super::event::{Event, EventType};
use crate::asked::{Asked, Place};

/// The most ids or names of a filter.
const MAX_WANTED: usize = 1_000;
/// The longest text that can be a resume token, in bytes.
const MAX_TOKEN: usize = 128;

/// What a subscription is executed for. As GraphQL has it (6.2.3) its source is opened once, and then it is executed for each
/// event of the source, like a query.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Opens the source.
    Open {
        /// Where the client says by header that it came to.
        last_event_id: Option<String>,
        /// How long it lasts at most.
        duration: Duration,
        /// The source, once it is open.
        session: Mutex<Option<Box<Session>>>,
    },
    /// Shows an event.
    Show(Event),
}

impl Stage {
    /// Opens the source.
    pub(crate) fn open(last_event_id: Option<String>, duration: Duration) -> Self {
        Self::Open { last_event_id, duration, session: Mutex::default() }
    }

    /// Shows an event, after which this token resumes.
    pub(crate) fn show(event: Arc<FeedEvent>, token: String) -> Self {
        Self::Show(Event { event, token })
    }

    /// The source that was opened.
    pub(crate) fn take(&self) -> Option<Session> {
        match self {
            Self::Open { session, .. } => {
                session.lock().unwrap_or_else(PoisonError::into_inner).take().map(|session| *session)
            }
            Self::Show(_) => None,
        }
    }
}

pub(crate) struct Subscription;

/// What can be watched, with `Accept: text/event-stream`.
#[async_graphql::Subscription]
impl Subscription {
    /// What is written, in order, as it happens. A stream ends after some time; whoever resumes it misses nothing and gets
    /// nothing twice.
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "Where to start: after this resume token, or `earliest`, or `latest`, which is the default. The header Last-Event-ID wins over it."
        )]
        after: Option<String>,
        #[graphql(desc = "Of one of these types; all when there are none.")] types: Option<Vec<EventType>>,
        #[graphql(desc = "Of one of these object types or link types; all when there are none.")] entity_ids: Option<
            Vec<ID>,
        >,
        #[graphql(
            desc = "Of types with one of these names, in any case; a rename is of both names. All when there are none."
        )]
        names: Option<Vec<String>>,
    ) -> Result<stream::Iter<std::option::IntoIter<Event>>> {
        let asked = Asked::of(context);
        let explain = |error| asked.explain(error, Place::Arguments);
        match context.data::<Arc<Stage>>()?.as_ref() {
            Stage::Show(event) => Ok(stream::iter(Some(event.clone()))),
            Stage::Open { last_event_id, duration, session } => {
                let start = last_event_id.as_deref().or(after.as_deref());
                let open = async {
                    let (filter, start) = (filter(types, entity_ids, names)?, place(start)?);
                    Session::open(&asked.registry.feed, &asked.caller, filter, &start, *duration).await
                };
                let opened = open.await.map_err(explain)?;
                *session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(opened));
                Ok(stream::iter(None))
            }
        }
    }
}

fn place(text: Option<&str>) -> Result<Start, Error> {
    match text {
        None => Ok(Start::Latest),
        Some(text) if (1..=MAX_TOKEN).contains(&text.len()) => Ok(Start::parse(text)),
        Some(_) => Err(parameter("after", FaultKind::ResumeToken)),
    }
}

/// Checks what a client asks for.
fn filter(
    types: Option<Vec<EventType>>,
    entities: Option<Vec<ID>>,
    names: Option<Vec<String>>,
) -> Result<EventFilter, Error> {
    let mut faults = Faults::default();
    let (entities, names) = (entities.unwrap_or_default(), names.unwrap_or_default());
    for (pointer, actual) in [("/entityIds", entities.len()), ("/names", names.len())] {
        if actual > MAX_WANTED {
            faults.push(pointer, FaultKind::TooMany { max: MAX_WANTED, actual });
        }
    }
    let mut ids = Vec::with_capacity(entities.len());
    for (index, id) in entities.iter().enumerate().take(MAX_WANTED) {
        match Uuid::try_parse(id) {
            Ok(id) => ids.push(id),
            Err(_) => faults.push(step("/entityIds", index), FaultKind::Malformed { expected: "a UUID" }),
        }
    }
    for (index, name) in names.iter().enumerate().take(MAX_WANTED) {
        if let Err(kind) = check_text(name, 1, 64) {
            faults.push(step("/names", index), kind);
        }
    }
    faults.finish(Code::InvalidRequest)?;
    let types = types.unwrap_or_default().into_iter().map(Into::into).collect();
    Ok(EventFilter { types, entities: ids, names, ..EventFilter::default() })
}
