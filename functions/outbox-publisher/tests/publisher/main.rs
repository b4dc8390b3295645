//! The publisher on PostgreSQL: against librdkafka's mock cluster, which can be made to fail, and against a real Kafka.

mod brokers;
mod failures;
mod oms;
mod order;
mod real;
mod records;
mod redrive;
mod running;
