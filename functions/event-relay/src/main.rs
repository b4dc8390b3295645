//! The relay on AWS Lambda, invoked by MSK with batches of records.

use std::time::Instant;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use oms_core::config::Source;
use oms_edge::{
    deadline,
    telemetry::{self, TelemetryConfig},
};
use oms_event_relay::{BatchResponse, KafkaEvent, Relay, RelayConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut source = Source::from_env();
    let (config, telemetry) = (RelayConfig::read(&mut source), TelemetryConfig::read(&mut source));
    source.finish()?;
    let telemetry = &telemetry::init(&telemetry);
    let relay = &Relay::connect(config).await;
    let answer = async |event: LambdaEvent<KafkaEvent>| {
        let deadline = Instant::now() + deadline::left(event.context.deadline());
        let response = relay.handle(event.payload, Some(deadline)).await;
        // Once the answer is out the environment is frozen, and its spans with it.
        telemetry.flush().await;
        Ok::<BatchResponse, Error>(response)
    };
    lambda_runtime::run(service_fn(answer)).await
}
