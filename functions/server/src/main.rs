//! OMS in one process: for local development and for containers. See `oms-server --help`.

use clap::{Parser, Subcommand};
use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
};
use oms_edge::{EdgeConfig, config::Mode, telemetry};
use oms_graphql::GraphqlConfig;
use oms_server::{EventsConfig, MockKafka, ServerConfig, redrive, serve};

/// The Ontology Metadata Service. Without a command it serves; its settings come from the environment.
#[derive(Parser)]
#[command(name = "oms-server", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Apply the migrations that are missing, and end
    Migrate,
    /// Put dead letters back on the topic of events, and say what was done
    Redrive {
        /// Where they are
        #[arg(long)]
        from: redrive::From,
        /// Only show them
        #[arg(long)]
        dry_run: bool,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let source = Source::from_env();
    match arguments.command {
        None => run(source).await,
        Some(Command::Migrate) => migrate(source).await,
        Some(Command::Redrive { from, dry_run }) => redrive::run(source, from, dry_run).await,
    }
}

async fn run(mut source: Source) -> anyhow::Result<()> {
    let (postgres, redis) = (PostgresConfig::read(&mut source), RedisConfig::read(&mut source));
    let (server, mut config) = (ServerConfig::read(&mut source), EdgeConfig::read(&mut source));
    let (graphql, log) = (GraphqlConfig::read(&mut source), EventConfig::read(&mut source));
    let mut events = EventsConfig::read(&mut source);
    source.finish()?;
    let telemetry = telemetry::init(&config.telemetry);
    oms_edge::metrics::install();
    let wants_mock = events.kafka.brokers.is_none() && !events.for_the_feed_alone && config.mode == Mode::Development;
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
