//! What messages of a watch carry: the same as everywhere else, and a claim check for what is too large.

use oms_proto::client::{
    FieldChange, GetObjectTypeVersionRequest, LinkTypeEvent, ObjectTypeChange, WatchLinkTypesRequest,
    WatchObjectTypesRequest, WatchStart, get_object_type_version_request, link_type_change, link_type_event,
    link_type_snapshot, object_type_change, object_type_event::Event, object_type_snapshot,
};
use oms_tests::{App, Token, Watcher, samples};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

use super::{
    super::{Clients, shapes, wire::Failure},
    told::{from_snapshot, take, told, watch},
};

/// Changes of fields in the shape that REST has.
fn fields(changes: &[FieldChange]) -> Value {
    let shown = |change: &FieldChange| {
        let kind = change.r#type().as_str_name().trim_start_matches("CHANGE_TYPE_").to_lowercase();
        let mut shown = json!({"field": change.field, "type": kind});
        for (name, value) in [("oldValue", &change.old_value), ("newValue", &change.new_value)] {
            if let Some(value) = value {
                shown[name] = shapes::value(value);
            }
        }
        shown
    };
    changes.iter().map(shown).collect()
}

/// What a change and an event of the feed over REST have in common, of both.
macro_rules! compare {
    ($change:expr, $event:expr, $kind:literal, $id:ident) => {{
        let (change, event) = (&$change, &$event);
        assert_eq!(change.event_id, event["id"].as_str().unwrap());
        let (words, type_) = (change.r#type().as_str_name().replace('_', ""), event["type"].as_str().unwrap());
        assert_eq!(words.trim_start_matches("EVENTTYPE"), type_.to_uppercase());
        assert_eq!(change.$id, event["entityId"].as_str().unwrap());
        assert_eq!(i64::from(change.version), event["data"]["version"].as_i64().unwrap());
        assert_eq!(change.actor, event["actor"].as_str().unwrap());
        assert_eq!(change.occurred_at.unwrap(), shapes::time(&event["timestamp"]));
        assert_eq!(change.position, event["metadata"]["position"].as_i64().unwrap());
        assert_eq!(change.epoch, event["metadata"]["epoch"].as_i64().unwrap());
        assert_eq!(change.correlation_id, event["correlationId"].as_str().unwrap());
        let changes = event["data"].get("changes").map_or(json!([]), shapes::of_rest);
        assert_eq!(fields(&change.changes), changes);
    }};
}

fn change(event: Event) -> ObjectTypeChange {
    match event {
        Event::Change(change) => change,
        other => panic!("{other:?} is no change"),
    }
}

#[tokio::test]
async fn a_change_has_what_the_event_has_whatever_happened() {
    let app = App::start().await;
    let editor = app.client("editor");
    let mut watcher = watch(&app.grpc(), WatchObjectTypesRequest::default()).await;
    assert_eq!(take(&mut watcher, 1).await, ["opened"]);
    let created = editor.post("object-types", &samples::customer()).expect(201).await;
    let patch = json!({
        "category": "crm", "tags": [], "metadata": {"owner": null, "big": 12_345_678_901_234_567_890_u64},
        "changeDescription": "why",
    });
    editor.patch("object-types/Customer", 1, &patch).expect(200).await;
    editor.delete("object-types/Customer", 2).expect(204).await;
    let path = format!("object-types/{}/restore", created["id"].as_str().unwrap());
    editor.call(Method::POST, &path).expect(200).await;

    let page = editor.get("events").expect(200).await;
    let events = page["data"].as_array().unwrap();
    assert_eq!(events.len(), 4);
    for event in events {
        let change = change(watcher.next().await.unwrap().unwrap());
        compare!(change, event, "objectType", object_type_id);
        let Some(object_type_change::State::ObjectType(shown)) = &change.state else { panic!("{change:?}") };
        assert_eq!(shapes::object_type(shown), shapes::of_rest(&event["data"]["objectType"]));
    }
    // And a snapshot what a read has.
    let mut watcher = watch(&app.grpc(), from_snapshot()).await;
    assert_eq!(take(&mut watcher, 1).await, ["opened"]);
    let Some(Event::Snapshot(snapshot)) = watcher.next().await.unwrap() else { panic!("a snapshot") };
    let Some(object_type_snapshot::State::ObjectType(shown)) = &snapshot.state else { panic!("{snapshot:?}") };
    let read = editor.get("object-types/Customer").v2().expect(200).await;
    assert_eq!(shapes::object_type(shown), shapes::of_rest(&read));
}

#[tokio::test]
async fn link_types_are_watched_by_themselves_and_by_who_may_read_them() {
    let roles = json!({
        "editor": ["object_type:read", "object_type:write", "link_type:read", "link_type:write", "link_type:delete"],
        "objects": ["object_type:read"], "links": ["link_type:read"],
    });
    let app = App::with(|settings| settings.set("ROLE_PERMISSIONS", roles).set("EVENT_STREAM_SECONDS", 0)).await;
    let editor = app.client("editor");
    for name in ["A", "B"] {
        editor.post("object-types", &samples::object_type(name)).expect(201).await;
    }
    let mut body = samples::link_type("owns", "A", "B");
    body["category"] = json!("assets");
    editor.post("link-types", &body).expect(201).await;
    editor.post("link-types", &samples::link_type("knows", "A", "A")).expect(201).await;

    let watch = async |role: &str, request: WatchLinkTypesRequest| {
        let mut stream = Clients::of(&app.grpc(), role).links.watch_link_types(request).await?.into_inner();
        let mut messages = Vec::new();
        while let Some(message) = stream.message().await? {
            messages.push(message);
        }
        Ok::<Vec<LinkTypeEvent>, tonic::Status>(messages)
    };
    let snapshot = WatchLinkTypesRequest { start: WatchStart::Snapshot.into(), ..WatchLinkTypesRequest::default() };
    let of_assets = WatchLinkTypesRequest { categories: vec!["assets".to_owned()], ..snapshot.clone() };
    for (request, expected) in [(snapshot.clone(), &["owns", "knows"][..]), (of_assets, &["owns"])] {
        let messages = watch("links", request).await.unwrap();
        let mut shown = Vec::new();
        for message in &messages {
            if let Some(link_type_event::Event::Snapshot(snapshot)) = &message.event {
                let Some(link_type_snapshot::State::LinkType(link)) = &snapshot.state else { panic!("{snapshot:?}") };
                let read = editor.get(&format!("link-types/{}", link.name)).v2().expect(200).await;
                assert_eq!(shapes::link_type(link), shapes::of_rest(&read));
                shown.push(link.name.as_str());
            }
        }
        assert_eq!(shown, expected);
        assert!(matches!(messages[shown.len() + 1].event, Some(link_type_event::Event::SnapshotComplete(_))));
    }

    let token = watch("links", snapshot.clone()).await.unwrap().pop().unwrap().resume_token;
    editor.patch("object-types/A", 1, &json!({"name": "Owner"})).expect(200).await;
    editor.patch("link-types/owns", 1, &json!({"displayName": "has", "category": null})).expect(200).await;
    editor.delete("link-types/owns", 2).expect(204).await;
    let after = WatchLinkTypesRequest { resume_token: token.clone(), ..WatchLinkTypesRequest::default() };
    let messages = watch("links", after).await.unwrap();
    let page = editor.get(&format!("events?after={token}&type=LinkTypeUpdated&type=LinkTypeDeleted")).expect(200).await;
    assert_eq!(messages.len(), 4, "opened, two changes, end: {messages:?}");
    for (message, event) in messages[1..3].iter().zip(page["data"].as_array().unwrap()) {
        let Some(link_type_event::Event::Change(change)) = &message.event else { panic!("{message:?}") };
        compare!(change, event, "linkType", link_type_id);
        let Some(link_type_change::State::LinkType(shown)) = &change.state else { panic!("{change:?}") };
        assert_eq!(shapes::link_type(shown), shapes::of_rest(&event["data"]["linkType"]));
    }

    // Each kind has a permission of its own, and a stream shows its own kind alone.
    for request in [snapshot, WatchLinkTypesRequest { resume_token: token, ..WatchLinkTypesRequest::default() }] {
        let denied = Failure::of(&watch("objects", request).await.unwrap_err());
        assert_eq!((denied.code, denied.reason()), (Code::PermissionDenied, "PERMISSION_DENIED"));
    }
    let denied = Watcher::open(&app.grpc(), &Token::of("links"), from_snapshot()).await.unwrap_err();
    assert_eq!(Failure::of(&denied).reason(), "PERMISSION_DENIED");
    let mut objects = Watcher::open(&app.grpc(), &Token::of("objects"), from_snapshot()).await.unwrap();
    assert_eq!(take(&mut objects, 5).await, ["opened", "Owner v2", "B v1", "complete", "end"]);
}

/// An object type of about so many bytes.
fn large(name: &str, bytes: usize) -> Value {
    let mut body = samples::object_type(name);
    body["metadata"] = (0..bytes / 1_000).map(|n| (format!("k{n}"), json!("x".repeat(990)))).collect();
    body
}

#[tokio::test]
async fn what_is_too_large_for_an_event_comes_as_a_claim_check() {
    let app = App::with(|settings| settings.set("EVENT_MAX_BYTES", 4_096)).await;
    let editor = app.client("editor");
    let mut watcher = watch(&app.grpc(), WatchObjectTypesRequest::default()).await;
    assert_eq!(take(&mut watcher, 1).await, ["opened"]);
    editor.post("object-types", &large("Large", 10_000)).expect(201).await;
    editor.patch("object-types/Large", 1, &json!({"metadata": null, "displayName": "small"})).expect(200).await;
    editor.patch("object-types/Large", 2, &json!({"displayName": "tiny"})).expect(200).await;
    for version in [1, 2] {
        // The second one has the large value among its changes.
        let change = change(watcher.next().await.unwrap().unwrap());
        let Some(object_type_change::State::ClaimCheck(check)) = &change.state else { panic!("{change:?}") };
        assert_eq!((change.version, check.version, &check.id), (version, version, &change.object_type_id));
        assert!(check.size_bytes > 10_000, "{check:?}");
        assert_eq!(change.changes, []);
        // Both ways to what it stands for.
        let read = editor.get(&check.href).v2().expect(200).await;
        let key = get_object_type_version_request::Key::Id(check.id.clone());
        let asked = GetObjectTypeVersionRequest { key: Some(key), version: check.version };
        let got = Clients::of(&app.grpc(), "viewer").objects.get_object_type_version(asked).await.unwrap().into_inner();
        assert_eq!(got.object_type.unwrap().metadata.len(), if version == 1 { 10 } else { 0 });
        assert_eq!(read["version"], version, "{read}");
    }
    assert_eq!(take(&mut watcher, 1).await, ["updated Large v3"]);
    let mut watcher = watch(&app.grpc(), from_snapshot()).await;
    assert_eq!(take(&mut watcher, 3).await, ["opened", "Large v3", "complete"], "a message has room for it");
}

#[tokio::test]
async fn what_clients_would_not_take_comes_as_a_claim_check_in_a_snapshot() {
    let app = App::with(|settings| settings.set("MAX_BODY_BYTES", 8 * 1024 * 1024)).await;
    let editor = app.client("editor");
    // The metadata come twice in a message: as text, and as values.
    for (name, bytes) in [("Small", 1_000), ("Large", 1_900_000), ("Huge", 2_500_000), ("Last", 1_000)] {
        editor.post("object-types", &large(name, bytes)).expect(201).await;
    }
    let mut watcher = watch(&app.grpc(), from_snapshot()).await;
    assert_eq!(take(&mut watcher, 3).await, ["opened", "Small v1", "Large v1"]);
    let event = watcher.next().await.unwrap().unwrap();
    let Event::Snapshot(snapshot) = &event else { panic!("{}", told(&event)) };
    let Some(object_type_snapshot::State::ClaimCheck(check)) = &snapshot.state else { panic!("{}", told(&event)) };
    let read = editor.get(&check.href).v2().expect(200).await;
    let huge = editor.get("object-types/Huge").v2().expect(200).await;
    assert!(read["snapshot"] == huge, "the type");
    assert_eq!((check.id.as_str(), check.version), (huge["id"].as_str().unwrap(), 1));
    assert!(check.size_bytes > 4_000_000, "{check:?}");
    assert_eq!(take(&mut watcher, 2).await, ["Last v1", "complete"], "and the snapshot goes on");
}
