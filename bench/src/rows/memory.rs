//! What a function has of memory after a thousand requests, and how large its archive is, against the empty function.

use std::{io::Write as _, process::Command};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use flate2::{Compression, write::DeflateEncoder};
use serde_json::json;

use super::{
    Bench, SMALL,
    cold_start::{EMPTY, FUNCTIONS, POKE},
};
use crate::{
    environment::{Environment, temporary_file},
    function::{Function, http_event},
    ontology,
    report::Row,
};

const REQUESTS: usize = 1_000;
const MEGABYTE: f64 = 1e6;

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    bench.load(SMALL).await?;
    let environment = &bench.environment;
    let ids = ontology::ids(environment, SMALL.0, 1_000).await?;
    let empty = after(environment, EMPTY, &[], &[http_event("GET", "/", None)?]).await?;
    let gets: Vec<Bytes> =
        ids.iter().map(|id| http_event("GET", &format!("/api/v1/object-types/{id}"), None)).collect::<Result<_>>()?;
    let query = |id: &String| {
        let query = "query ($id: ID!) { objectType(id: $id) { id name properties { name dataType } } }";
        http_event("POST", "/graphql", Some(&json!({"query": query, "variables": {"id": id}})))
    };
    let queries: Vec<Bytes> = ids.iter().map(query).collect::<Result<_>>()?;
    let call = |id: &String| {
        http_event("POST", "/openfoundry.oms.v1.ObjectTypeService/GetObjectType", Some(&json!({"id": id})))
    };
    let calls: Vec<Bytes> = ids.iter().map(call).collect::<Result<_>>()?;
    let mut rows = Vec::new();
    let streaming = [("RESPONSE_STREAMING", "false")];
    for (name, more, events) in
        [("rest", POKE.as_slice(), &gets), ("graphql", &POKE, &queries), ("rpc", &streaming, &calls)]
    {
        let row = format!("memory of {name} after {REQUESTS} requests");
        rows.push(Row::plain(row, "MB", after(environment, name, more, events).await?, empty));
    }
    let empty = zipped(environment, EMPTY)?;
    for (name, _) in FUNCTIONS {
        rows.push(Row::plain(format!("zipped size of {name}"), "MB", zipped(environment, name)?, empty));
    }
    Ok(rows)
}

/// Megabytes after the requests.
async fn after(environment: &Environment, program: &str, more: &[(&str, &str)], events: &[Bytes]) -> Result<f64> {
    let mut function = Function::start(environment, program, SMALL.0, more).await?;
    for event in events.iter().cycle().take(REQUESTS) {
        crate::function::http_body(&function.invoke(event).await?.answer)?;
    }
    let resident = function.resident()?;
    function.stop().await?;
    Ok(resident / MEGABYTE)
}

/// Megabytes of a program as an archive has it: without the names that only profilers need.
fn zipped(environment: &Environment, program: &str) -> Result<f64> {
    let (file, stripped) = (environment.programs.join(program), temporary_file("stripped"));
    let done = Command::new("strip").arg("-o").arg(&stripped).arg(&file).status().context("strip does not run")?;
    ensure!(done.success(), "{} can't be stripped", file.display());
    let bytes = std::fs::read(&stripped)?;
    std::fs::remove_file(&stripped)?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&bytes)?;
    #[expect(clippy::cast_precision_loss, reason = "no program has 2^53 bytes")]
    Ok(encoder.finish()?.len() as f64 / MEGABYTE)
}
