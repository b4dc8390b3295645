//! GraphQL over HTTP: methods, media types, statuses, persisted queries, and what is shown to whom.

use std::fmt::Write;

use oms_tests::{Answer, App, Call, Client, Token, samples};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use xtask::services::Redis;

const RESPONSE: &str = "application/graphql-response+json";

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02X}");
        encoded
    })
}

fn get(client: &Client, parameters: &[(&str, &str)]) -> Call {
    let query: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    client.get(&format!("/graphql?{}", query.join("&")))
}

fn content_type(answer: &Answer) -> &str {
    answer.header("content-type").unwrap().split(';').next().unwrap()
}

#[tokio::test]
async fn the_answer_has_the_media_type_that_is_accepted_and_the_status_that_goes_with_it() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    let good = || viewer.query("{ objectType(id: \"Order\") { id } }");
    let failing = || viewer.query("{ objectTypeVersions(id: \"Order\") { nodes { version } } }");
    let partly = || viewer.query("{ objectType(id: \"A\") { id } auditLogs { nodes { id } } }");
    let unknown = || viewer.query("{ nothing }");
    let broken = || viewer.query("{ objectType(");
    let malformed = || viewer.post("/graphql", &json!({"query": 7}));
    let html = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (accept, media, statuses) in [
        (Some(RESPONSE), RESPONSE, [200, 200, 200, 400, 400, 400]),
        (Some("application/json"), "application/json", [200, 200, 200, 200, 200, 400]),
        (Some("*/*"), "application/json", [200, 200, 200, 200, 200, 400]),
        (None, "application/json", [200, 200, 200, 200, 200, 400]),
        (Some("application/*"), "application/json", [200, 200, 200, 200, 200, 400]),
        (Some(html), "application/json", [200, 200, 200, 200, 200, 400]),
        (Some("application/graphql-response+json, application/json;q=0.9"), RESPONSE, [200, 200, 200, 400, 400, 400]),
        (
            Some("application/json;q=0.5, application/graphql-response+json;q=0.4"),
            "application/json",
            [200, 200, 200, 200, 200, 400],
        ),
        (Some("Application/GraphQL-Response+JSON; charset=utf-8"), RESPONSE, [200, 200, 200, 400, 400, 400]),
    ] {
        let calls = [good(), failing(), partly(), unknown(), broken(), malformed()];
        for (n, (call, status)) in calls.into_iter().zip(statuses).enumerate() {
            let call = if let Some(accept) = accept { call.header("accept", accept) } else { call };
            let answer = call.send().await;
            let what = format!("call {n} with {accept:?}: {} {}", answer.status, answer.text);
            assert_eq!((answer.status, content_type(&answer)), (status, media), "{what}");
            let body = answer.json();
            assert_eq!(body.get("errors").is_some(), n > 0, "{what}");
            assert_eq!(body.get("data").is_some(), n < 3, "{what}");
        }
    }
    assert_eq!(partly().send().await.json()["data"], json!(null), "a field that must not be null was refused");
}

#[tokio::test]
async fn what_is_not_accepted_or_not_json_is_refused() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    for accept in ["text/html", "application/xml", "text/plain;q=1", "application/json;q=0"] {
        let answer = viewer.query("{ __typename }").header("accept", accept).send().await;
        assert_eq!(answer.status, 406, "{accept}");
        assert_eq!(answer.error("INVALID_REQUEST")["extensions"]["classification"], "BAD_REQUEST");
        let get = get(&viewer, &[("query", "{ __typename }")]).header("accept", accept).send().await;
        assert_eq!(get.status, 406, "{accept}");
    }
    let post = |media: &str| {
        viewer.call(Method::POST, "/graphql").header("content-type", media).json(&json!({"query": "{ __typename }"}))
    };
    // A page of another origin may send these without asking first.
    for media in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/graphql"]
    {
        let answer = post(media).send().await;
        assert_eq!(answer.expect(415)["code"], "UNSUPPORTED_MEDIA_TYPE", "{media}");
    }
    for media in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        assert_eq!(post(media).data().await, json!({"__typename": "Query"}), "{media}");
    }
}

