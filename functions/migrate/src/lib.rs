//! Brings what OMS stands on to what this version needs: migrations, database roles, topics. CloudFormation invokes it before
//! it deploys any other function, and people do by hand.

mod custom_resource;
mod failure;
mod owner;
mod request;
mod settings;
mod work;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use oms_core::config::{ConfigError, Source};
use oms_edge::{deadline, iam, telemetry};
use serde_json::Value;

pub use failure::Failure;
pub use settings::{Settings, settings};

use request::Request;

/// What is kept of an invocation's time to tell how it ended.
const RESERVE: Duration = Duration::from_secs(15);

/// Reads the settings and serves until the environment is taken away.
///
/// # Errors
///
/// Lambda does not answer.
pub async fn run() -> Result<(), Error> {
    let mut source = iam::offer(Source::from_env());
    let settings = settings(&mut source);
    let telemetry = &telemetry::init(&settings.telemetry);
    // Whoever ended here would leave CloudFormation waiting: what is wrong is for the answer.
    let settings = &source.finish().map(|()| Arc::new(settings));
    let answer = async |event: LambdaEvent<Value>| {
        let answer = handle(settings, event).await;
        telemetry.flush().await;
        answer
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// Does what is asked for, and says how it ended: to CloudFormation, or to whoever invoked it.
///
/// # Errors
///
/// By hand: what failed. For CloudFormation that is its answer, and an error here means that the answer did not arrive;
/// Lambda repeats it then.
pub async fn handle(settings: &Result<Arc<Settings>, ConfigError>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context } = event;
    let end = Instant::now() + deadline::left(context.deadline());
    let deadline = end - RESERVE.min(end.saturating_duration_since(Instant::now()));
    match Request::read(payload)? {
        Request::CustomResource(resource) => {
            let done = if resource.is_deleted() {
                Ok(Value::Null)
            } else {
                work::run(settings, work::Action::Migrate { restored: resource.is_restored() }, deadline).await
            };
            let answer = done.map(drop).map_err(|failure| told(&failure, &context));
            resource.answer(answer, end).await?;
            Ok(Value::Null)
        }
        Request::ByHand(action) => {
            work::run(settings, action, deadline).await.map_err(|failure| told(&failure, &context).into())
        }
    }
}

/// What everybody may read, and where the rest is.
fn told(failure: &Failure, context: &Context) -> String {
    let (request, group) = (&context.request_id, &context.env_config.log_group);
    format!("{failure}. The log group {group} has the cause, by the request id {request}. {}", failure.advice())
}
