//! The relay as a Lambda function, invoked by MSK with batches of records.

use std::time::Instant;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use oms_core::config::Source;
use oms_edge::{
    deadline,
    telemetry::{self, TelemetryConfig},
    trace_context::invocation_span,
};
use tokio::sync::OnceCell;
use tracing::Instrument;

use crate::{BatchResponse, KafkaEvent, Relay, RelayConfig};

/// What the function is told.
#[derive(Debug)]
pub struct Settings {
    relay: RelayConfig,
    telemetry: TelemetryConfig,
}

/// Reads the settings of the function. Problems are noted in the source.
pub fn settings(source: &mut Source) -> Settings {
    Settings { relay: RelayConfig::read(source), telemetry: TelemetryConfig::read(source) }
}

/// Reads the settings and serves until the environment is taken away.
///
/// # Errors
///
/// Every problem of the configuration at once.
pub async fn run() -> Result<(), Error> {
    let mut source = Source::from_env();
    let Settings { relay, telemetry } = settings(&mut source);
    source.finish()?;
    let telemetry = &telemetry::init(&telemetry);
    let (config, relay) = (&relay, &OnceCell::new());
    let answer = async |event: LambdaEvent<KafkaEvent>| {
        let deadline = Instant::now() + deadline::left(event.context.deadline());
        // Reading who signs AWS's certificates takes longer than all the rest of a cold start.
        let relay = relay.get_or_init(|| Relay::connect(config.clone())).await;
        let span = invocation_span(event.context.xray_trace_id.as_deref());
        let response = relay.handle(event.payload, Some(deadline)).instrument(span).await;
        // Once the answer is out the environment is frozen, and its metrics and spans with it.
        telemetry.flush().await;
        Ok::<BatchResponse, Error>(response)
    };
    lambda_runtime::run(service_fn(answer)).await
}
