//! The finished functions under a Lambda runtime of our own: what the platform hands them, and what they must hand back.

mod keys;
mod telemetry;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use oms_proto::client::{
    GetObjectTypeRequest, ObjectType, ObjectTypeEvent, WatchObjectTypesRequest, WatchStart, get_object_type_request,
    object_type_event::Event,
};
use oms_tests::{Aws, Database, Program, Settings, Token, Topic, redact, samples, workspace_root};
use prost::Message;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot, watch},
};

type Waiting = (Value, oneshot::Sender<Value>);

/// The Runtime API: invocations come from a queue, answers go back to who asked. And the Extensions API.
struct Platform {
    queue: Mutex<mpsc::UnboundedReceiver<Waiting>>,
    answering: Mutex<Option<oneshot::Sender<Value>>>,
    /// How many invocations an extension was told of; none before one is registered.
    told: watch::Sender<Option<u64>>,
    invoked: watch::Sender<u64>,
    /// What has come of a streamed answer so far: the prelude with status and headers, eight zeros, the body.
    streamed: watch::Sender<Vec<u8>>,
}

async fn next(State(platform): State<Arc<Platform>>) -> (HeaderMap, String) {
    let (event, answer) = match platform.queue.lock().await.recv().await {
        Some(waiting) => waiting,
        None => std::future::pending().await,
    };
    *platform.answering.lock().await = Some(answer);
    platform.invoked.send_modify(|invocations| *invocations += 1);
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "9999999999999"),
        ("lambda-runtime-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:oms"),
    ];
    let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    (HeaderMap::from_iter(headers), event.to_string())
}

async fn finished(
    State(platform): State<Arc<Platform>>,
    Path((_, how)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) {
    if headers.get("lambda-runtime-function-response-mode").is_some_and(|mode| mode == "streaming") {
        assert_eq!(headers["content-type"], "application/vnd.awslambda.http-integration-response");
        platform.streamed.send_replace(Vec::new());
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.unwrap();
            platform.streamed.send_modify(|streamed| streamed.extend_from_slice(&chunk));
        }
        platform.answering.lock().await.take();
        return;
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    assert_eq!(how, "response", "{}", String::from_utf8_lossy(&body));
    let answer = serde_json::from_slice(&body).unwrap();
    platform.answering.lock().await.take().unwrap().send(answer).unwrap();
}

async fn register(State(platform): State<Arc<Platform>>, headers: HeaderMap, body: Bytes) -> (HeaderMap, String) {
    assert_eq!(headers["lambda-extension-name"], "oms-poke");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"events": ["INVOKE"]}));
    assert_eq!(*platform.invoked.borrow(), 0, "the runtime has asked for work already");
    platform.told.send_replace(Some(0));
    let id = (HeaderName::from_static("lambda-extension-identifier"), HeaderValue::from_static("extension-1"));
    let answer = json!({"functionName": "oms", "functionVersion": "1", "handler": "bootstrap"});
    (HeaderMap::from_iter([id]), answer.to_string())
}

/// Whoever asks for the next event is done with the one before.
async fn next_of_extension(State(platform): State<Arc<Platform>>) -> String {
    let done = platform.told.borrow().unwrap();
    platform.told.send_replace(Some(done + 1));
    platform.invoked.subscribe().wait_for(|invocations| *invocations > done).await.unwrap();
    json!({
        "eventType": "INVOKE", "deadlineMs": 9_999_999_999_999_u64, "requestId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        "invokedFunctionArn": "arn:aws:lambda:eu-west-1:000000000000:function:oms",
        "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700"},
    })
    .to_string()
}

/// A function, with a database of its own.
struct Function {
    invocations: mpsc::UnboundedSender<Waiting>,
    platform: Arc<Platform>,
    program: Program,
    database: Arc<Database>,
}

impl Function {
    async fn start(name: &str) -> Self {
        Self::with(name, Arc::new(Database::create().await), |settings| settings).await
    }

