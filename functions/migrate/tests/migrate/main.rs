//! The function on PostgreSQL, Kafka and Secrets Manager, and where CloudFormation waits for its answers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "Clippy takes what tests call for no part of them")]

mod by_hand;
mod cloud_formation;
mod custom_resource;
mod stage;
