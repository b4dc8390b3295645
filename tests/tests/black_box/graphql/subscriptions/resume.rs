//! How a stream ends, and goes on elsewhere.

use std::time::{Duration, Instant};

use oms_tests::{App, Database, Server, Settings, Token, samples};
use serde_json::json;

use super::{ALL, HISTORY, completes, events, history, positions, refused, shown, watch};

#[tokio::test]
async fn it_resumes_by_header_or_argument_without_loss_or_repeat() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    history(&editor).await;
    let after = |token: &str| viewer.graphql(ALL, &json!({"after": token}));
    let mut first = after("earliest").stream().await;
    let mut tokens = Vec::new();
    for expected in 1..=3 {
        let frame = first.next_event().await.unwrap();
        assert_eq!(shown(&frame)["position"], expected);
        tokens.push(frame.id.unwrap());
    }
    drop(first);

    // It goes on with what came before it is there again, and with what comes then.
    let mut by_argument = after(&tokens[2]).stream().await;
    let mut by_header = after("latest").header("last-event-id", &tokens[1]).stream().await;
    let mut no_header = after(&tokens[2]).header("last-event-id", "").stream().await;
    assert_eq!(positions(&mut by_argument, 5).await, [4, 5, 6, 7, 8]);
    assert_eq!(positions(&mut by_header, 6).await, [3, 4, 5, 6, 7, 8], "the header wins");
    assert_eq!(positions(&mut no_header, 5).await, [4, 5, 6, 7, 8]);
    editor.post("object-types", &samples::object_type("Later")).expect(201).await;
    for stream in [&mut by_argument, &mut by_header, &mut no_header] {
        assert_eq!(positions(stream, 1).await, [9]);
    }
    // One feed, one token: that of a subscription is good for the REST API, and the other way round.
    let rest = viewer.get(&format!("events?after={}", by_header.last_id().unwrap())).expect(200).await;
    assert_eq!(rest["data"], json!([]));
    let token = viewer.get("events?limit=7").expect(200).await["page"]["resumeToken"].clone();
    assert_eq!(positions(&mut after(token.as_str().unwrap()).stream().await, 2).await, [8, 9]);
}

#[tokio::test]
async fn a_token_that_is_too_old_foreign_or_no_token_is_refused() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    history(&editor).await;
    let token = async |limit: usize| {
        let page = viewer.get(&format!("events?limit={limit}")).expect(200).await;
        page["page"]["resumeToken"].as_str().unwrap().to_owned()
    };
    let (old, good) = (token(1).await, token(2).await);
    let after = |token: &str| viewer.graphql(ALL, &json!({"after": token}));
    let foreign = app.anonymous().with_token(Token::of("viewer").tenant("globex").sign());
    for call in [
        foreign.graphql(ALL, &json!({"after": good})),
        after("nonsense"),
        after(""),
        after(&good[1..]),
        after(&good).header("last-event-id", "nonsense"),
        after(&"x".repeat(129)),
    ] {
        let error = refused(call.stream().await, "INVALID_CURSOR").await;
        assert_eq!(
            (&error["path"], &error["extensions"]["errors"][0]["pointer"]),
            (&json!(["events"]), &json!("/after"))
        );
    }

    let pool = app.pool().await;
    // As if the range of the first two events had been dropped.
    let drop_range = "UPDATE event_log_head SET first_position = 3; DELETE FROM events WHERE position < 3";
    sqlx::raw_sql(drop_range).execute(&pool).await.unwrap();
    refused(after(&old).stream().await, "RESUME_TOKEN_EXPIRED").await;
    let mut rest = after(&good).stream().await;
    assert_eq!(positions(&mut rest, 6).await, [3, 4, 5, 6, 7, 8], "nothing after this one is gone");

    // A restore from a backup ends the streams that are open.
    sqlx::query("SELECT begin_epoch()").execute(&pool).await.unwrap();
    editor.post("object-types", &samples::object_type("Next")).expect(201).await;
    refused(rest, "RESUME_TOKEN_EXPIRED").await;
    let korean = after(&good).header("accept-language", "ko").stream().await;
    let message = refused(korean, "RESUME_TOKEN_EXPIRED").await["message"].to_string();
    assert!(message.contains("토큰"), "{message}");
}

#[tokio::test]
async fn it_ends_by_itself_after_its_time_and_says_where_to_go_on() {
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 1)).await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    editor.post("object-types", &samples::object_type("A")).expect(201).await;
    // Nothing of what comes is for this one, and still its token moves.
    let mut stream = watch(&viewer, "after: \"earliest\", names: [\"Nobody\"]", "position").await;
    let open = stream.next().await.unwrap().id;
    editor.post("object-types", &samples::object_type("B")).expect(201).await;
    let last = completes(&mut stream).await;
    assert!(last.is_some() && last != open, "{last:?}");
    let mut resumed = viewer.graphql(ALL, &json!({"after": last})).stream().await;
    editor.post("object-types", &samples::object_type("C")).expect(201).await;
    assert_eq!(positions(&mut resumed, 1).await, [3]);

    // On Lambda without streaming an answer has to end at once, with all that there is.
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 0)).await;
    history(&app.client("editor")).await;
    let mut stream = app.client("viewer").graphql(ALL, &json!({"after": "earliest"})).stream().await;
    assert_eq!(positions(&mut stream, HISTORY).await, (1..=8).collect::<Vec<_>>());
    completes(&mut stream).await;
}

