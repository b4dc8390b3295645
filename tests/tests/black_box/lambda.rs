//! The finished functions under a Lambda runtime of our own: what the platform hands them, and what they must hand back.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use oms_tests::{Database, Program, Settings, Token, redact, samples};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot},
};

type Waiting = (Value, oneshot::Sender<Value>);

/// The Runtime API: invocations come from a queue, answers go back to who asked.
struct Platform {
    queue: Mutex<mpsc::UnboundedReceiver<Waiting>>,
    answering: Mutex<Option<oneshot::Sender<Value>>>,
}

async fn next(State(platform): State<Arc<Platform>>) -> (HeaderMap, String) {
    let (event, answer) = match platform.queue.lock().await.recv().await {
        Some(waiting) => waiting,
        None => std::future::pending().await,
    };
    *platform.answering.lock().await = Some(answer);
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "9999999999999"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:oms"),
    ];
    let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    (HeaderMap::from_iter(headers), event.to_string())
}

async fn finished(State(platform): State<Arc<Platform>>, Path((_, how)): Path<(String, String)>, body: Bytes) {
    assert_eq!(how, "response", "{}", String::from_utf8_lossy(&body));
    let answer = serde_json::from_slice(&body).unwrap();
    platform.answering.lock().await.take().unwrap().send(answer).unwrap();
}

/// A function, with a database of its own.
struct Function {
    invocations: mpsc::UnboundedSender<Waiting>,
    _program: Program,
    _database: Database,
}

impl Function {
    async fn start(name: &str) -> Self {
        let (invocations, queue) = mpsc::unbounded_channel();
        let platform = Arc::new(Platform { queue: Mutex::new(queue), answering: Mutex::default() });
        let api = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{how}", post(finished))
            .with_state(platform);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, api).await });

        let database = Database::create().await;
        let program = Program::with(
            name,
            &[],
            &Settings::for_database(&database),
            &[
                ("AWS_LAMBDA_RUNTIME_API", &address),
                ("AWS_LAMBDA_FUNCTION_NAME", name),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ],
        );
        Self { invocations, _program: program, _database: database }
    }

    /// Sends an event through; gives the answer with its body parsed.
    async fn invoke(&self, event: Value) -> (u64, Value, Value) {
        let (answer, answered) = oneshot::channel();
        self.invocations.send((event, answer)).unwrap();
        let answer =
            tokio::time::timeout(std::time::Duration::from_secs(30), answered).await.expect("in time").unwrap();
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
