//! Creating object types of ten properties, 16 clients at a time, against pgbench running the same statement.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Bench, get::CONNECTIONS};
use crate::{
    environment,
    measure::alternate,
    ontology,
    report::{Goal, Row},
    server::Server,
    statements::{self, Statement},
    tools::{self, Requests},
};

const DATABASE: &str = "bench_create";
const NAME: &str = "Created@N@";

/// A UUID of version 7 of this moment, as OMS makes them: the indexes are filled in the same order.
const ID: &str = "(SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-7' || substr(h, 13, 3) || '-8' || substr(h, 16, 3) \
     || '-' || substr(h, 19, 12) FROM (SELECT lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') \
     || lpad(to_hex(:n::bigint), 18, '0')) AS made(h))";

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let (rounds, seconds) = (bench.rounds(9, 4), if bench.quick { 2 } else { 4 });
    let environment = &bench.environment;
    ontology::create(environment, DATABASE).await?;
    let mut input = ontology::object_type(0, 10);
    input["name"] = NAME.into();

    let mut one = input.clone();
    one["name"] = "Created0".into();
    let mut created = Value::Null;
    let ran = statements::during(environment, DATABASE, async || {
        let server = Server::oms(environment, DATABASE, &[]).await?;
        created = server.post("/api/v1/object-types", &one).await?;
        server.stop().await
    });
    let ran = ran.await?;
    let id = created["id"].as_str().context("an answer without an id")?;
    let write = ran.iter().find(|statement| statement.text.contains("INSERT INTO object_types"));
    let script = script(write.context("nothing was inserted")?, id)?;

    let server = Server::oms(environment, DATABASE, &[]).await?;
    let requests = Requests {
        paths: vec!["/api/v1/object-types".to_owned()],
        headers: vec![
            ("Authorization".into(), format!("Bearer {}", environment::token()?)),
            ("Content-Type".into(), "application/json".into()),
        ],
        body: Some(input.to_string()),
    };
    let pairs = alternate(
        rounds,
        async || Ok(tools::wrk(environment, &server.url, &requests, CONNECTIONS, seconds).await?.rate),
        async || Ok(tools::pgbench(environment, DATABASE, &script, CONNECTIONS, seconds).await?.rate),
    );
    let row = Row::new("create one type of 10 properties", "1/s", &pairs.await?, Some(Goal::AtLeast(0.7)));
    server.stop().await?;
    Ok(vec![row])
}

/// The same statement with another name and another id each time.
fn script(write: &Statement, id: &str) -> Result<String> {
    let text = write.with_values(|_, value| {
        value.contains(id).then(|| {
            let name = "'Created' || :n::bigint";
            format!("replace(replace(replace({value}, '{id}', {ID}), '\"Created0\"', '\"' || {name} || '\"'), 'created0', lower({name}))")
                + "::jsonb"
        })
    })?;
    Ok(format!("\\set n random(1, 9000000000000000000)\n{}\n;\n", text.replace('\n', " ")))
}
