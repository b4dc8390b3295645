//! What can keep a client from Kafka.

/// Result of a client of Kafka.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can keep a client from Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka does not answer, or refuses.
    #[error("Kafka: {0}")]
    Kafka(String),
    /// There is no Kafka.
    #[error("KAFKA_BROKERS is not set")]
    NoBrokers,
}

impl From<rdkafka::error::KafkaError> for Error {
    fn from(error: rdkafka::error::KafkaError) -> Self {
        Self::Kafka(error.to_string())
    }
}
