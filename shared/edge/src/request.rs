//! The outermost middleware: knows each request, renders its failure, and accounts for it in one log line, one span and
//! one measurement (specification 8, 16.6).

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use oms_core::{
    context::Context,
    error::{Code, Error},
    fault::{FaultKind, Location},
};
use opentelemetry::trace::{Status, TraceContextExt, TraceState};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::{
    layers::Edge,
    locale::Locale,
    problem::{ApiError, Cause, Pending, WriteFailure},
    trace_context::TraceParent,
};

/// Ties together the log lines, audit rows and events of one request.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// On Lambda the runtime sets it, whatever the client sent.
const XRAY_TRACE: &str = "x-amzn-trace-id";
const FORWARDED_FOR: &str = "x-forwarded-for";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const MAX_USER_AGENT: usize = 512;

/// The client's address, as a transport without a socket knows it: a request extension that it sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(
    /// The address.
    pub IpAddr,
);

/// What Lambda calls an invocation, so that its own lines are found by those of the request: a request extension.
#[derive(Debug, Clone)]
pub struct InvocationId(
    /// The id of the request to Lambda.
    pub String,
);

/// What an answer has to say to the log line that its status and route don't tell: a response extension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was asked for, where one route answers many questions.
    pub operation: Option<String>,
    /// The code of a failure that the answer tells of by itself, where it is not an [`ApiError`].
    pub code: Option<String>,
}

/// What is known of a request before anybody looks at its route. Cheap to clone; also an extractor.
#[derive(Debug, Clone)]
pub struct RequestInfo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    correlation_id: String,
    trace: TraceParent,
    ip: Option<IpAddr>,
    user_agent: Option<String>,
    locale: Locale,
    max_body_bytes: usize,
    request_timeout: Duration,
    content_type: Option<HeaderValue>,
    /// Tenant and actor, once they are authenticated: for the log line.
    caller: OnceLock<(String, String)>,
}

impl RequestInfo {
    /// The caller's `X-Correlation-Id` when it is 1 to 128 visible ASCII characters, else a new UUID.
    pub fn correlation_id(&self) -> &str {
        &self.0.correlation_id
    }

    /// The trace that this request is part of; the span is the service's own when spans are exported.
    pub fn trace(&self) -> TraceParent {
        self.0.trace
    }

    /// Address of the client.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.ip
    }

    /// `User-Agent`, at most 512 characters of it.
    pub fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }

    /// The language of the answers.
    pub fn locale(&self) -> Locale {
        self.0.locale
    }

    /// The most bytes of a body.
    pub(crate) fn max_body_bytes(&self) -> usize {
        self.0.max_body_bytes
    }

    /// How long the request may take.
    pub fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    /// The media type of the request's body, if it came as text.
    pub fn content_type(&self) -> Option<&str> {
        self.0.content_type.as_ref()?.to_str().ok()
    }

    /// Notes who asks, for the log line.
    pub(crate) fn is_from(&self, context: &Context) {
        // Only a second authentication could find it set, and it would say the same.
        let _ = self.0.caller.set((context.tenant.to_string(), context.actor.clone()));
    }

    /// The info that the outermost middleware left; it is an internal error when there is none.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, ApiError> {
        extensions.get().cloned().ok_or_else(|| Error::internal("the router is not protected").into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestInfo {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.extensions)
    }
}

