//! What `cargo xtask test` tells the tests.

use std::path::{Path, PathBuf};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: the black-box tests need PostgreSQL, Redis, Kafka, moto and the built programs; run \
            `cargo xtask test`"
        )
    })
}

/// A PostgreSQL server, as a superuser.
pub(crate) fn database_url() -> String {
    variable("DATABASE_URL")
}

/// The Redis that the tests share, each with a key prefix of its own.
#[must_use]
pub fn redis_url() -> String {
    variable("REDIS_URL")
}

/// The Kafka that the tests share, each with topics of its own.
#[must_use]
pub fn kafka_brokers() -> String {
    variable("KAFKA_BROKERS")
}

/// The moto that the tests share, each with queues, a bus and a table of its own.
#[must_use]
pub fn aws_endpoint() -> String {
    variable("AWS_ENDPOINT_URL")
}

/// A built program: `oms-server`, `rest`, `xtask`.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = PathBuf::from(variable("OMS_BIN_DIR")).join(name);
    assert!(path.is_file(), "{} was not built; run `cargo xtask test`", path.display());
    path
}

/// The checkout.
#[must_use]
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a checkout")
}