#[tokio::test]
async fn it_ends_with_the_token_of_its_caller() {
    let app = App::start().await;
    let caller = app.anonymous().with_token(Token::of("viewer").expires_in(2).sign());
    let mut stream = watch(&caller, "", "position").await;
    let open = stream.next().await.unwrap().id;
    let last = tokio::time::timeout(Duration::from_secs(10), completes(&mut stream)).await.expect("it goes on");
    assert_eq!(last, open);
}

#[tokio::test]
async fn an_event_that_can_not_be_shown_in_time_is_shown_to_whoever_comes_back() {
    for limit in ["REQUEST_TIMEOUT_MS", "DB_STATEMENT_TIMEOUT_MS"] {
        let app = App::with(|settings| settings.set(limit, 2_000)).await;
        let (editor, viewer) = (app.client("editor"), app.client("viewer"));
        for name in ["Before", "Late"] {
            editor.post("object-types", &samples::object_type(name)).expect(201).await;
        }
        let before = viewer.get("events?limit=1").expect(200).await["page"]["resumeToken"].as_str().unwrap().to_owned();
        let document = "subscription { events { position objectType { name outgoingLinkTypes { totalCount } } } }";
        let resume = || viewer.query(document).header("last-event-id", &before).stream();

        let pool = app.pool().await;
        let mut blocking = pool.begin().await.unwrap();
        sqlx::query("LOCK TABLE link_types IN ACCESS EXCLUSIVE MODE").execute(&mut *blocking).await.unwrap();
        let mut stream = resume().await;
        let failed = stream.next_event().await.unwrap();
        let result = failed.json();
        assert_eq!((failed.event.as_deref(), failed.id), (Some("next"), None), "{limit}");
        assert_eq!(result["errors"][0]["extensions"]["code"], "SERVICE_UNAVAILABLE", "{limit}: {result}");
        assert_eq!(result.get("data"), None, "{limit}: it is not shown in part and then again");
        assert_eq!(completes(&mut stream).await.as_ref(), Some(&before), "{limit}: the token is that before the event");
        blocking.rollback().await.unwrap();

        let late = json!({"position": 2, "objectType": {"name": "Late", "outgoingLinkTypes": {"totalCount": 0}}});
        assert_eq!(events(&mut resume().await, 1).await, [late], "{limit}");
    }
}

#[tokio::test]
async fn a_heartbeat_moves_the_token_of_a_reader_who_is_shown_nothing() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    let mut stream = watch(&viewer, "names: [\"Nobody\"]", "position").await;
    let open = stream.next().await.unwrap().id;
    editor.post("object-types", &samples::object_type("A")).expect(201).await;
    let beat = stream.next().await.unwrap();
    assert!(beat.data.is_none() && beat.event.is_none() && beat.comment.is_some(), "clients show nothing: {beat:?}");
    assert!(beat.id.is_some() && beat.id != open);
    let mut resumed = viewer.graphql(ALL, &json!({"after": beat.id})).stream().await;
    editor.post("object-types", &samples::object_type("B")).expect(201).await;
    assert_eq!(positions(&mut resumed, 1).await, [2]);
}

#[tokio::test]
async fn a_slow_reader_gets_everything_in_order() {
    const WRITES: i64 = 300;
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    let mut large = samples::object_type("Order");
    large["metadata"] = json!({"text": "x".repeat(20_000)});
    editor.post("object-types", &large).expect(201).await;
    let mut stream = watch(&viewer, "after: \"earliest\"", "version objectType { version metadata }").await;
    stream.next().await.unwrap();
    for version in 1..WRITES {
        editor.patch("object-types/Order", version, &json!({"displayName": version.to_string()})).expect(200).await;
    }
    // Six megabytes, and no event is left out because nobody took it for so long.
    for (version, event) in (1..).zip(events(&mut stream, usize::try_from(WRITES).unwrap()).await) {
        assert_eq!((&event["version"], &event["objectType"]["version"]), (&json!(version), &json!(version)));
    }
}

#[tokio::test]
async fn a_server_that_stops_completes_its_streams_and_they_resume_elsewhere() {
    let database = Database::create().await;
    // Were they requests in flight, they would be waited for.
    let settings = Settings::for_database(&database).set("SHUTDOWN_TIMEOUT_MS", 60_000);
    let (server, other) = (Server::start(&settings).await, Server::start(&settings).await);
    let mut stream = server.client("viewer").graphql(ALL, &json!({})).stream().await;
    stream.next().await.unwrap();
    let editor = other.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    assert_eq!(positions(&mut stream, 1).await, [1]);
    let stopped = Instant::now();
    server.stop().await;
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
    let token = completes(&mut stream).await;
    editor.patch("object-types/Order", 1, &json!({"displayName": "the next"})).expect(200).await;
    let mut resumed = editor.graphql(ALL, &json!({"after": token})).stream().await;
    assert_eq!(positions(&mut resumed, 1).await, [2]);
}
