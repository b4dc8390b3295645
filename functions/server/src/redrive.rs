//! `oms-server redrive`: puts dead letters back on the topic of events, and says what it did.

use anyhow::bail;
use aws_config::BehaviorVersion;
use clap::ValueEnum;
use oms_core::config::Source;
use oms_kafka::KafkaConfig;
use oms_outbox_publisher::redrive::{RedriveOptions, Report, redrive_kafka, redrive_sqs};

/// Where dead letters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// In the queue of the relay.
    Sqs,
    /// In the dead-letter topic of the publisher.
    Kafka,
    /// In both.
    All,
}

/// Puts the letters back; only shows them in a dry run. A letter that can't be put back stays, and makes it fail.
///
/// # Errors
///
/// Every problem of the configuration at once, what can't be reached, and letters that were left.
pub async fn run(mut source: Source, from: From, dry_run: bool) -> anyhow::Result<()> {
    let kafka = KafkaConfig::read(&mut source);
    let queue = source.text("RELAY_DLQ_URL");
    if kafka.brokers.is_none() {
        source.problem("KAFKA_BROKERS: is required: where the letters go");
    }
    if queue.is_none() && from == From::Sqs {
        source.problem("RELAY_DLQ_URL: is required: where the letters are");
    }
    source.finish()?;
    let options = RedriveOptions { dry_run };
    let mut reports = Vec::new();
    if let Some(queue) = queue.filter(|_| from != From::Kafka) {
        let sqs = aws_sdk_sqs::Client::new(&aws_config::defaults(BehaviorVersion::latest()).load().await);
        let report = redrive_sqs(&kafka, &sqs, &queue, options).await;
        tell(&report);
        reports.push(report);
    }
    if from != From::Sqs {
        let report = redrive_kafka(&kafka, options).await;
        tell(&report);
        reports.push(report);
    }
    if reports.iter().any(|report| report.failure.is_some()) {
        bail!("not every dead letter was reached, see above");
    }
    let left: usize = reports.iter().map(|report| report.left().count()).sum();
    if left > 0 {
        bail!("{left} dead letter(s) could not be put back, see above");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report of a command")]
fn tell(report: &Report) {
    print!("{report}");
}
