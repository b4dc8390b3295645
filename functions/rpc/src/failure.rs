//! Failures as clients of gRPC, gRPC-Web and Connect get them: a status with `google.rpc.ErrorInfo`, and as the case may be
//! `google.rpc.BadRequest` and `google.rpc.RetryInfo`.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use buffa::Message;
use connectrpc::{ConnectError, ErrorCode, ErrorDetail};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use oms_edge::{ApiError, Cause, RequestInfo, codes, problem::Entry};
use oms_proto::server::rpc::{BadRequest, ErrorInfo, RetryInfo, bad_request::FieldViolation};

use crate::refusal::{self, GRPC_STATUS};

/// Whose error codes they are.
const DOMAIN: &str = "openfoundry.oms";
/// About the most bytes of the faults of one failure: they travel in a header, and clients take 8 KiB of headers by default.
const MAX_FAULTS_BYTES: usize = 3 * 1024;
/// The most bytes of a text, for the same reason; what is not ASCII is written three times as long.
const MAX_TEXT: usize = 600;

/// Where a handler leaves why it failed: a request extension.
#[derive(Clone, Default)]
pub(crate) struct Failed(Arc<Mutex<Option<ApiError>>>);

impl Failed {
    /// Leaves the failure to be written like any other of the edge; what is returned takes its place until then.
    pub(crate) fn leave(&self, error: ApiError) -> ConnectError {
        let code = code(&error);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        ConnectError::new(code, "")
    }
}

/// Hands failures to the outermost middleware, which logs and writes them: those of handlers, and what was refused before any
/// handler was asked.
pub(crate) async fn report(State(limit): State<usize>, mut request: Request, next: Next) -> Response {
    let failed = Failed::default();
    request.extensions_mut().insert(failed.clone());
    let response = next.run(request).await;
    let error = failed.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    match error {
        Some(error) => error.into_response(),
        None => refusal::explained(response, limit).await,
    }
}

/// Writes a failure in the protocol of its request.
pub(crate) fn write(response: &mut Response, error: &ApiError, info: &RequestInfo) {
    let unknown = matches!(error.cause(), Cause::RouteNotFound).then(|| ApiError::from(Cause::ProcedureNotFound));
    let error = unknown.as_ref().unwrap_or(error);
    let asked = info.content_type().and_then(|media| HeaderValue::from_str(media).ok());
    let asked = HeaderMap::from_iter(asked.map(|media| (header::CONTENT_TYPE, media)));
    let explained = match error.cause() {
        // What HTTP has a status of its own for; clients that can't read the rest know it by that.
        Cause::ProcedureNotFound | Cause::MethodNotAllowed | Cause::UnsupportedMediaType => {
            explain(error, info).with_http_status(error.status())
        }
        _ => explain(error, info),
    };
    let mut written = in_headers(explained.into_http_response(&asked).map(Body::new));
    written.headers_mut().extend(std::mem::take(response.headers_mut()));
    *response = written;
}

/// A failure of gRPC in headers alone ("Trailers-Only"). `connectrpc` writes the status into headers and trailers but its
/// details into trailers only, and clients that find the status in the headers look no further.
fn in_headers(response: Response) -> Response {
    if !response.headers().contains_key(GRPC_STATUS) {
        return response;
    }
    let (mut parts, mut body) = response.into_parts();
    let trailers = body.frame().now_or_never().flatten().and_then(|frame| frame.ok()?.into_trailers().ok());
    parts.headers.extend(trailers.unwrap_or_default());
    Response::from_parts(parts, Body::empty())
}

/// The failure as a status with its details.
pub(crate) fn explain(error: &ApiError, info: &RequestInfo) -> ConnectError {
    let locale = info.locale();
    let about = ErrorInfo {
        reason: error.code().as_str().to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: [("correlationId".to_owned(), info.correlation_id().to_owned())].into_iter().collect(),
        ..ErrorInfo::default()
    };
    let mut failure = ConnectError::new(code(error), clipped(error.detail(locale)))
        .with_detail(ErrorDetail::from_message("google.rpc.ErrorInfo", &about));
    let faults = faults(error.entries(locale));
    if !faults.field_violations.is_empty() {
        failure = failure.with_detail(ErrorDetail::from_message("google.rpc.BadRequest", &faults));
    }
    if let Some(after) = error.retry_after() {
        let retry = RetryInfo {
            retry_delay: buffa_types::google::protobuf::Duration::from(after).into(),
            ..RetryInfo::default()
        };
        failure = failure.with_detail(ErrorDetail::from_message("google.rpc.RetryInfo", &retry));
    }
    failure
}

fn code(error: &ApiError) -> ErrorCode {
    match error.cause() {
        Cause::DeadlinePassed => return ErrorCode::DeadlineExceeded,
        Cause::RequestUnsupported { .. } => return ErrorCode::Unimplemented,
        _ => {}
    }
    let number = u32::try_from(codes::row(error.code()).grpc).ok();
    number.and_then(ErrorCode::from_grpc_code).unwrap_or(ErrorCode::Unknown)
}

fn faults(entries: Vec<Entry<'_>>) -> BadRequest {
    let mut room = MAX_FAULTS_BYTES;
    let violations = entries.into_iter().map(|entry| FieldViolation {
        field: entry.pointer.or(entry.parameter).or(entry.header).map(field).unwrap_or_default().to_owned(),
        description: clipped(entry.message),
        reason: entry.code.to_owned(),
        ..FieldViolation::default()
    });
    let fits = |violation: &FieldViolation| {
        let left = room.checked_sub(violation.encoded_len() as usize);
        room = left.unwrap_or(0);
        left.is_some()
    };
    BadRequest { field_violations: violations.take_while(fits).collect(), ..BadRequest::default() }
}

/// The field of a message for what the core has another name for.
fn field(name: &str) -> &str {
    match name {
        "cursor" => "page_token",
        "limit" => "page_size",
        "after" => "resume_token",
        other => other,
    }
}

fn clipped(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}
