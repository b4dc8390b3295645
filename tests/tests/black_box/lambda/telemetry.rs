//! What functions leave of an invocation on stdout: log lines, and lines that CloudWatch makes metrics of.

use super::*;

impl Function {
    /// The first line with this metric.
    async fn measured(&mut self, metric: &str) -> Value {
        let wanted = |line: &Value| has(line, metric).then(|| line.clone());
        self.program.line(&format!("{metric} was not measured"), wanted).await
    }
}

fn has(line: &Value, metric: &str) -> bool {
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array();
    metrics.is_some_and(|metrics| metrics.iter().any(|described| described["Name"] == metric))
}

#[tokio::test]
async fn a_request_is_measured_once_and_is_part_of_the_trace_of_lambda() {
    let database = Arc::new(Database::create().await);
    let mut function = Function::with("rest", database, |settings| settings.set("SERVICE_NAME", "oms-test")).await;
    let body = samples::customer().to_string();
    function.invoke(event("POST", "/api/v1/object-types", Some(&body), false)).await;
    for _ in 0..2 {
        function.invoke(event("GET", "/api/v1/object-types/Customer", None, false)).await;
    }

    let line = function.measured("oms_request_duration_seconds").await;
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(
        (&directive["Namespace"], &directive["Dimensions"], &directive["Metrics"]),
        (
            &json!("OMS"),
            &json!([["service", "function"]]),
            &json!([{"Name": "oms_request_duration_seconds", "Unit": "Seconds"}])
        )
    );
    let property = |name: &str| line[name].as_str().unwrap();
    let properties = ["service", "function", "method", "endpoint", "status"].map(property);
    assert_eq!(properties, ["oms-test", "rest", "POST", "/api/v1/object-types", "201"]);
    assert!(line["oms_request_duration_seconds"].as_f64().unwrap() > 0.0, "{line}");

    let hit = function.measured("oms_cache_hits_total").await;
    assert_eq!(
        hit["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        json!([["service", "function", "cache_key_type"]]),
        "{hit}"
    );

    // The log line of the third request comes before its metrics, and nothing comes after these.
    function.invoke(event("GET", "/api/v1/object-types/Nothing", None, false)).await;
    let missing = |line: &Value| (line["status"] == "404").then(|| line.clone());
    function.program.line("the last request was not measured", missing).await;
    let lines: Vec<Value> =
        function.program.stdout().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.iter().filter(|line| has(line, "oms_request_duration_seconds")).count(), 4);
    let logged = lines.iter().filter(|line| line["message"] == "request");
    assert!(logged.into_iter().all(|line| line["trace_id"] == "5759e988bd862e3fe1be46a994272793"), "{lines:?}");
}

#[tokio::test]
async fn publisher_and_relay_measure_what_alarms_watch() {
    let (aws, topic) = (Aws::create().await, Topic::create(1).await);
    let rest = Function::start("rest").await;
    let mut publisher =
        Function::with("outbox-publisher", rest.database.clone(), |settings| topic.settings(settings)).await;
    let mut relay = Function::with("event-relay", rest.database.clone(), |settings| aws.settings(settings)).await;
    let body = samples::customer().to_string();
    rest.invoke(event("POST", "/api/v1/object-types", Some(&body), false)).await;
    publisher.ask(sample("schedule.json")).await;
    for (metric, value) in [
        ("oms_events_published_total", json!(1)),
        ("oms_outbox_oldest_age_seconds", json!(0.0)),
        ("oms_object_types_total", json!(1.0)),
        ("oms_event_ranges_ahead", json!(2.0)),
    ] {
        let line = publisher.measured(metric).await;
        assert_eq!((&line["function"], &line[metric]), (&json!("outbox-publisher"), &value), "{line}");
    }
    publisher.measured("oms_queue_dead_rows").await;

    let message = &topic.messages().await[0];
    let mut batch = sample("msk.json");
    batch["records"] = json!({format!("{}-0", topic.name()): [{
        "topic": topic.name(), "partition": 0, "offset": 0, "timestamp": 1_773_119_783_916_u64,
        "timestampType": "CREATE_TIME", "key": STANDARD.encode(&message.key), "value": STANDARD.encode(&message.value),
        "headers": [],
    }]});
    relay.ask(batch).await;
    let line = relay.measured("oms_events_relayed_total").await;
    assert_eq!((&line["function"], &line["oms_events_relayed_total"]), (&json!("event-relay"), &json!(1)), "{line}");
}