/// The outermost middleware of [`crate::protect_as`].
pub(crate) async fn track(
    State((edge, write)): State<(Edge, WriteFailure)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let correlation_id = correlation_id(request.headers());
    let span =
        tracing::info_span!("request", otel.name = format!("{method} {route}"), otel.kind = "server", correlation_id,);
    // What only the exported span has: the log would write it for each request, though few log anything but their one line.
    span.set_attribute("http.request.method", method);
    span.set_attribute("http.route", route.clone());
    let info = RequestInfo(Arc::new(Inner {
        correlation_id,
        trace: join_trace(request.headers(), &span),
        ip: client_ip(&request, edge.config.trust_forwarded_for),
        user_agent: user_agent(request.headers()),
        locale: Locale::negotiate(request.headers()),
        max_body_bytes: edge.config.max_body_bytes,
        request_timeout: edge.config.request_timeout,
        content_type: request.headers().get(header::CONTENT_TYPE).cloned(),
        caller: OnceLock::new(),
    }));
    let invocation = request.extensions_mut().remove::<InvocationId>();
    request.extensions_mut().insert(info.clone());

    let mut response = next.run(request).instrument(span.clone()).await;

    let failure = failure(&mut response, edge.config.max_body_bytes);
    let outcome = response.extensions_mut().remove::<Outcome>().unwrap_or_default();
    let status = response.status();
    let trace_id = info.0.trace.trace_id_hex();
    if let Some(error) = &failure {
        write(&mut response, error, &info);
        if let Some(cause) = error.internal_cause() {
            let code = error.code().as_str();
            tracing::error!(cause, code, route, correlation_id = info.correlation_id(), trace_id, "request failed");
        }
    }
    if let Ok(value) = HeaderValue::from_str(info.correlation_id()) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }

    let elapsed = started.elapsed();
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_status(Status::error(""));
    }
    let (tenant, actor) = info.0.caller.get().map(|(tenant, actor)| (tenant.as_str(), actor.as_str())).unzip();
    tracing::info!(
        method,
        route,
        status = status.as_u16(),
        duration_ms = elapsed.as_secs_f64() * 1000.0,
        tenant,
        actor,
        correlation_id = info.correlation_id(),
        trace_id,
        requestId = invocation.map(|InvocationId(id)| id),
        operation = outcome.operation,
        code = failure.as_ref().map(|error| error.code().as_str()).or(outcome.code.as_deref()),
        "request"
    );
    let labels = [("method", method.to_owned()), ("endpoint", route), ("status", status.as_u16().to_string())];
    metrics::histogram!(crate::metrics::REQUEST_DURATION, &labels).record(elapsed);
    response
}

/// The failure that a handler answered, or the one that a body over the limit makes extractors of others answer.
fn failure(response: &mut Response, limit: usize) -> Option<Arc<ApiError>> {
    match response.extensions_mut().remove::<Pending>() {
        Some(Pending(error)) => Some(error),
        None if response.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Some(Arc::new(Cause::BodyTooLarge { limit }.into()))
        }
        None => None,
    }
}

/// A label has few values, whatever clients invent.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// The `Idempotency-Key` of a write: 1 to 255 visible ASCII characters.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let malformed = || {
        let kind = FaultKind::Malformed { expected: "1 to 255 visible ASCII characters" };
        Error::fault(Code::InvalidRequest, Location::Header("Idempotency-Key"), kind)
    };
    key.map(Some).ok_or_else(malformed)
}

fn correlation_id(headers: &HeaderMap) -> String {
    headers
        .get(CORRELATION_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()))
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = String::from_utf8_lossy(headers.get(header::USER_AGENT)?.as_bytes());
    Some(text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect())
}

/// Makes the span a child of the caller's, and tells the trace context that goes on from here.
fn join_trace(headers: &HeaderMap, span: &Span) -> TraceParent {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let xray = || headers.get(XRAY_TRACE)?.to_str().ok().and_then(TraceParent::from_xray);
    let parent = match (given.next(), given.next()) {
        (Some(only), None) => only.to_str().ok().and_then(TraceParent::parse),
        (None, _) => xray(),
        _ => None,
    };
    if let Some(parent) = parent {
        let state = headers.get(TRACESTATE).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<TraceState>().ok());
        parent.adopt(span, state.unwrap_or_default());
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    if own.is_valid() {
        TraceParent {
            trace_id: own.trace_id().to_bytes(),
            span_id: own.span_id().to_bytes(),
            sampled: own.is_sampled(),
        }
    } else {
        parent.unwrap_or_else(TraceParent::generate)
    }
}

