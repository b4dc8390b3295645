use axum::{
    body::{Body, Bytes},
    routing::{get, post},
};
use http::StatusCode;
use http_body_util::BodyExt;
use oms_core::{
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
    error::Code,
    fault::{Fault, FaultKind, Location},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{JsonBody, authentication::tests::token, config::tests::config, request::ClientIp};

/// Nothing answers behind it: what is tested here needs no database, and must bear its loss.
fn registry() -> Registry {
    let mut source =
        Source::from_pairs([("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"), ("DB_ACQUIRE_TIMEOUT_MS", "50")]);
    let (postgres, redis) = (PostgresConfig::read(&mut source), RedisConfig::read(&mut source));
    Registry::connect_lazy(&postgres, &redis, &EventConfig::read(&mut source)).unwrap()
}

fn service(more: &[(&str, &str)]) -> Router {
    let edge = Edge::new(config(more), registry());
    let inner = Router::new()
        .route("/who", get(async |Caller(context): Caller| format!("{}@{}", context.actor, context.tenant)))
        .route("/context", get(async |Caller(context): Caller| format!("{context:?}")))
        .route(
            "/may",
            get(async |Caller(context): Caller| {
                context.require(oms_core::context::Permission::AuditRead).map_err(ApiError::from)
            }),
        );
    let open = Router::new()
        .route("/items/{id}", get(async || "item"))
        .route(
            "/body",
            post(async |JsonBody(value, hash): JsonBody| axum::Json(json!({ "value": value, "hash": hash }))),
        )
        .route("/bytes", post(async |_: Bytes| ()))
        .route(
            "/panic",
            get(async || -> () { panic!("the password is hunter2") }).post(async || -> () { panic!("hunter2") }),
        )
        .route("/slow", get(async || std::future::pending::<()>().await))
        .route("/internal", get(async || ApiError::from(Error::internal("relation \"x\" does not exist"))))
        .route("/away", get(async || ApiError::from(Error::Unavailable { cause: "10.0.0.7:5432".into() })))
        .route(
            "/lost",
            get(async || {
                ApiError::from(Error::VersionConflict { expected: 3, actual: 5 })
                    .with_status(StatusCode::PRECONDITION_FAILED)
            }),
        )
        .route(
            "/faulty",
            get(async || {
                ApiError::from(Error::Invalid {
                    aggregate: Code::InvalidObjectType,
                    faults: vec![
                        Fault::at("/name", FaultKind::NameForm),
                        Fault { location: Location::Parameter("limit".into()), kind: FaultKind::Required },
                        Fault { location: Location::Header("If-Match"), kind: FaultKind::Required },
                    ],
                })
            }),
        )
        .route("/open", get(async |info: RequestInfo| info.trace().to_string()))
        .route("/unguarded", get(async |_: Caller| ()));
    protect(authenticated(inner, &edge).merge(open), &edge)
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} {}", self.status, self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn is_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:oms:error:{code}"));
        assert_eq!(problem["correlationId"], self.header("x-correlation-id"));
        problem
    }
}

async fn send(router: &Router, request: http::request::Builder, body: impl Into<Body>) -> Answer {
    let response = router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, text }
}

async fn get_(router: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(http::Request::get(path), |request, (name, value)| request.header(*name, *value));
    send(router, request, Body::empty()).await
}

async fn post_(router: &Router, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    send(router, http::Request::post(path).header("content-type", content_type), body).await
}

#[tokio::test]
async fn a_token_lets_in_and_becomes_the_context() {
    let router = service(&[]);
    let bearer = format!("bEaReR {}", token(json!({ "tenant": "acme" })));
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-correlation-id", "order-42"),
        ("user-agent", "curl/8"),
        ("traceparent", given),
    ];
    let answer = get_(&router, "/who", &headers).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("x-correlation-id")), (200, "kim@acme", "order-42"));
    let context = get_(&router, "/context", &headers).await.text;
    for part in ["order-42", "curl/8", given] {
        assert!(context.contains(part), "{part} in {context}");
    }
}

