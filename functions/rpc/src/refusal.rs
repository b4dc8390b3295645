//! What `connectrpc` refuses by itself, before any method is asked: a message that can't be read, is too long, or comes too
//! late. Each becomes a failure of the edge, so that it is logged and explained like any other.

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use connectrpc::{ConnectError, ErrorCode};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use oms_core::error::Error;
use oms_edge::{ApiError, Cause};
use percent_encoding::percent_decode;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// The flags of the frame that ends an answer of gRPC-Web, and of a stream of Connect.
const WEB_TRAILERS: u8 = 0x80;
const CONNECT_END: u8 = 0x02;
/// What stands before a message: its flags and its length.
const FRAME_HEAD: usize = 5;

/// A code and words for those who write clients.
type Told = (ErrorCode, String);

/// The response, or the failure of the edge that it tells of.
pub(crate) async fn explained(response: Response, limit: usize) -> Response {
    if response.status() != StatusCode::OK {
        return explained_by_status(response, limit).await;
    }
    if let Some(code) = number(response.headers()) {
        let words = response.headers().get(GRPC_MESSAGE).map(|words| decoded(words.as_bytes()));
        return replaced(response, Some((code, words.unwrap_or_default())), limit);
    }
    let media = response.headers().get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let (web, stream) = (media.starts_with(b"application/grpc-web"), media.starts_with(b"application/connect+"));
    if !web && !stream {
        return response;
    }
    // Whether it failed stands in the first frame. That of a stream comes at once: its opening, or a part of the snapshot.
    let (parts, mut body) = response.into_parts();
    let first = body.frame().await;
    let bytes = first.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).cloned().unwrap_or_default();
    let told = match bytes.first() {
        Some(&WEB_TRAILERS) if web => by_trailers(&bytes),
        Some(&CONNECT_END) if stream => by_end(&bytes),
        _ => None,
    };
    let whole = StreamBody::new(stream::iter(first).chain(BodyStream::new(body)));
    replaced(Response::from_parts(parts, Body::new(whole)), told, limit)
}

/// A unary answer of Connect, or one without a protocol.
async fn explained_by_status(response: Response, limit: usize) -> Response {
    let cause = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some(Cause::MethodNotAllowed),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(Cause::UnsupportedMediaType),
        _ => None,
    };
    if let Some(cause) = cause {
        let mut answer = ApiError::from(cause).into_response();
        let kept = [header::ALLOW, ACCEPT_POST].map(|name| (name.clone(), response.headers().get(name).cloned()));
        answer.headers_mut().extend(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
        return answer;
    }
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let told = serde_json::from_slice::<ConnectError>(&body).ok().map(|error| (error.code, words(error)));
    replaced(Response::from_parts(parts, Body::from(body)), told, limit)
}

fn by_trailers(frame: &Bytes) -> Option<Told> {
    let mut status = None;
    let mut words = String::new();
    for line in frame.get(FRAME_HEAD..)?.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(GRPC_STATUS.as_str().as_bytes()) {
            status = code(value);
        } else if name.eq_ignore_ascii_case(GRPC_MESSAGE.as_str().as_bytes()) {
            words = decoded(value);
        }
    }
    Some((status?, words))
}

fn by_end(frame: &Bytes) -> Option<Told> {
    let mut end: serde_json::Value = serde_json::from_slice(frame.get(FRAME_HEAD..)?).ok()?;
    let error: ConnectError = serde_json::from_value(end.get_mut("error")?.take()).ok()?;
    Some((error.code, words(error)))
}

fn words(error: ConnectError) -> String {
    error.message.unwrap_or_default()
}

fn number(headers: &HeaderMap) -> Option<ErrorCode> {
    code(headers.get(GRPC_STATUS)?.as_bytes())
}

fn code(text: &[u8]) -> Option<ErrorCode> {
    ErrorCode::from_grpc_code(std::str::from_utf8(text).ok()?.parse().ok()?)
}

fn decoded(text: &[u8]) -> String {
    percent_decode(text).decode_utf8_lossy().into_owned()
}

/// The failure in place of the response; the response itself where a service says more than `connectrpc` does.
fn replaced(response: Response, told: Option<Told>, limit: usize) -> Response {
    let Some((code, because)) = told else { return response };
    match code {
        ErrorCode::ResourceExhausted => ApiError::from(Cause::BodyTooLarge { limit }).into_response(),
        ErrorCode::DeadlineExceeded => {
            ApiError::from(Cause::DeadlinePassed).with_status(StatusCode::GATEWAY_TIMEOUT).into_response()
        }
        ErrorCode::InvalidArgument => ApiError::from(Cause::MessageUnreadable { because }).into_response(),
        ErrorCode::Unimplemented => ApiError::from(Cause::RequestUnsupported { because }).into_response(),
        // Two that its client has to answer for.
        ErrorCode::Internal if because.starts_with("received compressed message without") => {
            ApiError::from(Cause::MessageUnreadable { because }).into_response()
        }
        ErrorCode::Internal if because.starts_with("failed to read request body") => {
            ApiError::from(Cause::BodyUnreadable).into_response()
        }
        ErrorCode::Internal => ApiError::from(Error::internal(because)).into_response(),
        _ => response,
    }
}
