//! The harness of the black-box tests: the service over real HTTP, each test with a database and a key prefix of its own.
//!
//! [`App`] runs the router inside the test; [`Program`] runs a finished program. Both are called through [`Client`].

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what goes wrong in a harness fails the test, and has to say where"
)]

mod app;
mod client;
mod database;
mod environment;
mod graphql;
mod postgres_proxy;
mod program;
mod redaction;
pub mod samples;
mod settings;
mod token;
mod wait;

pub use app::App;
pub use client::{Answer, Call, Client, raw};
pub use database::Database;
pub use environment::{program, redis_url, workspace_root};
pub use postgres_proxy::PostgresProxy;
pub use program::{Exit, Program};
pub use redaction::redact;
pub use settings::Settings;
pub use token::Token;
pub use wait::until;