#[tokio::test]
async fn a_malformed_request_says_which_parameter_is_wrong() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    let post = |body: Value| viewer.post("/graphql", &body);
    for (call, named) in [
        (post(json!([{"query": "{ __typename }"}])), "one request"),
        (post(json!([])), "one request"),
        (post(json!("{ __typename }")), "body"),
        (post(json!(null)), "body"),
        (post(json!({})), "query"),
        (post(json!({"query": null})), "query"),
        (post(json!({"query": ["{ __typename }"]})), "query"),
        (post(json!({"query": "{ __typename }", "variables": []})), "variables"),
        (post(json!({"query": "{ __typename }", "variables": "{}"})), "variables"),
        (post(json!({"query": "{ __typename }", "operationName": 7})), "operationName"),
        (post(json!({"query": "{ __typename }", "extensions": "x"})), "extensions"),
        (post(json!({"query": "{ __typename }", "extensions": {"persistedQuery": {"version": 2}}})), "persistedQuery"),
        (post(json!({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "short"}}})), "persistedQuery"),
        (get(&viewer, &[]), "query"),
        (get(&viewer, &[("query", "{ __typename }"), ("variables", "[1]")]), "variables"),
        (get(&viewer, &[("query", "{ __typename }"), ("variables", "{")]), "variables"),
        (get(&viewer, &[("query", "{ __typename }"), ("extensions", "nonsense")]), "extensions"),
    ] {
        for accept in [RESPONSE, "application/json"] {
            let answer = call.again().header("accept", accept).send().await;
            assert_eq!(answer.status, 400, "{named}: {}", answer.text);
            let error = answer.error("INVALID_REQUEST");
            assert!(error["message"].as_str().unwrap().contains(named), "{named}: {error}");
            assert!(error["extensions"]["correlationId"].is_string());
            assert_eq!(answer.json().get("data"), None);
        }
    }
    let not_json = viewer.call(Method::POST, "/graphql").bytes("{\"query\": ").send().await;
    assert_eq!(not_json.expect(400)["code"], "MALFORMED_JSON");
}

#[tokio::test]
async fn one_of_several_operations_is_carried_out_by_its_name() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    let document = "query A { a: __typename } query B { b: __typename }";
    let named = |name: Value| viewer.post("/graphql", &json!({"query": document, "operationName": name}));
    assert_eq!(named(json!("A")).data().await, json!({"a": "Query"}));
    assert_eq!(named(json!("B")).data().await, json!({"b": "Query"}));
    assert_eq!(get(&viewer, &[("query", document), ("operationName", "B")]).data().await, json!({"b": "Query"}));
    let unknown = named(json!("C")).error("OPERATION_NOT_FOUND").await;
    assert!(unknown["message"].as_str().unwrap().contains("'C'"), "{unknown}");
    named(Value::Null).error("OPERATION_NOT_FOUND").await;
    named(json!("")).error("OPERATION_NOT_FOUND").await;
    let only = viewer.post("/graphql", &json!({"query": "query A { a: __typename }", "operationName": "B"}));
    only.error("OPERATION_NOT_FOUND").await;
    let status = named(json!("C")).header("accept", RESPONSE).send().await.status;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_get_reads_and_changes_nothing() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let document = "query Q($id: ID!) { objectType(id: $id) { name } }";
    let parameters = [("query", document), ("variables", r#"{"id": "order"}"#), ("operationName", "Q")];
    let answer = get(&editor, &parameters).send().await;
    assert_eq!(answer.data(), json!({"objectType": {"name": "Order"}}));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let mutation = "mutation M { deleteObjectType(id: \"Order\") } query Q { __typename }";
    let refused = get(&editor, &[("query", mutation), ("operationName", "M")]).send().await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
    refused.error("METHOD_NOT_ALLOWED");
    get(&editor, &[("query", mutation), ("operationName", "Q")]).data().await;
    editor.get("object-types/Order").expect(200).await;

    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = editor.call(method, "/graphql").json(&json!({"query": "{ __typename }"})).send().await;
        assert_eq!(answer.expect(405)["code"], "METHOD_NOT_ALLOWED");
    }
}

