//! Alarms and the dashboard look at metrics that the code writes, under the names and dimensions that it writes them with: what looks
//! at another one is silent for ever.

use std::collections::{BTreeMap, BTreeSet};

use oms_tests::workspace_root;
use serde_json::Value;

use super::{
    code, functions, shape,
    template::{STAGES, Stack, text},
};

/// How a metric is written.
struct Written {
    dimensions: BTreeSet<String>,
    /// The program, where only one does.
    by: Option<&'static str>,
}

/// The metrics of the code by name.
fn written() -> BTreeMap<String, Written> {
    let read = |file: &str| std::fs::read_to_string(workspace_root().join(file)).unwrap();
    let recorder = read("shared/edge/src/metrics/emf.rs");
    let (_, labels) = recorder.split_once("const DIMENSIONS: [&str; 2] = [").expect("the labels that are dimensions");
    let labels: Vec<&str> = labels.split(']').next().unwrap().split('"').skip(1).step_by(2).collect();
    assert_eq!(labels.len(), 2, "{labels:?}");
    let described = read("shared/edge/src/metrics/prometheus.rs");
    let mut written = BTreeMap::new();
    for file in ["shared", "functions"].iter().flat_map(|folder| code::sources(&workspace_root().join(folder))) {
        let path = file.strip_prefix(workspace_root()).unwrap().to_string_lossy().into_owned();
        if path.starts_with("shared/edge/src/metrics/") {
            continue;
        }
        let code = read(&path);
        let names = code.split('"').filter(|quoted| quoted.starts_with("oms_"));
        // The publisher's sweep measures what is in the database.
        let by = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["functions", "event-relay", ..] => Some("event-relay"),
            ["functions", "outbox-publisher", ..] | [.., "registry.rs"] | [.., "event_log", _] => {
                Some("outbox-publisher")
            }
            _ => None,
        };
        for name in names {
            let constant = code.split("pub const ").skip(1).find(|rest| rest.contains(&format!("&str = {name:?};")));
            let constant = constant.map_or("", |rest| rest.split(':').next().unwrap());
            if described.contains(&format!("{name:?}"))
                || !constant.is_empty() && described.contains(&format!("breaker::{constant}"))
            {
                let own = labels.iter().filter(|label| code.contains(&format!("{label:?} =>")));
                let dimensions = ["service", "function"].iter().chain(own).map(|label| (*label).to_owned()).collect();
                written.insert(name.to_owned(), Written { dimensions, by });
            }
        }
    }
    assert!(written.len() > 12, "{:?}", written.keys());
    written
}

/// A look at a metric.
#[derive(Debug)]
struct Look {
    metric: String,
    dimensions: BTreeSet<String>,
    /// Whose it is, where one function's alone is looked at.
    function: Option<String>,
    service: String,
}

impl Look {
    /// Names and values of dimensions, one after the other.
    fn at(metric: &Value, dimensions: &[String]) -> Self {
        let pairs: BTreeMap<_, _> = dimensions.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Self {
            metric: text(metric),
            function: pairs.get("function").cloned(),
            service: pairs.get("service").cloned().unwrap_or_default(),
            dimensions: pairs.into_keys().collect(),
        }
    }

    /// What a query or a search is for: `SELECT MAX(metric) FROM SCHEMA("OMS", a, b) WHERE service = 'c'`, or
    /// `SEARCH('{OMS,a,b} MetricName="metric" service="c"', …)`.
    fn by(expression: &str) -> Option<Self> {
        let plain = expression.replace(['"', '\''], "").replace(" = ", "=").replace(", ", ",");
        let schema = plain.split_once("OMS,").and_then(|(_, schema)| schema.split_once(['}', ')']));
        assert_eq!(schema.is_some(), expression.contains("oms_"), "of our metrics or not: {expression}");
        let (schema, _) = schema?;
        let word = |from: &str| {
            let (_, rest) = plain.split_once(from).unwrap_or_else(|| panic!("no {from} in {expression}"));
            rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next().unwrap().to_owned()
        };
        let metric = if plain.starts_with("SELECT") { word("(") } else { word("MetricName=") };
        let dimensions = schema.split(',').map(str::to_owned).collect();
        Some(Self { metric, dimensions, function: None, service: word("service=") })
    }
}

fn looks(stage: &str) -> Vec<Look> {
    let mut looks = Vec::new();
    for (_, name, kind, properties) in shape::resources(stage) {
        match kind.as_str() {
            "AWS::CloudWatch::Alarm" => {
                let queries = properties["Metrics"].as_array().into_iter().flatten();
                let metrics = queries.clone().map(|query| &query["MetricStat"]["Metric"]).chain([&properties]);
                for metric in metrics.filter(|metric| !metric["Namespace"].is_null()) {
                    let namespace = text(&metric["Namespace"]);
                    if namespace.starts_with("AWS/") {
                        continue;
                    }
                    assert_eq!(namespace, "OMS", "{name}");
                    let dimensions = metric["Dimensions"].as_array().unwrap().iter();
                    let pairs: Vec<_> =
                        dimensions.flat_map(|pair| [text(&pair["Name"]), text(&pair["Value"])]).collect();
                    looks.push(Look::at(&metric["MetricName"], &pairs));
                }
                let expressions = queries.filter_map(|query| query["Expression"].as_str());
                looks.extend(expressions.filter_map(Look::by));
            }
            "AWS::CloudWatch::Dashboard" => {
                let board: Value = serde_json::from_str(&text(&properties["DashboardBody"])).unwrap();
                for widget in board["widgets"].as_array().unwrap() {
                    let (title, rows) = (text(&widget["properties"]["title"]), &widget["properties"]["metrics"]);
                    for row in rows.as_array().into_iter().flatten() {
                        match &row[0] {
                            Value::String(namespace) if namespace == "OMS" => {
                                let cells = row.as_array().unwrap()[2..].iter().filter(|cell| cell.is_string());
                                looks.push(Look::at(&row[1], &cells.map(text).collect::<Vec<_>>()));
                            }
                            Value::String(namespace) => assert!(namespace.starts_with("AWS/"), "{title}: {row}"),
                            search => looks.extend(Look::by(&text(&search["expression"]))),
                        }
                    }
                }
            }
            _ => {}
        }
    }
    looks
}

#[test]
fn alarms_and_dashboard_look_at_metrics_as_the_code_writes_them() {
    let written = written();
    for stage in STAGES {
        let functions = functions(&Stack::of(stage));
        let looks = looks(stage);
        assert!(looks.len() > 14, "{stage}: {looks:?}");
        for look in looks {
            let metric = written.get(&look.metric).unwrap_or_else(|| panic!("{stage}: nobody writes it: {look:?}"));
            assert_eq!(look.dimensions, metric.dimensions, "{stage}: {look:?}");
            let name = ("SERVICE_NAME".to_owned(), look.service.clone());
            assert!(functions.iter().any(|function| function.variables().contains(&name)), "{stage}: {look:?}");
            if let Some(name) = &look.function {
                let function = functions.iter().find(|function| function.name == *name);
                let program = function.and_then(|function| function.program.as_deref());
                assert!(
                    metric.by.is_some() && program == metric.by,
                    "{stage}: {program:?} does not write it: {look:?}"
                );
            }
        }
    }
}
