//! Where dead letters are.

use std::{str::FromStr, time::Duration};

use aws_config::{BehaviorVersion, timeout::TimeoutConfig};
use aws_sdk_sqs::Client;
use oms_core::config::Source;
use oms_kafka::KafkaConfig;
use serde::{
    Deserialize,
    de::{IntoDeserializer, value},
};

use super::{RedriveOptions, Report, redrive_kafka, redrive_sqs};

/// How long SQS may take for a call.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Which dead letters are meant: `sqs`, `kafka` or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Those of the relay, in its queue.
    Sqs,
    /// Those of the publisher, in their topic.
    Kafka,
    /// Both.
    All,
}

impl FromStr for Place {
    type Err = value::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::deserialize(text.into_deserializer())
    }
}

/// Where dead letters are, and the topic that they go back to.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    /// The topics of events and of dead letters.
    pub kafka: KafkaConfig,
    /// `RELAY_DLQ_URL`: the queue of the relay's letters.
    pub queue_url: Option<String>,
}

impl DeadLetters {
    /// Reads the settings. Problems are noted in the source.
    pub fn read(source: &mut Source) -> Self {
        let kafka = KafkaConfig::read(source);
        if kafka.brokers.is_none() {
            source.problem("KAFKA_BROKERS: expected host:port,...");
        }
        Self { kafka, queue_url: source.text("RELAY_DLQ_URL") }
    }

    /// Why there can be no letters of this place. Where there is no relay, all are those of the topic.
    #[must_use]
    pub fn problem(&self, from: Place) -> Option<&'static str> {
        (self.queue_url.is_none() && from == Place::Sqs).then_some("RELAY_DLQ_URL: is required: where the letters are")
    }

    /// Puts letters back, and tells each report when there is one. One that can't be put back stays.
    pub async fn redrive(&self, from: Place, options: RedriveOptions, tell: impl Fn(&Report)) -> Vec<Report> {
        let mut reports = Vec::new();
        if let Some(queue_url) = self.queue_url.as_deref().filter(|_| from != Place::Kafka) {
            let report = redrive_sqs(&self.kafka, &client().await, queue_url, options).await;
            tell(&report);
            reports.push(report);
        }
        if from != Place::Sqs {
            let report = redrive_kafka(&self.kafka, options).await;
            tell(&report);
            reports.push(report);
        }
        reports
    }
}

async fn client() -> Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(ATTEMPT).operation_attempt_timeout(ATTEMPT).build();
    Client::new(&aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await)
}
