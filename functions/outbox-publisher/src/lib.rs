//! From the event log to Kafka: partitions of the log are claimed, produced in order and noted as published.
//!
//! What subscribers may rely on: every event is in the topic at least once, a repeat has the same id and position, and
//! the first occurrences of an entity's events are in order. The order holds because a partition is claimed by one
//! publisher, the producer is idempotent and gap-free, and after any failure nothing is sent that a producer still had
//! in hand: it is thrown away, and the next one begins after the last event that was acknowledged in order.

mod batch;
mod error;
pub mod lambda;
mod producer;
mod publisher;
mod record;
pub mod redrive;
mod run;

pub use error::{Error, Result};
pub use publisher::{Drained, Publisher};
pub use run::{run, run_every};
