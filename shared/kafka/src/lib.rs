//! What the clients of Kafka have in common: where it is, how they log in, and the topics that they share.

mod admin;
mod client;
mod config;
mod error;
pub mod topics;

pub use client::{KafkaContext, client_config, producer_config};
pub use config::{KafkaConfig, Security};
pub use error::{Error, Result};
