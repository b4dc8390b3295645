//! The harness of the black-box tests: the service over real HTTP, each test with a database and a key prefix of its own.
//!
//! [`App`] runs the router inside the test; [`Program`] runs a finished program, and [`Server`] the one that has it all. They
//! are called through [`Client`]. [`Topic`] and [`Aws`] are what a test has of Kafka and of AWS.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what goes wrong in a harness fails the test, and has to say where"
)]

mod app;
mod aws;
mod client;
mod database;
mod environment;
mod event_stream;
mod graphql;
mod held_write;
mod kafka;
mod postgres_proxy;
mod program;
mod redaction;
pub mod samples;
mod server;
mod settings;
mod tcp_proxy;
mod token;
mod wait;
mod watcher;

pub use app::App;
pub use aws::Aws;
pub use client::{Answer, Call, Client, raw};
pub use database::Database;
pub use environment::{aws_endpoint, kafka_brokers, program, redis_url, workspace_root};
pub use event_stream::{EventStream, Frame};
pub use held_write::HeldWrite;
pub use kafka::{Message, Topic};
pub use postgres_proxy::PostgresProxy;
pub use program::{Exit, Program};
pub use redaction::redact;
pub use server::Server;
pub use settings::Settings;
pub use tcp_proxy::TcpProxy;
pub use token::Token;
pub use wait::{until, until_within};
pub use watcher::Watcher;
