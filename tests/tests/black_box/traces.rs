//! Spans over OTLP.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, routing::post};
use oms_tests::until;
use tokio::net::TcpListener;

use crate::server::Server;

#[tokio::test]
async fn a_request_is_exported_as_a_span_of_its_route() {
    let received: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let sink = received.clone();
    let collector = Router::new().route(
        "/v1/traces",
        post(async move |body: Bytes| {
            sink.lock().unwrap().push(body);
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, collector).await });

    let server = Server::start(&[("TRACE_ENDPOINT", &endpoint), ("SERVICE_NAME", "oms-traced")]).await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    server.client("viewer").get("object-types/Nothing").header("traceparent", traceparent).expect(404).await;
    // Spans wait for a full batch or a few seconds; the end of the process sends what waits.
    server.stop().await;
    let contains = |body: &Bytes, wanted: &[u8]| body.windows(wanted.len()).any(|part| part == wanted);
    until("no span came", async || {
        let bodies = received.lock().unwrap();
        let span = bodies.iter().find(|body| contains(body, b"GET /api/v1/object-types/{"))?;
        assert!(contains(span, b"oms-traced"));
        assert!(
            contains(span, &0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()),
            "it joins the caller's trace"
        );
        assert!(!contains(span, b"Nothing"), "no path of a client becomes a name");
        Some(())
    })
    .await;
}
