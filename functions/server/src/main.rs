//! OMS in one process: for local development and for containers. `oms-server migrate` applies the migrations and ends;
//! `oms-server redrive` puts dead letters back, see `oms-server redrive --help`.

use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
};
use oms_edge::{EdgeConfig, config::Mode, telemetry};
use oms_graphql::GraphqlConfig;
use oms_server::{EventsConfig, MockKafka, ServerConfig, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut source = Source::from_env();
    match std::env::args().nth(1).as_deref() {
        Some("migrate") => return migrate(source).await,
        _ => {}
    }
    let (postgres, redis) = (PostgresConfig::read(&mut source), RedisConfig::read(&mut source));
    let (server, mut config) = (ServerConfig::read(&mut source), EdgeConfig::read(&mut source));
    let (graphql, log) = (GraphqlConfig::read(&mut source), EventConfig::read(&mut source));
    let mut events = EventsConfig::read(&mut source);
    source.finish()?;
    let telemetry = telemetry::init(&config.telemetry);
    oms_edge::metrics::install();
    let wants_mock = events.kafka.brokers.is_none() && config.mode == Mode::Development;
    // It ends with this function.
    let _mock = wants_mock.then(|| MockKafka::start(&mut events.kafka)).transpose()?;
    config.kafka_brokers = events.kafka.brokers.clone();
    let registry = Registry::connect_lazy(&postgres, &redis, &log)?;
    let result = serve(server, config, graphql, events, registry).await;
    telemetry.shutdown().await;
    result
}

async fn migrate(mut source: Source) -> anyhow::Result<()> {
    let (postgres, events) = (PostgresConfig::read(&mut source), EventConfig::read(&mut source));
    source.finish()?;
    Ok(Registry::connect_lazy(&postgres, &RedisConfig::none(), &events)?.migrate().await?)
}
