//! Watching over gRPC: where streams start, what they show, how they end, and what they cost.

mod changes;
mod ends;
mod filters;
mod slow;
mod tokens;
mod told;
mod wires;

use std::time::Duration;

use futures::future::join_all;
use oms_proto::client::{
    EventType, ObjectTypeChange, ObjectTypeEvent, WatchLinkTypesRequest, WatchObjectTypesRequest, WatchStart,
    object_type_change, object_type_event::Event, object_type_snapshot,
};
use oms_tests::{App, Database, Server, Settings, Token, samples, until};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tonic::{Code, Request, Status, Streaming};

use super::{Clients, wire::Failure};

/// A watch of object types.
struct Watch {
    stream: Streaming<ObjectTypeEvent>,
    token: String,
}

impl Watch {
    async fn open(clients: &Clients, request: WatchObjectTypesRequest) -> Self {
        let mut watch = Self::try_open(clients, request).await.unwrap();
        assert!(matches!(watch.next().await, Some(Event::Opened(_))), "the first message says where it starts");
        watch
    }

    async fn try_open(
        clients: &Clients,
        request: impl tonic::IntoRequest<WatchObjectTypesRequest>,
    ) -> Result<Self, Status> {
        let stream = clients.objects.clone().watch_object_types(request).await?.into_inner();
        Ok(Self { stream, token: String::new() })
    }

    async fn next(&mut self) -> Option<Event> {
        let next = tokio::time::timeout(Duration::from_secs(60), self.stream.message());
        let message = next.await.expect("a message in time").unwrap()?;
        assert!(!message.resume_token.is_empty(), "each message can be resumed after");
        self.token = message.resume_token;
        message.event
    }

    async fn change(&mut self) -> ObjectTypeChange {
        match self.next().await {
            Some(Event::Change(change)) => change,
            other => panic!("{other:?} is no change"),
        }
    }

    /// The names of a snapshot, up to its end.
    async fn snapshot(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            match self.next().await {
                Some(Event::Snapshot(snapshot)) => match snapshot.state {
                    Some(object_type_snapshot::State::ObjectType(shown)) => names.push(shown.name),
                    other => panic!("{other:?} is no object type"),
                },
                Some(Event::SnapshotComplete(_)) => return names,
                other => panic!("{other:?} is no part of a snapshot"),
            }
        }
    }
}

fn name(change: &ObjectTypeChange) -> &str {
    match &change.state {
        Some(object_type_change::State::ObjectType(shown)) => &shown.name,
        other => panic!("{other:?} is no object type"),
    }
}

fn after(token: &str) -> WatchObjectTypesRequest {
    WatchObjectTypesRequest { resume_token: token.to_owned(), ..WatchObjectTypesRequest::default() }
}

