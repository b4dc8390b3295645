//! The metrics for CloudWatch, as JSON lines among the logs: its embedded metric format. CloudWatch makes metrics of them, and
//! nobody calls anything.
//!
//! The crate that does this for `metrics` makes a dimension of every label, and each combination of dimensions is a metric
//! that is paid for. Here most labels are properties of the line: CloudWatch Logs Insights groups by them all the same.
//!
//! Lambda takes a line without a level for INFO. A function whose log configuration drops INFO has no metrics; `LOG_LEVEL`
//! doesn't touch them.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};
use metrics_util::registry::{Registry, Storage};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

const NAMESPACE: &str = "OMS";
/// The labels with few values, which alarms tell apart.
const DIMENSIONS: [&str; 2] = ["cache_key_type", "dependency"];
/// What one line may have of one metric.
const MAX_VALUES: usize = 100;

/// What was measured since the last line.
#[derive(Debug)]
pub(crate) struct Emf {
    registry: Registry<Key, Since>,
    service: String,
    function: String,
}

impl Emf {
    /// Measures for the whole process from now on; none when somebody else does already.
    pub(crate) fn install(service: &str, function: &str) -> Option<Arc<Self>> {
        let emf = Arc::new(Self::new(service, function));
        metrics::set_global_recorder(emf.clone()).ok().map(|()| emf)
    }

    fn new(service: &str, function: &str) -> Self {
        Self { registry: Registry::new(Since), service: service.to_owned(), function: function.to_owned() }
    }

    /// Writes what has changed. A Lambda calls it before it asks for more work, since it is frozen then.
    pub(crate) fn flush(&self) {
        let lines = self.take(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        // In one piece, so that no line of the log gets between. When stdout is gone nobody is there to be told.
        let _ = std::io::stdout().lock().write_all(lines.as_bytes());
    }

    /// The lines of what has changed: one for each set of labels.
    fn take(&self, now: Duration) -> String {
        let mut lines: BTreeMap<(Vec<Label>, usize), Line> = BTreeMap::new();
        let mut add = |key: &Key, part, unit, value| {
            let line = lines.entry((key.labels().cloned().collect(), part)).or_default();
            line.insert(key.name().to_owned(), (unit, value));
        };
        self.registry.visit_counters(|key, counter| {
            let count = counter.swap(0, Ordering::Relaxed);
            if count > 0 {
                add(key, 0, "Count", Measured::Count(count));
            }
        });
        self.registry.visit_gauges(|key, gauge| {
            if let Some(value) = gauge.take() {
                add(key, 0, unit(key.name()), Measured::One(value));
            }
        });
        self.registry.visit_histograms(|key, samples| {
            for (part, values) in samples.take().chunks(MAX_VALUES).enumerate() {
                let value = if let [only] = values { Measured::One(*only) } else { Measured::Many(values.to_vec()) };
                add(key, part, unit(key.name()), value);
            }
        });
        let mut text = String::new();
        for ((labels, _), line) in &lines {
            let rendered = serde_json::to_string(&Rendered { emf: self, now, labels, line });
            // Names and numbers can always be written.
            text += &rendered.unwrap_or_default();
            text.push('\n');
        }
        text
    }
}

/// A line to be. There are fewer metrics than the hundred that one may have.
struct Rendered<'a> {
    emf: &'a Emf,
    now: Duration,
    labels: &'a [Label],
    line: &'a Line,
}

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { emf, now, labels, line } = self;
        let own = labels.iter().map(Label::key).filter(|label| DIMENSIONS.contains(label));
        let dimensions: Vec<&str> = ["service", "function"].into_iter().chain(own).collect();
        let metrics = line.iter().map(|(name, &(unit, _))| Metric { name, unit }).collect();
        let directive = Directive { namespace: NAMESPACE, dimensions: [dimensions], metrics };
        let timestamp = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("_aws", &Aws { timestamp, cloud_watch_metrics: [directive] })?;
        members.serialize_entry("service", &emf.service)?;
        members.serialize_entry("function", &emf.function)?;
        for label in *labels {
            members.serialize_entry(label.key(), label.value())?;
        }
        for (name, (_, value)) in *line {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Aws<'a> {
    timestamp: u64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'static str,
    dimensions: [Vec<&'a str>; 1],
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric<'a> {
    name: &'a str,
    unit: &'static str,
}

/// A single number is one that Logs Insights calculates with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Measured {
    Count(u64),
    One(f64),
    Many(Vec<f64>),
}

/// By name of the metric, its unit and what was measured.
type Line = BTreeMap<String, (&'static str, Measured)>;

/// A name tells its unit, as Prometheus has it.
fn unit(name: &str) -> &'static str {
    if name.ends_with("_seconds") { "Seconds" } else { "None" }
}

impl Recorder for Emf {
    // The units are those of the names, and CloudWatch has no descriptions.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.registry.get_or_create_counter(key, |counter| counter.clone().into())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.registry.get_or_create_gauge(key, |gauge| gauge.clone().into())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.registry.get_or_create_histogram(key, |samples| samples.clone().into())
    }
}

/// Keeps what was measured since it was last taken.
#[derive(Debug)]
struct Since;

impl Storage<Key> for Since {
    type Counter = Arc<AtomicU64>;
    type Gauge = Arc<Level>;
    type Histogram = Arc<Samples>;

    fn counter(&self, _: &Key) -> Self::Counter {
        Arc::default()
    }

    fn gauge(&self, _: &Key) -> Self::Gauge {
        Arc::default()
    }

