//! Getting object types by id from the server at 16 connections, against the empty server with the same question behind it.

use anyhow::{Context as _, Result, ensure};

use super::{Bench, LARGE, NO_CACHE};
use crate::{
    environment::{self, Environment, PREFIX},
    measure::alternate,
    ontology,
    report::{Goal, Row},
    server::Server,
    statements,
    tools::{self, Requests},
};

pub(crate) const CONNECTIONS: u32 = 16;

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let (rounds, seconds) = (bench.rounds(9, 4), if bench.quick { 2 } else { 4 });
    bench.load(LARGE).await?;
    let environment = &bench.environment;
    let server = Server::oms(environment, LARGE.0, &[]).await?;
    let ids = ontology::ids(environment, LARGE.0, 100_000).await?;
    let mut redis = redis::Client::open(environment.redis_url.as_str())?.get_connection()?;
    redis::cmd("FLUSHALL").exec(&mut redis)?;

    // A thousand that are asked for over and over again.
    let known = &ids[..1_000];
    for id in known {
        server.get(&format!("/api/v1/object-types/{id}")).await?;
    }
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{PREFIX}{}:*{}*", LARGE.0, known[0])).query(&mut redis)?;
    let (prefix, suffix) =
        keys.first().and_then(|key| key.split_once(known[0].as_str())).context("it is not cached")?;
    let raw = [("REDIS_URL", environment.redis_url.as_str()), ("KEY_PREFIX", prefix), ("KEY_SUFFIX", suffix)];
    let empty = Server::empty(environment, &raw).await?;
    let pairs = alternate(
        rounds,
        async || rate(environment, &server, "/api/v1/object-types/", known, seconds).await,
        async || rate(environment, &empty, "/", known, seconds).await,
    );
    let mut rows = vec![Row::new("server, get by id, Redis hit", "1/s", &pairs.await?, Some(Goal::AtLeast(0.7)))];
    empty.stop().await?;

    let id = known[0].clone();
    let ran = statements::during(environment, LARGE.0, async || {
        let server = Server::oms(environment, LARGE.0, NO_CACHE).await?;
        server.get(&format!("/api/v1/object-types/{id}")).await?;
        server.stop().await
    });
    let ran = statements::of_requests(ran.await?);
    ensure!(ran.len() == 1, "a get is one statement: {ran:?}");
    let statement = ran[0].with_values(|_, value| value.contains(&id).then(|| "$1".to_owned()))?;
    let database = environment.database(LARGE.0);
    let empty = Server::empty(environment, &[("DATABASE_URL", &database), ("STATEMENT", &statement)]).await?;
    // So many that none comes twice before Redis has forgotten all.
    let pairs = alternate(
        rounds,
        async || {
            redis::cmd("FLUSHALL").exec(&mut redis)?;
            rate(environment, &server, "/api/v1/object-types/", &ids, seconds).await
        },
        async || rate(environment, &empty, "/", &ids, seconds).await,
    );
    rows.push(Row::new("server, get by id, from PostgreSQL", "1/s", &pairs.await?, Some(Goal::AtLeast(0.7))));
    empty.stop().await?;
    server.stop().await?;
    Ok(rows)
}

/// Requests each second.
async fn rate(environment: &Environment, server: &Server, before: &str, ids: &[String], seconds: u32) -> Result<f64> {
    let requests = Requests {
        paths: ids.iter().map(|id| format!("{before}{id}")).collect(),
        headers: vec![("Authorization".into(), format!("Bearer {}", environment::token()?))],
        body: None,
    };
    Ok(tools::wrk(environment, &server.url, &requests, CONNECTIONS, seconds).await?.rate)
}