    async fn with(name: &str, database: Arc<Database>, change: impl FnOnce(Settings) -> Settings) -> Self {
        let (invocations, queue) = mpsc::unbounded_channel();
        let platform = Arc::new(Platform {
            queue: Mutex::new(queue),
            answering: Mutex::default(),
            told: watch::Sender::new(None),
            invoked: watch::Sender::new(0),
            streamed: watch::Sender::new(Vec::new()),
        });
        let api = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{how}", post(finished))
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(next_of_extension))
            .with_state(platform.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, api).await });

        let program = Program::with(
            name,
            &[],
            &change(Settings::for_database(&database)),
            &[
                ("AWS_LAMBDA_RUNTIME_API", &address),
                ("AWS_LAMBDA_FUNCTION_NAME", name),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ],
        );
        Self { invocations, platform, program, database }
    }

    /// Sends an event through; gives what the function answers.
    async fn ask(&self, event: Value) -> Value {
        let (answer, answered) = oneshot::channel();
        self.invocations.send((event, answer)).unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(60), answered).await.expect("in time").unwrap()
    }

    /// Waits until the extension is done with so many invocations.
    async fn until_extension_is_done_with(&self, invocations: u64) {
        let done = |told: &Option<u64>| told.is_some_and(|told| told > invocations);
        let mut told = self.platform.told.subscribe();
        tokio::time::timeout(std::time::Duration::from_secs(60), told.wait_for(done)).await.expect("in time").unwrap();
    }

    /// Sends an event through; gives the answer with its body parsed.
    async fn invoke(&self, event: Value) -> (u64, Value, Value) {
        let answer = self.ask(event).await;
        let text = answer["body"].as_str().unwrap_or_default();
        let text = match answer["isBase64Encoded"].as_bool() {
            Some(true) => String::from_utf8(STANDARD.decode(text).unwrap()).unwrap(),
            _ => text.to_owned(),
        };
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (answer["statusCode"].as_u64().unwrap(), answer["headers"].clone(), body)
    }
}

/// An event of an API Gateway HTTP API, payload format 2.0.
fn event(method: &str, path: &str, body: Option<&str>, encoded: bool) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {
            "authorization": format!("Bearer {}", Token::of("admin").sign()),
            "content-type": "application/json",
            "x-correlation-id": "from-the-gateway",
            "user-agent": "gateway-test",
        },
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api-id",
            "domainName": "api.test",
            "domainPrefix": "api",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "gateway-test",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "10/Mar/2026:05:16:23 +0000",
            "timeEpoch": 1_773_119_783_916_u64,
        },
        "body": body,
        "isBase64Encoded": encoded,
    })
}

#[tokio::test]
async fn an_event_of_the_gateway_is_a_request_and_its_answer() {
    let function = Function::start("rest").await;
    let body = samples::customer().to_string();
    let (status, headers, created) = function.invoke(event("POST", "/api/v1/object-types", Some(&body), false)).await;
    assert_eq!(status, 201, "{created}");
    assert_eq!(headers["etag"], "\"1\"");
    let id = created["id"].as_str().unwrap();
    assert_eq!(headers["location"], format!("/api/v1/object-types/{id}"));

    let (status, _, found) = function.invoke(event("GET", &format!("/api/v1/object-types/{id}"), None, false)).await;
    assert_eq!((status, &found), (200, &created));

    let encoded = STANDARD.encode(json!({"name": "Order", "displayName": "주문"}).to_string());
    let (status, _, order) = function.invoke(event("POST", "/api/v1/object-types", Some(&encoded), true)).await;
    assert_eq!((status, order["displayName"].as_str()), (201, Some("주문")));

    let (status, headers, problem) = function.invoke(event("GET", "/api/v1/object-types/Nothing", None, false)).await;
    assert_eq!((status, headers["content-type"].as_str()), (404, Some("application/problem+json")));
    insta::assert_json_snapshot!("problem_by_way_of_lambda", redact(&problem));

    let path = format!("/api/v1/audit-logs?entityId={id}");
    let (status, _, audit) = function.invoke(event("GET", &path, None, false)).await;
    assert_eq!(status, 200, "{audit}");
    let entry = &audit["data"][0];
    assert_eq!(entry["ipAddress"], "203.0.113.7", "the client, as the gateway knows it");
    assert_eq!(entry["userAgent"], "gateway-test");
    assert_eq!(entry["metadata"]["correlationId"], "from-the-gateway");
}

#[tokio::test]
async fn a_query_comes_by_way_of_the_gateway_too() {
    let function = Function::start("graphql").await;
    let post = |document: &str, variables: Value| {
        event("POST", "/graphql", Some(&json!({"query": document, "variables": variables}).to_string()), false)
    };
    let create =
        "mutation ($input: CreateObjectTypeInput!) { createObjectType(input: $input) { id name displayName } }";
    let (status, headers, created) = function.invoke(post(create, json!({"input": samples::customer()}))).await;
    assert_eq!(status, 200, "{created}");
    assert_eq!(headers["content-type"], "application/json; charset=utf-8");
    let customer = &created["data"]["createObjectType"];
    assert_eq!(customer["displayName"], "고객", "{created}");

    let query = "/graphql?query=%7BobjectType(id:%22customer%22)%7Bid%20name%20displayName%7D%7D";
    let (status, _, found) = function.invoke(event("GET", query, None, false)).await;
    assert_eq!((status, &found["data"]["objectType"]), (200, customer), "{found}");

    let (_, _, refused) =
        function.invoke(post("{ objectTypeVersions(id: \"Nothing\") { nodes { version } } }", Value::Null)).await;
    let extensions = &refused["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["correlationId"]),
        (&json!("OBJECT_TYPE_NOT_FOUND"), &json!("from-the-gateway"))
    );
    let (status, _, away) = function.invoke(event("GET", "/api/v1/object-types", None, false)).await;
    assert_eq!((status, &away["code"]), (404, &json!("ROUTE_NOT_FOUND")), "each function has its own routes");

    let (_, _, audit) =
        function.invoke(post("{ auditLogs { nodes { ipAddress userAgent metadata } } }", Value::Null)).await;
    let entry = &audit["data"]["auditLogs"]["nodes"][0];
    assert_eq!((&entry["ipAddress"], &entry["userAgent"]), (&json!("203.0.113.7"), &json!("gateway-test")), "{audit}");
}

