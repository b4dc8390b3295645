//! What surrounds the handlers of every HTTP function, and the order of it.

use std::{any::Any, ops::Deref, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, Method, header, request::Parts};
use oms_core::{Registry, context::Context, error::Error};
use tokio::task::JoinError;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, Any as AnyOrigin, CorsLayer},
};
use tracing::Instrument;

use crate::{
    authentication::{Authenticator, Refusal},
    config::{EdgeConfig, Origins},
    failed_login::FailedLogins,
    health,
    problem::{self, ApiError, Cause, WriteFailure},
    request::{self, RequestInfo},
};

/// The most bytes that are taken from a client who is refused, and the longest time.
const DRAINED_BYTES: usize = 64 * 1024;
const DRAINED_WITHIN: Duration = Duration::from_secs(1);

/// What the middleware and the health routes work with. A clone is one count of references: a request makes a handful.
#[derive(Clone)]
pub struct Edge(Arc<Shared>);

/// What an [`Edge`] has.
pub struct Shared {
    /// Settings.
    pub config: Arc<EdgeConfig>,
    /// The use cases.
    pub registry: Arc<Registry>,
    pub(crate) authenticator: Authenticator,
    pub(crate) failed_logins: FailedLogins,
}

impl Deref for Edge {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Edge {
    /// Builds it once per process; no key is fetched before the first token comes.
    pub fn new(config: EdgeConfig, registry: Registry) -> Self {
        let config = Arc::new(config);
        Self(Arc::new(Shared {
            authenticator: Authenticator::new(config.clone()),
            failed_logins: FailedLogins::new(config.failed_logins_per_minute),
            config,
            registry: Arc::new(registry),
        }))
    }
}

/// Adds the health routes and surrounds all routes of a function, from the outside in: request context, log line, metrics and problem bodies; CORS;
/// panics turned into 500; the time limit; the body limit. Paths and methods that no route answers become problems too.
///
/// Call it last, on the complete router: routes that are added afterwards are not protected. A transport without a socket
/// sets [`crate::ClientIp`] on its requests; `axum::serve` needs `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn protect(router: Router, edge: &Edge) -> Router {
    protect_as(router, edge, problem::write)
}

/// The same, with failures in another form than `application/problem+json`.
pub fn protect_as(router: Router, edge: &Edge, write: WriteFailure) -> Router {
    // As one layer: each of its own would be a box around every route, which every request passes.
    let layers = ServiceBuilder::new()
        .layer(middleware::from_fn_with_state((edge.clone(), write), request::track))
        .option_layer(cors(&edge.config))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(middleware::from_fn_with_state(edge.config.request_timeout, limit_time))
        .layer(DefaultBodyLimit::max(edge.config.max_body_bytes));
    router
        .merge(health::router(edge))
        .fallback(async || ApiError::from(Cause::RouteNotFound))
        .method_not_allowed_fallback(async || ApiError::from(Cause::MethodNotAllowed))
        .layer(layers)
}

/// Puts the routes added so far behind authentication; their handlers can extract [`Caller`].
///
/// # Panics
///
/// When the router has no routes, which is a mistake in the program that its first start shows.
pub fn authenticated<S: Clone + Send + Sync + 'static>(router: Router<S>, edge: &Edge) -> Router<S> {
    router.route_layer(middleware::from_fn_with_state(edge.clone(), authenticate))
}

/// The caller of an authenticated route, with everything that use cases need to know of it.
#[derive(Debug, Clone)]
pub struct Caller(
    /// The context; `idempotency` is for the handler to fill in.
    pub Context,
);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let context = parts.extensions.get::<Context>().cloned();
        context.map(Self).ok_or_else(|| Error::internal("the route is not behind authentication").into())
    }
}

async fn authenticate(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let info = match RequestInfo::of(request.extensions()) {
        Ok(info) => info,
        Err(error) => return error.into_response(),
    };
    match identify(&edge, &info, request.headers()).await {
        Ok(context) => {
            request.extensions_mut().insert(context);
            next.run(request).await
        }
        Err(error) => {
            drain(request).await;
            error.into_response()
        }
    }
}

