//! Tokens: where each of them leads, and which are none.

use oms_proto::client::WatchObjectTypesRequest;
use oms_tests::{App, Client, Token, Watcher, samples};
use serde_json::{Value, json};
use tonic::Code;

use super::{
    super::{
        OBJECTS, path,
        wire::{Failure, PROTOCOLS, Wire},
    },
    told::{after, from_snapshot, rest, take, watch, words},
};

/// Streams end with what is there.
async fn brief() -> App {
    App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 0)).await
}

async fn create(editor: &Client, names: &[&str]) {
    for name in names {
        editor.post("object-types", &samples::object_type(name)).expect(201).await;
    }
}

/// All that a stream tells until it ends.
async fn all(grpc: &str, request: WatchObjectTypesRequest) -> Vec<(String, String)> {
    rest(&mut watch(grpc, request).await).await
}

#[tokio::test]
async fn whichever_message_was_the_last_the_next_stream_goes_on_after_it() {
    let app = brief().await;
    let (editor, grpc) = (app.client("editor"), app.grpc());
    create(&editor, &["A", "B", "C"]).await;
    let first = all(&grpc, from_snapshot()).await;
    assert_eq!(words(&first), ["opened", "A v1", "B v1", "C v1", "complete", "end"]);
    editor.patch("object-types/A", 1, &json!({"displayName": "first"})).expect(200).await;
    create(&editor, &["D"]).await;
    let after_each: [&[&str]; 6] = [
        // A version that the snapshot has shown is not told again as a change.
        &["opened", "A v2", "B v1", "C v1", "D v1", "complete", "end"],
        &["opened", "B v1", "C v1", "D v1", "complete", "updated A v2", "end"],
        &["opened", "C v1", "D v1", "complete", "updated A v2", "end"],
        &["opened", "D v1", "complete", "updated A v2", "end"],
        &["opened", "updated A v2", "created D v1", "end"],
        &["opened", "updated A v2", "created D v1", "end"],
    ];
    for ((last, token), expected) in first.iter().zip(after_each) {
        let resumed = all(&grpc, after(token)).await;
        assert_eq!(words(&resumed), expected, "after {last}");
        // And so on. What changed meanwhile is told as changes once more, with the versions that the snapshot has shown.
        let after_complete = resumed.iter().skip_while(|(last, _)| last != "complete" && last != "updated A v2");
        for (last, token) in after_complete {
            let expected: &[&str] = match last.as_str() {
                "complete" => &["opened", "updated A v2", "created D v1", "end"],
                "updated A v2" => &["opened", "created D v1", "end"],
                _ => &["opened", "end"],
            };
            assert_eq!(words(&all(&grpc, after(token)).await), expected, "after {last}");
        }
        // A token has all that there is to know: where to start is not asked any more.
        let both = WatchObjectTypesRequest { resume_token: token.clone(), ..from_snapshot() };
        assert_eq!(words(&all(&grpc, both).await), expected, "after {last}");
    }
}

#[tokio::test]
async fn a_stream_may_end_within_a_long_snapshot_and_nothing_of_it_comes_twice() {
    const TYPES: usize = 450;
    let app = brief().await;
    let items: Vec<Value> = (0..TYPES).map(|n| samples::object_type(&format!("T{n}"))).collect();
    let editor = app.client("editor");
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let (mut request, mut shown, mut streams) = (from_snapshot(), Vec::new(), 0);
    loop {
        let mut watcher = watch(&app.grpc(), request).await;
        let told = rest(&mut watcher).await;
        streams += 1;
        shown.extend(words(&told).iter().filter(|words| words.ends_with(" v1")).map(|words| (*words).to_owned()));
        if words(&told).contains(&"complete") {
            break;
        }
        assert!(streams < 10, "each comes a step further");
        request = after(watcher.last_token());
    }
    assert_eq!((shown.len(), streams), (TYPES, 3), "a page of the snapshot for each");
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), TYPES, "each once");
}

#[tokio::test]
async fn tokens_are_those_of_the_feed_over_rest() {
    let app = brief().await;
    let (editor, grpc) = (app.client("editor"), app.grpc());
    create(&editor, &["A", "B"]).await;
    editor.post("link-types", &samples::link_type("l", "A", "B")).expect(201).await;
    let shown = all(&grpc, from_snapshot()).await;
    create(&editor, &["C", "D"]).await;
    let names = |page: &Value| -> Vec<String> {
        let events = page["data"].as_array().unwrap().iter();
        events.map(|event| event["data"]["objectType"]["name"].as_str().unwrap().to_owned()).collect()
    };
    for (last, token) in &shown {
        let answer = editor.get(&format!("events?after={token}")).send().await;
        let stream = editor.get("events").header("last-event-id", token).stream().await;
        if matches!(last.as_str(), "complete" | "end") {
            assert_eq!(names(&answer.expect(200)), ["C", "D"], "after {last}");
            assert_eq!(stream.status(), 200);
        } else {
            // Who knows nothing of snapshots would miss the rest of it.
            assert_eq!(answer.expect(400)["code"], "INVALID_CURSOR", "after {last}");
            assert_eq!(stream.status(), 400);
        }
    }
    let changes = all(&grpc, after(&shown.last().unwrap().1)).await;
    assert_eq!(words(&changes), ["opened", "created C v1", "created D v1", "end"]);
    let page = editor.get(&format!("events?after={}", changes[1].1)).expect(200).await;
    assert_eq!(names(&page), ["D"]);

    // Of a page, and of the first event of a stream; the link type is for others to tell.
    let page = editor.get("events?limit=1").expect(200).await;
    let left = ["opened", "created B v1", "created C v1", "created D v1", "end"];
    assert_eq!(words(&all(&grpc, after(page["page"]["resumeToken"].as_str().unwrap())).await), left);
    let mut stream = editor.get("events?after=earliest").stream().await;
    stream.take(1).await;
    assert_eq!(words(&all(&grpc, after(stream.last_id().unwrap())).await), left);
}

