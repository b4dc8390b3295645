//! What events show, and to whom.

use oms_tests::{App, Token, samples};
use serde_json::{Value, json};

use super::{HISTORY, events, history, positions, refused, shown, spelled, watch};

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
