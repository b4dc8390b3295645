//! HTTP around the resources: CORS, correlation, the audit log of what was done.

use insta::assert_json_snapshot;
use oms_tests::{App, samples};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_browser_may_call_from_an_allowed_origin_only() {
    let app = App::with(|settings| settings.set("CORS_ALLOWED_ORIGINS", "https://console.test")).await;
    let preflight = async |origin: &str| {
        app.anonymous()
            .call(Method::OPTIONS, "object-types/Order")
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,if-match,idempotency-key,x-api-version")
            .send()
            .await
    };
    let allowed = preflight("https://console.test").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://console.test"));
    assert!(allowed.header("access-control-allow-methods").unwrap().contains("PATCH"));
    let headers = allowed.header("access-control-allow-headers").unwrap().to_lowercase();
    for header in ["authorization", "if-match", "idempotency-key", "x-api-version"] {
        assert!(headers.contains(header), "{headers}");
    }
    assert_eq!(preflight("https://evil.test").await.header("access-control-allow-origin"), None);

    let answer = app.client("viewer").get("object-types").header("origin", "https://console.test").send().await;
    assert!(answer.header("access-control-expose-headers").unwrap().to_lowercase().contains("etag"));
}

#[tokio::test]
async fn every_write_is_in_the_audit_log_with_who_and_from_where() {
    let app = App::start().await;
    let (editor, admin) = (app.client("editor"), app.admin());
    let created = editor
        .post("object-types", &samples::object_type("Order"))
        .header("x-correlation-id", "order-42")
        .header("user-agent", "tests/1")
        .send()
        .await;
    assert_eq!(created.header("x-correlation-id"), Some("order-42"));
    let id = created.expect(201)["id"].as_str().unwrap().to_owned();
    editor.patch("object-types/Order", 1, &json!({"displayName": "주문"})).expect(200).await;
    editor.delete("object-types/Order", 2).expect(204).await;

    let entries = admin.all(&format!("audit-logs?entityType=object_type&entityId={id}")).await;
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["DELETE", "UPDATE", "CREATE"]);
    let first = &entries[2];
    assert_eq!(first["actor"], "tester-editor");
    assert_eq!(first["ipAddress"], "127.0.0.1");
    assert_eq!(first["userAgent"], "tests/1");
    assert_eq!(first["metadata"]["correlationId"], "order-42");
    assert_eq!(first.get("oldValue"), None);
    assert_eq!(entries[1]["oldValue"]["displayName"], "Order");
    assert_eq!(entries[1]["newValue"]["displayName"], "주문");
    for (filter, expected) in [
        ("action=UPDATE", 1),
        ("actor=tester-editor", 3),
        ("actor=nobody", 0),
        ("since=2100-01-01T00:00:00Z", 0),
        ("until=2100-01-01T00:00:00Z", 3),
    ] {
        assert_eq!(admin.all(&format!("audit-logs?entityId={id}&{filter}")).await.len(), expected, "{filter}");
    }
    let page = admin.get(&format!("audit-logs?entityId={id}&limit=2")).expect(200).await;
    let next = page["page"]["nextCursor"].as_str().unwrap();
    let rest = admin.get(&format!("audit-logs?entityId={id}&limit=2&cursor={next}")).expect(200).await;
    assert_eq!(rest["data"], json!([entries[2]]));
}

#[tokio::test]
async fn a_path_or_method_that_is_not_there_is_a_problem_too() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    for (method, path, status, code) in [
        (Method::GET, "object-typos", 404, "ROUTE_NOT_FOUND"),
        (Method::GET, "/", 404, "ROUTE_NOT_FOUND"),
        (Method::PUT, "object-types/Order", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = viewer.call(method, path).send().await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        assert_eq!(answer.expect(status)["code"], code, "{path}");
    }
}

#[tokio::test]
async fn health_needs_no_token() {
    let app = App::start().await;
    let anonymous = app.anonymous();
    for path in ["/health", "/health/live"] {
        anonymous.get(path).expect(200).await;
    }
    for path in ["/ready", "/health/ready"] {
        let health: Value = anonymous.get(path).expect(200).await;
        assert_eq!(health["checks"]["database"]["status"], "healthy", "{health}");
        assert_eq!(health["checks"]["redis"]["status"], "healthy", "{health}");
    }
}

#[tokio::test]
async fn a_problem_names_every_fault_in_the_language_of_the_client() {
    let app = App::start().await;
    let bad = json!({"name": "9", "tags": ["a", "a"], "properties": [{"name": "p"}], "colour": "red"});
    for (language, snapshot) in
        [("en-GB,en;q=0.9", "problem_in_english"), ("ko-KR,ko;q=0.9,en;q=0.8", "problem_in_korean")]
    {
        let call = app.client("editor").post("object-types", &bad);
        let call = call.header("accept-language", language).header("x-correlation-id", "faults-1");
        assert_json_snapshot!(snapshot, call.expect(400).await);
    }
}
