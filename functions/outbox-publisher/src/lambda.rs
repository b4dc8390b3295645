//! The publisher as a Lambda function.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
};
use oms_edge::{
    deadline, iam,
    telemetry::{self, TelemetryConfig},
    trace_context::invocation_span,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tracing::Instrument;

use crate::{
    Publisher,
    redrive::{DeadLetters, Place, RedriveOptions, Report},
};

/// What is kept of an invocation's time: for locks to be released and the answer to be sent.
const RESERVE: Duration = Duration::from_secs(3);

/// How many letters a report may have: Lambda's answers end at 6 MB.
const MOST_LETTERS: usize = 1_000;

/// What the function is told.
#[derive(Debug)]
pub struct Settings {
    postgres: PostgresConfig,
    redis: RedisConfig,
    events: EventConfig,
    letters: DeadLetters,
    telemetry: TelemetryConfig,
}

/// What the function is asked for by hand. A word that it does not know might have been meant to hold it back.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum ByHand {
    Redrive {
        from: Place,
        #[serde(default)]
        dry_run: bool,
    },
}

/// Reads the settings of the function. Problems are noted in the source.
pub fn settings(source: &mut Source) -> Settings {
    Settings {
        postgres: PostgresConfig::read(source),
        redis: RedisConfig::read(source),
        events: EventConfig::read(source),
        letters: DeadLetters::read(source),
        telemetry: TelemetryConfig::read(source),
    }
}

/// Reads the settings and serves until the environment is taken away.
///
/// # Errors
///
/// Every problem of the configuration at once.
pub async fn run() -> Result<(), Error> {
    let mut source = iam::offer(Source::from_env());
    let Settings { postgres, redis, events, letters, telemetry } = settings(&mut source);
    source.finish()?;
    let telemetry = Arc::new(telemetry::init(&telemetry));
    let registry = Registry::connect_lazy(&postgres, &redis, &events)?;
    // One invocation at a time is in an environment.
    let publisher = Mutex::new(Publisher::new(letters.kafka.clone()));
    let answer = async |event: LambdaEvent<Value>| {
        let span = invocation_span(event.context.xray_trace_id.as_deref());
        let answer = handle(&registry, &mut *publisher.lock().await, &letters, &event).instrument(span).await;
        // Once the answer is out the environment is frozen, and its metrics and spans with it.
        telemetry.flush().await;
        answer
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// Drains the log, or does what somebody asks for by hand.
///
/// # Errors
///
/// What keeps events from being published; SQS brings the pokes back. By hand: what is asked for is not known.
pub async fn handle(
    registry: &Registry,
    publisher: &mut Publisher,
    letters: &DeadLetters,
    event: &LambdaEvent<Value>,
) -> Result<Value, Error> {
    let deadline = Instant::now() + deadline::left(event.context.deadline()).saturating_sub(RESERVE);
    if event.payload.get("action").is_none() {
        let is_poke = event.payload.get("Records").is_some();
        return drain(registry, publisher, is_poke, deadline).await;
    }
    let ByHand::Redrive { from, dry_run } = ByHand::deserialize(&event.payload).map_err(|error| {
        format!(
            r#"{error}; expected {{"action": "redrive", "from": "sqs" or "kafka" or "all", "dryRun": true or false}}"#
        )
    })?;
    if let Some(problem) = letters.problem(from) {
        return Err(problem.into());
    }
    let options = RedriveOptions { dry_run, until: Some(deadline), most: Some(MOST_LETTERS) };
    // On the heap, as in a drain: so many futures in each other are too deep for the compiler.
    let reports = Box::pin(letters.redrive(from, options, tell)).await;
    Ok(json!({
        "redriven": reports.iter().map(Report::redriven).sum::<usize>(),
        "left": reports.iter().map(|report| report.left().count()).sum::<usize>(),
        "unfinished": reports.iter().any(|report| report.unfinished),
        "reports": reports,
    }))
}

fn tell(report: &Report) {
    let Report { source, dry_run, letters, unfinished, failure } = report;
    let (letters, redriven) = (letters.len(), report.redriven());
    tracing::info!(source, dry_run, letters, redriven, unfinished, failure, "dead letters");
}

/// Drains the log, whoever invokes: a poke from SQS and the schedule ask for the same. What is left when the time ends
/// waits for the next of them. The schedule also asks for what has to be done now and then.
async fn drain(
    registry: &Registry,
    publisher: &mut Publisher,
    is_poke: bool,
    deadline: Instant,
) -> Result<Value, Error> {
    if !is_poke {
        // An alarm watches it, and most of all when Kafka is away. Without the database the drain says what is wrong.
        let _ = tokio::time::timeout_at(deadline.into(), registry.events.oldest_unpublished_age()).await;
    }
    match publisher.drain(registry, Some(deadline)).await {
        Ok(drained) => {
            tracing::info!(
                drained.published,
                drained.dead_lettered,
                drained.partitions,
                drained.unfinished,
                "drained the event log"
            );
            if !is_poke && !drained.unfinished {
                sweep(registry, deadline).await;
            }
            Ok(json!({"batchItemFailures": []}))
        }
        Err(error) => {
            tracing::error!(%error, "events are not published; they wait");
            Err(error.into())
        }
    }
}

async fn sweep(registry: &Registry, deadline: Instant) {
    // On the heap, as in a drain: so many futures in each other are too deep for the compiler.
    match tokio::time::timeout_at(deadline.into(), Box::pin(registry.sweep())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "the sweep failed; the next invocation of the schedule tries it again")
        }
        Err(_) => tracing::warn!("the sweep took too long; the next invocation of the schedule goes on"),
    }
}
