//! Plays the triggers of AWS against functions that run under `cargo lambda watch`: MSK to event-relay, SQS pokes and a
//! schedule to outbox-publisher, with the real semantics of batches. Without `KAFKA_BROKERS` it hosts a mock Kafka.
//!
//! The first line on stdout is `{"kafkaBrokers": "..."}`; stderr has a line for each invocation.

mod batches;
mod invoke;
mod kafka;
mod pause;
mod pokes;
mod schedule;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Parser;
use oms_core::config::Source;
use oms_kafka::KafkaConfig;
use rdkafka::mocking::MockCluster;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use invoke::Functions;

/// Partitions of the topic in the mock cluster.
const PARTITIONS: i32 = 4;

#[derive(Debug, Parser)]
#[command(about = "Plays the MSK, SQS and schedule triggers against local functions")]
struct Arguments {
    /// Base URL of `cargo lambda watch`.
    #[arg(long, value_name = "URL")]
    functions: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut source = Source::from_env();
    let mut config = KafkaConfig::read(&mut source);
    let queue_url = source.text("POKE_QUEUE_URL");
    source.finish()?;

    // The cluster lives as long as this.
    let _cluster = match &config.brokers {
        Some(_) => None,
        None => {
            let cluster = MockCluster::new(1).context("the mock Kafka did not start")?;
            cluster.create_topic(&config.topic, PARTITIONS, 1)?;
            cluster.create_topic(&config.dlq_topic, 1, 1)?;
            config.brokers = Some(cluster.bootstrap_servers());
            Some(cluster)
        }
    };
    writeln!(std::io::stdout(), "{}", serde_json::json!({"kafkaBrokers": config.brokers}))?;

    let functions = Functions::new(&arguments.functions)?;
    tokio::select! {
        there = functions.until_there() => there?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    }
    let mut triggers = JoinSet::new();
    triggers.spawn(kafka::pump(config, functions.clone()));
    triggers.spawn(schedule::pump(functions.clone()));
    if let Some(url) = queue_url {
        triggers.spawn(pokes::pump(url, functions));
    }
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(ended) = triggers.join_next() => ended.context("a trigger panicked")?,
    }
}
