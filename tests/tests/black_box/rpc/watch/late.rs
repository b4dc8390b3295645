//! A transaction that stays open while others commit.

use oms_proto::client::{WatchObjectTypesRequest, object_type_event::Event};
use oms_tests::{Database, HeldWrite, Server, Settings, Watcher, samples};

use super::told::{after, from_snapshot, take, told, watch};

/// The next message, and its place in the log.
async fn placed(watcher: &mut Watcher) -> (String, i64) {
    match watcher.next().await.unwrap() {
        Some(Event::Change(change)) => (told(&Event::Change(change.clone())), change.position),
        other => panic!("{other:?} is no change"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_late_is_not_skipped() {
    let database = Database::create().await;
    let server = Server::start(&Settings::for_database(&database)).await;
    let (editor, grpc) = (server.client("editor"), server.grpc());
    let mut held = HeldWrite::prepare(&database).await;
    let mut from_now = watch(&grpc, WatchObjectTypesRequest::default()).await;
    assert_eq!(take(&mut from_now, 1).await, ["opened"]);

    let late = editor.clone();
    let late = tokio::spawn(async move { late.post("object-types", &samples::object_type("Late")).expect(201).await });
    held.until_it_waits().await;
    for name in ["A", "B", "C"] {
        editor.post("object-types", &samples::object_type(name)).expect(201).await;
    }
    // All who watch have passed what was committed meanwhile.
    assert_eq!(take(&mut from_now, 3).await, ["created A v1", "created B v1", "created C v1"]);
    let passed = from_now.last_token().to_owned();
    let mut with_snapshot = watch(&grpc, from_snapshot()).await;
    assert_eq!(take(&mut with_snapshot, 2).await, ["opened", "A v1"]);
    let within = with_snapshot.last_token().to_owned();
    assert_eq!(take(&mut with_snapshot, 3).await, ["B v1", "C v1", "complete"]);
    let complete = with_snapshot.last_token().to_owned();
    assert!(!late.is_finished());

    held.release().await;
    late.await.unwrap();
    let expected = ("created Late v1".to_owned(), 4);
    for watcher in [&mut from_now, &mut with_snapshot] {
        assert_eq!(placed(watcher).await, expected);
    }
    for token in [passed, complete] {
        let mut resumed = watch(&grpc, after(&token)).await;
        assert_eq!(take(&mut resumed, 1).await, ["opened"]);
        assert_eq!(placed(&mut resumed).await, expected);
    }
    // Its id is older than those which this snapshot has shown, so it is not in the rest of it.
    let mut resumed = watch(&grpc, after(&within)).await;
    assert_eq!(take(&mut resumed, 4).await, ["opened", "B v1", "C v1", "complete"]);
    assert_eq!(placed(&mut resumed).await, expected);
}
