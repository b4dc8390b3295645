//! All functions in one process: REST and GraphQL on `SERVER_PORT`, gRPC on `GRPC_PORT`, metrics on `METRICS_PORT`, the
//! publisher and the relay, and what has to be done now and then.

pub mod database;
pub mod healthcheck;
mod kafka;
pub mod redrive;
pub mod relay;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context;
use axum::{Router, serve::ListenerExt};
use oms_core::{Registry, config::Source};
use oms_edge::{Edge, EdgeConfig};
use oms_event_relay::RelayConfig;
use oms_graphql::GraphqlConfig;
use oms_kafka::KafkaConfig;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

pub use kafka::MockKafka;

/// Where events go from the log.
#[derive(Debug, Clone)]
pub struct EventsConfig {
    /// Kafka; without brokers another process publishes, or nobody does yet: events wait in the log.
    pub kafka: KafkaConfig,
    /// `KAFKA_BROKERS=none`: nobody ever publishes, the log is for the change feed alone.
    pub for_the_feed_alone: bool,
    /// The relay, when `EVENT_BUS_NAME` is set.
    pub relay: Option<RelayConfig>,
    /// Whom the relay consumes as.
    pub relay_group: relay::Group,
}

impl EventsConfig {
    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let mut kafka = KafkaConfig::read(source);
        let for_the_feed_alone = kafka.brokers.take_if(|brokers| brokers == "none").is_some();
        Self {
            kafka,
            for_the_feed_alone,
            relay: RelayConfig::enabled(source).then(|| RelayConfig::read(source)),
            relay_group: relay::Group {
                id: source.text("RELAY_GROUP").unwrap_or_else(|| "oms-event-relay".to_owned()),
                instance: source.text("RELAY_INSTANCE"),
            },
        }
    }
}

/// Where the server listens, and how it ends.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `SERVER_HOST`: the address to listen on.
    pub host: IpAddr,
    /// `SERVER_PORT`: REST and GraphQL.
    pub port: u16,
    /// `GRPC_PORT`: gRPC, gRPC-Web and Connect.
    pub grpc_port: u16,
    /// `METRICS_PORT`: Prometheus.
    pub metrics_port: u16,
    /// `SHUTDOWN_TIMEOUT_MS`: how long requests in flight may take to end.
    pub shutdown_timeout: Duration,
}

impl ServerConfig {
    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        Self {
            host: source.parse("SERVER_HOST", IpAddr::V4(Ipv4Addr::UNSPECIFIED), "an IP address"),
            port: source.parse("SERVER_PORT", 8080, "a port number"),
            grpc_port: source.parse("GRPC_PORT", 9090, "a port number"),
            metrics_port: source.parse("METRICS_PORT", 9091, "a port number"),
            shutdown_timeout: source.millis("SHUTDOWN_TIMEOUT_MS", 10_000),
        }
    }
}

/// How often old idempotency keys are forgotten and gauges refreshed.
const SWEEP: Duration = Duration::from_secs(60);

/// How often the age of the oldest event that is not in Kafka is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How long the last statements may take once the requests have ended.
const CLOSING: Duration = Duration::from_secs(1);

/// What REST and GraphQL answer, in one router.
pub fn router(edge: &Edge, graphql: GraphqlConfig) -> Router {
    oms_edge::protect(oms_rest::routes(edge).merge(oms_graphql::routes(edge, graphql)), edge)
}

/// Serves until SIGTERM or Ctrl-C, then ends requests in flight within the time-out.
pub async fn serve(
    server: ServerConfig,
    config: EdgeConfig,
    graphql: GraphqlConfig,
    events: EventsConfig,
    registry: Registry,
) -> anyhow::Result<()> {
    let metrics = oms_edge::metrics::router(&config);
    let edge = Edge::new(config, registry.clone());
    let (router, rpc) = (router(&edge, graphql), oms_rpc::router_with_reflection(&edge));
    let (stop, stopped) = watch::channel(false);
    let http = listen(server.host, server.port, "SERVER_PORT").await?;
    let grpc = listen(server.host, server.grpc_port, "GRPC_PORT").await?;
    let metrics_listener = listen(server.host, server.metrics_port, "METRICS_PORT").await?;
    let (http_at, grpc_at, metrics_at) = (http.local_addr()?, grpc.local_addr()?, metrics_listener.local_addr()?);
    tracing::info!(http = %http_at, grpc = %grpc_at, metrics = %metrics_at, "listening");

    let mut tasks = JoinSet::new();
    tasks.spawn(sweep(registry.clone(), events.for_the_feed_alone, stopped.clone()));
    tasks.spawn(run(metrics_listener, metrics, stopped.clone()));
    spawn_events(&mut tasks, events, &registry, &stopped);
    tasks.spawn(run(grpc, rpc, stopped.clone()));
    tasks.spawn(run(http, router, stopped));
    signal().await?;
    tracing::info!("stopping");
    stop.send_replace(true);
    registry.feed.end();
    let ended = tokio::time::timeout(server.shutdown_timeout, async { while tasks.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::warn!("requests in flight take longer than SHUTDOWN_TIMEOUT_MS and are cut");
        tasks.abort_all();
    }
    // A pool closes when the last statement has ended; those of cut requests may take much longer, and end with the process.
    if tokio::time::timeout(CLOSING, registry.close()).await.is_err() {
        tracing::warn!("statements in flight are cut");
    }
    Ok(())
}

/// The publisher, and the relay behind it.
fn spawn_events(tasks: &mut JoinSet<()>, events: EventsConfig, registry: &Registry, stopped: &watch::Receiver<bool>) {
    let EventsConfig { kafka, relay, relay_group, for_the_feed_alone } = events;
    let Some(brokers) = &kafka.brokers else {
        if !for_the_feed_alone {
            tracing::warn!("KAFKA_BROKERS is not set: events wait in the log until somebody publishes them");
        }
        return;
    };
    tracing::info!(brokers, topic = kafka.topic, relay = relay.is_some(), "publishing events");
    if let Some(relay) = relay {
        tasks.spawn(relay::run(kafka.clone(), relay_group, relay, stopped.clone()));
    }
    let written = registry.outbox.written();
    tasks.spawn(oms_outbox_publisher::run(registry.clone(), kafka, written, stopped.clone()));
}

async fn listen(host: IpAddr, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let failed = || format!("cannot listen on {host}:{port}; choose another port with {setting}");
    TcpListener::bind((host, port)).await.with_context(failed)
}

async fn run(listener: TcpListener, router: Router, stopped: watch::Receiver<bool>) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    // Else the second message of a stream waits until the first one is acknowledged, up to 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(until(stopped)).await {
        tracing::error!(%error, "a listener ended");
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn sweep(registry: Registry, for_the_feed_alone: bool, stopped: watch::Receiver<bool>) {
    let (mut ticks, mut looks) = (tokio::time::interval(SWEEP), tokio::time::interval(LOOK));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = looks.tick() => {
                // An alarm on the age of events must not wait for a sweep; readiness tells when the database is away.
                let _ = registry.events.oldest_unpublished_age().await;
                continue;
            }
            () = until(stopped.clone()) => return,
        }
        let swept = async {
            if for_the_feed_alone {
                registry.events.forgo_publishing().await?;
            }
            registry.sweep().await
        };
        if let Err(error) = swept.await {
            tracing::warn!(%error, "the sweep failed; it is tried again in a minute");
        }
    }
}

async fn signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}
