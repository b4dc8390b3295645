//! Subscriptions over Server-Sent Events, and whatever else is asked for as a stream of them.

use std::time::{Duration, Instant};

use oms_tests::{App, Call, Client, Database, EventStream, Frame, Server, Settings, Token, samples};
use reqwest::Method;
use serde_json::{Value, json};

const ALL: &str = "subscription ($after: String) { events(after: $after) { id type position } }";

/// A subscription with these arguments and fields.
async fn watch(client: &Client, arguments: &str, fields: &str) -> EventStream {
    let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
    client.query(&format!("subscription {{ events{arguments} {{ {fields} }} }}")).stream().await
}

/// The next so many events, which come without an error.
async fn events(stream: &mut EventStream, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    while events.len() < count {
        let frame = stream.next_event().await.unwrap_or_else(|| panic!("it ended after {events:?}"));
        events.push(shown(&frame));
    }
    events
}

fn shown(frame: &Frame) -> Value {
    assert_eq!(frame.event.as_deref(), Some("next"), "{frame:?}");
    let result = frame.json();
    assert_eq!(result.get("errors"), None, "{result}");
    result["data"]["events"].clone()
}

async fn positions(stream: &mut EventStream, count: usize) -> Vec<i64> {
    events(stream, count).await.iter().map(|event| event["position"].as_i64().unwrap()).collect()
}

/// The only error of a stream that says nothing else, and then that it is complete.
async fn refused(mut stream: EventStream, code: &str) -> Value {
    assert_eq!(stream.status(), 200);
    let result = loop {
        let frame = stream.next_event().await.unwrap();
        if frame.event.as_deref() == Some("next") {
            break frame.json();
        }
    };
    assert_eq!(result.get("data"), None, "{result}");
    assert_eq!(result["errors"].as_array().unwrap().len(), 1, "{result}");
    assert_eq!(result["errors"][0]["extensions"]["code"], code, "{result}");
    assert!(result["errors"][0]["extensions"]["correlationId"].is_string(), "{result}");
    completes(&mut stream).await;
    result["errors"][0].clone()
}

/// The last frame, and nothing after it; its token.
async fn completes(stream: &mut EventStream) -> Option<String> {
    let frame = stream.next_event().await.unwrap();
    assert_eq!((frame.event.as_deref(), frame.data.as_deref()), (Some("complete"), Some("")));
    assert_eq!(stream.next().await, None);
    frame.id
}

/// Eight writes: one of each type of event but a restored link type.
async fn history(editor: &Client) {
    editor.post("object-types", &samples::customer()).expect(201).await;
    let order = editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    editor.post("link-types", &samples::link_type("places", "Customer", "Order")).expect(201).await;
    editor.patch("link-types/places", 1, &json!({"displayName": "orders"})).expect(200).await;
    editor.delete("link-types/places", 2).expect(204).await;
    editor.patch("object-types/Order", 1, &json!({"name": "Purchase", "tags": ["core"]})).expect(200).await;
    editor.delete("object-types/Purchase", 2).expect(204).await;
    editor.post(&format!("object-types/{}/restore", order["id"].as_str().unwrap()), &Value::Null).expect(200).await;
}

/// How many events [`history`] makes.
const HISTORY: usize = 8;

/// `ObjectTypeCreated` as the schema spells it.
fn spelled(event_type: &str) -> String {
    let mut spelled = String::new();
    for letter in event_type.chars() {
        if letter.is_ascii_uppercase() && !spelled.is_empty() {
            spelled.push('_');
        }
        spelled.push(letter.to_ascii_uppercase());
    }
    spelled
}

