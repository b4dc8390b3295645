//! What can keep events from being published.

/// Result of the publisher.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can keep events from being published. All of it may pass; nothing is lost meanwhile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database, or an event that makes no sense.
    #[error("the event log: {0}")]
    Log(#[from] oms_core::error::Error),
    /// The connection that holds the partitions does not answer.
    #[error("the event log: the database did not answer in time")]
    LogTimeout,
    /// Kafka does not take events now.
    #[error("Kafka: {0}")]
    Kafka(String),
    /// There is no Kafka.
    #[error("KAFKA_BROKERS is not set")]
    NoBrokers,
    /// The queue of dead letters.
    #[error("SQS: {0}")]
    Queue(String),
}

impl Error {
    /// Which part of the system it is, to tell one outage from another.
    pub(crate) fn part(&self) -> &'static str {
        match self {
            Self::Log(_) | Self::LogTimeout => "database",
            Self::Kafka(_) | Self::NoBrokers => "kafka",
            Self::Queue(_) => "sqs",
        }
    }
}

impl From<oms_kafka::Error> for Error {
    fn from(error: oms_kafka::Error) -> Self {
        match error {
            oms_kafka::Error::Kafka(reason) => Self::Kafka(reason),
            oms_kafka::Error::NoBrokers => Self::NoBrokers,
        }
    }
}

impl From<rdkafka::error::KafkaError> for Error {
    fn from(error: rdkafka::error::KafkaError) -> Self {
        Self::Kafka(error.to_string())
    }
}