fn hash(document: &str) -> String {
    Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn persisted(client: &Client, hash: &str, document: Option<&str>, variables: &Value) -> Call {
    let extensions = json!({"persistedQuery": {"version": 1, "sha256Hash": hash}});
    let mut body = json!({"extensions": extensions, "variables": variables});
    if let Some(document) = document {
        body["query"] = json!(document);
    }
    client.post("/graphql", &body)
}

async fn unknown(call: Call) {
    let answer = call.send().await;
    assert_eq!(answer.status, 200, "clients look into the body: {}", answer.text);
    assert_eq!(answer.error("PERSISTED_QUERY_NOT_FOUND")["message"], "PersistedQueryNotFound");
}

#[tokio::test]
async fn a_persisted_query_is_sent_once_and_known_to_its_tenant_in_every_process() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    viewer.get("object-types").expect(200).await;
    let document = "query ($id: ID!) { objectType(id: $id) { name } }";
    let sha256 = hash(document);
    let none = json!({"id": "Order"});
    let expected = json!({"objectType": null});

    unknown(persisted(&viewer, &sha256, None, &none)).await;
    unknown(persisted(&viewer, &sha256, None, &none).header("accept-language", "ko")).await;
    assert_eq!(persisted(&viewer, &sha256, Some(document), &none).data().await, expected);
    assert_eq!(persisted(&viewer, &sha256, None, &none).data().await, expected);
    assert_eq!(persisted(&viewer, &sha256.to_uppercase(), None, &none).data().await, expected);
    let extensions = json!({"persistedQuery": {"version": 1, "sha256Hash": sha256}}).to_string();
    let by_get = get(&viewer, &[("extensions", &extensions), ("variables", "{\"id\": \"Order\"}")]);
    assert_eq!(by_get.data().await, expected);

    let beside = app.beside().await;
    assert_eq!(persisted(&beside.client("viewer"), &sha256, None, &none).data().await, expected);
    let foreign = app.anonymous().with_token(Token::of("viewer").tenant("another").sign());
    unknown(persisted(&foreign, &sha256, None, &none)).await;
}

