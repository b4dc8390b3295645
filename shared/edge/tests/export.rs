//! Spans reach a collector over OTLP before the process is frozen. A process of its own, since telemetry is global.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, http::Uri};
use oms_core::config::Source;
use oms_edge::{EdgeConfig, telemetry};

type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

#[tokio::test]
async fn flushed_spans_are_at_the_collector() {
    async fn receive(State(received): State<Received>, uri: Uri, body: Bytes) {
        received.lock().unwrap().push((uri.path().to_owned(), body.to_vec()));
    }
    let received = Received::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collector = Router::new().fallback(receive).with_state(received.clone());
    tokio::spawn(async move { axum::serve(listener, collector).await });

    let mut source = Source::from_pairs([
        ("JWT_ALGORITHM", "HS256"),
        ("JWT_SECRET", "a secret of the tests, long enough for HS256"),
        ("JWT_ISSUER", "https://issuer.test"),
        ("JWT_AUDIENCE", "oms"),
        ("SERVICE_NAME", "oms-under-test"),
        ("LOG_LEVEL", "error"),
        ("TRACE_ENDPOINT", endpoint.as_str()),
    ]);
    let config = EdgeConfig::read(&mut source);
    source.finish().unwrap();
    let guard = telemetry::init(&config.telemetry);

    tracing::info_span!("request", otel.name = "GET /items/{id}").in_scope(|| ());
    guard.flush().await;
    let (path, body) = received.lock().unwrap().pop().expect("nothing came");
    let text = String::from_utf8_lossy(&body);
    assert_eq!(path, "/v1/traces");
    assert!(text.contains("GET /items/{id}") && text.contains("oms-under-test"), "{text}");

    tracing::info_span!("request", otel.name = "the last one").in_scope(|| ());
    guard.shutdown().await;
    let (_, body) = received.lock().unwrap().pop().expect("nothing came");
    assert!(String::from_utf8_lossy(&body).contains("the last one"));
}
