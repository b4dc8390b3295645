//! `GET /events`: the change feed, as a page of JSON or as Server-Sent Events.

use std::{collections::VecDeque, convert::Infallible, str::FromStr, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::get,
};
use futures::Stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use oms_core::{
    error::Error,
    fault::FaultKind,
    feed::{DEFAULT_EVENTS, EventFilter, Feed, FeedEvent, MAX_EVENTS, Start, Watch},
};
use oms_edge::{ApiError, Edge, Locale};
use oms_events::EventType;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;

use crate::{
    answer::Items,
    call::Call,
    operation::{Docs, Operation, header, query},
};

const EVENT_STREAM: &str = "text/event-stream";
/// After so long without an event a comment shows that the stream is alive, with the token that the feed came to.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a client waits before it connects again, when a stream has ended.
const RETRY: Duration = Duration::from_secs(1);
const TYPES: &str = "ObjectTypeCreated, ObjectTypeUpdated, ObjectTypeDeleted, ObjectTypeRestored, LinkTypeCreated, \
    LinkTypeUpdated, LinkTypeDeleted, LinkTypeRestored";

pub(crate) fn operation() -> Operation {
    const TEXTS: &str = r#"{"type":"array","items":{"type":"string"}}"#;
    const IDS: &str = r#"{"type":"array","items":{"type":"string","format":"uuid"}}"#;
    const EVENT_TYPES: &str = r##"{"type":"array","items":{"$ref":"#/components/schemas/EventType"}}"##;
    Operation {
        method: Method::GET,
        path: "/api/v1/events".to_owned(),
        handler: get(read),
        docs: Docs {
            id: "listEvents".to_owned(),
            tag: "Events",
            summary: "The change feed: what was written, in order; with `Accept: text/event-stream` as it happens"
                .to_owned(),
            parameters: vec![
                query(
                    "after",
                    r#"{"type":"string"}"#,
                    "A resume token: events after it; or earliest (the default of pages) or latest (that of streams)",
                ),
                query("type", EVENT_TYPES, "Of one of these types"),
                query("entityId", IDS, "Of one of these object types or link types"),
                query("name", TEXTS, "Of types with one of these names; a rename is of both"),
                query(
                    "limit",
                    r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
                    "The most events of a page",
                ),
                header(
                    "Last-Event-ID",
                    false,
                    "A resume token, as browsers send it when a stream broke off; wins over `after`",
                ),
            ],
            body: None,
            success: StatusCode::OK,
            answer: Some("EventFeed".to_owned()),
            problems: &[410],
        },
    }
}

async fn read(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let after =
        query.read("after", FaultKind::ResumeToken, |text| (1..=128).contains(&text.len()).then(|| text.to_owned()));
    let filter = EventFilter {
        types: query.all("type", FaultKind::NotOneOf { allowed: TYPES }, |text| EventType::from_str(text).ok()),
        entities: query.ids("entityId"),
        names: query.texts("name"),
    };
    let limit = query.limit(DEFAULT_EVENTS, MAX_EVENTS, "a whole number from 1 to 1000");
    query.finish()?;
    let last = call.headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let after = last.or(after.as_deref()).map(Start::parse);
    if wants_stream(&call.headers) {
        return stream(&edge, &call, filter, after.unwrap_or(Start::Latest)).await;
    }
    page(&edge, &call, &filter, &after.unwrap_or(Start::Earliest), limit).await
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().unwrap_or_default().trim() == EVENT_STREAM)
}

async fn page(edge: &Edge, call: &Call, filter: &EventFilter, start: &Start, limit: u32) -> Result<Response, ApiError> {
    let page = edge.registry.feed.page(&call.context, filter, start, limit).await?;
    let mut items = Items::new(edge.config.max_response_bytes);
    for (event, _) in &page.events {
        let json = RawValue::from_string(event.json()?.to_owned()).map_err(Error::internal)?;
        if !items.push(&json)? {
            break;
        }
    }
    // The page speaks as far as it has room.
    let whole = items.kept() == page.events.len();
    let last = page.events.get(..items.kept()).and_then(<[_]>::last).filter(|_| !whole);
    let token = last.map_or(page.resume_token.as_str(), |(_, token)| token);
    let has_more = page.has_more || !whole;
    let next = call.with("after", token);
    let mut response =
        items.finish_with(&json!({ "resumeToken": token, "hasMore": has_more }), has_more.then_some(next))?;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

async fn stream(edge: &Edge, call: &Call, filter: EventFilter, start: Start) -> Result<Response, ApiError> {
    let watch = edge.registry.feed.watch(&call.context, filter, &start).await?;
    let streaming = Streaming {
        feed: edge.registry.feed.clone(),
        watch,
        waiting: VecDeque::new(),
        ends_at: Instant::now() + edge.config.stream_duration,
        locale: call.locale,
        opened: false,
        ended: false,
    };
    let mut response = Sse::new(streaming.into_stream()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.append(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// A stream of events; it reads on only when what it has is taken.
struct Streaming {
    feed: Feed,
    watch: Watch,
    waiting: VecDeque<(Arc<FeedEvent>, String)>,
    ends_at: Instant,
    locale: Locale,
    opened: bool,
    ended: bool,
}

impl Streaming {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, async |mut streaming| {
            if streaming.ended {
                return None;
            }
            let event = match streaming.next().await {
                Ok(event) => event,
                Err(error) => {
                    streaming.ended = true;
                    let error = ApiError::from(error);
                    if let Some(cause) = error.internal_cause() {
                        tracing::warn!(cause, "an event stream ends");
                    }
                    let problem = json!({ "code": error.code().as_str(), "detail": error.detail(streaming.locale) });
                    Event::default().event("problem").data(problem.to_string())
                }
            };
            Some((Ok(event), streaming))
        })
    }

    /// The next event of the stream. The first one only tells where it starts, so that nothing is lost if it breaks at once.
    async fn next(&mut self) -> Result<Event, Error> {
        if !std::mem::replace(&mut self.opened, true) {
            return Ok(Event::default().id(self.watch.resume_token()?).retry(RETRY).comment("open"));
        }
        if let Some((event, token)) = self.waiting.pop_front() {
            return Ok(Event::default().id(token).event(event.event.event_type.as_str()).data(event.json()?));
        }
        let left = self.ends_at.saturating_duration_since(Instant::now());
        let page = tokio::select! {
            page = self.watch.next(HEARTBEAT.min(left)) => page?,
            () = self.feed.ended() => return self.close("the server stops"),
        };
        self.waiting = page.events.into();
        if let Some((event, token)) = self.waiting.pop_front() {
            return Ok(Event::default().id(token).event(event.event.event_type.as_str()).data(event.json()?));
        }
        if !page.has_more && Instant::now() >= self.ends_at {
            return self.close("time is up");
        }
        Ok(Event::default().id(page.resume_token).comment("alive"))
    }

    /// The last event; a client resumes from its token.
    fn close(&mut self, why: &str) -> Result<Event, Error> {
        self.ended = true;
        Ok(Event::default().id(self.watch.resume_token()?).comment(why))
    }
}