#[tokio::test]
async fn events_come_in_order_and_show_what_the_feed_shows() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    let mut stream = watch(
        &viewer,
        "",
        "id type entityId actor timestamp version tenantId position epoch correlationId resumeToken
         changes { field oldValue newValue changeType } claimCheck { href }
         objectType { id name version tags properties { name } } linkType { id name version source { name } }",
    )
    .await;
    assert_eq!(stream.status(), 200);
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(stream.headers()[name], value);
    }
    let open = stream.next().await.unwrap();
    assert!(open.id.is_some() && open.retry.is_some() && open.comment.is_some() && open.data.is_none(), "{open:?}");

    history(&editor).await;
    let feed = viewer.get("events").expect(200).await["data"].as_array().unwrap().clone();
    assert_eq!(feed.len(), HISTORY);
    for expected in &feed {
        let frame = stream.next_event().await.unwrap();
        let event = shown(&frame);
        for field in ["id", "entityId", "actor", "timestamp", "correlationId"] {
            assert_eq!(event[field], expected[field], "{field}");
        }
        for field in ["tenantId", "position", "epoch"] {
            assert_eq!(event[field], expected["metadata"][field], "{field}");
        }
        assert_eq!(event["type"], spelled(expected["type"].as_str().unwrap()));
        assert_eq!((&event["version"], &event["claimCheck"]), (&expected["data"]["version"], &Value::Null));
        assert_eq!(event["resumeToken"].as_str(), frame.id.as_deref());
        for kind in ["objectType", "linkType"] {
            for field in ["id", "name", "version"] {
                assert_eq!(event[kind][field], expected["data"][kind][field], "{kind} {field} of {event}");
            }
        }
        let fields = |changes: &Value| -> Vec<_> {
            changes
                .as_array()
                .unwrap()
                .iter()
                .map(|change| (change["field"].clone(), change["newValue"].clone()))
                .collect()
        };
        assert_eq!(fields(&event["changes"]), fields(&expected["data"]["changes"]));
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_shown() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    history(&editor).await;
    let feed = viewer.get("events").expect(200).await["data"].clone();
    let (customer, order) = (feed[0]["entityId"].as_str().unwrap(), feed[1]["entityId"].as_str().unwrap());
    for (arguments, expected) in [
        ("types: [OBJECT_TYPE_CREATED, LINK_TYPE_DELETED]".to_owned(), &[1, 2, 5][..]),
        (format!("entityIds: [\"{customer}\"]"), &[1]),
        (format!("entityIds: [\"{order}\", \"{customer}\"]"), &[1, 2, 6, 7, 8]),
        ("names: [\"ORDER\"]".to_owned(), &[2, 6]),
        ("names: [\"purchase\", \"Places\"]".to_owned(), &[3, 4, 5, 6, 7, 8]),
        (format!("entityIds: [\"{order}\"], types: [OBJECT_TYPE_UPDATED], names: [\"Order\"]"), &[6]),
        ("types: [], entityIds: null".to_owned(), &[1, 2, 3, 4, 5, 6, 7, 8]),
    ] {
        let mut stream = watch(&viewer, &format!("after: \"earliest\", {arguments}"), "position").await;
        assert_eq!(positions(&mut stream, expected.len()).await, expected, "{arguments}");
    }

    let mut live = watch(&viewer, "names: [\"After\"]", "position objectType { name }").await;
    live.next().await.unwrap();
    for name in ["Before", "After"] {
        editor.post("object-types", &samples::object_type(name)).expect(201).await;
    }
    assert_eq!(events(&mut live, 1).await, [json!({"position": 10, "objectType": {"name": "After"}})]);
}

