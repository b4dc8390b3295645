use serde_json::json;
use sqlx::PgPool;

use super::*;

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_snapshot_is_resumed_after_any_of_its_steps(pool: PgPool) {
    let oms = registry(&pool);
    large(&oms, 20).await;
    linked(&oms, link("a", "T0", "T1")).await;
    linked(&oms, link("b", "T1", "T2")).await;
    let all = EventFilter::default;
    let (mut reader, mut start, mut seen) = (Reader::default(), FollowStart::Snapshot, Vec::new());
    // Every step in a stream of its own, with writes between them.
    loop {
        let mut follow = open(&oms, all(), &start).await;
        let opened = follow.next().await.unwrap().unwrap();
        assert_eq!(told(&opened), "open");
        // Had it broken there, the next one would have begun at the same place.
        follow = open(&oms, all(), &after(token(&opened))).await;
        assert_eq!(take(&mut follow, 1).await, ["open"]);
        let step = follow.next().await.unwrap().unwrap();
        reader.take(&step);
        start = after(token(&step));
        match seen.len() {
            3 => drop(patched(&oms, "T1", json!({"displayName": "behind"})).await),
            4 => drop(patched(&oms, "T18", json!({"displayName": "ahead"})).await),
            5 => deleted(&oms, "T19").await,
            6 => deleted(&oms, "T3").await,
            _ => {}
        }
        seen.push(told(&step));
        if told(&step) == "complete" {
            break;
        }
    }
    let shown: Vec<String> = (0..19).map(|n| format!("T{n} v{}", if n == 18 { 2 } else { 1 })).collect();
    assert_eq!(seen, [shown.as_slice(), &["a v1".into(), "b v1".into(), "complete".into()]].concat());

    // The token of the completed snapshot goes on as one of the log, also for a reader that knows no snapshots.
    let FollowStart::After(complete) = &start else { panic!("{start:?}") };
    let changes = oms.feed.page(&caller(), &all(), &Start::After(complete.clone()), 100).await.unwrap();
    assert_eq!(changes.events.len(), 4);
    created(&oms, object("Last")).await;
    let mut follow = open(&oms, all(), &start).await;
    for step in until(&mut follow, "ObjectTypeCreated Last v1").await {
        reader.take(&step);
    }
    assert_eq!(reader.live, live(&pool).await);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_token_of_a_snapshot_is_of_its_tenant_and_time_and_of_no_other_reader(pool: PgPool) {
    let oms = registry(&pool);
    large(&oms, 3).await;
    let mut follow = snapshot(&oms).await;
    let steps = until(&mut follow, "complete").await;
    let follow_as = async |tenant: &str, token: &str| {
        Follow::open(&oms.feed, &caller_of(tenant), EventFilter::default(), &after(token), HOUR).await
    };
    for step in &steps {
        assert_eq!(code(follow_as("globex", token(step)).await), "INVALID_CURSOR");
        assert!(follow_as("acme", token(step)).await.is_ok(), "{}", told(step));
        let (all, start) = (EventFilter::default(), Start::After(token(step).to_owned()));
        let page = oms.feed.page(&caller(), &all, &start, 10).await;
        let session = Session::open(&oms.feed, &caller(), all, &start, HOUR).await;
        if told(step) == "complete" {
            assert!(page.is_ok() && session.is_ok());
        } else {
            assert_eq!((code(page), code(session)), ("INVALID_CURSOR", "INVALID_CURSOR"), "{}", told(step));
        }
    }
    assert_eq!(code(follow_as("acme", "latest").await), "INVALID_CURSOR");

    // As if the range of the first events had been dropped.
    created(&oms, object("Later")).await;
    oms.events.sequence().await.unwrap();
    sqlx::query("UPDATE event_log_head SET first_position = 5").execute(&pool).await.unwrap();
    for step in &steps {
        assert_eq!(code(follow_as("acme", token(step)).await), "RESUME_TOKEN_EXPIRED", "{}", told(step));
    }
    // A database that was restored meanwhile is not told as the one that it was.
    let mut follow = snapshot(&oms).await;
    let steps = until(&mut follow, "T1 v1").await;
    sqlx::query("SELECT begin_epoch()").execute(&pool).await.unwrap();
    assert_eq!(code(follow_as("acme", token(&steps[2])).await), "RESUME_TOKEN_EXPIRED");
    assert_eq!(take(&mut follow, 2).await, ["T2 v1", "Later v1"]);
    assert_eq!(code(follow.next().await), "RESUME_TOKEN_EXPIRED");
    assert!(follow.next().await.unwrap().is_none());
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_stream_ends_within_a_snapshot_and_always_comes_further(pool: PgPool) {
    let oms = registry(&pool);
    large(&oms, 40).await;
    linked(&oms, link("a", "T0", "T1")).await;
    let expired = Context { expires_at: Some(chrono::Utc::now()), ..caller() };
    for (context, duration) in [(&caller(), Duration::ZERO), (&expired, HOUR)] {
        let (mut start, mut seen, mut streams) = (FollowStart::Snapshot, Vec::new(), 0);
        while !seen.iter().any(|step| step == "complete") {
            let mut follow = Follow::open(&oms.feed, context, EventFilter::default(), &start, duration).await.unwrap();
            let steps = drain(&mut follow).await;
            let (first, last) = (&steps[0], &steps[steps.len() - 1]);
            assert_eq!((told(first), told(last)), ("open".into(), "end".into()));
            assert!(steps.len() > 2, "it came further");
            seen.extend(steps[1..steps.len() - 1].iter().map(told));
            start = after(token(last));
            streams += 1;
        }
        let types = (0..40).map(|n| format!("T{n} v1")).chain(["a v1".into(), "complete".into()]);
        assert_eq!(seen, types.collect::<Vec<_>>());
        assert!(streams > 1, "two megabytes came at once");
    }

    // With the server: what was read is told, no more is read.
    let other = registry(&pool);
    let mut follow = snapshot(&oms).await;
    let taken = take(&mut follow, 4).await;
    oms.feed.end();
    let steps = drain(&mut follow).await;
    let end = &steps[steps.len() - 1];
    assert_eq!(told(end), "end");
    assert!(steps.len() < 30, "{} steps", steps.len());
    let mut resumed = open(&other, EventFilter::default(), &after(token(end))).await;
    let rest = until(&mut resumed, "complete").await;
    let whole = taken.len() - 1 + steps.len() - 1 + rest.len() - 2;
    assert_eq!(whole, 41, "each type once");
}