fn snapshot() -> WatchObjectTypesRequest {
    WatchObjectTypesRequest { start: WatchStart::Snapshot.into(), ..WatchObjectTypesRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_followed_by_what_changes_and_every_token_goes_on_where_it_was() {
    let app = App::start().await;
    let (editor, clients) = (app.client("editor"), Clients::of(&app.grpc(), "viewer"));
    for name in ["A", "B", "C"] {
        editor.post("object-types", &samples::object_type(name)).expect(201).await;
    }
    editor.delete("object-types/B", 1).expect(204).await;
    let mut watch = Watch::open(&clients, snapshot()).await;
    let opened = watch.token.clone();
    assert!(matches!(watch.next().await, Some(Event::Snapshot(_))));
    let within = watch.token.clone();
    assert_eq!(watch.snapshot().await, ["C"]);
    let complete = watch.token.clone();
    editor.patch("object-types/A", 1, &json!({"displayName": "Changed"})).expect(200).await;
    let change = watch.change().await;
    assert_eq!((name(&change), change.version, change.r#type()), ("A", 2, EventType::ObjectTypeUpdated));
    assert_eq!(change.changes[0].field, "displayName");
    editor.post("object-types", &samples::object_type("D")).expect(201).await;
    let created = watch.change().await;
    assert_eq!((name(&created), created.position), ("D", change.position + 1));

    // Whoever comes back with a token of the snapshot gets the rest of it, and then what changed.
    let mut again = Watch::open(&clients, after(&opened)).await;
    assert_eq!(again.snapshot().await, ["A", "C", "D"]);
    let mut again = Watch::open(&clients, after(&within)).await;
    assert_eq!(again.snapshot().await, ["C", "D"]);
    assert_eq!((name(&again.change().await), again.token.is_empty()), ("A", false));
    let mut again = Watch::open(&clients, after(&complete)).await;
    assert_eq!([name(&again.change().await), name(&again.change().await)], ["A", "D"]);

    // Tokens of changes are those of the other feeds; one of a snapshot is only for who can finish it.
    let viewer = app.client("viewer");
    let page = viewer.get(&format!("events?after={complete}")).expect(200).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    assert_eq!(viewer.get(&format!("events?after={within}")).expect(400).await["code"], "INVALID_CURSOR");
    let earliest = viewer.get("events?limit=1").expect(200).await;
    let mut from_rest = Watch::open(&clients, after(earliest["page"]["resumeToken"].as_str().unwrap())).await;
    assert_eq!(name(&from_rest.change().await), "B");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_shows_also_what_leaves_it() {
    let app = App::start().await;
    let (editor, clients) = (app.client("editor"), Clients::of(&app.grpc(), "viewer"));
    for (name, category, tag) in [("A", "crm", "x"), ("B", "erp", "y")] {
        let body = json!({"name": name, "displayName": name, "category": category, "tags": [tag]});
        editor.post("object-types", &body).expect(201).await;
    }
    let category = WatchObjectTypesRequest { categories: vec!["crm".to_owned()], ..snapshot() };
    let tag = WatchObjectTypesRequest { tags: vec!["y".to_owned()], ..snapshot() };
    let named = WatchObjectTypesRequest { names: vec!["a".to_owned()], ..snapshot() };
    let deletions = WatchObjectTypesRequest {
        event_types: vec![EventType::ObjectTypeDeleted.into()],
        ..WatchObjectTypesRequest::default()
    };
    let mut category = Watch::open(&clients, category).await;
    let mut tag = Watch::open(&clients, tag).await;
    let mut named = Watch::open(&clients, named).await;
    let mut deletions = Watch::open(&clients, deletions).await;
    assert_eq!((category.snapshot().await, tag.snapshot().await), (vec!["A".to_owned()], vec!["B".to_owned()]));
    assert_eq!(named.snapshot().await, ["A"]);

    editor.patch("object-types/A", 1, &json!({"category": "erp"})).expect(200).await;
    editor.patch("object-types/A", 2, &json!({"name": "Z", "tags": ["y"]})).expect(200).await;
    editor.patch("object-types/B", 1, &json!({"category": "crm", "tags": []})).expect(200).await;
    editor.delete("object-types/B", 2).expect(204).await;
    let versions = async |watch: &mut Watch, count: usize| {
        let mut seen = Vec::new();
        for _ in 0..count {
            let change = watch.change().await;
            seen.push((name(&change).to_owned(), change.version));
        }
        seen
    };
    let told = |all: &[(&str, i32)]| -> Vec<(String, i32)> { all.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect() };
    assert_eq!(versions(&mut category, 3).await, told(&[("A", 2), ("B", 2), ("B", 3)]));
    assert_eq!(versions(&mut tag, 2).await, told(&[("Z", 3), ("B", 2)]));
    assert_eq!(versions(&mut named, 2).await, told(&[("A", 2), ("Z", 3)]));
    assert_eq!(versions(&mut deletions, 1).await, told(&[("B", 3)]));
}

#[tokio::test]
async fn what_cannot_be_watched_is_said_at_once() {
    let app = App::start().await;
    let clients = Clients::of(&app.grpc(), "viewer");
    let token = Watch::open(&clients, snapshot()).await.token;
    let refused = |status: Status| {
        let failure = Failure::of(&status);
        (status.code(), failure.reason().to_owned(), failure.fields().first().map(|field| (*field).to_owned()))
    };
    let garbage = Watch::try_open(&clients, after("garbage")).await.err().map(refused).unwrap();
    assert_eq!(garbage, (Code::InvalidArgument, "INVALID_CURSOR".to_owned(), Some("resume_token".to_owned())));
    let stranger = Clients::with(&app.grpc(), &Token::of("viewer").tenant("globex"));
    let foreign = Watch::try_open(&stranger, after(&token)).await.err().map(refused).unwrap();
    assert_eq!(foreign.1, "INVALID_CURSOR", "a token belongs to its tenant");
    let links = WatchObjectTypesRequest { event_types: vec![EventType::LinkTypeCreated.into()], ..snapshot() };
    let links = Watch::try_open(&clients, links).await.err().map(refused).unwrap();
    assert_eq!(links, (Code::InvalidArgument, "INVALID_VALUE".to_owned(), Some("event_types[0]".to_owned())));
    let nobody = Clients::of(&app.grpc(), "nobody");
    let denied =
        nobody.links.clone().watch_link_types(WatchLinkTypesRequest::default()).await.err().map(refused).unwrap();
    assert_eq!((denied.0, denied.1.as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_a_token_in_time_before_its_deadline_and_with_its_server() {
    let database = Database::create().await;
    let settings = Settings::for_database(&database);
    let short = Server::start(&settings.clone().set("EVENT_STREAM_SECONDS", 1)).await;
    let clients = Clients::of(&short.grpc(), "viewer");
    let mut watch = Watch::open(&clients, WatchObjectTypesRequest::default()).await;
    assert!(matches!(watch.next().await, Some(Event::End(_))), "after a second");
    assert!(watch.next().await.is_none(), "in good order");
    short.stop().await;

    let server = Server::start(&settings).await;
    let clients = Clients::of(&server.grpc(), "viewer");
    let mut request = Request::new(after(&watch.token));
    request.set_timeout(Duration::from_secs(2));
    let mut watch = Watch::try_open(&clients, request).await.unwrap();
    assert!(matches!(watch.next().await, Some(Event::Opened(_))));
    assert!(matches!(watch.next().await, Some(Event::End(_))), "before the client gives it up");
    assert!(watch.next().await.is_none());

    let mut watch = Watch::open(&clients, after(&watch.token)).await;
    server.terminate();
    assert!(matches!(watch.next().await, Some(Event::End(_))), "with the server");
    assert_eq!(server.exit().await.code, Some(0));
}

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

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_late_is_not_skipped() {
    let database = Database::create().await;
    let server = Server::start(&Settings::for_database(&database)).await;
    let (editor, clients) = (server.client("editor"), Clients::of(&server.grpc(), "viewer"));
    let mut holding = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(HOLD).execute(&mut holding).await.unwrap();
    let mut watch = Watch::open(&clients, WatchObjectTypesRequest::default()).await;
    let writer = editor.clone();
    let late =
        tokio::spawn(async move { writer.post("object-types", &samples::object_type("Late")).expect(201).await });
    until("the late write does not wait", async || {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711)";
        sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut holding).await.unwrap().then_some(())
    })
    .await;
    editor.post("object-types", &samples::object_type("Early")).expect(201).await;
    assert_eq!(name(&watch.change().await), "Early");
    let mut with_snapshot = Watch::open(&clients, snapshot()).await;
    assert_eq!(with_snapshot.snapshot().await, ["Early"]);
    sqlx::query("SELECT pg_advisory_unlock(4711)").execute(&mut holding).await.unwrap();
    late.await.unwrap();
    for watch in [&mut watch, &mut with_snapshot] {
        let change = watch.change().await;
        assert_eq!((name(&change), change.position), ("Late", 2));
    }
}

/// Statements while five types were written one by one, and each was seen by everybody.
async fn statements(watchers: usize) -> u64 {
    const CHANGES: usize = 5;
    // The reader looks when something was written here, and not by the clock meanwhile.
    let (app, proxy) = App::counted(|settings| settings.set("EVENT_POLL_MS", 600_000)).await;
    let (editor, clients) = (app.client("editor"), Clients::of(&app.grpc(), "viewer"));
    let request = WatchObjectTypesRequest::default();
    let mut watches = join_all((0..watchers).map(|_| Watch::open(&clients, request.clone()))).await;
    editor.post("object-types", &samples::object_type("First")).expect(201).await;
    // The first change says that the reader is at work.
    join_all(watches.iter_mut().map(Watch::change)).await;
    let (seen, statements) = proxy
        .count(async {
            let mut seen = vec![Vec::new(); watchers];
            for n in 0..CHANGES {
                editor.post("object-types", &samples::object_type(&format!("T{n}"))).expect(201).await;
                for (seen, change) in seen.iter_mut().zip(join_all(watches.iter_mut().map(Watch::change)).await) {
                    seen.push(change.position);
                }
            }
            seen
        })
        .await;
    assert!(seen.iter().all(|positions| *positions == [2, 3, 4, 5, 6]), "{seen:?}");
    statements
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_who_watch_cost_the_database_as_much_as_one() {
    let (one, many) = (statements(1).await, statements(200).await);
    println!("{one} statements with one watcher, {many} with two hundred");
    // Whether a look finds a change that another one was made for depends on the moment.
    assert!(many <= one + 10, "{one} statements with one watcher, {many} with two hundred");
}
