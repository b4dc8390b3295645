//! The publisher on PostgreSQL: against librdkafka's mock cluster, which can be made to fail, and against a real Kafka.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "Clippy takes what tests call for no part of them")]

mod brokers;
mod by_hand;
mod failures;
mod lambda;
mod oms;
mod order;
mod real;
mod records;
mod redrive;
mod running;