#[tokio::test]
async fn a_document_is_only_kept_under_its_own_hash_and_when_it_is_good() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    let document = "{ objectTypes { nodes { name } } }";
    let wrong = hash("{ another }");
    let refused = persisted(&viewer, &wrong, Some(document), &json!({})).send().await;
    assert_eq!(refused.status, 400);
    refused.error("INVALID_REQUEST");
    unknown(persisted(&viewer, &wrong, None, &json!({}))).await;
    unknown(persisted(&viewer, &hash(document), None, &json!({}))).await;

    let broken = "{ objectTypes {";
    persisted(&viewer, &hash(broken), Some(broken), &json!({})).error("GRAPHQL_PARSE_FAILED").await;
    unknown(persisted(&viewer, &hash(broken), None, &json!({}))).await;
    let deep = format!("{}{}", "{ a ".repeat(30), "}".repeat(30));
    persisted(&viewer, &hash(&deep), Some(&deep), &json!({})).error("QUERY_TOO_DEEP").await;
    unknown(persisted(&viewer, &hash(&deep), None, &json!({}))).await;

    let mutation = "mutation { deleteObjectType(id: \"Order\") }";
    let sha256 = hash(mutation);
    persisted(&app.client("editor"), &sha256, Some(mutation), &json!({})).error("OBJECT_TYPE_NOT_FOUND").await;
    let extensions = json!({"persistedQuery": {"version": 1, "sha256Hash": sha256}}).to_string();
    let by_get = get(&app.client("editor"), &[("extensions", &extensions)]).send().await;
    assert_eq!((by_get.status, by_get.header("allow")), (405, Some("POST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_every_persisted_query_is_unknown_and_documents_still_work() {
    let mut redis = Redis::temporary().unwrap();
    let url = redis.url();
    let app = App::with(|settings| settings.set("REDIS_URL", url).set("REDIS_TIMEOUT_MS", 1_000)).await;
    let viewer = app.client("viewer");
    let document = "{ objectType(id: \"Order\") { name } }";
    let sha256 = hash(document);
    persisted(&viewer, &sha256, Some(document), &json!({})).data().await;
    persisted(&viewer, &sha256, None, &json!({})).data().await;
    redis.stop().unwrap();
    unknown(persisted(&viewer, &sha256, None, &json!({}))).await;
    persisted(&viewer, &sha256, Some(document), &json!({})).data().await;
    unknown(persisted(&viewer, &sha256, None, &json!({}))).await;

    let without = App::with(|settings| settings.remove("REDIS_URL")).await;
    let viewer = without.client("viewer");
    persisted(&viewer, &sha256, Some(document), &json!({})).data().await;
    unknown(persisted(&viewer, &sha256, None, &json!({}))).await;
}

#[tokio::test]
async fn the_schema_is_shown_unless_it_is_turned_off() {
    let ask = [
        "{ __schema { types { name } } }",
        "{ __type(name: \"ObjectType\") { name } }",
        "{ _service { sdl } }",
        "{ __typename ...f } fragment f on Query { ... { __schema { types { name } } } }",
        "{ a: __type(name: \"ObjectType\") { name } }",
    ];
    let app = App::start().await;
    for document in ask {
        let shown = app.client("viewer").query(document).data().await;
        assert!(shown.to_string().contains("ObjectType"), "{document}");
    }
    let (off, proxy) = App::counted(|settings| settings.set("GRAPHQL_INTROSPECTION", "false")).await;
    for document in ask {
        let (answer, statements) = proxy.count(off.client("admin").query(document).send()).await;
        answer.error("INTROSPECTION_DISABLED");
        assert!(!answer.text.contains("ObjectType") && statements == 0, "{document}: {}", answer.text);
    }
    let data = off.client("admin").query("{ __typename objectTypes { nodes { __typename } } }").data().await;
    assert_eq!(data["__typename"], "Query", "names of what is answered are no introspection");
    let wrong = off.client("admin").query("{ objectTypesX }").error("GRAPHQL_VALIDATION_FAILED").await;
    assert!(
        !wrong["message"].as_str().unwrap().contains("objectTypes\""),
        "no suggestion gives the schema away: {wrong}"
    );
}

#[tokio::test]
async fn the_page_for_developers_is_shown_to_browsers_in_development_only() {
    let browser = |client: &Client, path: &str| client.get(path).header("accept", "text/html,*/*;q=0.8");
    let development = App::with(|settings| settings.set("SERVER_MODE", "development")).await;
    let anonymous = development.anonymous();
    let page = browser(&anonymous, "/graphql").send().await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    browser(&anonymous, "/graphql?query=%7B__typename%7D").expect(401).await;
    anonymous.get("/graphql").header("accept", "application/json").expect(401).await;
    let post = anonymous.query("{ __typename }").header("accept", "text/html,*/*").send().await;
    assert_eq!(post.status, 401, "only a look at the page needs no token");
    assert_eq!(development.client("viewer").query("{ __typename }").data().await, json!({"__typename": "Query"}));

    let production = App::start().await;
    let refused = browser(&production.anonymous(), "/graphql").send().await;
    assert_eq!(refused.expect(401)["code"], "UNAUTHENTICATED");
    let refused = browser(&production.client("viewer"), "/graphql").send().await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(!refused.text.contains("<html"));
}

#[tokio::test]
async fn a_browser_may_call_from_an_allowed_origin_only() {
    let app = App::with(|settings| settings.set("CORS_ALLOWED_ORIGINS", "https://console.test")).await;
    let preflight = |origin: &str| {
        app.anonymous()
            .call(Method::OPTIONS, "/graphql")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
    };
    let allowed = preflight("https://console.test").send().await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://console.test"));
    let other = preflight("https://evil.test").send().await;
    assert_eq!(other.header("access-control-allow-origin"), None);
}