#[tokio::test]
async fn without_credentials_the_answer_is_a_challenge() {
    let answer = get_(&service(&[]), "/who", &[]).await;
    answer.is_problem(401, "UNAUTHENTICATED");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn invalid_credentials_are_refused_then_slowed_down_and_valid_ones_never() {
    let router = service(&[("FAILED_LOGINS_PER_MINUTE", "2")]);
    let valid = format!("Bearer {}", token(json!({})));
    for _ in 0..2 {
        let answer = get_(&router, "/who", &[("authorization", "Bearer nonsense")]).await;
        // The audit row can't be written either, and still it is a 401.
        answer.is_problem(401, "UNAUTHENTICATED");
        assert_eq!(answer.header("www-authenticate"), r#"Bearer error="invalid_token""#);
    }
    let answer = get_(&router, "/who", &[("authorization", "Basic a2ltOmtpbQ==")]).await;
    answer.is_problem(429, "RATE_LIMITED");
    assert_eq!(answer.header("retry-after"), "60");
    assert_eq!(get_(&router, "/who", &[("authorization", &valid)]).await.status, 200);
    get_(&router, "/who", &[]).await.is_problem(401, "UNAUTHENTICATED");

    let mut elsewhere = http::Request::get("/who").header("authorization", "Bearer nonsense");
    elsewhere.extensions_mut().unwrap().insert(ClientIp("10.1.2.3".parse().unwrap()));
    send(&router, elsewhere, Body::empty()).await.is_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn two_credentials_are_ambiguous() {
    let bearer = format!("Bearer {}", token(json!({})));
    let answer = get_(&service(&[]), "/who", &[("authorization", &bearer), ("x-api-key", "key")]).await;
    answer.is_problem(400, "INVALID_REQUEST");
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let bearer = format!("Bearer {}", token(json!({})));
    let problem = get_(&service(&[]), "/may", &[("authorization", &bearer)]).await.is_problem(403, "PERMISSION_DENIED");
    assert!(problem["detail"].as_str().unwrap().contains("audit:read"));
}

#[tokio::test]
async fn problems_are_written_in_the_language_of_the_client() {
    let router = service(&[]);
    let english = get_(&router, "/faulty", &[]).await;
    let problem = english.is_problem(400, "INVALID_OBJECT_TYPE");
    assert_eq!(english.header("content-language"), "en");
    assert_eq!(problem["title"], "Invalid object type");
    let places: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| (&e["pointer"], &e["parameter"], &e["header"])).collect();
    assert_eq!(json!(places), json!([["/name", null, null], [null, "limit", null], [null, null, "If-Match"]]));
    assert_eq!(problem["errors"][0]["code"], "INVALID_NAME");

    let korean = get_(&router, "/faulty", &[("accept-language", "ko-KR,en;q=0.5")]).await;
    assert_eq!(korean.header("content-language"), "ko");
    assert_eq!(korean.is_problem(400, "INVALID_OBJECT_TYPE")["title"], "유효하지 않은 객체 타입입니다");
}

#[tokio::test]
async fn a_lost_if_match_is_412_with_the_code_of_the_conflict() {
    get_(&service(&[]), "/lost", &[]).await.is_problem(412, "VERSION_CONFLICT");
}

#[tokio::test]
async fn internal_causes_stay_inside() {
    let router = service(&[]);
    for (path, status, code, secret) in [
        ("/internal", 500, "INTERNAL_ERROR", "does not exist"),
        ("/panic", 500, "INTERNAL_ERROR", "hunter2"),
        ("/away", 503, "SERVICE_UNAVAILABLE", "10.0.0.7"),
        ("/unguarded", 500, "INTERNAL_ERROR", "behind"),
    ] {
        let answer = get_(&router, path, &[("x-correlation-id", "c")]).await;
        answer.is_problem(status, code);
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
    assert_eq!(get_(&router, "/away", &[]).await.header("retry-after"), "1");
    let panicked = send(&router, http::Request::post("/panic"), Body::empty()).await;
    panicked.is_problem(500, "INTERNAL_ERROR");
    assert!(!panicked.text.contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_given_up() {
    let answer = get_(&service(&[]), "/slow", &[]).await;
    answer.is_problem(503, "SERVICE_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let router = service(&[]);
    get_(&router, "/nowhere", &[]).await.is_problem(404, "ROUTE_NOT_FOUND");
    let answer = send(&router, http::Request::delete("/items/7"), Body::empty()).await;
    answer.is_problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), "GET,HEAD");
    let answer = send(&router, http::Request::delete("/who"), Body::empty()).await;
    answer.is_problem(405, "METHOD_NOT_ALLOWED");
    let head = send(&router, http::Request::head("/nowhere"), Body::empty()).await;
    assert_eq!((head.status, head.text.as_str()), (404, ""));
}

#[tokio::test]
async fn a_json_body_comes_with_the_hash_of_its_bytes() {
    let answer = post_(&service(&[]), "/body", "application/merge-patch+json", r#"{"a": 1, "a": 2}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["value"], json!({ "a": 2 }));
    let same = post_(&service(&[]), "/body", "application/json", r#"{"a": 1, "a": 2}"#).await;
    assert_eq!(same.json(), answer.json());
    let other = post_(&service(&[]), "/body", "application/json", r#"{"a": 1, "a": 2 }"#).await;
    assert_ne!(other.json()["hash"], answer.json()["hash"]);
}

#[tokio::test]
async fn every_way_of_being_a_bad_body_is_told_apart() {
    let router = service(&[("MAX_BODY_BYTES", "2048")]);
    let problem = post_(&router, "/body", "application/json", "{\n \"a\": }").await.is_problem(400, "MALFORMED_JSON");
    assert!(problem["detail"].as_str().unwrap().contains("line 2, column 7"), "{problem}");
    post_(&router, "/body", "text/plain", "{}").await.is_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    post_(&router, "/body", "application/json", "").await.is_problem(400, "REQUIRED_FIELD_MISSING");
    post_(&router, "/body", "application/json", "[".repeat(500)).await.is_problem(400, "TOO_DEEP");

    let large = format!("\"{}\"", "x".repeat(2048));
    let problem = post_(&router, "/body", "application/json", large.clone()).await.is_problem(413, "BODY_TOO_LARGE");
    assert!(problem["detail"].as_str().unwrap().contains("2048"));
    // Nothing declares the length of a stream.
    let chunked = Body::new(http_body_util::Full::new(Bytes::from(large)).map_frame(|frame| frame));
    post_(&router, "/body", "application/json", chunked).await.is_problem(413, "BODY_TOO_LARGE");
    let declared =
        http::Request::post("/body").header("content-type", "application/json").header("content-length", "1000000");
    send(&router, declared, Body::empty()).await.is_problem(413, "BODY_TOO_LARGE");
    post_(&router, "/bytes", "text/plain", "x".repeat(3000)).await.is_problem(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn only_configured_pages_may_call_and_may_read_our_headers() {
    let router = service(&[("CORS_ALLOWED_ORIGINS", "https://app.test")]);
    let preflight = http::Request::options("/who")
        .header("origin", "https://app.test")
        .header("access-control-request-method", "GET");
    let answer = send(&router, preflight, Body::empty()).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "https://app.test"));
    assert!(answer.header("access-control-allow-headers").contains("idempotency-key"));
    let failed = get_(&router, "/who", &[("origin", "https://app.test")]).await;
    failed.is_problem(401, "UNAUTHENTICATED");
    assert_eq!(failed.header("access-control-allow-origin"), "https://app.test");
    for name in ["etag", "x-correlation-id", "retry-after", "link", "location"] {
        assert!(failed.header("access-control-expose-headers").contains(name), "{name}");
    }
    assert_eq!(
        get_(&router, "/open", &[("origin", "https://evil.test")]).await.header("access-control-allow-origin"),
        ""
    );
    assert_eq!(
        get_(&service(&[]), "/open", &[("origin", "https://app.test")]).await.header("access-control-allow-origin"),
        ""
    );
}

#[tokio::test]
async fn liveness_needs_no_token() {
    let router = service(&[]);
    for path in ["/health", "/health/live"] {
        let answer = get_(&router, path, &[]).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "status": "alive" })));
    }
}

#[tokio::test]
async fn without_a_database_nothing_is_ready_and_why_is_not_told_to_everybody() {
    let router = service(&[]);
    for path in ["/ready", "/health/ready"] {
        let answer = get_(&router, path, &[]).await;
        let health = answer.json();
        assert_eq!((answer.status, &health["status"]), (503, &json!("unhealthy")));
        assert_eq!(health["checks"]["database"]["status"], "unhealthy");
        assert_eq!(health["checks"]["redis"]["status"], "healthy", "{health}");
        assert!(!answer.text.contains("127.0.0.1") && !answer.text.contains("nobody"), "{health}");
    }
}

#[tokio::test]
async fn a_key_that_can_not_be_looked_up_is_no_failed_login() {
    let answer = get_(&service(&[]), "/who", &[("x-api-key", "oms_something")]).await;
    answer.is_problem(503, "SERVICE_UNAVAILABLE");
    get_(&service(&[]), "/who", &[("x-api-key", "not a key of ours")]).await.is_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn durations_are_measured_by_route_template() {
    let metrics = crate::metrics::router(&config(&[]));
    let router = service(&[]);
    get_(&router, "/items/7", &[]).await;
    get_(&router, "/items/8", &[]).await;
    get_(&router, "/secret-path", &[]).await;
    send(&router, http::Request::builder().method("BREW").uri("/items/9"), Body::empty()).await;
    let text = get_(&metrics, "/metrics", &[]).await.text;
    for line in [
        r#"oms_request_duration_seconds_count{method="GET",endpoint="/items/{id}",status="200"}"#,
        r#"oms_request_duration_seconds_bucket{method="GET",endpoint="/items/{id}",status="200",le="0.005"}"#,
        r#"oms_request_duration_seconds_count{method="GET",endpoint="unmatched",status="404"}"#,
        r#"oms_request_duration_seconds_count{method="OTHER",endpoint="/items/{id}",status="405"}"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains("secret-path"));
}

/// What the log and the collector get of the requests that are made meanwhile.
async fn observed(requests: impl AsyncFnOnce(Router)) -> (Vec<Value>, Vec<SpanData>) {
    let (spans, lines) = (InMemorySpanExporter::default(), Lines::default());
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let writer = lines.clone();
    let subscriber = crate::telemetry::subscriber("info", Some(&provider), move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    // Other tests have asked for these spans and events before, when nobody wanted them.
    tracing::callsite::rebuild_interest_cache();
    requests(service(&[])).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), spans.get_finished_spans().unwrap())
}

#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_line_of_an_invocation_has_its_id() {
    let (lines, _) = observed(async |router| {
        let invocation = crate::request::InvocationId("8476a536".to_owned());
        send(&router, http::Request::get("/open").extension(invocation), Body::empty()).await;
        get_(&router, "/open", &[]).await;
    })
    .await;
    let ids: Vec<_> = lines.iter().map(|line| line["requestId"].as_str()).collect();
    assert_eq!(ids, [Some("8476a536"), None]);
}

#[tokio::test]
async fn a_request_leaves_one_line_with_who_what_and_how_it_ended() {
    let bearer = format!("Bearer {}", token(json!({ "tenant": "acme" })));
    let (lines, _) = observed(async |router| {
        get_(&router, "/who?token=hush", &[("authorization", &bearer), ("x-correlation-id", "order-42")]).await;
    })
    .await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for (field, value) in [
        ("level", json!("INFO")),
        ("message", json!("request")),
        ("method", json!("GET")),
        ("route", json!("/who")),
        ("status", json!(200)),
        ("tenant", json!("acme")),
        ("actor", json!("kim")),
        ("correlation_id", json!("order-42")),
    ] {
        assert_eq!(line[field], value, "{field} in {line}");
    }
    assert!(line["duration_ms"].as_f64().unwrap() >= 0.0);
    let text = line.to_string();
    assert!(!text.contains("hush") && !text.contains(&bearer[7..]), "{text}");
}

#[tokio::test]
async fn an_internal_cause_is_logged_once_with_the_correlation_id() {
    let (lines, _) = observed(async |router| {
        get_(&router, "/internal", &[("x-correlation-id", "order-43")]).await;
    })
    .await;
    let with_cause: Vec<_> = lines.iter().filter(|line| line.to_string().contains("does not exist")).collect();
    let [line] = with_cause.as_slice() else { panic!("{lines:?}") };
    assert_eq!(
        (&line["level"], &line["correlation_id"], &line["code"]),
        (&json!("ERROR"), &json!("order-43"), &json!("INTERNAL_ERROR"))
    );
    assert_eq!(lines.last().unwrap()["code"], "INTERNAL_ERROR");
}

#[tokio::test]
async fn a_span_is_named_by_the_route_and_is_part_of_the_callers_trace() {
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut seen = String::new();
    let (_, spans) = observed(async |router| {
        seen = get_(&router, "/open", &[("traceparent", given)]).await.text;
        get_(&router, "/items/7", &[]).await;
        get_(&router, "/internal", &[]).await;
    })
    .await;
    let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["GET /open", "GET /items/{id}", "GET /internal"]);
    let own = &spans[0].span_context;
    assert_eq!(own.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(spans[0].parent_span_id.to_string(), "00f067aa0ba902b7");
    // What is written and published from here is a child of this span, not of the caller's.
    assert_eq!(seen, format!("00-{}-{}-01", own.trace_id(), own.span_id()));
    assert!(matches!(spans[2].status, opentelemetry::trace::Status::Error { .. }));
    let attribute = |span: &SpanData, key: &str| {
        span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|found| found.value.to_string())
    };
    for (key, value) in
        [("http.request.method", "GET"), ("http.route", "/internal"), ("http.response.status_code", "500")]
    {
        assert_eq!(attribute(&spans[2], key).as_deref(), Some(value), "{key}");
    }
}

#[tokio::test]
async fn an_invocation_is_part_of_the_trace_of_lambda_if_that_is_sampled() {
    let header =
        |sampled| format!("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled={sampled}");
    let (_, spans) = observed(async |_| {
        for header in [header(1), header(0)] {
            drop(crate::trace_context::invocation_span(Some(&header)));
        }
    })
    .await;
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(span.span_context.trace_id().to_string(), "5759e988bd862e3fe1be46a994272793");
    assert_eq!(span.parent_span_id.to_string(), "53995c3f42cd8ad8");
}

mod limits;
