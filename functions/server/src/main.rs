//! OMS in one process: for local development and for containers. `oms-server migrate` applies the migrations and ends.

use oms_core::{
    Registry,
    config::{PostgresConfig, RedisConfig, Source},
};
use oms_edge::{EdgeConfig, telemetry};
use oms_graphql::GraphqlConfig;
use oms_server::{ServerConfig, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut source = Source::from_env();
    let postgres = PostgresConfig::read(&mut source);
    if std::env::args().nth(1).as_deref() == Some("migrate") {
        source.finish()?;
        return Ok(Registry::connect_lazy(&postgres, &RedisConfig::none())?.migrate().await?);
    }
    let (server, config, redis) =
        (ServerConfig::read(&mut source), EdgeConfig::read(&mut source), RedisConfig::read(&mut source));
    let graphql = GraphqlConfig::read(&mut source);
    source.finish()?;
    let telemetry = telemetry::init(&config);
    oms_edge::metrics::install();
    let registry = Registry::connect_lazy(&postgres, &redis)?;
    let result = serve(server, config, graphql, registry).await;
    telemetry.shutdown().await;
    result
}
