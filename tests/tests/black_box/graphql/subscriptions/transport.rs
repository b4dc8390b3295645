//! Subscriptions, queries and mutations as streams: media types, methods, and what is wrong with a request.

use oms_tests::{App, Call, samples};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALL, completes, events, positions, refused, watch};

#[tokio::test]
async fn what_is_wrong_with_a_subscription_is_told_in_its_stream_before_it_opens() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    let deep = "versions { nodes { snapshot { ".repeat(8) + "id" + &"} } }".repeat(8);
    for (document, code) in [
        ("subscription { events {".to_owned(), "GRAPHQL_PARSE_FAILED"),
        ("subscription { events { nothing } }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { nothing { id } }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { events(types: [NOTHING]) { id } }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { __typename }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { events { id } other: events { id } }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { events { id } ...F } fragment F on Subscription { b: events { id } }".to_owned(),
            "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { events @skip(if: true) { id } }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        (format!("subscription {{ events {{ objectType {{ {deep} }} }} }}"), "QUERY_TOO_DEEP"),
        ("subscription { events { objectType { versions(pagination: {first: 200}) { nodes { snapshot { versions(pagination: \
            {first: 200}) { nodes { snapshot { properties { name } } } } } } } } } }".to_owned(), "QUERY_TOO_COMPLEX"),
        ("subscription { events(entityIds: [\"Order\"]) { id } }".to_owned(), "INVALID_VALUE"),
        ("subscription { events(names: [\"\"]) { id } }".to_owned(), "TOO_SHORT"),
        ("subscription A { events { id } } subscription B { events { id } }".to_owned(), "OPERATION_NOT_FOUND"),
    ] {
        refused(viewer.query(&document).stream().await, code).await;
    }
    let many = viewer.graphql(
        "subscription ($ids: [ID!]) { events(entityIds: $ids) { id } }",
        &json!({"ids": vec![Value::from("01890000-0000-7000-8000-000000000000"); 1_001]}),
    );
    refused(many.stream().await, "TOO_MANY_ITEMS").await;
    // What comes to no document at all has the status that tells so, and its reason as JSON.
    let answer = viewer.post("/graphql", &json!({"query": 7})).header("accept", "text/event-stream").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/json; charset=utf-8")));
    answer.error("INVALID_REQUEST");
}

#[tokio::test]
async fn one_source_may_be_selected_in_parts() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let document = "subscription Watch($after: String = \"earliest\", $with: Boolean = false) {
            ...First ... on Subscription { happened: events(after: $after) { version } } }
        fragment First on Subscription { happened: events(after: $after) { type actor @include(if: $with) } }";
    let mut stream = viewer.query(document).stream().await;
    let result = stream.next_event().await.unwrap().json();
    assert_eq!(result, json!({"data": {"happened": {"type": "OBJECT_TYPE_CREATED", "version": 1}}}));
}

#[tokio::test]
async fn without_a_stream_a_subscription_is_refused_with_what_to_do() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    for accept in [
        None,
        Some("*/*"),
        Some("application/json"),
        Some("application/graphql-response+json"),
        Some("text/event-stream;q=0, application/json"),
    ] {
        let call = viewer.graphql(ALL, &json!({}));
        let call = if let Some(accept) = accept { call.header("accept", accept) } else { call };
        let answer = call.send().await;
        assert_eq!(answer.status, 406, "{accept:?}");
        let error = answer.error("EVENT_STREAM_REQUIRED");
        assert!(error["message"].as_str().unwrap().contains("Accept: text/event-stream"), "{error}");
    }
    // Clients that take both get the stream for a subscription, and JSON for all else.
    let both = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed";
    let data = viewer.query("{ __typename }").header("accept", both).send().await;
    assert_eq!(data.data(), json!({"__typename": "Query"}));
    assert_eq!(data.header("content-type"), Some("application/graphql-response+json; charset=utf-8"));
    let stream = viewer.graphql(ALL, &json!({})).header("accept", both).stream().await;
    assert_eq!((stream.status(), &stream.headers()["content-type"]), (200_u16, &"text/event-stream".parse().unwrap()));
}

