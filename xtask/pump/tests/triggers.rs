//! The pump itself, with its mock Kafka and moto, against an invocation API that stands in for cargo-lambda's.

#![expect(clippy::unwrap_used, reason = "Clippy takes what tests call for no part of them")]

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_lambda_events::{kafka::KafkaEvent, sqs::SqsEvent};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
    routing::post,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Invocations so far, and the answers to give to event-relay; nothing to say is a success.
#[derive(Clone, Default)]
struct Lambda {
    invocations: Arc<Mutex<Vec<(String, Value)>>>,
    answers: Arc<Mutex<Vec<Result<Value, ()>>>>,
}

async fn invoke(
    State(lambda): State<Lambda>,
    Path(function): Path<String>,
    Json(event): Json<Value>,
) -> impl IntoResponse {
    lambda.invocations.lock().unwrap().push((function.clone(), event));
    let mut answers = lambda.answers.lock().unwrap();
    match (function.as_str(), answers.is_empty()) {
        ("event-relay", false) => match answers.remove(0) {
            Ok(answer) => (StatusCode::OK, Json(answer)),
            Err(()) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"errorType": "E", "errorMessage": "it broke"}))),
        },
        _ => (StatusCode::OK, Json(Value::Null)),
    }
}

impl Lambda {
    /// Serves until the test ends; the base URL.
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let route = "/2015-03-31/functions/{function}/invocations";
        let router = Router::new().route(route, post(invoke)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn of(&self, function: &str) -> Vec<Value> {
        let invocations = self.invocations.lock().unwrap();
        invocations.iter().filter(|(name, _)| name == function).map(|(_, event)| event.clone()).collect()
    }

    /// The offsets of each batch that event-relay got.
    fn batches(&self) -> Vec<Vec<i64>> {
        let events =
            self.of("event-relay").into_iter().map(|event| serde_json::from_value::<KafkaEvent>(event).unwrap());
        events.map(|event| event.records.into_values().flatten().map(|record| record.offset).collect()).collect()
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts the pump; also the brokers that it names.
async fn start(url: &str, environment: &[(&str, &str)]) -> (Child, String) {
    let mut pump = Command::new(env!("CARGO_BIN_EXE_oms-pump"))
        .args(["--functions", url])
        .env_remove("KAFKA_BROKERS")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(pump.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    (pump, line["kafkaBrokers"].as_str().unwrap().to_owned())
}

async fn produce(brokers: &str, count: i32) {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    for n in 0..count {
        let value = format!("{{\"n\":{n}}}");
        let record = FutureRecord::to("oms-events").partition(0).key("k").payload(&value);
        producer.send(record, PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn records_come_in_batches_and_what_failed_comes_again_from_there() {
    let lambda = Lambda::default();
    let url = lambda.serve().await;
    let (mut pump, brokers) = start(&url, &[]).await;
    eventually("the schedule invokes at once", async || !lambda.of("outbox-publisher").is_empty()).await;
    assert_eq!(lambda.of("outbox-publisher")[0]["source"], "aws.scheduler");

    // The function breaks, then reports the first record, then succeeds.
    let failure = |offset: i64| {
        let identifier = json!({"partition": "oms-events-0", "offset": offset});
        json!({"batchItemFailures": [{"itemIdentifier": identifier}]})
    };
    *lambda.answers.lock().unwrap() = vec![Err(()), Ok(failure(0)), Ok(json!({"batchItemFailures": []}))];
    produce(&brokers, 5).await;
    let last = |batches: &[Vec<i64>]| batches.last().is_some_and(|batch| batch.last() == Some(&4));
    eventually("all arrive", async || lambda.answers.lock().unwrap().is_empty() && last(&lambda.batches())).await;
    let batches = lambda.batches();
    assert_eq!(batches[0], batches[1], "after an error the same batch comes again");
    assert_eq!(batches[2][0], 0, "from the reported offset on");
    let mut after: Vec<i64> = batches[2..].concat();
    after.sort_unstable();
    assert_eq!(after, [0, 1, 2, 3, 4], "each comes until it has succeeded, and no more");

    let pid = Pid::from_raw(i32::try_from(pump.id().unwrap()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, pump.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn pokes_are_handed_over_together_and_deleted() {
    let endpoint = std::env::var("AWS_ENDPOINT_URL");
    let endpoint = endpoint.expect("this test needs moto: set AWS_ENDPOINT_URL, or run it with `cargo xtask test`");
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .endpoint_url(&endpoint)
        .region(aws_sdk_sqs::config::Region::new("eu-west-1"))
        .credentials_provider(aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "tests"))
        .build();
    let sqs = aws_sdk_sqs::Client::from_conf(config);
    let queue = sqs.create_queue().queue_name(uuid::Uuid::new_v4().to_string()).send().await.unwrap();
    let queue = queue.queue_url.unwrap();
    for n in 0..3 {
        sqs.send_message().queue_url(&queue).message_body(format!("poke {n}")).send().await.unwrap();
    }

    let lambda = Lambda::default();
    let url = lambda.serve().await;
    let queue_environment = [environment.as_slice(), &[("POKE_QUEUE_URL", queue.as_str())]].concat();
    let (_pump, _) = start(&url, &queue_environment).await;
    let pokes = || -> Vec<String> {
        let events = lambda.of("outbox-publisher").into_iter().filter(|event| event.get("Records").is_some());
        let events = events.map(|event| serde_json::from_value::<SqsEvent>(event).unwrap());
        let mut bodies: Vec<_> = events.flat_map(|event| event.records).map(|message| message.body.unwrap()).collect();
        bodies.sort();
        bodies
    };
    eventually("the pokes arrive", async || pokes().len() == 3).await;
    assert_eq!(pokes(), ["poke 0", "poke 1", "poke 2"]);
    eventually("they are deleted", async || {
        use aws_sdk_sqs::types::QueueAttributeName::{
            ApproximateNumberOfMessages as Waiting, ApproximateNumberOfMessagesNotVisible as Hidden,
        };
        let asked = sqs.get_queue_attributes().queue_url(&queue).attribute_names(Waiting).attribute_names(Hidden);
        let attributes = asked.send().await.unwrap().attributes.unwrap();
        attributes[&Waiting] == "0" && attributes[&Hidden] == "0"
    })
    .await;
}