    fn histogram(&self, _: &Key) -> Self::Histogram {
        Arc::default()
    }
}

/// A gauge that knows whether it was set. One that was set to what it is counts too: alarms want to hear from it.
#[derive(Debug, Default)]
struct Level {
    bits: AtomicU64,
    is_set: AtomicBool,
}

impl Level {
    fn take(&self) -> Option<f64> {
        let is_set = self.is_set.swap(false, Ordering::Acquire);
        is_set.then(|| f64::from_bits(self.bits.load(Ordering::Relaxed)))
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        GaugeFn::increment(&self.bits, value);
        self.is_set.store(true, Ordering::Release);
    }

    fn decrement(&self, value: f64) {
        GaugeFn::decrement(&self.bits, value);
        self.is_set.store(true, Ordering::Release);
    }

    fn set(&self, value: f64) {
        GaugeFn::set(&self.bits, value);
        self.is_set.store(true, Ordering::Release);
    }
}

/// The values of a histogram. An environment serves one request at a time, so there are few.
#[derive(Debug, Default)]
struct Samples(Mutex<Vec<f64>>);

impl Samples {
    fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(value);
    }
}

#[cfg(test)]
mod tests {
    use metrics::{counter, gauge, histogram, with_local_recorder};
    use serde_json::{Value, json};

    use super::*;

    const NOW: Duration = Duration::from_millis(1_773_119_783_916);

    fn emf() -> Emf {
        Emf::new("oms-staging", "oms-rest")
    }

    fn taken(emf: &Emf) -> Vec<Value> {
        emf.take(NOW).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_the_metrics_of_its_labels_and_few_labels_are_dimensions() {
        let emf = emf();
        with_local_recorder(&emf, || {
            histogram!("oms_request_duration_seconds", "method" => "GET", "endpoint" => "/items/{id}", "status" => "200")
                .record(Duration::from_millis(12));
            for key_type in ["object_type", "object_type", "object_type:list"] {
                counter!("oms_cache_hits_total", "cache_key_type" => key_type).increment(1);
            }
            counter!("oms_cache_misses_total", "cache_key_type" => "object_type").increment(1);
            gauge!("oms_circuit_breaker_state", "dependency" => "redis").set(2);
            gauge!("oms_outbox_oldest_age_seconds").set(1.5);
        });
        let line = |dimensions: Value, metrics: Value, mut rest: Value| {
            rest["service"] = json!("oms-staging");
            rest["function"] = json!("oms-rest");
            rest["_aws"] = json!({
                "Timestamp": 1_773_119_783_916_u64,
                "CloudWatchMetrics": [{"Namespace": "OMS", "Dimensions": [dimensions], "Metrics": metrics}],
            });
            rest
        };
        let expected = [
            line(
                json!(["service", "function"]),
                json!([{"Name": "oms_outbox_oldest_age_seconds", "Unit": "Seconds"}]),
                json!({"oms_outbox_oldest_age_seconds": 1.5}),
            ),
            line(
                json!(["service", "function", "cache_key_type"]),
                json!([
                    {"Name": "oms_cache_hits_total", "Unit": "Count"},
                    {"Name": "oms_cache_misses_total", "Unit": "Count"},
                ]),
                json!({"cache_key_type": "object_type", "oms_cache_hits_total": 2, "oms_cache_misses_total": 1}),
            ),
            line(
                json!(["service", "function", "cache_key_type"]),
                json!([{"Name": "oms_cache_hits_total", "Unit": "Count"}]),
                json!({"cache_key_type": "object_type:list", "oms_cache_hits_total": 1}),
            ),
            line(
                json!(["service", "function", "dependency"]),
                json!([{"Name": "oms_circuit_breaker_state", "Unit": "None"}]),
                json!({"dependency": "redis", "oms_circuit_breaker_state": 2.0}),
            ),
            line(
                json!(["service", "function"]),
                json!([{"Name": "oms_request_duration_seconds", "Unit": "Seconds"}]),
                json!({
                    "method": "GET", "endpoint": "/items/{id}", "status": "200", "oms_request_duration_seconds": 0.012,
                }),
            ),
        ];
        assert_eq!(taken(&emf), expected);
    }

    #[test]
    fn what_has_not_changed_is_not_written_again_and_what_is_set_again_is() {
        let emf = emf();
        let handle = with_local_recorder(&emf, || {
            counter!("c").increment(2);
            histogram!("h").record(0.5);
            gauge!("g").set(7.0);
            gauge!("g")
        });
        assert_eq!(taken(&emf).len(), 1);
        assert_eq!(emf.take(NOW), "");
        handle.set(7.0);
        with_local_recorder(&emf, || counter!("c").increment(1));
        let lines = taken(&emf);
        assert_eq!((&lines[0]["g"], &lines[0]["c"], lines[0].get("h")), (&json!(7.0), &json!(1), None));
    }

    #[test]
    fn more_values_than_a_line_may_have_make_more_lines() {
        let emf = emf();
        with_local_recorder(&emf, || {
            counter!("c").increment(1);
            for value in 0..250 {
                histogram!("h").record(value);
            }
        });
        let lines = taken(&emf);
        let lengths: Vec<usize> = lines.iter().map(|line| line["h"].as_array().unwrap().len()).collect();
        assert_eq!(lengths, [100, 100, 50]);
        assert_eq!(lines.iter().filter(|line| line.get("c").is_some()).count(), 1, "a delta counts once");
    }
}
