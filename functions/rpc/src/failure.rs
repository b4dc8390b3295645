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

#[cfg(test)]
mod tests {
    use axum::{Router, routing::post};
    use oms_core::{
        Registry,
        config::{EventConfig, PostgresConfig, RedisConfig, Source},
        error::{Code, Error, Kind},
        fault::{Fault, FaultKind, Location},
    };
    use oms_edge::{Edge, EdgeConfig};
    use proptest::{collection::vec, prelude::*};
    use tower::ServiceExt;

    use super::*;

    /// What clients take of headers by default, all together.
    const CLIENT_LIMIT: usize = 8 * 1024;

    fn edge() -> Edge {
        let mut source = Source::from_pairs([
            ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"),
            ("JWT_ALGORITHM", "HS256"),
            ("JWT_SECRET", "a secret of the tests, long enough for HS256"),
            ("JWT_ISSUER", "https://issuer.test"),
            ("JWT_AUDIENCE", "oms"),
        ]);
        let (postgres, redis) = (PostgresConfig::read(&mut source), RedisConfig::read(&mut source));
        let registry = Registry::connect_lazy(&postgres, &redis, &EventConfig::read(&mut source)).unwrap();
        Edge::new(EdgeConfig::read(&mut source), registry)
    }

    /// What a client of gRPC is answered when a handler fails like this.
    fn answered(error: impl Fn() -> Error + Clone + Send + Sync + 'static, language: &str, id: &str) -> Response {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let routes = Router::new().route("/fail", post(async move || ApiError::from(error())));
            let request = Request::post("/fail")
                .header("content-type", "application/grpc")
                .header("accept-language", language)
                .header("x-correlation-id", id)
                .body(Body::empty())
                .unwrap();
            oms_edge::protect_as(routes, &edge(), write).oneshot(request).await.unwrap()
        })
    }

    fn bytes_of_headers(response: &Response) -> usize {
        // As HTTP/2 counts them (RFC 9113, 6.5.2).
        response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
    }

    fn kind() -> impl Strategy<Value = FaultKind> {
        let text = prop_oneof!["\\PC{0,30}", "[가-힣]{0,2000}", "[a-z]{0,5000}", "[\u{0}-\u{20}%]{0,500}"];
        prop_oneof![
            Just(FaultKind::Required),
            Just(FaultKind::NameForm),
            any::<usize>().prop_map(|actual| FaultKind::TooMany { max: 1_000, actual }),
            text.clone().prop_map(|name| FaultKind::UnknownProperty { name }),
            text.clone().prop_map(|name| FaultKind::NameTaken { kind: Kind::ObjectType, name }),
            text.clone().prop_map(|pattern| FaultKind::PatternMismatch { pattern }),
            text.prop_map(|reason| FaultKind::Pattern { reason }),
        ]
    }

    fn error() -> impl Strategy<Value = Vec<(String, FaultKind)>> {
        let place = prop_oneof!["(/[a-z]{1,10}){0,5}", "/[가-힣]{0,3000}", "\\PC{0,100}"];
        let one = vec((place.clone(), kind()), 1..4);
        prop_oneof![one, vec((place, kind()), 1..200)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_failure_fits_into_the_headers_that_clients_take(
            faults in error(),
            language in "(en|ko)",
            id in "[!-~]{128}",
        ) {
            let fails = move || {
                let faults = faults.iter().map(|(place, kind)| Fault::at(place.clone(), kind.clone())).collect();
                Error::Invalid { aggregate: Code::InvalidObjectType, faults }
            };
            let response = answered(fails, &language, &id);
            let bytes = bytes_of_headers(&response);
            prop_assert!(bytes <= CLIENT_LIMIT, "{} bytes: {:?}", bytes, response.headers());
        }

        #[test]
        fn what_is_repeated_of_a_name_is_bounded(key in "([가-힣]{0,4000}|[\u{0}-\u{20}%]{0,4000})", language in "(en|ko)") {
            let fails = move || Error::NotFound { code: Code::ObjectTypeNotFound, key: key.clone() };
            let response = answered(fails, &language, "id");
            let bytes = bytes_of_headers(&response);
            prop_assert!(bytes <= CLIENT_LIMIT, "{} bytes: {:?}", bytes, response.headers());
            prop_assert_eq!(&response.headers()["grpc-status"], "5");
        }
    }

    #[test]
    fn the_first_faults_are_listed_as_far_as_there_is_room() {
        let entries = |count: usize| -> Vec<Entry<'static>> {
            (0..count)
                .map(|_| Entry { pointer: Some("/a"), code: "REQUIRED", message: "x".repeat(70), ..Entry::default() })
                .collect()
        };
        assert_eq!(faults(entries(10)).field_violations.len(), 10);
        let many = faults(entries(1_000));
        assert!((20..100).contains(&many.field_violations.len()), "{}", many.field_violations.len());
        let long = Entry { pointer: Some("/a"), message: "고".repeat(5_000), ..Entry::default() };
        let [only] = &faults(vec![long]).field_violations[..] else { panic!("one") };
        assert!(only.description.len() <= MAX_TEXT + '…'.len_utf8() && only.description.ends_with('…'));
    }

    #[test]
    fn fields_are_named_as_the_messages_name_them() {
        let parameter =
            |name: &'static str| Fault { location: Location::Parameter(name.into()), kind: FaultKind::Required };
        let error = ApiError::from(Error::Invalid {
            aggregate: Code::InvalidRequest,
            faults: ["cursor", "limit", "after", "names[3]"].map(parameter).into(),
        });
        let faults = faults(error.entries(oms_edge::Locale::English));
        let fields: Vec<_> = faults.field_violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["page_token", "page_size", "resume_token", "names[3]"]);
    }
}
