//! Relays the events of OMS from Kafka to EventBridge, and to an SQS FIFO queue for those who need the order
//! (specification 16.5). Nothing is lost and nothing blocks: what fails comes back, what can never pass becomes a dead
//! letter, what was relayed before is dropped by the marks in DynamoDB. A mark moves only after the bus, and the queue,
//! have accepted: a crash in between repeats an event with the same id.

mod batch;
mod bus;
mod chain;
mod config;
mod deliver;
mod gate;
pub mod lambda;
mod marks;
mod pack;
mod poison;
mod queue;
mod record;
mod relay;

pub use batch::{BatchItemFailure, BatchResponse, ItemIdentifier, KafkaEvent};
pub use config::{EVENTBRIDGE_MAX_BYTES, EVENTBRIDGE_MAX_ENTRIES, RelayConfig, SQS_MAX_BYTES, SQS_MAX_ENTRIES};
pub use record::Record;
pub use relay::{Failure, Outcome, Relay};
