//! From the start of a function's process to its first question for work, against the empty function.

use anyhow::Result;

use super::Bench;
use crate::{
    environment::Environment,
    function::Function,
    measure::alternate,
    report::{Goal, Row},
};

/// The functions, and what each is told beside what all are.
pub(crate) const FUNCTIONS: [(&str, &[(&str, &str)]); 7] = [
    ("rest", &POKE),
    ("graphql", &POKE),
    ("rpc", &[("RESPONSE_STREAMING", "true")]),
    ("outbox-publisher", &[("KAFKA_BROKERS", "127.0.0.1:9")]),
    ("event-relay", &RELAY),
    ("migrate", &[("KAFKA_BROKERS", "127.0.0.1:9")]),
    ("jwks", &JWKS),
];

/// Functions that write poke the publisher, by an extension that is registered first.
pub(crate) const POKE: [(&str, &str); 1] = [("POKE_QUEUE_URL", "http://127.0.0.1:9/1/pokes")];

const RELAY: [(&str, &str); 4] = [
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ("EVENT_BUS_NAME", "oms"),
    ("RELAY_TABLE_NAME", "oms"),
    ("RELAY_DLQ_URL", "http://127.0.0.1:9/1/dead-letters"),
];

const JWKS: [(&str, &str); 2] = [("JWKS_SOURCE_URL", "https://issuer.example/jwks.json"), ("JWKS_BUCKET", "oms-keys")];

/// The empty function.
pub(crate) const EMPTY: &str = "reference-function";

/// Milliseconds of a cold start.
async fn start(environment: &Environment, program: &str, more: &[(&str, &str)]) -> Result<f64> {
    let function = Function::start(environment, program, "postgres", more).await?;
    let cold_start = function.cold_start.as_secs_f64() * 1e3;
    function.stop().await?;
    Ok(cold_start)
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, more) in FUNCTIONS {
        let pairs = alternate(
            bench.rounds(60, 20),
            async || start(&bench.environment, name, more).await,
            async || start(&bench.environment, EMPTY, &[]).await,
        );
        rows.push(Row::new(format!("cold start, {name}"), "ms", &pairs.await?, Some(Goal::AtMost(1.5))));
    }
    Ok(rows)
}
