//! GraphQL over HTTP: what a request says, and the media types of its answer.

use async_graphql::Variables;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::refusal::Refusal;

const EVENT_STREAM: &str = "text/event-stream";

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    pub(crate) query: Option<String>,
    pub(crate) operation: Option<String>,
    pub(crate) variables: Value,
    pub(crate) extensions: Value,
}

impl Parameters {
    /// Reads the body of a POST.
    pub(crate) fn of_body(body: Value) -> Result<Self, Refusal> {
        let mut fields = match body {
            Value::Object(fields) => fields,
            Value::Array(_) => return Err(Refusal::Batch),
            _ => return Err(Refusal::Parameter { name: "body", expected: "an object with 'query'" }),
        };
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        Ok(Self {
            query: text("query", take("query"))?,
            operation: text("operationName", take("operationName"))?.filter(|name| !name.is_empty()),
            variables: object("variables", take("variables"))?,
            extensions: object("extensions", take("extensions"))?,
        })
    }

    /// Reads the query string of a GET: variables and extensions are JSON.
    pub(crate) fn of_query_string(query: &str) -> Result<Self, Refusal> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let json = || if value.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&value) };
            match name.as_ref() {
                "query" => parameters.query = Some(value.into_owned()),
                "operationName" => parameters.operation = Some(value.into_owned()).filter(|name| !name.is_empty()),
                "variables" => parameters.variables = object("variables", json().unwrap_or(Value::Bool(false)))?,
                "extensions" => parameters.extensions = object("extensions", json().unwrap_or(Value::Bool(false)))?,
                _ => {}
            }
        }
        Ok(parameters)
    }

    /// The variables as the executor wants them.
    pub(crate) fn variables(&self) -> Variables {
        Variables::from_json(self.variables.clone())
    }
}

fn text(name: &'static str, value: Value) -> Result<Option<String>, Refusal> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(Refusal::Parameter { name, expected: "a string" }),
    }
}

fn object(name: &'static str, value: Value) -> Result<Value, Refusal> {
    match value {
        Value::Null | Value::Object(_) => Ok(value),
        _ => Err(Refusal::Parameter { name, expected: "a JSON object" }),
    }
}

/// What a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// What it likes best for an answer that is complete; a stream only when it accepts nothing else.
    pub(crate) media: Media,
    /// Whether it names streams of events, which a subscription needs. `*/*` does not tell of a client that can read them.
    pub(crate) streams: bool,
}

/// The media type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/graphql-response+json`: the status tells whether there is data.
    Response,
    /// `application/json`: 200 for whatever GraphQL has to say, as clients expect that know no better.
    Json,
    /// `text/event-stream`: an event `next` for each result, and `complete` at the end (GraphQL over SSE, distinct connections).
    EventStream,
}

impl Accepted {
    /// Reads `Accept`; JSON when the client does not mind.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut best: Option<(f32, Media)> = None;
        let (mut said, mut streams) = (false, false);
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty()) {
            said = true;
            let mut parts = range.split(';').map(str::trim);
            let media = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/graphql-response+json" => Media::Response,
                "application/json" | "application/*" | "*/*" => Media::Json,
                EVENT_STREAM => Media::EventStream,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            let Ok(quality) = quality else { continue };
            if media == Media::EventStream {
                streams |= quality > 0.0;
            } else if quality > 0.0 && best.is_none_or(|(most, _)| quality > most) {
                best = Some((quality, media));
            }
        }
        match best {
            Some((_, media)) => Ok(Self { media, streams }),
            None if streams => Ok(Self { media: Media::EventStream, streams }),
            None if said => Err(Refusal::NotAcceptable),
            None => Ok(Self { media: Media::Json, streams }),
        }
    }
}

