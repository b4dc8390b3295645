//! An HTTP function on AWS Lambda, behind an API Gateway HTTP API, or a REST API in STREAM mode.

use std::sync::Arc;

use axum::Router;
use lambda_http::{Error, Request, RequestExt, request::RequestContext, service_fn, tower::ServiceExt};
use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
};

use crate::{ClientIp, Edge, EdgeConfig, iam, poke, telemetry};

/// What an HTTP function is told; `own` is what only this function needs to know.
#[derive(Debug)]
pub struct Settings<C> {
    edge: EdgeConfig,
    postgres: PostgresConfig,
    redis: RedisConfig,
    events: EventConfig,
    poke_queue: Option<String>,
    /// An HTTP API gathers an answer before it sends it; a REST API in STREAM mode does not.
    streaming: bool,
    own: C,
}

impl<C> Settings<C> {
    /// Reads the settings. Problems are noted in the source.
    pub fn read(source: &mut Source, own: impl FnOnce(&mut Source) -> C) -> Self {
        Self {
            edge: EdgeConfig::read(source),
            postgres: PostgresConfig::read(source),
            redis: RedisConfig::read(source),
            events: EventConfig::read(source),
            poke_queue: poke::queue(source),
            streaming: source.parse("RESPONSE_STREAMING", false, "true or false"),
            own: own(source),
        }
    }
}

/// Reads the settings, builds the router and serves until the environment is taken away. `router` is protected already.
///
/// # Errors
///
/// Every problem of the configuration at once.
pub async fn run<C>(
    settings: impl FnOnce(&mut Source) -> Settings<C>,
    router: impl FnOnce(&Edge, C) -> Router,
) -> Result<(), Error> {
    let mut source = iam::offer(Source::from_env());
    let Settings { edge, postgres, redis, events, poke_queue, streaming, own } = settings(&mut source);
    source.finish()?;
    let telemetry = Arc::new(telemetry::init(&edge.telemetry));
    let edge = Edge::new(edge, Registry::connect_lazy(&postgres, &redis, &events)?);
    let answered = poke::register(poke_queue, edge.config.breaker, &edge.registry.outbox).await?;
    let router = router(&edge, own);
    let answer = async |request: Request| {
        let response = router.clone().oneshot(with_client_ip(request)).await;
        // Once the answer is out the environment is frozen, and its metrics and spans with it. What a streamed body measures
        // goes with the next answer.
        telemetry.flush().await;
        answered.note();
        response
    };
    if streaming {
        lambda_http::run_with_streaming_response(service_fn(answer)).await
    } else {
        lambda_http::run(service_fn(answer)).await
    }
}

/// API Gateway knows the client's address; there is no socket to ask.
fn with_client_ip(mut request: Request) -> Request {
    let source = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.as_deref(),
        _ => None,
    };
    if let Some(ip) = source.and_then(|ip| ip.parse().ok()) {
        request.extensions_mut().insert(ClientIp(ip));
    }
    request
}