#[tokio::test]
async fn it_resumes_by_header_or_argument_without_loss_or_repeat() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    history(&editor).await;
    let after = |token: &str| viewer.graphql(ALL, &json!({"after": token}));
    let mut first = after("earliest").stream().await;
    let mut tokens = Vec::new();
    for expected in 1..=3 {
        let frame = first.next_event().await.unwrap();
        assert_eq!(shown(&frame)["position"], expected);
        tokens.push(frame.id.unwrap());
    }
    drop(first);

    // It goes on with what came before it is there again, and with what comes then.
    let mut by_argument = after(&tokens[2]).stream().await;
    let mut by_header = after("latest").header("last-event-id", &tokens[1]).stream().await;
    let mut no_header = after(&tokens[2]).header("last-event-id", "").stream().await;
    assert_eq!(positions(&mut by_argument, 5).await, [4, 5, 6, 7, 8]);
    assert_eq!(positions(&mut by_header, 6).await, [3, 4, 5, 6, 7, 8], "the header wins");
    assert_eq!(positions(&mut no_header, 5).await, [4, 5, 6, 7, 8]);
    editor.post("object-types", &samples::object_type("Later")).expect(201).await;
    for stream in [&mut by_argument, &mut by_header, &mut no_header] {
        assert_eq!(positions(stream, 1).await, [9]);
    }
    // One feed, one token: that of a subscription is good for the REST API, and the other way round.
    let rest = viewer.get(&format!("events?after={}", by_header.last_id().unwrap())).expect(200).await;
    assert_eq!(rest["data"], json!([]));
    let token = viewer.get("events?limit=7").expect(200).await["page"]["resumeToken"].clone();
    assert_eq!(positions(&mut after(token.as_str().unwrap()).stream().await, 2).await, [8, 9]);
}

#[tokio::test]
async fn a_token_that_is_too_old_foreign_or_no_token_is_refused() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    history(&editor).await;
    let token = async |limit: usize| {
        let page = viewer.get(&format!("events?limit={limit}")).expect(200).await;
        page["page"]["resumeToken"].as_str().unwrap().to_owned()
    };
    let (old, good) = (token(1).await, token(2).await);
    let after = |token: &str| viewer.graphql(ALL, &json!({"after": token}));
    let foreign = app.anonymous().with_token(Token::of("viewer").tenant("globex").sign());
    for call in [
        foreign.graphql(ALL, &json!({"after": good})),
        after("nonsense"),
        after(""),
        after(&good[1..]),
        after(&good).header("last-event-id", "nonsense"),
        after(&"x".repeat(129)),
    ] {
        let error = refused(call.stream().await, "INVALID_CURSOR").await;
        assert_eq!(
            (&error["path"], &error["extensions"]["errors"][0]["pointer"]),
            (&json!(["events"]), &json!("/after"))
        );
    }

    let pool = app.pool().await;
    // As if the range of the first two events had been dropped.
    let drop_range = "UPDATE event_log_head SET first_position = 3; DELETE FROM events WHERE position < 3";
    sqlx::raw_sql(drop_range).execute(&pool).await.unwrap();
    refused(after(&old).stream().await, "RESUME_TOKEN_EXPIRED").await;
    let mut rest = after(&good).stream().await;
    assert_eq!(positions(&mut rest, 6).await, [3, 4, 5, 6, 7, 8], "nothing after this one is gone");

    // A restore from a backup ends the streams that are open.
    sqlx::query("SELECT begin_epoch()").execute(&pool).await.unwrap();
    editor.post("object-types", &samples::object_type("Next")).expect(201).await;
    refused(rest, "RESUME_TOKEN_EXPIRED").await;
    let korean = after(&good).header("accept-language", "ko").stream().await;
    let message = refused(korean, "RESUME_TOKEN_EXPIRED").await["message"].to_string();
    assert!(message.contains("토큰"), "{message}");
}

