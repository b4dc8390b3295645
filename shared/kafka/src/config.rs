//! Where Kafka is.

use std::{str::FromStr, time::Duration};

use oms_core::{breaker::BreakerConfig, config::Source};

/// How to talk to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Neither encrypted nor authenticated: development.
    Plaintext,
    /// TLS.
    Tls,
    /// TLS, and an IAM identity (MSK).
    MskIam,
}

impl FromStr for Security {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "plaintext" => Ok(Self::Plaintext),
            "tls" => Ok(Self::Tls),
            "msk-iam" => Ok(Self::MskIam),
            _ => Err(()),
        }
    }
}

/// Settings of Kafka (specification 5, 11.1).
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `KAFKA_BROKERS`: `host:port,...`; none means that there is no Kafka.
    pub brokers: Option<String>,
    /// `KAFKA_SECURITY`: `plaintext`, `tls` or `msk-iam`.
    pub security: Security,
    /// `KAFKA_CA_FILE`: who signs the brokers' certificates; the system's authorities by default.
    pub ca_file: Option<String>,
    /// `AWS_REGION`: the region of the tokens for MSK.
    pub region: Option<String>,
    /// `KAFKA_TOPIC`: where events go.
    pub topic: String,
    /// `KAFKA_DLQ_TOPIC`: where those go that the topic can never take.
    pub dlq_topic: String,
    /// `KAFKA_DELIVERY_TIMEOUT_MS`: how long Kafka may take to acknowledge before the publisher begins again.
    pub delivery_timeout: Duration,
    /// `KAFKA_LINGER_MS`: how long the producer waits for more to send together.
    pub linger: Duration,
    /// When Kafka is left alone.
    pub breaker: BreakerConfig,
}

impl KafkaConfig {
    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let security = match source.text("KAFKA_SECURITY").map(|text| text.parse()) {
            None => Security::Plaintext,
            Some(Ok(security)) => security,
            Some(Err(())) => {
                source.problem("KAFKA_SECURITY: expected plaintext, tls or msk-iam");
                Security::Plaintext
            }
        };
        let region = source.text("AWS_REGION");
        if security == Security::MskIam && region.is_none() {
            source.problem("AWS_REGION: is needed with KAFKA_SECURITY=msk-iam");
        }
        let delivery_timeout = source.millis("KAFKA_DELIVERY_TIMEOUT_MS", 10_000);
        // A new producer needs about a second before its first record: with less it would never send one.
        if delivery_timeout < Duration::from_secs(2) {
            source.problem("KAFKA_DELIVERY_TIMEOUT_MS: must be 2000 or more");
        }
        let topic = read_topic(source, "KAFKA_TOPIC", "oms-events");
        let dlq_topic = read_topic(source, "KAFKA_DLQ_TOPIC", "oms-events-dlq");
        if topic == dlq_topic {
            source.problem("KAFKA_DLQ_TOPIC: must be another topic than KAFKA_TOPIC");
        }
        Self {
            brokers: source.text("KAFKA_BROKERS"),
            security,
            ca_file: source.text("KAFKA_CA_FILE"),
            region,
            topic,
            dlq_topic,
            delivery_timeout,
            linger: source.millis("KAFKA_LINGER_MS", 1),
            breaker: BreakerConfig::read(source),
        }
    }
}

/// The name of a topic, as brokers take it.
fn read_topic(source: &mut Source, key: &str, default: &str) -> String {
    let topic = source.text(key).unwrap_or_else(|| default.to_owned());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if topic.len() > 249 || matches!(topic.as_str(), "." | "..") || !topic.bytes().all(allowed) {
        source.problem(format!("{key}: expected up to 249 letters, digits, '.', '_' or '-'"));
    }
    topic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_kafka_by_default_and_every_problem_is_named() {
        let mut source = Source::from_pairs([("KAFKA_TOPIC", "")]);
        let config = KafkaConfig::read(&mut source);
        source.finish().unwrap();
        assert_eq!((config.brokers, config.security), (None, Security::Plaintext));
        assert_eq!((config.topic.as_str(), config.dlq_topic.as_str()), ("oms-events", "oms-events-dlq"));

        let mut source = Source::from_pairs([
            ("KAFKA_SECURITY", "msk-iam"),
            ("KAFKA_TOPIC", "no topic"),
            ("KAFKA_DLQ_TOPIC", "no topic"),
            ("KAFKA_DELIVERY_TIMEOUT_MS", "500"),
        ]);
        KafkaConfig::read(&mut source);
        let problems = source.finish().unwrap_err().to_string();
        for key in ["AWS_REGION", "KAFKA_TOPIC", "KAFKA_DLQ_TOPIC", "KAFKA_DELIVERY_TIMEOUT_MS"] {
            assert!(problems.contains(key), "{problems}");
        }
    }
}
