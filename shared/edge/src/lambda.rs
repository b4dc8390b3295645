//! An HTTP function on AWS Lambda, behind an API Gateway HTTP API, or a REST API in STREAM mode.

use axum::Router;
use lambda_http::{
    Adapter, Error, Request, RequestExt, StreamAdapter,
    lambda_runtime::Runtime,
    request::RequestContext,
    service_fn,
    tower::{ServiceExt, util::ThenLayer},
};
use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
};

use crate::{ClientIp, Edge, EdgeConfig, iam, poke, request::InvocationId, telemetry};

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
    let telemetry = telemetry::init(&edge.telemetry);
    let edge = Edge::new(edge, Registry::connect_lazy(&postgres, &redis, &events)?);
    // The router is made while Lambda hears of the extension.
    let registered = poke::register(poke_queue, edge.config.breaker, &edge.registry.outbox);
    let (answered, router) = tokio::join!(registered, async { router(&edge, own) });
    let answered = answered?;
    let answer = service_fn(async |request: Request| {
        // As a task: what wakes the future that the runtime blocks on goes through the kernel each time.
        tokio::spawn(router.clone().oneshot(with_invocation(request))).await?.map_err(Error::from)
    });
    // When the answer is out, all of a streamed one too, so that no client waits for it; and before the runtime asks for more,
    // since the environment is frozen then, and its metrics and spans with it.
    let account = ThenLayer::new(async |sent: Result<(), Error>| {
        answered.note();
        telemetry.flush().await;
        sent
    });
    if streaming {
        Runtime::new(StreamAdapter::from(answer)).layer(account).run().await
    } else {
        Runtime::new(Adapter::from(answer)).layer(account).run().await
    }
}

/// What Lambda calls this invocation, and the client's address, which API Gateway knows; there is no socket to ask.
fn with_invocation(mut request: Request) -> Request {
    if let Some(context) = request.lambda_context_ref() {
        let id = InvocationId(context.request_id.clone());
        request.extensions_mut().insert(id);
    }
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
