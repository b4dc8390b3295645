//! Settings of the relay, and what AWS limits.

use std::time::Duration;

use oms_core::{breaker::BreakerConfig, config::Source};

/// The most entries of one `PutEvents`.
pub const EVENTBRIDGE_MAX_ENTRIES: usize = 10;

/// The most bytes of one `PutEvents`: its source, detail-type, detail and time, over all entries.
pub const EVENTBRIDGE_MAX_BYTES: usize = 262_144;

/// The most messages of one `SendMessageBatch`.
pub const SQS_MAX_ENTRIES: usize = 10;

/// The most bytes of a message, and of one `SendMessageBatch`: bodies and attributes. A queue may be made to take less.
pub const SQS_MAX_BYTES: usize = 262_144;

/// How long a connection to AWS may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one attempt of a call may take.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Attempts of a call that fails as a whole.
pub(crate) const CALL_ATTEMPTS: u32 = 3;

/// Calls in flight to one service.
pub(crate) const CALLS_IN_FLIGHT: usize = 8;

/// Where events go and where the relay keeps what it has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// `EVENT_BUS_NAME`: the EventBridge bus, by name or ARN.
    pub bus: String,
    /// `RELAY_TABLE_NAME`: the DynamoDB table of marks, with the key `entity` (a string).
    pub table: String,
    /// `RELAY_DLQ_URL`: the SQS queue for what can never pass.
    pub dead_letters: String,
    /// `RELAY_FIFO_URL`: the SQS FIFO queue that keeps the order for those who need it; absent means that there is
    /// none.
    pub fifo: Option<String>,
    /// `AWS_ENDPOINT_URL`: where AWS is, when it is not AWS.
    pub endpoint: Option<String>,
    /// `AWS_REGION`.
    pub region: Option<String>,
    /// When a service of AWS is left alone.
    pub breaker: BreakerConfig,
}

impl RelayConfig {
    /// Whether the relay is set up at all: a server may run without.
    #[must_use]
    pub fn enabled(source: &Source) -> bool {
        source.text("EVENT_BUS_NAME").is_some()
    }

    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let fifo = source.text("RELAY_FIFO_URL");
        if fifo.as_ref().is_some_and(|url| !url.ends_with(".fifo")) {
            source.problem("RELAY_FIFO_URL: expected the URL of a FIFO queue, which ends in .fifo");
        }
        let bus = required(source, "EVENT_BUS_NAME", "the name of an EventBridge bus");
        // AWS refuses a call for its bus as it does for a bad entry: every event would end among the dead letters.
        if !bus.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':')) {
            source.problem("EVENT_BUS_NAME: expected the name or the ARN of an EventBridge bus");
        }
        Self {
            bus,
            table: required(source, "RELAY_TABLE_NAME", "the name of a DynamoDB table"),
            dead_letters: required(source, "RELAY_DLQ_URL", "the URL of an SQS queue"),
            fifo,
            endpoint: source.text("AWS_ENDPOINT_URL"),
            region: source.text("AWS_REGION"),
            breaker: BreakerConfig::read(source),
        }
    }
}

fn required(source: &mut Source, key: &str, shape: &str) -> String {
    source.text(key).unwrap_or_else(|| {
        source.problem(format!("{key}: expected {shape}"));
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_at_once() {
        let mut source =
            Source::from_pairs([("EVENT_BUS_NAME", "the bus"), ("RELAY_FIFO_URL", "https://sqs.test/1/events")]);
        assert!(RelayConfig::enabled(&source));
        RelayConfig::read(&mut source);
        let problems = source.finish().unwrap_err().0.join("\n");
        for key in ["EVENT_BUS_NAME", "RELAY_TABLE_NAME", "RELAY_DLQ_URL", "RELAY_FIFO_URL"] {
            assert!(problems.contains(key), "{problems}");
        }
        assert!(!RelayConfig::enabled(&Source::default()));
    }
}