fn client_ip(request: &Request, trust_forwarded_for: bool) -> Option<IpAddr> {
    let forwarded = || {
        // Each proxy appends: only the last entry was written by the one in front of us.
        let last = request.headers().get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?;
        parse_address(last.rsplit(',').next()?.trim())
    };
    let peer = || match request.extensions().get::<ClientIp>() {
        Some(ClientIp(ip)) => Some(*ip),
        None => request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip()),
    };
    // An IPv4 client of a dual-stack socket is written as IPv4, so that it is one client everywhere.
    trust_forwarded_for.then(forwarded).flatten().or_else(peer).map(|ip| ip.to_canonical())
}

/// An address, with a port or without.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        headers.iter().fold(Request::builder(), |builder, (k, v)| builder.header(*k, *v)).body(Body::empty()).unwrap()
    }

    #[test]
    fn a_usable_correlation_id_is_kept_and_any_other_replaced() {
        let id = |value: &str| correlation_id(request(&[("X-Correlation-Id", value)]).headers());
        assert_eq!(id("order-42"), "order-42");
        assert_eq!(id(&"x".repeat(128)).len(), 128);
        for bad in ["", "two words", &"x".repeat(129)] {
            assert!(Uuid::parse_str(&id(bad)).is_ok(), "{bad:?}");
        }
    }

    #[test]
    fn the_client_is_the_peer_unless_a_proxy_is_trusted() {
        let mut asked =
            request(&[("X-Forwarded-For", "1.1.1.1, 2.2.2.2"), ("X-Forwarded-For", "3.3.3.3, 4.4.4.4:5000")]);
        assert_eq!(client_ip(&asked, false), None);
        asked.extensions_mut().insert(ConnectInfo::<SocketAddr>("[::ffff:10.0.0.1]:80".parse().unwrap()));
        assert_eq!(client_ip(&asked, false), Some("10.0.0.1".parse().unwrap()));
        asked.extensions_mut().insert(ClientIp("10.0.0.2".parse().unwrap()));
        assert_eq!(client_ip(&asked, false), Some("10.0.0.2".parse().unwrap()));
        assert_eq!(client_ip(&asked, true), Some("4.4.4.4".parse().unwrap()));
        let mut odd = request(&[("X-Forwarded-For", "9.9.9.9, unknown")]);
        odd.extensions_mut().insert(ClientIp("10.0.0.2".parse().unwrap()));
        assert_eq!(client_ip(&odd, true), Some("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn the_user_agent_is_bounded() {
        assert_eq!(user_agent(request(&[("User-Agent", "curl/8")]).headers()).as_deref(), Some("curl/8"));
        assert_eq!(
            user_agent(request(&[("User-Agent", &"a".repeat(2000))]).headers()).map(|text| text.len()),
            Some(512)
        );
        assert_eq!(user_agent(&HeaderMap::new()), None);
    }

    #[test]
    fn the_trace_of_the_caller_goes_on_and_without_one_a_new_one_begins() {
        const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(join_trace(request(&[("traceparent", GIVEN)]).headers(), &Span::none()).to_string(), GIVEN);
        let fresh = join_trace(request(&[("traceparent", GIVEN), ("traceparent", GIVEN)]).headers(), &Span::none());
        assert_ne!(fresh.to_string(), GIVEN);
    }

    #[test]
    fn the_trace_of_lambda_goes_on_when_the_caller_has_none() {
        const XRAY: (&str, &str) =
            ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0");
        const GIVEN: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let joined = |headers: &[_]| join_trace(request(headers).headers(), &Span::none()).to_string();
        assert_eq!(joined(&[XRAY]), "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00");
        assert_eq!(joined(&[XRAY, GIVEN]), GIVEN.1);
    }
}
