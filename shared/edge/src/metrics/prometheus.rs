//! The metrics for Prometheus.

use std::{sync::OnceLock, time::Duration};

use axum::{Router, http::header, routing::get};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use oms_core::breaker;

use super::REQUEST_DURATION;
use crate::config::EdgeConfig;

/// From a cached read to a full batch at its time limit, in seconds.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Samples wait in memory until a scrape or an upkeep takes them.
const UPKEEP: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder of the process, once: later calls change nothing.
pub fn install() {
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(REQUEST_DURATION.to_owned()), BUCKETS)
            .unwrap_or_default()
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed already; metrics are not rendered for Prometheus");
        }
        describe_histogram!(REQUEST_DURATION, Unit::Seconds, "Duration of OMS requests in seconds");
        describe_gauge!("oms_object_types_total", "Total number of object types");
        describe_counter!("oms_cache_hits_total", "Total number of cache hits");
        describe_counter!("oms_cache_misses_total", "Total number of cache misses");
        describe_gauge!(
            "oms_outbox_oldest_age_seconds",
            Unit::Seconds,
            "Age of the oldest event that is not in Kafka yet"
        );
        describe_gauge!("oms_event_ranges_ahead", "Empty ranges of the event log ahead of its end; two are kept");
        describe_gauge!("oms_queue_dead_rows", "Dead rows of the tables that events pass through");
        describe_counter!("oms_events_published_total", "Total number of events in Kafka");
        describe_counter!("oms_events_dead_lettered_total", "Total number of events that Kafka can never take");
        describe_counter!("oms_event_publish_failures_total", "Total number of failed attempts to publish");
        describe_counter!("oms_events_relayed_total", "Total number of events that EventBridge accepted");
        describe_counter!("oms_event_relay_repeats_total", "Total number of records that were relayed before");
        describe_counter!("oms_event_relay_poisoned_total", "Total number of records that can never be relayed");
        describe_counter!(
            "oms_event_relay_failures_total",
            "Total number of records that come back to be relayed again"
        );
        describe_gauge!(
            breaker::STATE_METRIC,
            "State of the circuit breaker of a dependency: 0 closed, 1 half-open, 2 open"
        );
        describe_counter!(
            breaker::REJECTED_METRIC,
            "Total number of calls that were not made, since the dependency does not answer"
        );
        let upkept = handle.clone();
        // A thread of its own: tests install from runtimes that end before the process does.
        let upkeep = std::thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(UPKEEP);
                upkept.run_upkeep();
            }
        });
        if let Err(error) = upkeep {
            tracing::warn!(%error, "no thread for the upkeep of metrics");
        }
        handle
    });
}

/// Installs the recorder and serves `METRICS_PATH` in Prometheus' text format, for the port of the metrics.
pub fn router(config: &EdgeConfig) -> Router {
    install();
    Router::new().route(
        &config.metrics_path,
        get(async || {
            let text = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
        }),
    )
}