/// A sample payload that is committed to invoke functions by hand.
fn sample(name: &str) -> Value {
    let path = workspace_root().join("events/samples").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_write_pokes_the_publisher_after_its_answer_and_a_read_does_not() {
    let aws = Aws::create().await;
    let database = Arc::new(Database::create().await);
    let function =
        Function::with("rest", database, |settings| aws.settings(settings).set("POKE_QUEUE_URL", aws.target())).await;
    let (status, ..) = function.invoke(event("GET", "/api/v1/object-types", None, false)).await;
    assert_eq!(status, 200);
    function.until_extension_is_done_with(1).await;
    assert_eq!(aws.waiting(aws.target()).await, 0, "nothing was written");

    // However many types one invocation writes, the publisher is poked once.
    let body = json!({"items": [samples::object_type("A"), samples::object_type("B")]}).to_string();
    let (status, ..) = function.invoke(event("POST", "/api/v1/object-types:batch", Some(&body), false)).await;
    assert_eq!(status, 201);
    function.until_extension_is_done_with(2).await;
    assert_eq!(aws.waiting(aws.target()).await, 1);
    let (status, ..) = function.invoke(event("POST", "/api/v1/object-types:batch", Some(&body), false)).await;
    assert_eq!(status, 400, "the names are taken");
    function.until_extension_is_done_with(3).await;
    assert_eq!(aws.waiting(aws.target()).await, 1, "what failed is no write");
}

/// From the write to EventBridge through the three functions, invoked as AWS invokes them.
#[tokio::test]
async fn an_event_goes_through_publisher_and_relay_as_functions() {
    let (aws, topic) = (Aws::create().await, Topic::create(1).await);
    let rest = Function::start("rest").await;
    let publisher =
        Function::with("outbox-publisher", rest.database.clone(), |settings| topic.settings(settings)).await;
    let relay = Function::with("event-relay", rest.database.clone(), |settings| aws.settings(settings)).await;
    for (invocation, name) in ["sqs-poke.json", "schedule.json"].into_iter().enumerate() {
        let body = samples::object_type(&format!("Type{invocation}")).to_string();
        rest.invoke(event("POST", "/api/v1/object-types", Some(&body), false)).await;
        let answer = publisher.ask(sample(name)).await;
        assert_eq!(answer["batchItemFailures"], json!([]), "{name}: {answer}");
        assert_eq!(topic.messages().await.len(), invocation + 1, "{name} makes it publish");
    }

    // MSK hands over what is in Kafka, and in its middle a record that is no event.
    let messages = topic.messages().await;
    let record = |offset: usize, key: &str, value: &str| {
        json!({
            "topic": topic.name(), "partition": 0, "offset": offset, "timestamp": 1_773_119_783_916_u64,
            "timestampType": "CREATE_TIME", "key": STANDARD.encode(key), "value": STANDARD.encode(value), "headers": [],
        })
    };
    let mut batch = sample("msk.json");
    let records = [
        record(0, &messages[0].key, &messages[0].value),
        record(1, "x", "not an event"),
        record(2, &messages[1].key, &messages[1].value),
    ];
    batch["records"] = json!({format!("{}-0", topic.name()): records});
    assert_eq!(relay.ask(batch.clone()).await["batchItemFailures"], json!([]));
    let arrived = aws.take_all(aws.target(), 2).await;
    let ids: Vec<&Value> = arrived.iter().map(|envelope| &envelope["detail"]["id"]).collect();
    assert!(messages.iter().all(|message| ids.contains(&&message.json()["id"])), "{arrived:?}");
    let letters = aws.take_all(aws.dead_letters(), 1).await;
    assert_eq!((&letters[0]["offset"], &letters[0]["partition"]), (&json!(1), &json!(0)));
    assert!(letters[0]["reason"].as_str().unwrap().contains("not JSON"), "{letters:?}");

    // Invoked with the same batch again, it drops what it has relayed.
    assert_eq!(relay.ask(batch).await["batchItemFailures"], json!([]));
    assert_eq!(aws.take(aws.target()).await, Vec::<Value>::new());
}

/// A message as gRPC-Web frames it.
fn framed(message: &impl Message) -> String {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    STANDARD.encode([&[0], length.as_slice(), &bytes].concat())
}

/// The status, the frames of messages and the trailers of a streamed gRPC-Web answer, as far as they have come.
fn frames<M: Message + Default>(streamed: &[u8]) -> Option<(Value, Vec<M>, String)> {
    let at = streamed.windows(8).position(|window| window == [0; 8])?;
    let prelude = serde_json::from_slice(&streamed[..at]).unwrap();
    let (mut rest, mut messages, mut trailers) = (&streamed[at + 8..], Vec::new(), String::new());
    while let Some((head, after)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some((frame, after)) = after.split_at_checked(length) else { break };
        match head[0] {
            0 => messages.push(M::decode(frame).unwrap()),
            _ => trailers = String::from_utf8(frame.to_vec()).unwrap(),
        }
        rest = after;
    }
    Some((prelude, messages, trailers))
}

impl Function {
    /// Calls a method; gives the answer once so much of it has come.
    async fn call<M: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
        enough: impl Fn(&[M], &str) -> bool,
    ) -> (Value, Vec<M>, String) {
        let mut event =
            event("POST", &format!("/openfoundry.oms.v1.ObjectTypeService/{method}"), Some(&framed(request)), true);
        event["headers"]["content-type"] = json!("application/grpc-web+proto");
        let (answer, _) = oneshot::channel();
        self.platform.streamed.send_replace(Vec::new());
        self.invocations.send((event, answer)).unwrap();
        self.further(enough).await
    }

    /// The answer at work, once so much of it has come.
    async fn further<M: Message + Default>(&self, enough: impl Fn(&[M], &str) -> bool) -> (Value, Vec<M>, String) {
        let mut streamed = self.platform.streamed.subscribe();
        let come =
            |streamed: &Vec<u8>| frames(streamed).is_some_and(|(_, messages, trailers)| enough(&messages, &trailers));
        let streamed = tokio::time::timeout(std::time::Duration::from_secs(60), streamed.wait_for(come));
        frames(&streamed.await.expect("in time").unwrap()).unwrap()
    }
}

