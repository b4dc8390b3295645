//! `GET /events`: the change feed, as a page of JSON or as Server-Sent Events.

use std::{convert::Infallible, str::FromStr, time::Duration};

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
    feed::{Beat, DEFAULT_EVENTS, EventFilter, MAX_EVENTS, Session, Start},
};
use oms_edge::{ApiError, Edge, Locale};
use oms_events::EventType;
use serde_json::{json, value::RawValue};

use crate::{
    answer::Items,
    call::Call,
    operation::{Docs, Operation, header, query},
};

const EVENT_STREAM: &str = "text/event-stream";
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
        docs: Box::new(move || Docs {
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
        }),
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
        ..EventFilter::default()
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
    let (feed, duration) = (&edge.registry.feed, edge.config.stream_duration);
    let session = Session::open(feed, &call.context, filter, &start, duration).await?;
    let mut response = Sse::new(frames(session, call.locale)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.append(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// A session as Server-Sent Events; every `id` is a resume token.
fn frames(session: Session, locale: Locale) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(session, move |mut session| async move {
        let beat = session.next().await.transpose()?;
        let frame = beat.and_then(frame).unwrap_or_else(|error| {
            let error = ApiError::from(error);
            if let Some(cause) = error.internal_cause() {
                tracing::warn!(cause, "an event stream ends");
            }
            let problem = json!({ "code": error.code().as_str(), "detail": error.detail(locale) });
            Event::default().event("problem").data(problem.to_string())
        });
        Some((Ok(frame), session))
    })
}

fn frame(beat: Beat) -> Result<Event, Error> {
    Ok(match beat {
        Beat::Open(token) => Event::default().id(token).retry(RETRY).comment("open"),
        Beat::Event(event, token) => {
            Event::default().id(token).event(event.event.event_type.as_str()).data(event.json()?)
        }
        Beat::Alive(token) => Event::default().id(token).comment("alive"),
        Beat::End(token) => Event::default().id(token).comment("end"),
    })
}
