//! The copier as a Lambda function, invoked by a schedule.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use oms_core::config::Source;
use oms_edge::telemetry::{self, TelemetryConfig};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{Copier, JwksConfig};

/// What the function is told.
#[derive(Debug)]
pub struct Settings {
    jwks: JwksConfig,
    telemetry: TelemetryConfig,
}

/// Reads the settings of the function. Problems are noted in the source.
pub fn settings(source: &mut Source) -> Settings {
    Settings { jwks: JwksConfig::read(source), telemetry: TelemetryConfig::read(source) }
}

/// Reads the settings and serves until the environment is taken away. Whatever the event is, it means the same.
///
/// # Errors
///
/// Every problem of the configuration at once.
pub async fn run() -> Result<(), Error> {
    let mut source = Source::from_env();
    let Settings { jwks, telemetry } = settings(&mut source);
    source.finish()?;
    let telemetry = &telemetry::init(&telemetry);
    let (config, copier) = (&jwks, &OnceCell::new());
    let answer = async |_: LambdaEvent<Value>| {
        // Reading who signs AWS's certificates takes longer than all the rest of a cold start.
        let copied = copier.get_or_init(|| Copier::connect(config.clone())).await.copy().await;
        match &copied {
            Ok(bytes) => tracing::info!(bytes, "copied the key set"),
            Err(error) => tracing::error!(%error, "the key set is not copied; the last one stays"),
        }
        // Once the answer is out the environment is frozen, and its spans with it.
        telemetry.flush().await;
        Ok::<Value, Error>(json!({"bytes": copied?}))
    };
    lambda_runtime::run(service_fn(answer)).await
}
