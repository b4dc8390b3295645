//! A repeated write is answered as the first was, and done once.

use futures::future::join_all;
use oms_tests::{App, Call, samples};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_another_body_is_refused() {
    let app = App::start().await;
    let editor = app.client("editor");
    let order = samples::object_type("Order");
    let first = editor.post("object-types", &order).key("k-1").v2().send().await;
    let id = first.expect(201)["id"].as_str().unwrap().to_owned();
    editor.patch("object-types/Order", 1, &json!({"displayName": "Changed"})).expect(200).await;

    let again = editor.post("object-types", &order).key("k-1").v2().send().await;
    assert_eq!(again.expect(201), first.json(), "as it was answered then, not as it is now");
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.header("location"), first.header("location"));
    let reused = editor.post("object-types", &samples::object_type("Other")).key("k-1").expect(422).await;
    assert_eq!(reused["code"], "IDEMPOTENCY_KEY_REUSED");

    let path = format!("object-types/{id}");
    let patch = json!({"displayName": "Twice"});
    let patched = editor.patch(&path, 2, &patch).key("k-2").v2().expect(200).await;
    assert_eq!(editor.patch(&path, 2, &patch).key("k-2").v2().expect(200).await, patched);
    let other_condition = editor.patch(&path, 3, &patch).key("k-2").send().await;
    assert_eq!(other_condition.status, 422, "the expected version shapes the write, too");

    editor.delete(&path, 3).key("k-3").expect(204).await;
    editor.delete(&path, 3).key("k-3").expect(204).await;
    let restore = || editor.call(Method::POST, &format!("{path}/restore")).v2().key("k-4");
    let restored = restore().expect(200).await;
    assert_eq!(restore().expect(200).await, restored);
    assert_eq!(restored["version"], 5);

    let batch = json!({"items": [samples::object_type("A"), samples::object_type("B")]});
    let created = editor.post("object-types:batch", &batch).key("k-5").v2().expect(201).await;
    assert_eq!(editor.post("object-types:batch", &batch).key("k-5").v2().expect(201).await, created);
    assert_eq!(editor.all("object-types").await.len(), 3);
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_and_a_refused_request_does_not_use_it_up() {
    let app = App::start().await;
    let (editor, admin) = (app.client("editor"), app.admin());
    let refused = editor.post("object-types", &json!({"name": "Order"})).key("k").send().await;
    assert_eq!(refused.status, 400);
    let created = editor.post("object-types", &samples::object_type("Order")).key("k").expect(201).await;
    let others = admin.post("object-types", &samples::object_type("Invoice")).key("k").expect(201).await;
    assert_ne!(created["id"], others["id"]);
}

/// Sends the same call sixteen times at once; gives the one answer that all get.
async fn at_once(call: Call, status: u16) -> Value {
    let answers = join_all((0..16).map(|_| call.again().expect(status))).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    answers[0].clone()
}

#[tokio::test]
async fn of_many_creates_at_once_one_writes_and_all_are_answered_alike() {
    let app = App::start().await;
    let editor = app.client("editor");
    let created = at_once(editor.post("object-types", &samples::object_type("Order")).v2().key("k"), 201).await;
    assert_eq!(editor.all("object-types").await, [created]);
}

#[tokio::test]
async fn of_many_changes_at_once_one_writes_and_all_are_answered_alike() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let patch = json!({"displayName": "changed"});
    assert_eq!(at_once(editor.patch("object-types/Order", 1, &patch).v2().key("a"), 200).await["version"], 2);
    at_once(editor.delete("object-types/Order", 2).key("b"), 204).await;
    let restored = at_once(editor.call(Method::POST, "object-types/Order/restore").v2().key("c"), 200).await;
    assert_eq!(restored["version"], 4);
}
