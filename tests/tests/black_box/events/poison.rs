//! Records that can never pass.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Uri},
    response::Response,
};
use oms_tests::{Aws, Message, Program, Server, Topic, aws_endpoint, samples, until};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::database;

/// A bus that finds fault with events of a type named `Poison`, as long as it is told to; all else is moto's.
#[derive(Debug, Clone)]
struct Bus {
    http: reqwest::Client,
    is_strict: Arc<AtomicBool>,
    url: String,
}

impl Bus {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bus = Self { http: reqwest::Client::new(), is_strict: Arc::new(AtomicBool::new(true)), url };
        let router = Router::new().fallback(pass).with_state(bus.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bus
    }
}

async fn pass(State(bus): State<Bus>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let is_put = headers.get("x-amz-target").is_some_and(|target| target == "AWSEvents.PutEvents");
    if !is_put || !bus.is_strict.load(Ordering::SeqCst) {
        return forward(&bus, method, &uri, headers, body).await;
    }
    let mut asked: Value = serde_json::from_slice(&body).unwrap();
    let entries = asked["Entries"].as_array().unwrap().clone();
    let is_poison = |entry: &Value| entry["Detail"].as_str().unwrap().contains(r#""name":"Poison""#);
    asked["Entries"] = entries.iter().filter(|entry| !is_poison(entry)).cloned().collect();
    let passed = if asked["Entries"] == json!([]) {
        json!({"Entries": []})
    } else {
        let answer = forward(&bus, method, &uri, headers, asked.to_string().into()).await;
        serde_json::from_slice(&axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap()
    };
    let mut passed = passed["Entries"].as_array().unwrap().iter();
    let answers: Vec<Value> = entries
        .iter()
        .map(|entry| match is_poison(entry) {
            true => json!({"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}),
            false => passed.next().unwrap().clone(),
        })
        .collect();
    let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
    let answer = json!({"FailedEntryCount": failed, "Entries": answers});
    Response::builder()
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(answer.to_string()))
        .unwrap()
}

async fn forward(bus: &Bus, method: Method, uri: &Uri, mut headers: HeaderMap, body: Bytes) -> Response {
    // The body may be another one by now; the client sets both again.
    headers.remove("content-length");
    headers.remove("host");
    let url = format!("{}{uri}", aws_endpoint().trim_end_matches('/'));
    let answer = bus.http.request(method, url).headers(headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "content-length") {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_can_never_pass_stops_nobody_and_comes_back_when_it_is_redriven() {
    let (_database, settings) = database().await;
    // One partition: everybody is behind the poison.
    let (topic, aws, bus) = (Topic::create(1).await, Aws::create().await, Bus::start().await);
    let settings = aws.settings(topic.settings(settings)).set("AWS_ENDPOINT_URL", &bus.url);
    let server = Server::start(&settings).await;
    let editor = server.client("editor");
    let items: Vec<Value> = ["A", "B", "Poison", "C", "D"].iter().map(|name| samples::object_type(name)).collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    editor.patch("object-types/A", 1, &json!({"description": "after the poison"})).expect(200).await;

    let names = |wrapped: &[Value]| -> Vec<String> {
        let name = |event: &Value| event["detail"]["data"]["objectType"]["name"].as_str().unwrap().to_owned();
        let mut names: Vec<_> = wrapped.iter().map(name).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&aws.take_all(aws.target(), 5).await), ["A", "A", "B", "C", "D"]);
    let letter = until("no dead letter came", async || {
        // Only a look: it has to stay for redrive.
        (aws.waiting(aws.dead_letters()).await == 1).then_some(())
    });
    letter.await;

    // A dry run shows it and leaves it.
    let redrive = async |more: &[&str]| {
        let arguments: Vec<&str> = ["redrive", "--from", "sqs"].iter().chain(more).copied().collect();
        let exit = Program::with("oms-server", &arguments, &settings, &[]).exit().await;
        assert_eq!(exit.code, Some(0), "{exit:?}");
        exit.stdout.join("\n")
    };
    let said = redrive(&["--dry-run"]).await;
    assert!(said.contains("MalformedDetail"), "it says why: {said}");
    assert_eq!(aws.waiting(aws.dead_letters()).await, 1);

    bus.is_strict.store(false, Ordering::SeqCst);
    redrive(&[]).await;
    assert_eq!(names(&aws.take_all(aws.target(), 1).await), ["Poison"]);
    assert_eq!(aws.waiting(aws.dead_letters()).await, 0);
    let messages = topic.messages().await;
    let redriven: Vec<&Message> = messages.iter().filter(|message| message.headers.contains_key("redriven")).collect();
    assert_eq!(redriven.len(), 1);
    let first = messages.iter().find(|message| message.headers["ce_id"] == redriven[0].headers["ce_id"]).unwrap();
    assert_eq!((&first.key, &first.value), (&redriven[0].key, &redriven[0].value), "the same event");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_no_event_becomes_a_dead_letter_with_its_place_and_reason() {
    let (_database, settings) = database().await;
    let (topic, aws) = (Topic::create(1).await, Aws::create().await);
    let server = Server::start(&aws.settings(topic.settings(settings))).await;
    let editor = server.client("editor");
    editor.post("object-types", &samples::object_type("Before")).expect(201).await;
    topic.wait_for(1).await;
    topic.send(0, "somebody", "this is not JSON").await;
    topic.send(0, "somebody", r#"{"neither": "an event"}"#).await;
    editor.post("object-types", &samples::object_type("After")).expect(201).await;
    assert_eq!(aws.take_all(aws.target(), 2).await.len(), 2, "events around it pass");
    let mut letters = aws.take_all(aws.dead_letters(), 2).await;
    letters.sort_by_key(|letter| letter["offset"].as_i64());
    for (letter, (offset, value)) in letters.iter().zip([(1, "this is not JSON"), (2, r#"{"neither": "an event"}"#)]) {
        assert_eq!((&letter["topic"], &letter["partition"]), (&json!(topic.name()), &json!(0)));
        assert_eq!((&letter["offset"], &letter["key"]), (&json!(offset), &json!("somebody")));
        assert_eq!((&letter["encoding"], &letter["value"]), (&json!("utf-8"), &json!(value)));
        assert!(!letter["reason"].as_str().unwrap().is_empty(), "{letter}");
    }
    assert_eq!(aws.waiting(aws.target()).await, 0);
}
