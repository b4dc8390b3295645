//! Parameters, paths and headers.

use oms_tests::{App, samples};
use reqwest::Method;
use serde_json::json;

use super::{refused, shows_nothing_of_the_database};

#[tokio::test]
async fn parameters() {
    let app = App::start().await;
    let admin = app.admin();
    admin.post("object-types", &samples::object_type("Order")).expect(201).await;
    let long = "x".repeat(201);
    let cases: &[(&str, &str, &[&str])] = &[
        ("object-types?limit=0", "INVALID_VALUE", &["limit"]),
        ("object-types?limit=201", "INVALID_VALUE", &["limit"]),
        ("object-types?limit=-1", "INVALID_VALUE", &["limit"]),
        ("object-types?limit=ten", "INVALID_VALUE", &["limit"]),
        ("object-types?limit=", "INVALID_VALUE", &["limit"]),
        ("object-types?limit=1&limit=2", "DUPLICATE_ITEM", &["limit"]),
        ("object-types?cursor=abc", "INVALID_CURSOR", &["cursor"]),
        ("object-types?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "INVALID_CURSOR", &["cursor"]),
        ("object-types?cursor=%F0%9F%92%A9", "INVALID_CURSOR", &["cursor"]),
        ("object-types?sort=colour", "INVALID_VALUE", &["sort"]),
        ("object-types?sort=--name", "INVALID_VALUE", &["sort"]),
        ("object-types?count=maybe", "INVALID_VALUE", &["count"]),
        ("object-types?colour=red", "UNKNOWN_PARAMETER", &["colour"]),
        ("object-types?category=%00", "INVALID_TEXT", &["category"]),
        ("object-types?tag=%00&allTags=%00", "INVALID_REQUEST", &["tag", "allTags"]),
        ("object-types?limit=0&sort=x&count=1&colour=1", "INVALID_REQUEST", &["limit", "sort", "count", "colour"]),
        ("link-types?source=1x&target=%00&cardinality=MANY", "INVALID_REQUEST", &["source", "target", "cardinality"]),
        ("object-types/Order?expand=all", "UNKNOWN_PARAMETER", &["expand"]),
        ("object-types/Order/versions?cursor=abc", "INVALID_CURSOR", &["cursor"]),
        ("object-types/Order/versions?limit=0", "INVALID_VALUE", &["limit"]),
        ("object-types/Order/versions/one", "INVALID_VALUE", &["version"]),
        ("object-types/Order/versions/99999999999", "INVALID_VALUE", &["version"]),
        ("object-types/Order/versions/compare", "INVALID_REQUEST", &["from", "to"]),
        ("object-types/Order/versions/compare?from=x", "INVALID_REQUEST", &["from", "to"]),
        ("search", "REQUIRED_FIELD_MISSING", &["q"]),
        ("search?q=", "TOO_SHORT", &["q"]),
        ("search?q=%00", "INVALID_TEXT", &["q"]),
        ("search?q=a&kind=property&limit=101", "INVALID_REQUEST", &["kind", "limit"]),
        (
            "audit-logs?entityId=7&since=yesterday&until=2026-13-01T00:00:00Z",
            "INVALID_REQUEST",
            &["entityId", "since", "until"],
        ),
        ("audit-logs?cursor=abc", "INVALID_CURSOR", &["cursor"]),
        ("api-keys?all=true", "UNKNOWN_PARAMETER", &["all"]),
    ];
    for (path, code, places) in cases {
        refused(path, admin.get(path), 400, code, places).await;
    }
    refused("long", admin.get(&format!("search?q={long}")), 400, "TOO_LONG", &["q"]).await;
}

#[tokio::test]
async fn paths_that_name_nothing() {
    let app = App::start().await;
    let admin = app.admin();
    let long = "x".repeat(5_000);
    for (path, code) in [
        ("object-types/Nothing", "OBJECT_TYPE_NOT_FOUND"),
        ("object-types/%00", "OBJECT_TYPE_NOT_FOUND"),
        ("object-types/a%2Fb", "OBJECT_TYPE_NOT_FOUND"),
        ("object-types/%EA%B3%A0%EA%B0%9D", "OBJECT_TYPE_NOT_FOUND"),
        ("object-types/0190-not-a-uuid", "OBJECT_TYPE_NOT_FOUND"),
        ("object-types/00000000-0000-0000-0000-000000000000", "OBJECT_TYPE_NOT_FOUND"),
        ("object-types/Nothing/versions", "OBJECT_TYPE_NOT_FOUND"),
        ("object-types/Nothing/versions/1", "OBJECT_TYPE_NOT_FOUND"),
        ("link-types/'; DROP TABLE link_types; --", "LINK_TYPE_NOT_FOUND"),
        (long.as_str(), "ROUTE_NOT_FOUND"),
    ] {
        refused(path, admin.get(path), 404, code, &[]).await;
    }
    refused("a key", admin.call(Method::DELETE, "api-keys/7"), 404, "API_KEY_NOT_FOUND", &[]).await;
    let (status, text) = oms_tests::raw(
        app.address(),
        format!(
            "GET /api/v1/object-types/%FF%FE HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            oms_tests::Token::of("admin").sign()
        )
        .as_bytes(),
    )
    .await;
    assert!((400..500).contains(&status), "{status} {text}");
    shows_nothing_of_the_database(&text);
}

#[tokio::test]
async fn headers() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let patch = || editor.call(Method::PATCH, "object-types/Order").json(&json!({"displayName": "x"}));
    refused("no If-Match", patch(), 428, "PRECONDITION_REQUIRED", &[]).await;
    refused("no If-Match", editor.call(Method::DELETE, "object-types/Order"), 428, "PRECONDITION_REQUIRED", &[]).await;
    for tag in ["1", "'1'", "\"1", "\"1\" \"2\"", "*, \"1\""] {
        refused(tag, patch().header("if-match", tag), 400, "INVALID_VALUE", &["If-Match"]).await;
    }
    let unmatched = ["W/\"1\"", "\"\"", "\"one\"", "\"+1\"", "\"2\", \"3\"", "\"99999999999\""];
    for tag in ["\"2\"", "\"0\"", "\"-1\""].into_iter().chain(unmatched) {
        refused(tag, patch().header("if-match", tag), 412, "VERSION_CONFLICT", &[]).await;
    }
    patch().header("if-match", "\"7\", \"1\"").expect(200).await;
    patch().header("if-match", "\"7\"").header("if-match", "\"2\"").expect(200).await;
    for version in ["v3", "V1", "1", ""] {
        refused(version, editor.get("object-types").header("x-api-version", version), 400, "UNKNOWN_API_VERSION", &[])
            .await;
    }
    let create = || editor.post("object-types", &samples::object_type("Other"));
    refused("long", create().key(&"k".repeat(256)), 400, "INVALID_VALUE", &["Idempotency-Key"]).await;
    refused("empty", create().key(""), 400, "INVALID_VALUE", &["Idempotency-Key"]).await;
    create().key(&"k".repeat(255)).expect(201).await;
    assert_eq!(editor.get("object-types/Order").v2().expect(200).await["version"], 2);
}

#[tokio::test]
async fn whatever_is_searched_for_is_answered() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::customer()).expect(201).await;
    for text in [
        "'",
        "\"",
        "\\",
        "&|!()",
        ":*",
        "a:*b",
        "%",
        "_",
        "--",
        "a & b",
        "<->",
        "!a",
        "고객%",
        "\u{202e}",
        "💩",
        "a\tb\nc",
        "ß",
        "İ",
        "' OR 1=1 --",
        "customer\\",
        "*",
        "a'b\"c",
        "\u{301}",
        "-",
        "  ",
    ] {
        for path in ["search?q=", "object-types?category=", "object-types?tag=", "link-types?category="] {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let answer = editor.get(&format!("{path}{encoded}")).send().await;
            assert_eq!(answer.status, 200, "{path}{text}: {}", answer.text);
        }
    }
}
