//! What filters show, and which are none.

use oms_proto::client::{EventType, WatchObjectTypesRequest, WatchStart};
use oms_tests::{App, samples};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

use super::{
    super::{
        LINKS, OBJECTS, path,
        wire::{PROTOCOLS, Wire},
    },
    told::{after, from_snapshot, rest, watch, words},
};

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn names(names: &[&str]) -> WatchObjectTypesRequest {
    WatchObjectTypesRequest { names: texts(names), ..WatchObjectTypesRequest::default() }
}

fn categories(categories: &[&str]) -> WatchObjectTypesRequest {
    WatchObjectTypesRequest { categories: texts(categories), ..WatchObjectTypesRequest::default() }
}

fn tags(tags: &[&str]) -> WatchObjectTypesRequest {
    WatchObjectTypesRequest { tags: texts(tags), ..WatchObjectTypesRequest::default() }
}

fn event_types(types: &[EventType]) -> WatchObjectTypesRequest {
    let event_types = types.iter().map(|event_type| i32::from(*event_type)).collect();
    WatchObjectTypesRequest { event_types, ..WatchObjectTypesRequest::default() }
}

#[tokio::test]
async fn conditions_must_all_hold_before_the_change_or_after_it() {
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 0)).await;
    let (editor, grpc) = (app.client("editor"), app.grpc());
    let start = rest(&mut watch(&grpc, from_snapshot()).await).await.pop().unwrap().1;
    for (name, category, tags) in [("Order", "sales", json!(["a", "x"])), ("Item", "stock", json!(["b", "x"]))] {
        let body = json!({"name": name, "displayName": name, "category": category, "tags": tags});
        editor.post("object-types", &body).expect(201).await;
    }
    let plain = editor.post("object-types", &samples::object_type("Plain")).expect(201).await;
    editor.patch("object-types/Order", 1, &json!({"category": "stock"})).expect(200).await;
    editor.patch("object-types/Order", 2, &json!({"tags": ["b"]})).expect(200).await;
    editor.patch("object-types/Item", 1, &json!({"name": "Article"})).expect(200).await;
    editor.delete("object-types/Plain", 1).expect(204).await;
    let path = format!("object-types/{}/restore", plain["id"].as_str().unwrap());
    editor.call(Method::POST, &path).expect(200).await;
    editor.patch("object-types/Order", 3, &json!({"category": null})).expect(200).await;
    editor.patch("object-types/Order", 4, &json!({"displayName": "no longer in stock"})).expect(200).await;

    let stock = categories(&["stock"]);
    let cases: Vec<(WatchObjectTypesRequest, &[&str], &[&str])> = vec![
        // The filter, the changes that it shows, and the types as they are now.
        (categories(&["sales"]), &["created Order v1", "updated Order v2"], &[]),
        (
            stock.clone(),
            &["created Item v1", "updated Order v2", "updated Order v3", "updated Article v2", "updated Order v4"],
            &["Article v2"],
        ),
        (categories(&["Stock", "sto"]), &[], &[]),
        (tags(&["a"]), &["created Order v1", "updated Order v2", "updated Order v3"], &[]),
        (
            tags(&["a", "x"]),
            &["created Order v1", "created Item v1", "updated Order v2", "updated Order v3", "updated Article v2"],
            &["Article v2"],
        ),
        (
            names(&["oRDER", "nobody"]),
            &["created Order v1", "updated Order v2", "updated Order v3", "updated Order v4", "updated Order v5"],
            &["Order v5"],
        ),
        // A rename is of both names, and a type is of the one that it has.
        (names(&["item"]), &["created Item v1", "updated Article v2"], &[]),
        (names(&["ARTICLE"]), &["updated Article v2"], &["Article v2"]),
        (names(&["Ord", "Order2"]), &[], &[]),
        // Of what happened to types a snapshot knows nothing.
        (
            event_types(&[EventType::ObjectTypeDeleted, EventType::ObjectTypeRestored]),
            &["deleted Plain v2", "restored Plain v3"],
            &["Order v5", "Article v2", "Plain v3"],
        ),
        (
            WatchObjectTypesRequest { tags: texts(&["b"]), names: texts(&["Order"]), ..stock.clone() },
            &["updated Order v3", "updated Order v4"],
            &[],
        ),
        (
            WatchObjectTypesRequest { tags: texts(&["b"]), ..event_types(&[EventType::ObjectTypeCreated]) },
            &["created Item v1"],
            &["Order v5", "Article v2"],
        ),
    ];
    for (filter, changes, types) in cases {
        let told =
            rest(&mut watch(&grpc, WatchObjectTypesRequest { resume_token: start.clone(), ..filter.clone() }).await)
                .await;
        assert_eq!(words(&told), [&["opened"], changes, &["end"]].concat(), "{filter:?}");
        let last = &told.last().unwrap().1;
        let nothing = rest(&mut watch(&grpc, after(last)).await).await;
        assert_eq!(words(&nothing), ["opened", "end"], "the token moves past what {filter:?} leaves out");

        let snapshot = WatchObjectTypesRequest { start: WatchStart::Snapshot.into(), ..filter.clone() };
        let told = rest(&mut watch(&grpc, snapshot).await).await;
        assert_eq!(words(&told), [&["opened"], types, &["complete", "end"]].concat(), "{filter:?}");
    }
}

#[tokio::test]
async fn every_fault_of_a_request_is_told_in_every_protocol() {
    let app = App::start().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let many: Vec<String> = (0..1_001).map(|n| format!("T{n}")).collect();
    let own = json!(["EVENT_TYPE_OBJECT_TYPE_CREATED", "EVENT_TYPE_LINK_TYPE_CREATED", "EVENT_TYPE_UNSPECIFIED", 99]);
    let cases: [(&str, Value, &str, &[&str]); 5] = [
        (OBJECTS, json!({"names": many}), "TOO_MANY_ITEMS", &["names"]),
        (OBJECTS, json!({"categories": ["", "x".repeat(65)]}), "INVALID_REQUEST", &["categories[0]", "categories[1]"]),
        (
            OBJECTS,
            json!({"eventTypes": own}),
            "INVALID_REQUEST",
            &["event_types[1]", "event_types[2]", "event_types[3]"],
        ),
        (LINKS, json!({"eventTypes": ["EVENT_TYPE_OBJECT_TYPE_CREATED"]}), "INVALID_VALUE", &["event_types[0]"]),
        (
            LINKS,
            json!({"names": [""], "tags": ["ok", "", "a\u{0}b"], "start": 3}),
            "INVALID_REQUEST",
            &["names[0]", "tags[1]", "tags[2]", "start"],
        ),
    ];
    for (service, message, reason, fields) in cases {
        let method = if service == OBJECTS { "WatchObjectTypes" } else { "WatchLinkTypes" };
        for protocol in PROTOCOLS {
            let failure = viewer.stream(protocol, &path(service, method), &message).await.unwrap_err();
            let what = format!("{protocol:?} {fields:?}: {failure:?}");
            assert_eq!((failure.code, failure.reason()), (Code::InvalidArgument, reason), "{what}");
            let mut told = failure.fields();
            told.sort_unstable();
            let mut expected = fields.to_vec();
            expected.sort_unstable();
            assert_eq!(told, expected, "{what}");
        }
    }
}
