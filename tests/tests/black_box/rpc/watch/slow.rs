//! Those who read slowly, or not at all.

use std::time::{Duration, Instant};

use futures::future::join_all;
use oms_proto::client::{WatchObjectTypesRequest, object_type_change, object_type_event::Event};
use oms_tests::{Client, Database, Server, Settings, Token, Watcher, samples, until};
use serde_json::{Value, json};
use tonic::{Request, transport::Endpoint};

use super::told::{from_snapshot, take};

/// Changes of each type, and how large the type is. A message has it five times: as text and as a value, and so the change of
/// it, before and after.
const TYPES: usize = 4;
const CHANGES: i64 = 25;
const BYTES: usize = 70_000;
const WATCHERS: usize = 20;

/// Whose connection takes no more than this without being read.
const WINDOW: u32 = 65_535;

async fn open(server: &Server, request: WatchObjectTypesRequest) -> Watcher {
    let endpoint = Endpoint::from_shared(server.grpc()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let mut watcher =
        Watcher::over(endpoint.connect_lazy(), &Token::of("viewer"), Request::new(request)).await.unwrap();
    assert_eq!(take(&mut watcher, 1).await, ["opened"]);
    watcher
}

/// Writes all changes.
async fn write(editor: &Client) {
    let writers = (0..TYPES).map(async |n| {
        for version in 1..=CHANGES {
            let metadata: Value = json!({"text": format!("{version} {}", "x".repeat(BYTES))});
            editor.patch(&format!("object-types/T{n}"), version, &json!({"metadata": metadata})).expect(200).await;
        }
    });
    join_all(writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_piles_up_for_who_does_not_read_and_nothing_is_lost_either() {
    let database = Database::create().await;
    let settings = Settings::for_database(&database);
    let (server, writer) = (Server::start(&settings).await, Server::start(&settings).await);
    let editor = writer.client("editor");
    for n in 0..TYPES {
        editor.post("object-types", &samples::object_type(&format!("T{n}"))).expect(201).await;
    }
    let request = WatchObjectTypesRequest::default();
    let mut watchers = join_all((0..WATCHERS).map(|_| open(&server, request.clone()))).await;
    let mut eager = open(&server, request).await;
    let before = server.resident_bytes();
    let all = TYPES * usize::try_from(CHANGES).unwrap();
    let reading = async {
        let mut bytes = 0;
        for _ in 0..all {
            bytes += eager.next().await.unwrap().unwrap().encoded_len();
        }
        bytes
    };
    let writing = async {
        write(&editor).await;
        Instant::now()
    };
    let (written, bytes) = tokio::join!(writing, reading);
    // Who reads is not held up by those who do not, nor by a network that waits for more to send together: 40 ms each time
    // that a window is full would be a quarter of a minute.
    assert!(written.elapsed() < Duration::from_secs(10), "{:?} after the last change", written.elapsed());
    let grown = server.resident_bytes().saturating_sub(before);
    println!("{WATCHERS} who do not read {bytes} bytes each: the server grew by {grown}");
    // All share a window of the newest events, of 32 MiB.
    assert!(grown < WATCHERS * bytes / 4, "{grown} bytes for {WATCHERS} who do not read {bytes} bytes each");

    // To read it all takes long; two are enough to see that it is all there.
    let read = watchers.iter_mut().take(2).map(async |watcher| {
        let mut versions = vec![Vec::new(); TYPES];
        for _ in 0..all {
            let Some(Event::Change(change)) = watcher.next().await.unwrap() else { panic!("no change") };
            let Some(object_type_change::State::ObjectType(shown)) = change.state else { panic!("no object type") };
            assert!(shown.metadata["text"].len() > BYTES);
            versions[shown.name[1..].parse::<usize>().unwrap()].push(change.version);
        }
        versions
    });
    let expected: Vec<i32> = (2..).take(usize::try_from(CHANGES).unwrap()).collect();
    for versions in join_all(read).await {
        assert!(versions.iter().all(|versions| *versions == expected), "{versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_a_snapshot_is_read_slowly_comes_once() {
    const MANY: usize = 450;
    let database = Database::create().await;
    let server = Server::start(&Settings::for_database(&database)).await;
    let editor = server.client("editor");
    let items: Vec<Value> = (0..MANY).map(|n| samples::object_type(&format!("T{n}"))).collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let mut whole = open(&server, from_snapshot()).await;
    let order = take(&mut whole, MANY).await;
    let names: Vec<&str> = order.iter().map(|shown| shown.strip_suffix(" v1").unwrap()).collect();

    let endpoint = Endpoint::from_shared(server.grpc()).unwrap().initial_stream_window_size(4_096);
    let request = Request::new(from_snapshot());
    let mut slow = Watcher::over(endpoint.connect_lazy(), &Token::of("viewer"), request).await.unwrap();
    take(&mut slow, 101).await;
    // One that was shown, and three of the last page, which nobody has asked for yet.
    let patch = json!({"displayName": "changed"});
    editor.patch(&format!("object-types/{}", names[0]), 1, &patch).expect(200).await;
    editor.patch(&format!("object-types/{}", names[MANY - 1]), 1, &patch).expect(200).await;
    editor.patch(&format!("object-types/{}", names[MANY - 2]), 1, &json!({"name": "Renamed"})).expect(200).await;
    editor.delete(&format!("object-types/{}", names[MANY - 3]), 1).expect(204).await;
    editor.post("object-types", &samples::object_type("New")).expect(201).await;
    let left = take(&mut slow, MANY - 99).await;
    let (changed, deleted) = (names[MANY - 1], names[MANY - 3]);
    let expected = order[100..MANY - 3].iter().cloned();
    let expected =
        expected.chain(["Renamed v2".to_owned(), format!("{changed} v2"), "New v1".to_owned(), "complete".to_owned()]);
    assert_eq!(left, expected.collect::<Vec<_>>());
    // What the snapshot has shown is not told again.
    assert_eq!(take(&mut slow, 2).await, [format!("updated {} v2", names[0]), format!("deleted {deleted} v2")]);
    editor.post("object-types", &samples::object_type("Newer")).expect(201).await;
    assert_eq!(take(&mut slow, 1).await, ["created Newer v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_though_somebody_does_not_read_and_all_go_on_elsewhere() {
    let database = Database::create().await;
    // Were they requests in flight, they would be waited for.
    let settings = Settings::for_database(&database).set("SHUTDOWN_TIMEOUT_MS", 60_000);
    let (server, other) = (Server::start(&settings).await, Server::start(&settings).await);
    let editor = other.client("editor");
    let items: Vec<Value> = (0..450).map(|n| samples::object_type(&format!("T{n}"))).collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let mut watchers = Vec::new();
    for _ in 0..5 {
        watchers.push(open(&server, WatchObjectTypesRequest::default()).await);
    }
    let endpoint = Endpoint::from_shared(server.grpc()).unwrap().initial_stream_window_size(4_096);
    let mut within =
        Watcher::over(endpoint.connect_lazy(), &Token::of("viewer"), Request::new(from_snapshot())).await.unwrap();
    assert_eq!(take(&mut within, 1).await, ["opened"]);
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    for watcher in &mut watchers {
        assert_eq!(take(watcher, 1).await, ["created Order v1"]);
    }
    server.terminate();
    for watcher in &mut watchers {
        assert_eq!(take(watcher, 1).await, ["end"]);
        assert_eq!(watcher.next().await.unwrap(), None);
    }
    // The rest of the page that was read for it, and the end with a token from within the snapshot.
    let mut shown = 0;
    while let Some(event) = within.next().await.unwrap() {
        match event {
            Event::Snapshot(_) => shown += 1,
            other => assert!(matches!(other, Event::End(_)), "{other:?}"),
        }
    }
    let exit = server.exit().await;
    assert_eq!(exit.code, Some(0), "{exit:?}");

    editor.patch("object-types/Order", 1, &json!({"displayName": "next"})).expect(200).await;
    for watcher in &watchers {
        let request = super::told::after(watcher.last_token());
        assert_eq!(take(&mut open(&other, request).await, 1).await, ["updated Order v2"]);
    }
    let mut resumed = open(&other, super::told::after(within.last_token())).await;
    until("the snapshot does not end", async || {
        if let Some(Event::SnapshotComplete(_)) = resumed.next().await.unwrap() {
            return Some(());
        }
        shown += 1;
        None
    })
    .await;
    assert_eq!(shown, 451, "each once");
}
