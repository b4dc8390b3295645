//! OMS in one process: for local development and for containers. See `oms-server --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use oms_core::{
    Registry,
    config::{ConfigError, EventConfig, PostgresConfig, RedisConfig, Source},
};
use oms_edge::{EdgeConfig, config::Mode, telemetry};
use oms_graphql::GraphqlConfig;
use oms_outbox_publisher::redrive::Place;
use oms_server::{EventsConfig, MockKafka, ServerConfig, database, healthcheck, redrive, serve};

/// The Ontology Metadata Service. Without a command it serves; its settings come from the environment.
#[derive(Parser)]
#[command(name = "oms-server", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Apply the migrations that are missing and give the database roles their rights, and end
    Migrate,
    /// Begin the next epoch of the event log: once after a restore from a backup, before the server runs
    BeginEpoch,
    /// Ask the server that runs in this container whether it lives
    Healthcheck,
    /// Put dead letters back on the topic of events, and say what was done
    Redrive {
        /// Where they are: sqs (the relay's), kafka (the publisher's) or all
        #[arg(long)]
        from: Place,
        /// Only show them
        #[arg(long)]
        dry_run: bool,
    },
}

/// What the program exits with when its configuration is wrong, by sysexits.h.
const CONFIGURATION: u8 = 78;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let source = Source::from_env();
    let done = match arguments.command {
        None => run(source).await,
        Some(Command::Migrate) => database::migrate(source).await,
        Some(Command::BeginEpoch) => database::begin_epoch(source).await,
        Some(Command::Healthcheck) => healthcheck::run(source),
        Some(Command::Redrive { from, dry_run }) => redrive::run(source, from, dry_run).await,
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    // What went wrong is for people, not where in the program.
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    if error.is::<ConfigError>() { ExitCode::from(CONFIGURATION) } else { ExitCode::FAILURE }
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
