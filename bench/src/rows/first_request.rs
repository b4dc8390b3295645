//! The first request after a cold start, which connects to the database, against an empty function that connects.

use anyhow::{Context as _, Result};

use super::{Bench, SMALL, cold_start::POKE};
use crate::{
    environment::Environment,
    function::{Function, http_event},
    measure::alternate,
    ontology,
    report::{Goal, Row},
};

async fn first(environment: &Environment, program: &str, event: &axum::body::Bytes) -> Result<f64> {
    let mut function = Function::start(environment, program, SMALL.0, &POKE).await?;
    let invocation = function.invoke(event).await?;
    crate::function::http_body(&invocation.answer)?;
    function.stop().await?;
    Ok(invocation.took.as_secs_f64() * 1e3)
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    bench.load(SMALL).await?;
    let ids = ontology::ids(&bench.environment, SMALL.0, 1_000).await?;
    let mut next = ids.iter().cycle();
    let pairs = alternate(
        bench.rounds(60, 20),
        async || {
            // Each time another one, which no cache has.
            let id = next.next().context("there are types")?;
            first(&bench.environment, "rest", &http_event("GET", &format!("/api/v1/object-types/{id}"), None)?).await
        },
        async || first(&bench.environment, "reference-connecting", &http_event("GET", "/", None)?).await,
    );
    Ok(vec![Row::new("first request after a cold start", "ms", &pairs.await?, Some(Goal::AtMost(1.3)))])
}