/// Takes what a refused client is sending, if that is little: HTTP/1.1 closes a connection on a body that nobody has read, and
/// a client that still writes then never sees the answer. Who waits to be told to go on sends nothing.
async fn drain(request: Request) {
    if !request.headers().contains_key(header::EXPECT) {
        let reading = axum::body::to_bytes(request.into_body(), DRAINED_BYTES);
        // Too much, too slow or broken: then so be it.
        let _ = tokio::time::timeout(DRAINED_WITHIN, reading).await;
    }
}

async fn identify(edge: &Edge, info: &RequestInfo, headers: &HeaderMap) -> Result<Context, ApiError> {
    match edge.authenticator.authenticate(headers, &edge.registry).await {
        Ok(principal) => {
            let context = Context {
                tenant: principal.tenant,
                actor: principal.actor,
                permissions: principal.permissions,
                expires_at: principal.expires_at,
                ip: info.ip(),
                user_agent: info.user_agent().map(str::to_owned),
                correlation_id: info.correlation_id().to_owned(),
                traceparent: Some(info.trace().to_string()),
                idempotency: None,
            };
            info.is_from(&context);
            Ok(context)
        }
        Err(Refusal::Missing) => Err(Cause::Unauthenticated { invalid_token: false }.into()),
        Err(Refusal::Ambiguous) => Err(Cause::AmbiguousCredentials.into()),
        Err(Refusal::Invalid { reason, token }) => {
            let tenant = &edge.config.default_tenant;
            Err(edge.failed_logins.refuse(&edge.registry, tenant, info, reason, token).await)
        }
        Err(Refusal::Unavailable(error)) => Err(error.into()),
    }
}

/// A read is dropped with its connection or at the limit. A write goes on to its end as a task of its own, whoever still
/// waits for it: between the commit and the end the cache learns of it.
async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let reads = request.method().is_safe();
    let running = next.run(request).in_current_span();
    let ended = if reads {
        tokio::time::timeout(limit, running).await
    } else {
        let ended = tokio::time::timeout(limit, tokio::spawn(running)).await;
        ended.map(|ended| ended.unwrap_or_else(answer_lost_task))
    };
    ended.unwrap_or_else(|_| ApiError::from(Cause::Timeout).into_response())
}

fn answer_lost_task(error: JoinError) -> Response {
    match error.try_into_panic() {
        Ok(panic) => answer_panic(panic),
        Err(error) => ApiError::from(Error::internal(error)).into_response(),
    }
}

fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::from(Error::internal(format!("panic: {}", text.unwrap_or("without words")))).into_response()
}

fn cors(config: &EdgeConfig) -> Option<CorsLayer> {
    let origin: AllowOrigin = match &config.cors {
        Origins::None => return None,
        Origins::Any => AnyOrigin.into(),
        Origins::List(origins) => AllowOrigin::list(origins.iter().cloned()),
    };
    let layer = CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT_LANGUAGE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            config.api_key_header.clone(),
            request::CORRELATION_ID,
            HeaderName::from_static("x-api-version"),
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
            // What gRPC-Web and Connect clients send.
            HeaderName::from_static("connect-protocol-version"),
            HeaderName::from_static("connect-timeout-ms"),
            HeaderName::from_static("grpc-timeout"),
            HeaderName::from_static("x-grpc-web"),
            HeaderName::from_static("x-user-agent"),
        ])
        .expose_headers([
            header::ETAG,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            request::CORRELATION_ID,
            HeaderName::from_static("grpc-message"),
            HeaderName::from_static("grpc-status"),
            HeaderName::from_static("grpc-status-details-bin"),
        ])
        .max_age(Duration::from_secs(3600));
    Some(layer)
}

#[cfg(test)]
mod tests;
