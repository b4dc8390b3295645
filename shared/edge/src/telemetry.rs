//! Logs as JSON lines on stdout, spans over OTLP, and on Lambda metrics as lines on stdout (specification 8, 16.6).

use std::{
    fs::File,
    io::{self, BufWriter},
    os::fd::AsFd as _,
    sync::Arc,
};

use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt::{MakeWriter, writer::BoxMakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub use crate::config::TelemetryConfig;
use crate::metrics::emf::Emf;

/// Keeps spans flowing; what is still waiting is sent when it is dropped.
#[must_use = "spans are lost when the guard is dropped at once"]
#[derive(Debug)]
pub struct TelemetryGuard {
    spans: Option<SdkTracerProvider>,
    metrics: Option<Arc<Emf>>,
    /// Writes the last lines when it is dropped; after the spans, which may log.
    _lines: Option<WorkerGuard>,
}

impl TelemetryGuard {
    /// Writes the metrics and sends the spans that wait. A Lambda calls it before it asks for more work, since it is frozen then.
    /// Never fails: a lost span is logged.
    pub async fn flush(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.flush();
        }
        let Some(provider) = self.spans.clone() else { return };
        // The exporter blocks until the collector has answered.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || provider.force_flush()).await {
            tracing::warn!(%error, "spans are not exported");
        }
    }

    /// Sends what waits and stops exporting.
    pub async fn shutdown(mut self) {
        let Some(provider) = self.spans.take() else { return };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || provider.shutdown()).await {
            tracing::warn!(%error, "the last spans are not exported");
        }
    }
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(provider) = self.spans.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last spans are not exported");
        }
    }
}

/// Sets up logs and traces for the process, and metrics when it is a Lambda function. Without `TRACE_ENDPOINT` nothing of
/// OpenTelemetry is built. Calling it again changes nothing.
pub fn init(config: &TelemetryConfig) -> TelemetryGuard {
    let (provider, problem) = match config.trace_endpoint.as_deref().map(|endpoint| exporter(config, endpoint)) {
        None => (None, None),
        Some(Ok(provider)) => (Some(provider), None),
        Some(Err(error)) => (None, Some(error)),
    };
    if provider.is_some() {
        global::set_text_map_propagator(TraceContextPropagator::new());
    }
    let (writer, lines) = match config.function {
        // Whatever an environment logs is out before it is frozen.
        Some(_) => (BoxMakeWriter::new(io::stdout), None),
        None => writer(),
    };
    if subscriber(&config.log_level, provider.as_ref(), writer).try_init().is_err() {
        tracing::debug!("telemetry is set up already");
    }
    if let Some(error) = problem {
        tracing::error!(%error, "spans can't be exported");
    }
    let metrics = config.function.as_deref().and_then(|function| Emf::install(&config.service_name, function));
    TelemetryGuard { spans: provider, metrics, _lines: lines }
}

/// How many lines may wait to be written before whoever logs waits too.
const WAITING_LINES: usize = 4_096;

/// Writes lines on a thread of its own, as many at once as wait: each by itself, under a lock, would hold up whoever logs. What
/// waits is lost with a process that is killed, and nothing else.
fn writer() -> (BoxMakeWriter, Option<WorkerGuard>) {
    let Ok(stdout) = io::stdout().as_fd().try_clone_to_owned() else { return (BoxMakeWriter::new(io::stdout), None) };
    let lines = BufWriter::with_capacity(64 * 1_024, File::from(stdout));
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(WAITING_LINES).thread_name("log").finish(lines);
    (BoxMakeWriter::new(writer), Some(guard))
}

/// JSON lines to the writer and spans to the provider.
pub(crate) fn subscriber<W>(
    log_level: &str,
    provider: Option<&SdkTracerProvider>,
    writer: W,
) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Spans are exported whatever the level of the log.
    let traces = provider.map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("oms")).with_filter(LevelFilter::INFO)
    });
    let logs = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer)
        .with_filter(log_level.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO)));
    tracing_subscriber::registry().with(traces).with(logs)
}

fn exporter(
    config: &TelemetryConfig,
    endpoint: &str,
) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(signal_address(endpoint))
        .build()?;
    let resource = Resource::builder().with_service_name(config.service_name.clone()).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The address for spans: OTLP's own path is added to an address without one.
fn signal_address(endpoint: &str) -> String {
    let (_, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    match rest.split_once('/') {
        None => format!("{endpoint}/v1/traces"),
        Some((_, "")) => format!("{endpoint}v1/traces"),
        Some(_) => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otlps_path_is_added_to_a_bare_address_only() {
        assert_eq!(signal_address("http://localhost:4318"), "http://localhost:4318/v1/traces");
        assert_eq!(signal_address("http://localhost:4318/"), "http://localhost:4318/v1/traces");
        assert_eq!(signal_address("https://collector.test/custom"), "https://collector.test/custom");
    }
}
