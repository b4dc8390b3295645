//! What logs and metrics tell of calls.

use oms_tests::{Database, PostgresProxy, Server, Settings, until};
use serde_json::{Value, json};

use super::{
    OBJECTS, path,
    wire::{PROTOCOLS, Protocol, Wire, frame},
};

#[tokio::test]
async fn a_failed_call_is_logged_with_its_code_whatever_it_came_over() {
    let database = Database::create().await;
    let server = Server::start(&Settings::for_database(&database).set("MAX_BODY_BYTES", 4_096)).await;
    let viewer = Wire::of(&server.grpc(), "viewer");
    let get = path(OBJECTS, "GetObjectType");
    let too_long = json!({"name": "x".repeat(5_000)});
    let mut expected = Vec::new();
    for protocol in PROTOCOLS {
        let tagged = |wire: &Wire, what: &str| wire.header("x-correlation-id", &format!("{what}-{protocol:?}"));
        let nobody = Wire::of(&server.grpc(), "nobody");
        for (what, wire, message, status, code) in [
            ("missing", &viewer, json!({"name": "SecretPlan"}), 404, "OBJECT_TYPE_NOT_FOUND"),
            ("wrong", &viewer, json!({"id": "SecretPlan"}), 400, "INVALID_VALUE"),
            ("unreadable", &viewer, json!({"name": 7}), 400, "INVALID_REQUEST"),
            ("too-long", &viewer, too_long.clone(), 413, "BODY_TOO_LARGE"),
            ("forbidden", &nobody, json!({"name": "SecretPlan"}), 403, "PERMISSION_DENIED"),
        ] {
            tagged(wire, what).call(protocol, &get, &message).await.unwrap_err();
            let actor = if what == "forbidden" { "tester-nobody" } else { "tester-viewer" };
            expected.push((format!("{what}-{protocol:?}"), status, code, Some(actor)));
        }
        let anonymous = tagged(&Wire::new(&server.grpc()), "nobody");
        anonymous.call(protocol, &get, &json!({"name": "SecretPlan"})).await.unwrap_err();
        expected.push((format!("nobody-{protocol:?}"), 401, "UNAUTHENTICATED", None));
        tagged(&viewer, "good").call(protocol, &path(OBJECTS, "ListObjectTypes"), &json!({})).await.unwrap();
    }
    let metrics = server.metrics().await;
    let log = until("not every call was logged", async || {
        let log: Vec<Value> = server.log().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let calls = log.iter().filter(|line| line["message"] == "request").count();
        (calls >= expected.len() + PROTOCOLS.len()).then_some(log)
    })
    .await;
    let line = |id: &str| {
        let mut lines = log.iter().filter(|line| line["correlation_id"] == id && line["message"] == "request");
        let line = lines.next().unwrap_or_else(|| panic!("no line of {id}: {log:?}"));
        assert_eq!(lines.next(), None, "{id} is logged once");
        line
    };
    for (id, status, code, actor) in &expected {
        let line = line(id);
        assert_eq!((line["status"].as_u64(), line["code"].as_str()), (Some(*status), Some(*code)), "{id}: {line}");
        assert_eq!(line["route"], get, "{id}");
        assert_eq!(line["actor"].as_str(), *actor, "{id}: {line}");
        assert_eq!(line["tenant"].as_str(), actor.map(|_| "default"), "{id}: {line}");
        assert!(line["duration_ms"].is_number(), "{id}: {line}");
    }
    for protocol in PROTOCOLS {
        let line = line(&format!("good-{protocol:?}"));
        assert_eq!((line["status"].as_u64(), line["code"].as_str()), (Some(200), None), "{line}");
    }
    assert!(!server.log().iter().any(|line| line.contains("SecretPlan")), "no name of a client is in the log");

    let counted = |endpoint: &str, status: &str| {
        let parts = [
            "oms_request_duration_seconds_count",
            &format!("endpoint=\"{endpoint}\""),
            &format!("status=\"{status}\""),
        ];
        let found = metrics.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        found.unwrap_or_else(|| panic!("{parts:?} is not in {metrics}")).rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(counted(&get, "404"), "3");
    assert_eq!(counted(&get, "413"), "3");
    assert_eq!(counted(&path(OBJECTS, "ListObjectTypes"), "200"), "3");
    server.stop().await;
}

#[tokio::test]
async fn a_path_that_a_client_invents_is_no_label() {
    let database = Database::create().await;
    let server = Server::start(&Settings::for_database(&database)).await;
    let viewer = Wire::of(&server.grpc(), "viewer");
    for method in ["DropSecretPlan", "GetObjectType/SecretPlan"] {
        let answer =
            viewer.post(Protocol::Grpc, &path(OBJECTS, method), "application/grpc+json", frame(0, b"{}")).await;
        answer.outcome(Protocol::Grpc).unwrap_err();
    }
    let metrics = server.metrics().await;
    assert!(metrics.contains("endpoint=\"unmatched\""), "{metrics}");
    assert!(!metrics.contains("SecretPlan"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_given_up_at_its_deadline() {
    let database = Database::create().await;
    let proxy = PostgresProxy::start(&database.url()).await;
    let settings = Settings::for_database(&database).set("DATABASE_URL", proxy.address_of(&database.url()));
    let server = Server::start(&settings.set("REQUEST_TIMEOUT_MS", 60_000).set("SHUTDOWN_TIMEOUT_MS", 100)).await;
    let viewer = Wire::of(&server.grpc(), "viewer").header("x-correlation-id", "too-late");
    proxy.freeze();
    let asked = json!({"descending": true});
    let call = viewer.header("grpc-timeout", "300m");
    call.call(Protocol::Grpc, &path(OBJECTS, "ListObjectTypes"), &asked).await.unwrap_err();
    let line = until("the call was not logged", async || {
        let lines = server.log();
        let mut lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.find(|line| line["message"] == "request" && line["correlation_id"] == "too-late")
    })
    .await;
    assert_eq!((line["status"].as_u64(), line["code"].as_str()), (Some(504), Some("SERVICE_UNAVAILABLE")), "{line}");
    assert!(line["duration_ms"].as_f64().is_some_and(|ms| (300.0..5_000.0).contains(&ms)), "nobody waits on: {line}");
    server.kill().await;
}
