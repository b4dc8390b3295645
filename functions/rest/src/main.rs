//! The REST function on AWS Lambda, behind an API Gateway HTTP API.

use std::sync::Arc;

use lambda_http::{Error, Request, RequestExt, request::RequestContext, service_fn, tower::ServiceExt};
use oms_core::{
    Registry,
    config::{PostgresConfig, RedisConfig, Source},
};
use oms_edge::{ClientIp, Edge, EdgeConfig, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut source = Source::from_env();
    let (config, postgres, redis) =
        (EdgeConfig::read(&mut source), PostgresConfig::read(&mut source), RedisConfig::read(&mut source));
    source.finish()?;
    let telemetry = Arc::new(telemetry::init(&config));
    let router = oms_rest::router(Edge::new(config, Registry::connect_lazy(&postgres, &redis)?));
    let answer = async |request: Request| {
        let response = router.clone().oneshot(with_client_ip(request)).await;
        // Once the answer is out the environment is frozen, and its spans with it.
        telemetry.flush().await;
        response
    };
    lambda_http::run(service_fn(answer)).await
}

/// API Gateway knows the client's address; there is no socket to ask.
fn with_client_ip(mut request: Request) -> Request {
    let source = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        _ => None,
    };
    if let Some(ip) = source.and_then(|ip| ip.parse().ok()) {
        request.extensions_mut().insert(ClientIp(ip));
    }
    request
}