#[tokio::test]
async fn grpc_web_comes_by_way_of_the_gateway_and_a_watch_is_streamed() {
    let rest = Function::start("rest").await;
    let streaming = |settings: Settings| settings.set("RESPONSE_STREAMING", "true").set("EVENT_STREAM_SECONDS", 2);
    let rpc = Function::with("rpc", rest.database.clone(), streaming).await;
    let body = samples::customer().to_string();
    rest.invoke(event("POST", "/api/v1/object-types", Some(&body), false)).await;

    let asked = GetObjectTypeRequest { key: Some(get_object_type_request::Key::Name("customer".to_owned())) };
    let ended = |_: &[ObjectType], trailers: &str| !trailers.is_empty();
    let (prelude, found, trailers) = rpc.call("GetObjectType", &asked, ended).await;
    assert_eq!((&prelude["statusCode"], found[0].display_name.as_str()), (&json!(200), "고객"), "{prelude}");
    assert!(trailers.contains("grpc-status: 0"), "{trailers}");

    let asked = WatchObjectTypesRequest { start: WatchStart::Snapshot.into(), ..WatchObjectTypesRequest::default() };
    let complete = |messages: &[ObjectTypeEvent], _: &str| {
        messages.iter().any(|message| matches!(message.event, Some(Event::SnapshotComplete(_))))
    };
    let (_, _, trailers) = rpc.call("WatchObjectTypes", &asked, complete).await;
    assert_eq!(trailers, "", "what is there is sent while the stream goes on");
    let body = samples::object_type("Order").to_string();
    rest.invoke(event("POST", "/api/v1/object-types", Some(&body), false)).await;
    let ended = |_: &[ObjectTypeEvent], trailers: &str| !trailers.is_empty();
    let (_, messages, trailers) = rpc.further(ended).await;
    let last = messages.last().unwrap();
    assert!(
        matches!(last.event, Some(Event::End(_))) && trailers.contains("grpc-status: 0"),
        "{messages:?} {trailers}"
    );

    // It ended by itself; whoever comes back with its token goes on.
    let seen = |messages: &[ObjectTypeEvent]| -> Vec<i32> {
        let change = |message: &ObjectTypeEvent| match &message.event {
            Some(Event::Change(change)) => Some(change.version),
            _ => None,
        };
        messages.iter().filter_map(change).collect()
    };
    let asked =
        WatchObjectTypesRequest { resume_token: last.resume_token.clone(), ..WatchObjectTypesRequest::default() };
    let (_, more, _) = rpc.call("WatchObjectTypes", &asked, ended).await;
    assert_eq!([seen(&messages), seen(&more)].concat(), [1], "the change comes once, before the end or after it");
}
