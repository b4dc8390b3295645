//! A GraphQL page of fifty object types with their links and the targets of those, against the same statements run raw.
//! There is no cache.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Bench, NO_CACHE};
use crate::{
    environment,
    measure::alternate,
    ontology,
    report::{Goal, Row},
    server::Server,
    statements,
    tools::{self, Requests},
};

const DATABASE: &str = "bench_links";
const TYPES: usize = 300;
/// Links that lead away from each type.
const LINKS: usize = 3;

const QUERY: &str = "{ objectTypes(pagination: {first: 50}) { nodes { id name displayName properties { name dataType required } \
    outgoingLinkTypes { nodes { name target { id name displayName } } } } } }";

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let environment = &bench.environment;
    ontology::load(environment, DATABASE, TYPES).await?;
    let server = Server::oms(environment, DATABASE, NO_CACHE).await?;
    let items: Vec<Value> = (0..TYPES).flat_map(|number| (1..=LINKS).map(move |other| link(number, other))).collect();
    server.post("/api/v1/link-types:batch", &json!({"items": items})).await?;
    ontology::settle(environment, DATABASE, server).await?;

    let question = json!({"query": QUERY});
    let mut answered = Value::Null;
    let ran = statements::during(environment, DATABASE, async || {
        let server = Server::oms(environment, DATABASE, NO_CACHE).await?;
        answered = server.post("/graphql", &question).await?;
        server.stop().await
    });
    let ran = statements::of_requests(ran.await?);
    ensure!(ran.len() == 3, "a page with links and targets is three statements: {ran:?}");
    let nodes = answered["data"]["objectTypes"]["nodes"].as_array().context("an answer without nodes")?;
    let links = nodes.iter().filter_map(|node| node["outgoingLinkTypes"]["nodes"].as_array()).flatten();
    ensure!(links.filter(|link| link["target"]["name"].is_string()).count() == 50 * LINKS, "not all was answered");
    let raw: Vec<String> = ran.iter().map(|statement| statement.with_values(|_, _| None)).collect::<Result<_>>()?;
    let raw = raw.iter().map(|text| text.replace('\n', " ") + ";\n").collect::<String>();

    let server = Server::oms(environment, DATABASE, NO_CACHE).await?;
    let requests = Requests {
        paths: vec!["/graphql".to_owned()],
        headers: vec![
            ("Authorization".into(), format!("Bearer {}", environment::token()?)),
            ("Content-Type".into(), "application/json".into()),
        ],
        body: Some(question.to_string()),
    };
    let pairs = alternate(
        bench.rounds(9, 4),
        async || Ok(tools::wrk(environment, &server.url, &requests, 1, 2).await?.median / 1e3),
        async || Ok(tools::pgbench(environment, DATABASE, &raw, 1, 2).await?.latency),
    );
    let row = Row::new("GraphQL, 50 types with links and targets", "ms", &pairs.await?, Some(Goal::AtMost(1.5)));
    server.stop().await?;
    Ok(vec![row])
}

fn link(number: usize, other: usize) -> Value {
    let name = |number: usize| ontology::object_type(number % TYPES, 0)["name"].clone();
    let (source, target) = (name(number), name(number + other));
    json!({
        "name": format!("link{number}x{other}"), "displayName": format!("Link {other} of {number}"),
        "source": source, "target": target, "cardinality": "ONE_TO_MANY",
    })
}
