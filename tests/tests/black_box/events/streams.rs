//! The change feed as Server-Sent Events.

use std::time::{Duration, Instant};

use oms_tests::{App, Client, EventStream, Server, samples};
use reqwest::StatusCode;
use serde_json::json;

use super::{HISTORY, assert_valid, database, history, positions};

async fn watch(client: &Client, after: &str) -> EventStream {
    let stream = client.get("events").header("last-event-id", after).stream().await;
    assert_eq!(stream.status(), StatusCode::OK);
    stream
}

#[tokio::test]
async fn events_come_as_they_happen_with_their_type_and_a_token() {
    let app = App::start().await;
    let editor = app.client("editor");
    let mut stream = editor.get("events").stream().await;
    let header = |name: &str| stream.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    let open = stream.next().await.unwrap();
    assert!(open.id.is_some() && open.retry.is_some() && open.data.is_none(), "{open:?}");

    history(&editor).await;
    let page = editor.get("events").expect(200).await;
    let mut last = open.id.unwrap();
    for (n, expected) in page["data"].as_array().unwrap().iter().enumerate() {
        let frame = stream.next_event().await.unwrap();
        assert_eq!(frame.json(), *expected, "the same as in a page");
        assert_eq!(frame.event.as_deref(), expected["type"].as_str());
        assert_valid(&frame.json());
        // The token of an event leads to the one after it, in a page just as well.
        last = frame.id.unwrap();
        let rest = editor.get(&format!("events?after={last}")).expect(200).await;
        assert_eq!(rest["data"].as_array().unwrap().len(), HISTORY - n - 1);
    }
    let mut resumed = watch(&editor, &last).await;
    editor.post("object-types", &samples::object_type("Later")).expect(201).await;
    let (here, there) = (stream.take(1).await, resumed.take(1).await);
    assert_eq!((positions(&here), &here), (vec![9], &there));
}

#[tokio::test]
async fn it_starts_where_it_is_told_and_filters_what_it_shows() {
    let app = App::start().await;
    let editor = app.client("editor");
    history(&editor).await;
    let mut all = editor.get("events?after=earliest").stream().await;
    assert_eq!(positions(&all.take(HISTORY).await), (1..=8).collect::<Vec<_>>());
    let first = editor.get("events?limit=1").expect(200).await["page"]["resumeToken"].clone();
    let mut second = editor.get("events?after=latest").header("last-event-id", first.as_str().unwrap()).stream().await;
    assert_eq!(positions(&second.take(1).await), [2], "the header of a browser that comes back wins");

    let mut filtered = editor.get("events?after=earliest&type=ObjectTypeUpdated&name=Order").stream().await;
    assert_eq!(positions(&filtered.take(1).await), [4]);
    let mut nobody = editor.get("events?after=earliest&type=ObjectTypeCreated&name=After").stream().await;
    editor.post("object-types", &samples::object_type("Before")).expect(201).await;
    editor.post("object-types", &samples::object_type("After")).expect(201).await;
    assert_eq!(positions(&nobody.take(1).await), [10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_loses_and_repeats_nothing_when_the_server_is_killed() {
    const WRITES: usize = 90;
    let (_database, settings) = database().await;
    let writer = Server::start(&settings).await;
    let editor = writer.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let writing = tokio::spawn(async move {
        for version in 1..WRITES {
            let version = i64::try_from(version).unwrap();
            editor.patch("object-types/Order", version, &json!({"description": version.to_string()})).expect(200).await;
        }
    });

    let (mut after, mut seen) = ("earliest".to_owned(), Vec::new());
    for until in [WRITES / 3, 2 * WRITES / 3, WRITES] {
        let server = Server::start(&settings).await;
        let mut stream = watch(&server.client("viewer"), &after).await;
        while seen.len() < until {
            seen.extend(stream.next_event().await.map(|frame| frame.json()));
        }
        server.kill().await;
        // What was on its way was read, as a browser reads what its socket has before it connects again.
        while let Some(frame) = stream.next_event().await {
            seen.push(frame.json());
        }
        stream.last_id().unwrap().clone_into(&mut after);
    }
    writing.await.unwrap();
    assert_eq!(positions(&seen), (1..).take(WRITES).collect::<Vec<i64>>());
}

#[tokio::test]
async fn it_ends_by_itself_after_its_time_with_a_token() {
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 1)).await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("A")).expect(201).await;
    // Nothing of what comes is for this one, and still its token moves.
    let mut stream = editor.get("events?after=earliest&name=Nobody").stream().await;
    let open = stream.next().await.unwrap().id.unwrap();
    editor.post("object-types", &samples::object_type("B")).expect(201).await;
    while let Some(frame) = stream.next().await {
        assert_eq!(frame.data, None);
    }
    let last = stream.last_id().unwrap();
    assert_ne!(last, open);
    let page = editor.get(&format!("events?after={last}")).expect(200).await;
    assert_eq!(page["data"], json!([]), "it resumes after everything that it passed over");

    // On Lambda without streaming an answer has to end at once, with all that there is.
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 0)).await;
    history(&app.client("editor")).await;
    let mut stream = watch(&app.client("editor"), "earliest").await;
    assert_eq!(stream.take(HISTORY).await.len(), HISTORY);
    assert_eq!(stream.next_event().await, None);
}

#[tokio::test]
async fn a_heartbeat_moves_the_token_of_a_reader_who_is_shown_nothing() {
    let app = App::start().await;
    let editor = app.client("editor");
    let mut stream = editor.get("events?name=Nobody").stream().await;
    let open = stream.next().await.unwrap().id.unwrap();
    for n in 0..3 {
        editor.post("object-types", &samples::object_type(&format!("T{n}"))).expect(201).await;
    }
    let beat = stream.next().await.unwrap();
    assert!(beat.data.is_none() && beat.event.is_none() && beat.comment.is_some(), "browsers show nothing: {beat:?}");
    let token = beat.id.unwrap();
    assert_ne!(token, open);
    assert_eq!(editor.get(&format!("events?after={token}")).expect(200).await["data"], json!([]));
    assert_eq!(editor.get(&format!("events?after={open}")).expect(200).await["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams_at_once_and_they_resume_elsewhere() {
    let (_database, settings) = database().await;
    // Were they requests in flight, they would be waited for.
    let settings = settings.set("SHUTDOWN_TIMEOUT_MS", 60_000);
    let (server, other) = (Server::start(&settings).await, Server::start(&settings).await);
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(server.client("viewer").get("events").stream().await);
    }
    let editor = other.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    for stream in &mut streams {
        assert_eq!(stream.take(1).await.len(), 1);
    }
    let stopped = Instant::now();
    server.stop().await;
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
    editor.patch("object-types/Order", 1, &json!({"displayName": "the next"})).expect(200).await;
    for stream in &mut streams {
        assert_eq!(stream.next_event().await, None);
        let mut resumed = watch(&editor, stream.last_id().unwrap()).await;
        assert_eq!(positions(&resumed.take(1).await), [2]);
    }
}