#[tokio::test]
async fn each_tenant_and_each_role_sees_what_is_its_own() {
    let roles = json!({
        "editor": ["object_type:read", "object_type:write", "object_type:delete", "link_type:read", "link_type:write",
            "link_type:delete"],
        "objects": ["object_type:read"],
        "links": ["link_type:read"],
        "writer": ["object_type:write"],
    });
    let app = App::with(|settings| settings.set("ROLE_PERMISSIONS", &roles)).await;
    history(&app.client("editor")).await;
    let globex = app.anonymous().with_token(Token::of("editor").tenant("globex").sign());
    let mut theirs = watch(&globex, "after: \"earliest\"", "tenantId position").await;
    globex.post("object-types", &samples::object_type("Customer")).expect(201).await;
    assert_eq!(events(&mut theirs, 1).await, [json!({"tenantId": "globex", "position": 9})]);

    for (role, expected) in [("objects", [1, 2, 6, 7, 8].as_slice()), ("links", &[3, 4, 5])] {
        let mut stream = watch(&app.client(role), "after: \"earliest\"", "position").await;
        assert_eq!(positions(&mut stream, expected.len()).await, expected, "{role}");
    }
    let call = |role: &str, arguments: &str| {
        app.client(role).query(&format!("subscription {{ events{arguments} {{ position }} }}"))
    };
    for denied in [
        call("nobody", ""),
        call("writer", ""),
        call("objects", "(types: [OBJECT_TYPE_CREATED, LINK_TYPE_CREATED])"),
        call("links", "(types: OBJECT_TYPE_DELETED)"),
    ] {
        refused(denied.stream().await, "PERMISSION_DENIED").await;
    }
    let unknown = app.anonymous().query("subscription { events { position } }").stream().await;
    assert_eq!(unknown.status(), 401);

    // Who may not see a nested field is told so with each event, and the next one comes all the same.
    let mut partly = watch(
        &app.client("objects"),
        "after: \"earliest\"",
        "position objectType { outgoingLinkTypes { totalCount } }",
    )
    .await;
    for position in [1, 2] {
        let result = partly.next_event().await.unwrap().json();
        assert_eq!(result["errors"][0]["extensions"]["code"], "PERMISSION_DENIED", "{result}");
        assert_eq!(result["data"], json!({"events": {"position": position, "objectType": null}}));
    }
}

#[tokio::test]
async fn nested_fields_are_read_anew_for_each_event() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    let nested = "objectType { displayName versions { nodes { version snapshot { displayName } } }
        outgoingLinkTypes { nodes { name target { name } } } }";
    let mut stream = watch(&viewer, "names: [\"Order\"]", nested).await;
    stream.next().await.unwrap();
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let version = |n: i32, name: &str| json!({"version": n, "snapshot": {"displayName": name}});
    let first = json!({"objectType": {
        "displayName": "Order", "versions": {"nodes": [version(1, "Order")]}, "outgoingLinkTypes": {"nodes": []},
    }});
    assert_eq!(events(&mut stream, 1).await, [first]);
    editor.post("link-types", &samples::link_type("follows", "Order", "Order")).expect(201).await;
    editor.patch("object-types/Order", 1, &json!({"displayName": "an order"})).expect(200).await;
    let second = json!({"objectType": {
        "displayName": "an order",
        "versions": {"nodes": [version(2, "an order"), version(1, "Order")]},
        "outgoingLinkTypes": {"nodes": [{"name": "follows", "target": {"name": "Order"}}]},
    }});
    assert_eq!(events(&mut stream, 1).await, [second]);
}

