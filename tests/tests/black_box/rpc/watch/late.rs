//! A transaction that stays open while others commit.

use oms_proto::client::{WatchObjectTypesRequest, object_type_event::Event};
use oms_tests::{Database, Server, Settings, Watcher, samples, until};
use sqlx::{Connection, PgConnection};

use super::told::{after, from_snapshot, take, told, watch};

/// Makes the write of a type with this name wait, after its outbox row was inserted, as long as the lock is held.
const HOLD: &str = "
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(4711);
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER hold AFTER INSERT ON outbox FOR EACH ROW
        WHEN (NEW.document::text LIKE '%\"Late\"%') EXECUTE FUNCTION hold();
    SELECT pg_advisory_lock(4711)";

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
    let mut holding = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(HOLD).execute(&mut holding).await.unwrap();
    let mut from_now = watch(&grpc, WatchObjectTypesRequest::default()).await;
    assert_eq!(take(&mut from_now, 1).await, ["opened"]);

    let late = editor.clone();
    let late = tokio::spawn(async move { late.post("object-types", &samples::object_type("Late")).expect(201).await });
    until("the late write does not wait", async || {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711)";
        sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut holding).await.unwrap().then_some(())
    })
    .await;
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

    sqlx::query("SELECT pg_advisory_unlock(4711)").execute(&mut holding).await.unwrap();
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
