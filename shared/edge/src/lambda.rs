//! An HTTP function on AWS Lambda, behind an API Gateway HTTP API, or a REST API in STREAM mode.

use std::sync::Arc;

use axum::Router;
use lambda_http::{Error, Request, RequestExt, request::RequestContext, service_fn, tower::ServiceExt};
use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
};

use crate::{ClientIp, Edge, EdgeConfig, poke, telemetry};

/// Reads the settings, builds the router and serves until the environment is taken away. `read` reads what only this
/// function needs to know; `router` is protected already.
///
/// # Errors
///
/// Every problem of the configuration at once.
pub async fn run<C>(read: impl FnOnce(&mut Source) -> C, router: impl FnOnce(&Edge, C) -> Router) -> Result<(), Error> {
    let mut source = Source::from_env();
    let (config, postgres, redis) =
        (EdgeConfig::read(&mut source), PostgresConfig::read(&mut source), RedisConfig::read(&mut source));
    let events = EventConfig::read(&mut source);
    let (queue, own) = (poke::queue(&source), read(&mut source));
    // An HTTP API gathers an answer before it sends it; a REST API in STREAM mode does not.
    let streaming = source.parse("RESPONSE_STREAMING", false, "true or false");
    source.finish()?;
    let telemetry = Arc::new(telemetry::init(&config.telemetry));
    let edge = Edge::new(config, Registry::connect_lazy(&postgres, &redis, &events)?);
    let answered = poke::register(queue, edge.config.breaker, &edge.registry.outbox).await?;
    let router = router(&edge, own);
    let answer = async |request: Request| {
        let response = router.clone().oneshot(with_client_ip(request)).await;
        // Once the answer is out the environment is frozen, and its spans with it.
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
