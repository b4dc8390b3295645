//! The relay's invocation with 1,000 records, against what it costs to parse and to write them. They are of 1,000 entities,
//! as a batch that creates them makes them: each has a mark that is read and moved, which is the most that it can be. Each
//! envelope has about 3 KB, so that the whole is just below what Lambda takes, which is 6 MB.

use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, Result, ensure};
use aws_lambda_events::kafka::KafkaEvent;
use axum::body::Bytes;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use oms_events::{Event, HeaderParts, headers};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::Bench;
use crate::{
    aws::{Aws, Call, TARGET, operations},
    function::Function,
    measure::alternate,
    ontology,
    report::{Goal, Row},
    server::Server,
};

const DATABASE: &str = "bench_relay";
const RECORDS: usize = 1_000;
const PROPERTIES: usize = 11;
const PARTITIONS: usize = 16;
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const LAMBDA_MAX_BYTES: usize = 6 << 20;
/// As the relay has them.
const CALLS_IN_FLIGHT: usize = 8;

/// Envelopes as writes make them.
async fn envelopes(bench: &Bench) -> Result<Vec<Event>> {
    ontology::create(&bench.environment, DATABASE).await?;
    let server = Server::oms(&bench.environment, DATABASE, &[]).await?;
    let items: Vec<Value> = (0..RECORDS).map(|number| ontology::object_type(number, PROPERTIES)).collect();
    server.post("/api/v1/object-types:batch", &json!({"items": items})).await?;
    let (mut events, mut after) = (Vec::with_capacity(RECORDS), None::<String>);
    while events.len() < RECORDS {
        let after_that = after.map(|token| format!("&after={token}")).unwrap_or_default();
        let mut page = server.get(&format!("/api/v1/events?limit=200{after_that}")).await?;
        let read: Vec<Event> = serde_json::from_value(page["data"].take())?;
        ensure!(!read.is_empty(), "the feed has fewer events than were written");
        events.extend(read);
        after = page["page"]["resumeToken"].as_str().map(str::to_owned);
    }
    server.stop().await?;
    Ok(events)
}

/// What MSK invokes a function with.
fn msk_event(envelopes: &[Event]) -> Result<Bytes> {
    let mut partitions: Map<String, Value> = Map::new();
    for (number, envelope) in envelopes.iter().enumerate() {
        let (partition, offset) = (number % PARTITIONS, number / PARTITIONS);
        let headers = headers(&HeaderParts {
            id: envelope.id,
            event_type: envelope.event_type,
            entity_id: envelope.entity_id,
            timestamp: envelope.timestamp,
            correlation_id: envelope.correlation_id.as_deref(),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        });
        let headers: Vec<Value> = headers.into_iter().map(|(name, value)| json!({name: value.into_bytes()})).collect();
        let record = json!({
            "topic": "oms-events",
            "partition": partition,
            "offset": offset,
            "timestamp": envelope.timestamp.timestamp_millis(),
            "timestampType": "CREATE_TIME",
            "key": BASE64_STANDARD.encode(envelope.entity_id.to_string()),
            "value": BASE64_STANDARD.encode(serde_json::to_vec(envelope)?),
            "headers": headers,
        });
        let records = partitions.entry(format!("oms-events-{partition}")).or_insert_with(|| json!([]));
        records.as_array_mut().context("it is a list")?.push(record);
    }
    let event = json!({
        "eventSource": "aws:kafka",
        "eventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/oms/6f1c2d3e-0000-4000-8000-000000000001-1",
        "bootstrapServers": "b-1.oms.example.kafka.us-east-1.amazonaws.com:9098",
        "records": partitions,
    });
    Ok(event.to_string().into())
}

/// Reads the batch, the envelopes in it, and writes each of them; how many bytes.
fn parse_and_write(event: &[u8]) -> Result<usize> {
    let event: KafkaEvent = serde_json::from_slice(event)?;
    let mut bytes = 0;
    for record in event.records.into_values().flatten() {
        let value = BASE64_STANDARD.decode(record.value.context("a record without a value")?)?;
        let envelope: Event = serde_json::from_slice(&value)?;
        bytes += black_box(serde_json::to_string(&envelope)?).len();
    }
    Ok(bytes)
}

/// Milliseconds of the calls, made by a client that knows nothing of AWS.
async fn repeat(client: &reqwest::Client, aws: &Aws, calls: &[Call]) -> Result<f64> {
    let requests = calls.iter().map(|call| {
        client
            .post(&aws.url)
            .header(TARGET, format!("Any.{}", call.operation))
            .header(CONTENT_TYPE, "application/x-amz-json-1.1")
            .body(call.body.clone())
            .build()
    });
    let requests = requests.collect::<reqwest::Result<Vec<_>>>()?;
    let started = Instant::now();
    let answers = stream::iter(requests)
        .map(async |request| client.execute(request).await?.error_for_status()?.bytes().await)
        .buffer_unordered(CALLS_IN_FLIGHT);
    answers.try_for_each(async |_| Ok(())).await?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let event = msk_event(&envelopes(bench).await?)?;
    ensure!(event.len() <= LAMBDA_MAX_BYTES, "Lambda takes no event of {} bytes", event.len());
    let aws = Aws::start().await?;
    let settings = [
        ("AWS_ENDPOINT_URL", aws.url.as_str()),
        ("EVENT_BUS_NAME", "oms"),
        ("RELAY_TABLE_NAME", "oms-marks"),
        ("RELAY_DLQ_URL", "http://127.0.0.1:9/1/dead-letters"),
    ];
    let mut relay = Function::start(&bench.environment, "event-relay", "postgres", &settings).await?;

    aws.keep();
    let answer = relay.invoke(&event).await?.answer;
    let calls = aws.take();
    ensure!(&answer[..] == br#"{"batchItemFailures":[]}"#, "not all was relayed: {}", String::from_utf8_lossy(&answer));
    let puts = operations(&calls).get("PutEvents").copied().unwrap_or_default();
    ensure!(puts == RECORDS.div_ceil(10), "the bus was called {puts} times: {:?}", operations(&calls));

    let mut relayed = async || Ok(relay.invoke(&event).await?.took.as_secs_f64() * 1e3);
    let rounds = bench.rounds(30, 10);
    let pairs = alternate(rounds, &mut relayed, async || {
        let started = Instant::now();
        ensure!(parse_and_write(&event)? > RECORDS, "nothing was written");
        Ok(started.elapsed().as_secs_f64() * 1e3)
    });
    let mut rows = vec![Row::new("relay 1,000 records", "ms", &pairs.await?, Some(Goal::AtMost(3.0)))];
    let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
    let pairs = alternate(rounds, &mut relayed, async || repeat(&client, &aws, &calls).await);
    rows.push(Row::new(
        format!("the same, against its {} calls to AWS by a plain client", calls.len()),
        "ms",
        &pairs.await?,
        None,
    ));
    relay.stop().await?;
    Ok(rows)
}
