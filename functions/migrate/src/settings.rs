//! What the function is told.

use oms_core::{
    config::{PostgresConfig, Source},
    postgres::Roles,
};
use oms_edge::telemetry::TelemetryConfig;
use oms_kafka::{KafkaConfig, topics::TopicsConfig};

/// What the function is told.
#[derive(Debug)]
pub struct Settings {
    pub(crate) postgres: PostgresConfig,
    /// `DB_MASTER_SECRET_ARN`: the secret in which RDS keeps name and password of the owner; without it the settings of
    /// PostgreSQL have them.
    pub(crate) owner: Option<String>,
    pub(crate) roles: Roles,
    /// Without brokers there is nobody to make topics.
    pub(crate) kafka: KafkaConfig,
    pub(crate) topics: TopicsConfig,
    pub(crate) telemetry: TelemetryConfig,
}

/// Reads the settings of the function. Problems are noted in the source.
pub fn settings(source: &mut Source) -> Settings {
    let mut kafka = KafkaConfig::read(source);
    // An installation without Kafka says so.
    kafka.brokers.take_if(|brokers| brokers == "none");
    Settings {
        postgres: PostgresConfig::read(source),
        owner: source.text("DB_MASTER_SECRET_ARN"),
        roles: Roles::read(source),
        kafka,
        topics: TopicsConfig::read(source),
        telemetry: TelemetryConfig::read(source),
    }
}