async fn refused(wire: &Wire, message: &Value) -> Vec<Box<Failure>> {
    let mut failures = Vec::new();
    for protocol in PROTOCOLS {
        failures.push(wire.stream(protocol, &path(OBJECTS, "WatchObjectTypes"), message).await.unwrap_err());
    }
    failures
}

#[tokio::test]
async fn what_is_no_token_of_this_tenant_is_refused_in_every_protocol() {
    let app = brief().await;
    let (editor, grpc) = (app.client("editor"), app.grpc());
    create(&editor, &["A", "B"]).await;
    let theirs = Token::of("editor").tenant("globex");
    let mut foreign = Watcher::open(&grpc, &theirs, from_snapshot()).await.unwrap();
    let of_page = editor.get("object-types?limit=1").expect(200).await["page"]["nextCursor"].clone();
    let mut wrong =
        vec!["nonsense".to_owned(), "x".repeat(10_000), "고객".to_owned(), of_page.as_str().unwrap().to_owned()];
    wrong.extend(rest(&mut foreign).await.into_iter().map(|(_, token)| token));
    for (_, token) in all(&grpc, from_snapshot()).await {
        wrong.extend([token[1..].to_owned(), format!("{token}A"), token.to_lowercase()]);
    }
    let viewer = Wire::of(&grpc, "viewer");
    for token in wrong {
        for failure in refused(&viewer, &json!({"resumeToken": token})).await {
            assert_eq!(
                (failure.code, failure.reason()),
                (Code::InvalidArgument, "INVALID_CURSOR"),
                "{token}: {failure:?}"
            );
            assert_eq!(failure.fields(), ["resume_token"], "{token}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_too_old_or_of_another_life_of_the_database_is_expired_and_never_a_gap() {
    let app = App::start().await;
    let (editor, grpc) = (app.client("editor"), app.grpc());
    create(&editor, &["A"]).await;
    // One before the snapshot, one within it, one of changes.
    let mut first = watch(&grpc, from_snapshot()).await;
    let mut old = Vec::new();
    for _ in 0..3 {
        take(&mut first, 1).await;
        old.push(first.last_token().to_owned());
    }
    create(&editor, &["B", "C", "D"]).await;
    assert_eq!(take(&mut first, 3).await, ["created B v1", "created C v1", "created D v1"]);
    let good = first.last_token().to_owned();
    let pool = app.pool().await;
    // As if the range of the first events had been dropped.
    sqlx::raw_sql("UPDATE event_log_head SET first_position = 4; DELETE FROM events WHERE position < 4")
        .execute(&pool)
        .await
        .unwrap();
    let viewer = Wire::of(&grpc, "viewer");
    let is_expired = |failure: &Failure| {
        assert_eq!((failure.code, failure.reason()), (Code::OutOfRange, "RESUME_TOKEN_EXPIRED"), "{failure:?}");
    };
    for token in &old {
        refused(&viewer, &json!({"resumeToken": token})).await.iter().for_each(|failure| is_expired(failure));
    }
    let mut resumed = watch(&grpc, after(&good)).await;
    assert_eq!(take(&mut resumed, 1).await, ["opened"], "nothing after this one is gone");

    // Restored from a backup, it is another log: those who watch are told so, with all that a failure has.
    sqlx::query("SELECT begin_epoch()").execute(&pool).await.unwrap();
    create(&editor, &["E"]).await;
    for mut watcher in [first, resumed] {
        let status = watcher.next().await.unwrap_err();
        is_expired(&Failure::of(&status));
        assert!(!Failure::of(&status).correlation_id().is_empty());
    }
    refused(&viewer, &json!({"resumeToken": good})).await.iter().for_each(|failure| is_expired(failure));
    assert_eq!(take(&mut watch(&grpc, from_snapshot()).await, 6).await.last().unwrap(), "E v1", "it starts anew");
}

#[tokio::test]
async fn a_heartbeat_moves_the_token_of_a_reader_who_is_shown_nothing() {
    let app = App::start().await;
    let (editor, grpc) = (app.client("editor"), app.grpc());
    let nobody =
        WatchObjectTypesRequest { categories: vec!["nobody".to_owned()], ..WatchObjectTypesRequest::default() };
    let mut watcher = watch(&grpc, nobody.clone()).await;
    assert_eq!(take(&mut watcher, 1).await, ["opened"]);
    let opened = watcher.last_token().to_owned();
    create(&editor, &["A", "B"]).await;
    assert_eq!(take(&mut watcher, 1).await, ["heartbeat"]);
    let mut resumed = watch(&grpc, after(watcher.last_token())).await;
    create(&editor, &["C"]).await;
    assert_eq!(
        take(&mut resumed, 2).await,
        ["opened", "created C v1"],
        "it resumes after everything that it passed over"
    );
    let mut resumed = watch(&grpc, after(&opened)).await;
    assert_eq!(take(&mut resumed, 4).await, ["opened", "created A v1", "created B v1", "created C v1"]);
}
