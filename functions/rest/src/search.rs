//! `GET /search`.

use axum::{extract::State, response::Response, routing::get};
use http::{Method, StatusCode};
use oms_core::{
    error::Kind,
    fault::FaultKind,
    search::{DEFAULT_RESULTS, Found, MAX_RESULTS, SearchQuery},
};
use oms_edge::{ApiError, Edge};
use serde::Serialize;

use crate::{
    answer::{self, Items},
    call::Call,
    operation::{Docs, Operation, query, required},
    resource::Shape,
};

pub(crate) fn operation() -> Operation {
    Operation {
        method: Method::GET,
        path: "/api/v1/search".to_owned(),
        handler: get(search),
        docs: Box::new(move || Docs {
            id: "search".to_owned(),
            tag: "Search",
            summary: "Search names, display names, descriptions, property names and tags; best results first"
                .to_owned(),
            parameters: vec![
                required(query(
                    "q",
                    r#"{"type":"string","minLength":1,"maxLength":200}"#,
                    "What to search for; the last word may be incomplete",
                )),
                query("kind", r#"{"type":"string","enum":["object_type","link_type"]}"#, "Only this kind of type"),
                query("limit", r#"{"type":"integer","minimum":1,"maximum":100,"default":10}"#, "The most results"),
            ],
            body: None,
            success: StatusCode::OK,
            answer: Some("SearchResults".to_owned()),
            problems: &[],
        }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hit<'a> {
    kind: Kind,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_type: Option<Shape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_type: Option<Shape<'a>>,
}

async fn search(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let text = query.text("q", 200);
    let text = query.require("q", text);
    let kind = query.read("kind", FaultKind::NotOneOf { allowed: "object_type, link_type" }, |text| match text {
        "object_type" => Some(Kind::ObjectType),
        "link_type" => Some(Kind::LinkType),
        _ => None,
    });
    let limit = query.limit(DEFAULT_RESULTS, MAX_RESULTS, "a whole number from 1 to 100");
    query.finish()?;

    let text = text.unwrap_or_default();
    let hits = edge.registry.search.search(&call.context, SearchQuery { text: &text, kind, limit }).await?;
    let mut items = Items::new(edge.config.max_response_bytes);
    for hit in &hits {
        let shown = match &hit.found {
            Found::ObjectType(found) => Hit {
                kind: Kind::ObjectType,
                score: hit.score,
                object_type: Some(Shape::object_type(found, call.version)),
                link_type: None,
            },
            Found::LinkType(found) => Hit {
                kind: Kind::LinkType,
                score: hit.score,
                object_type: None,
                link_type: Some(Shape::link_type(found)),
            },
        };
        if !items.push(&shown)? {
            break;
        }
    }
    Ok(answer::body(StatusCode::OK, items.finish()))
}
