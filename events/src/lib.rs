//! The events of OMS (specification 5.1, 16.5): what stands in every Kafka message, on EventBridge, in the FIFO queue and in
//! the change feed. Serde types only, so that a consumer may use this crate alone.
//!
//! Each event carries the whole type as it is after the write, its version, what changed and who did it: nobody has to call
//! back. Only a type that is too large for the transports is left out, see [`ClaimCheck`].

#[cfg(feature = "schema")]
pub mod asyncapi;
mod dead_letter;
mod envelope;
mod headers;
mod payload;
#[cfg(feature = "schema")]
pub mod samples;
#[cfg(feature = "schema")]
pub mod schema;

pub use dead_letter::{DeadLetter, Encoding, REDRIVEN};
#[cfg(feature = "dead-letter")]
pub use dead_letter::{DeadRecord, Undecodable};
pub use envelope::{ClaimCheck, Data, EntityKind, Event, EventType, Metadata, SCHEMA_VERSION, SOURCE};
pub use headers::{HeaderParts, headers};
pub use payload::{ChangeType, DatasetReference, FieldChange, LinkType, ObjectType, Property, Validator};
