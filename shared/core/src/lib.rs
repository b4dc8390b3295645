//! The core of OMS: object types, link types, their versions, validation, audit and outbox, over PostgreSQL and Redis.
//!
//! One module per concept, with its model, use cases and SQL together. Nothing here knows HTTP, Lambda or Kafka:
//! a transport builds a [`context::Context`], calls a service and maps [`error::Error`] once.

pub mod api_key;
pub mod audit;
pub mod breaker;
pub mod cache;
pub mod config;
pub mod context;
pub mod definition;
pub mod entity;
pub mod error;
pub mod event_log;
pub mod fault;
pub mod feed;
#[cfg(test)]
mod fixture;
pub mod id;
pub mod idempotency;
pub mod input;
pub mod link_type;
pub mod login;
pub mod name;
pub mod object_type;
pub mod outbox;
pub mod page;
pub mod postgres;
pub mod property;
pub mod registry;
pub mod search;
pub mod version;

pub use registry::Registry;