impl Media {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Response => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::EventStream => EVENT_STREAM,
        })
    }

    /// The status of a request that is refused before it is carried out.
    pub(crate) fn status(self, refusal: &Refusal) -> StatusCode {
        match (refusal, self) {
            (Refusal::NotAcceptable | Refusal::NeedsEventStream, _) => StatusCode::NOT_ACCEPTABLE,
            (Refusal::MutationByGet, _) => StatusCode::METHOD_NOT_ALLOWED,
            // No document was looked at.
            (Refusal::Batch | Refusal::Parameter { .. } | Refusal::WrongHash, _) => StatusCode::BAD_REQUEST,
            // Clients of persisted queries look into the body, and some only into that of a good answer.
            (Refusal::UnknownHash | Refusal::AnswerTooLarge { .. }, _) => StatusCode::OK,
            (Refusal::Timeout, _) => StatusCode::SERVICE_UNAVAILABLE,
            (_, Self::Response) => StatusCode::BAD_REQUEST,
            // What a document is refused for is told in the stream: browsers show no body of another status.
            (_, Self::Json | Self::EventStream) => StatusCode::OK,
        }
    }

    /// An answer of this JSON, which is one line.
    pub(crate) fn answer(self, status: StatusCode, json: String) -> Response {
        // Only a good answer is a stream of events.
        let media = if self == Self::EventStream && status != StatusCode::OK { Self::Json } else { self };
        let text = match media {
            Self::EventStream => frame(&[NEXT, ("data", &json)]) + &frame(&[COMPLETE, ("data", "")]),
            Self::Response | Self::Json => json,
        };
        media.of(status, Body::from(text))
    }

    /// An answer with this body.
    pub(crate) fn of(self, status: StatusCode, body: Body) -> Response {
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.content_type());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-language"));
        if self == Self::EventStream {
            // Proxies that gather answers would hold events back.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// The field that tells of a result.
pub(crate) const NEXT: (&str, &str) = ("event", "next");
/// The field that tells of the end of a stream; with data, though empty, or browsers would not notice.
pub(crate) const COMPLETE: (&str, &str) = ("event", "complete");

/// An event of a stream, of fields whose values are one line each. A field without a name is a comment.
pub(crate) fn frame(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        for part in [name, ": ", value, "\n"] {
            text.push_str(part);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accepted(values: &[&str]) -> Result<(Media, bool), Refusal> {
        let headers = values.iter().map(|value| (header::ACCEPT, value.parse().unwrap()));
        Accepted::negotiate(&headers.collect()).map(|accepted| (accepted.media, accepted.streams))
    }

    #[test]
    fn the_media_type_that_the_client_likes_best_is_answered() {
        const RESPONSE: &str = "application/graphql-response+json";
        for (accept, media) in [
            (&[][..], Media::Json),
            (&["*/*"], Media::Json),
            (&["application/*"], Media::Json),
            (&["Application/JSON; charset=utf-8"], Media::Json),
            (&[RESPONSE], Media::Response),
            (&["application/json", RESPONSE], Media::Json),
            (&["application/graphql-response+json, application/json;q=0.9"], Media::Response),
            (&["application/json;q=0.5, application/graphql-response+json;q=0.8"], Media::Response),
            (&["text/html, application/json;q=0.1"], Media::Json),
            (&["application/graphql-response+json;q=0, */*;q=0.1"], Media::Json),
        ] {
            assert_eq!(accepted(accept), Ok((media, false)), "{accept:?}");
        }
        for (accept, media) in [
            (&["text/event-stream"][..], Media::EventStream),
            (&["text/event-stream, text/html"], Media::EventStream),
            (&["application/json;q=0.1", "Text/Event-Stream"], Media::Json),
            (&["text/event-stream, application/graphql-response+json, multipart/mixed"], Media::Response),
        ] {
            assert_eq!(accepted(accept), Ok((media, true)), "{accept:?}");
        }
        assert_eq!(accepted(&["text/event-stream;q=0, */*"]), Ok((Media::Json, false)));
        for accept in ["text/html", "application/xml", "application/json;q=0", "text/event-stream;q=0", "text/*"] {
            assert_eq!(accepted(&[accept]), Err(Refusal::NotAcceptable), "{accept}");
        }
    }

    #[test]
    fn a_body_says_what_it_means_or_is_refused() {
        let body = json!({"query": "{ a }", "operationName": "", "variables": null, "extensions": {}, "more": 1});
        let read = Parameters::of_body(body).unwrap();
        assert_eq!((read.query.as_deref(), read.operation, read.variables), (Some("{ a }"), None, Value::Null));
        assert_eq!(Parameters::of_body(json!([{"query": "{ a }"}])).unwrap_err(), Refusal::Batch);
        for (body, name) in [
            (json!("{ a }"), "body"),
            (json!({"query": 1}), "query"),
            (json!({"operationName": ["a"]}), "operationName"),
            (json!({"variables": "{}"}), "variables"),
            (json!({"extensions": [1]}), "extensions"),
        ] {
            let refusal = Parameters::of_body(body).unwrap_err();
            assert!(matches!(refusal, Refusal::Parameter { name: found, .. } if found == name), "{refusal:?}");
        }
    }

    #[test]
    fn a_query_string_has_json_in_its_variables() {
        let read =
            Parameters::of_query_string("query=%7B+a+%7D&variables=%7B%22x%22%3A1%7D&extensions=&other=1").unwrap();
        assert_eq!(read.query.as_deref(), Some("{ a }"));
        assert_eq!((read.variables, read.extensions), (json!({"x": 1}), Value::Null));
        for bad in ["variables=%7B", "variables=1", "extensions=%5B%5D"] {
            assert!(matches!(Parameters::of_query_string(bad), Err(Refusal::Parameter { .. })), "{bad}");
        }
    }
}
