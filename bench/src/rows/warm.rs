//! A warm invocation that gets an object type by id, against an empty one and the raw question that is behind it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;

use super::{
    Bench, NO_CACHE, SMALL,
    cold_start::{EMPTY, POKE},
};
use crate::{
    environment::PREFIX,
    function::{Function, http_body, http_event},
    measure::{alternate, median},
    ontology,
    report::{Goal, Row},
    runtime_api::Invocation,
    statements, tools,
};

/// Microseconds of so many invocations, the median of what `time` says of each.
async fn invocations(function: &mut Function, events: &[Bytes], time: impl Fn(&Invocation) -> Duration) -> Result<f64> {
    let mut took = Vec::with_capacity(events.len());
    for event in events {
        took.push(time(&function.invoke(event).await?).as_secs_f64() * 1e6);
    }
    Ok(median(took))
}

fn until_answered(invocation: &Invocation) -> Duration {
    invocation.took
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    bench.load(SMALL).await?;
    let environment = &bench.environment;
    let (rounds, invoked) = (bench.rounds(20, 8), 500);
    let ids = ontology::ids(environment, SMALL.0, 1_000).await?;
    let events = |ids: &[String]| ids.iter().map(|id| http_event("GET", &path(id), None)).collect::<Result<Vec<_>>>();
    let mut rest = Function::start(environment, "rest", SMALL.0, &POKE).await?;
    let mut empty = Function::start(environment, EMPTY, SMALL.0, &[]).await?;
    let nothing = vec![http_event("GET", "/", None)?; invoked];

    let hits = vec![http_event("GET", &path(&ids[0]), None)?; invoked];
    ensure!(http_body(&rest.invoke(&hits[0]).await?.answer)?.contains(&ids[0]), "another type was answered");
    let mut redis = redis::Client::open(environment.redis_url.as_str())?.get_connection()?;
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{PREFIX}{}:*{}*", SMALL.0, ids[0])).query(&mut redis)?;
    let key = keys.first().context("the type is not in the cache")?;
    let mut get = || -> Result<f64> {
        let mut raw = Vec::with_capacity(invoked);
        for _ in 0..invoked {
            let started = Instant::now();
            let _: Vec<u8> = redis::cmd("GET").arg(key).query(&mut redis)?;
            raw.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(raw))
    };
    let hit = alternate(
        rounds,
        async || invocations(&mut rest, &hits, until_answered).await,
        async || Ok(invocations(&mut empty, &nothing, until_answered).await? + get()?),
    );
    let mut rows = vec![Row::new("warm, get by id, Redis hit", "us", &hit.await?, Some(Goal::AtMost(1.2)))];
    let busy = alternate(
        rounds,
        async || invocations(&mut rest, &hits, |invocation| invocation.busy).await,
        async || Ok(invocations(&mut empty, &nothing, |invocation| invocation.busy).await? + get()?),
    );
    rows.push(Row::new("the same, until the function asks for more", "us", &busy.await?, None));

    // Without a cache every get is a statement.
    let alone = [NO_CACHE, &POKE].concat();
    let gets = events(&ids[..invoked])?;
    let ran = statements::during(environment, SMALL.0, async || {
        let mut rest = Function::start(environment, "rest", SMALL.0, &alone).await?;
        rest.invoke(&gets[0]).await?;
        rest.stop().await
    });
    let ran = statements::of_requests(ran.await?);
    ensure!(ran.len() == 1, "a get is one statement: {ran:?}");
    let raw = ran[0].with_values(|_, _| None)?;
    let mut rest = Function::start(environment, "rest", SMALL.0, &alone).await?;
    let miss = alternate(
        rounds,
        async || invocations(&mut rest, &gets, until_answered).await,
        async || {
            let select = tools::pgbench(environment, SMALL.0, &raw, 1, 1).await?;
            Ok(invocations(&mut empty, &nothing, until_answered).await? + select.latency * 1e3)
        },
    );
    rows.push(Row::new("warm, get by id, from PostgreSQL", "us", &miss.await?, Some(Goal::AtMost(1.2))));
    Ok(rows)
}

fn path(id: &str) -> String {
    format!("/api/v1/object-types/{id}")
}