#[tokio::test]
async fn a_browser_watches_with_get() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let query = "query=subscription%7Bevents(after:%22earliest%22)%7Bposition%7D%7D";
    let mut stream = viewer.get(&format!("/graphql?{query}")).stream().await;
    assert_eq!(positions(&mut stream, 1).await, [1]);
    let mut back =
        viewer.get(&format!("/graphql?{query}")).header("last-event-id", stream.last_id().unwrap()).stream().await;
    editor.patch("object-types/Order", 1, &json!({"displayName": "an order"})).expect(200).await;
    assert_eq!(positions(&mut back, 1).await, [2]);

    let mutation = "query=mutation%7BdeleteObjectType(id:%22Order%22)%7D";
    let refused = editor.get(&format!("/graphql?{mutation}")).header("accept", "text/event-stream").send().await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
    refused.error("METHOD_NOT_ALLOWED");
    editor.get("object-types/Order").expect(200).await;
}

#[tokio::test]
async fn a_query_or_a_mutation_is_a_stream_of_one_result() {
    let app = App::start().await;
    let editor = app.client("editor");
    let one = async |call: Call| {
        let mut stream = call.stream().await;
        assert_eq!(
            (stream.status(), &stream.headers()["content-type"]),
            (200_u16, &"text/event-stream".parse().unwrap())
        );
        let frame = stream.next().await.unwrap();
        assert_eq!(frame.event.as_deref(), Some("next"));
        completes(&mut stream).await;
        frame.json()
    };
    let create = "mutation ($input: CreateObjectTypeInput!) { createObjectType(input: $input) { name version } }";
    // A line break in a value must not end the line of its event.
    let input = json!({"name": "Order", "displayName": "Order", "description": "one\ntwo\r\nthree", "properties": []});
    let created = one(editor.graphql(create, &json!({"input": input}))).await;
    assert_eq!(created, json!({"data": {"createObjectType": {"name": "Order", "version": 1}}}));
    let read = one(editor.query("{ objectType(id: \"Order\") { description } }")).await;
    assert_eq!(read["data"]["objectType"]["description"], "one\ntwo\r\nthree");
    let again = one(editor.graphql(create, &json!({"input": input}))).await;
    assert_eq!(again["errors"][0]["extensions"]["code"], "OBJECT_TYPE_NAME_EXISTS", "{again}");
    assert_eq!(again["data"], Value::Null);
    refused(editor.query("{ nothing }").stream().await, "GRAPHQL_VALIDATION_FAILED").await;

    let mut stream = watch(&editor, "after: \"earliest\"", "objectType { description }").await;
    assert_eq!(events(&mut stream, 1).await, [json!({"objectType": {"description": "one\ntwo\r\nthree"}})]);
}

#[tokio::test]
async fn a_subscription_can_be_persisted() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let document = "subscription { events(after: \"earliest\") { position } }";
    let hash = <sha2::Sha256 as sha2::Digest>::digest(document);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let extensions = json!({"persistedQuery": {"version": 1, "sha256Hash": hash}});
    let by_hash = || viewer.post("/graphql", &json!({"extensions": extensions}));
    refused(by_hash().stream().await, "PERSISTED_QUERY_NOT_FOUND").await;
    let mut sent = viewer.post("/graphql", &json!({"query": document, "extensions": extensions})).stream().await;
    assert_eq!(positions(&mut sent, 1).await, [1]);
    assert_eq!(positions(&mut by_hash().stream().await, 1).await, [1]);
}

#[tokio::test]
async fn other_methods_are_no_way_to_watch() {
    let app = App::start().await;
    // The single connection mode of the protocol reserves its stream so.
    for method in [Method::PUT, Method::DELETE] {
        let answer = app.client("viewer").call(method, "/graphql").header("accept", "text/event-stream").send().await;
        assert_eq!(answer.expect(405)["code"], "METHOD_NOT_ALLOWED");
    }
}