#[tokio::test]
async fn a_type_that_is_too_large_for_an_event_gives_way_to_a_claim_check() {
    let app = App::with(|settings| settings.set("EVENT_MAX_BYTES", 4_096)).await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    let mut large = samples::object_type("Large");
    large["metadata"] = json!({"text": "x".repeat(5_000)});
    let created = editor.post("object-types", &large).v2().expect(201).await;
    let fields = "objectType { name } changes { field } version
        claimCheck { entityKind entityId version href bytes }";
    let mut stream = watch(&viewer, "after: \"earliest\"", fields).await;
    let event = &events(&mut stream, 1).await[0];
    assert_eq!((&event["objectType"], &event["changes"], &event["version"]), (&Value::Null, &json!([]), &json!(1)));
    let check = &event["claimCheck"];
    assert_eq!((&check["entityKind"], &check["entityId"]), (&json!("OBJECT_TYPE"), &created["id"]));
    assert!(check["bytes"].as_u64().unwrap() > 5_000, "{check}");
    let version = viewer.get(check["href"].as_str().unwrap()).v2().expect(200).await;
    assert_eq!(version["snapshot"]["metadata"], large["metadata"]);
}

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
    assert_eq!(
        (stream.status().into(), &stream.headers()["content-type"]),
        (200_u16, &"text/event-stream".parse().unwrap())
    );
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
            (stream.status().into(), &stream.headers()["content-type"]),
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
async fn it_ends_by_itself_after_its_time_and_says_where_to_go_on() {
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 1)).await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    editor.post("object-types", &samples::object_type("A")).expect(201).await;
    // Nothing of what comes is for this one, and still its token moves.
    let mut stream = watch(&viewer, "after: \"earliest\", names: [\"Nobody\"]", "position").await;
    let open = stream.next().await.unwrap().id;
    editor.post("object-types", &samples::object_type("B")).expect(201).await;
    let last = completes(&mut stream).await;
    assert!(last.is_some() && last != open, "{last:?}");
    let mut resumed = viewer.graphql(ALL, &json!({"after": last})).stream().await;
    editor.post("object-types", &samples::object_type("C")).expect(201).await;
    assert_eq!(positions(&mut resumed, 1).await, [3]);

    // On Lambda without streaming an answer has to end at once, with all that there is.
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 0)).await;
    history(&app.client("editor")).await;
    let mut stream = app.client("viewer").graphql(ALL, &json!({"after": "earliest"})).stream().await;
    assert_eq!(positions(&mut stream, HISTORY).await, (1..=8).collect::<Vec<_>>());
    completes(&mut stream).await;
}

#[tokio::test]
async fn a_heartbeat_moves_the_token_of_a_reader_who_is_shown_nothing() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    let mut stream = watch(&viewer, "names: [\"Nobody\"]", "position").await;
    let open = stream.next().await.unwrap().id;
    editor.post("object-types", &samples::object_type("A")).expect(201).await;
    let beat = stream.next().await.unwrap();
    assert!(beat.data.is_none() && beat.event.is_none() && beat.comment.is_some(), "clients show nothing: {beat:?}");
    assert!(beat.id.is_some() && beat.id != open);
    let mut resumed = viewer.graphql(ALL, &json!({"after": beat.id})).stream().await;
    editor.post("object-types", &samples::object_type("B")).expect(201).await;
    assert_eq!(positions(&mut resumed, 1).await, [2]);
}

#[tokio::test]
async fn a_slow_reader_gets_everything_in_order() {
    const WRITES: i64 = 300;
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    let mut large = samples::object_type("Order");
    large["metadata"] = json!({"text": "x".repeat(20_000)});
    editor.post("object-types", &large).expect(201).await;
    let mut stream = watch(&viewer, "after: \"earliest\"", "version objectType { version metadata }").await;
    stream.next().await.unwrap();
    for version in 1..WRITES {
        editor.patch("object-types/Order", version, &json!({"displayName": version.to_string()})).expect(200).await;
    }
    // Six megabytes were not kept for it anywhere; it reads them now.
    for (version, event) in (1..).zip(events(&mut stream, usize::try_from(WRITES).unwrap()).await) {
        assert_eq!((&event["version"], &event["objectType"]["version"]), (&json!(version), &json!(version)));
    }
}

#[tokio::test]
async fn a_server_that_stops_completes_its_streams_and_they_resume_elsewhere() {
    let database = Database::create().await;
    // Were they requests in flight, they would be waited for.
    let settings = Settings::for_database(&database).set("SHUTDOWN_TIMEOUT_MS", 60_000);
    let (server, other) = (Server::start(&settings).await, Server::start(&settings).await);
    let mut stream = server.client("viewer").graphql(ALL, &json!({})).stream().await;
    stream.next().await.unwrap();
    let editor = other.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    assert_eq!(positions(&mut stream, 1).await, [1]);
    let stopped = Instant::now();
    server.stop().await;
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
    let token = completes(&mut stream).await;
    editor.patch("object-types/Order", 1, &json!({"displayName": "the next"})).expect(200).await;
    let mut resumed = editor.graphql(ALL, &json!({"after": token})).stream().await;
    assert_eq!(positions(&mut resumed, 1).await, [2]);
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
