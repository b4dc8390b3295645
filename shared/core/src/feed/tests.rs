mod labels;

use std::time::Duration;

use oms_events::EventType;
use serde_json::json;
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::{Beat, EventFilter, FeedPage, Session, Start, Watch};
use crate::{
    Registry,
    context::{Context, Permission, Permissions},
    error::Result,
    fixture::{caller, caller_of, code, created, deleted, link, linked, object, patched, registry, with},
};

const SOON: Duration = Duration::from_secs(20);

fn after(token: &str) -> Start {
    Start::parse(token)
}

async fn page(oms: &Registry, filter: &EventFilter, start: &Start, limit: u32) -> Result<FeedPage> {
    oms.feed.page(&caller(), filter, start, limit).await
}

/// What an event says, short: type without its kind, version.
fn shown(page: &FeedPage) -> Vec<String> {
    let shown = |event: &crate::event_log::LogEvent| format!("{} v{}", event.event_type, event.version);
    page.events.iter().map(|(event, _)| shown(&event.event)).collect()
}

async fn history(oms: &Registry) {
    created(oms, object("Customer")).await;
    created(oms, object("Order")).await;
    linked(oms, link("buys", "Customer", "Order")).await;
    patched(oms, "Customer", json!({"name": "Client"})).await;
    patched(oms, "Order", json!({"category": "sales"})).await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn pages_follow_each_other_by_token_without_gap_or_repeat(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    let all = EventFilter::default();
    let whole = page(&oms, &all, &Start::Earliest, 100).await.unwrap();
    assert_eq!(whole.events.len(), 5);
    assert!(!whole.has_more);
    for limit in 1..=4 {
        let (mut seen, mut start) = (Vec::new(), Start::Earliest);
        loop {
            let next = page(&oms, &all, &start, limit).await.unwrap();
            seen.extend(next.events.iter().map(|(event, _)| event.event.position));
            start = after(&next.resume_token);
            if !next.has_more {
                break;
            }
        }
        assert_eq!(seen, [1, 2, 3, 4, 5], "{limit} at a time");
    }
    // The token of an event resumes right after it.
    let rest = page(&oms, &all, &after(&whole.events[2].1), 100).await.unwrap();
    assert_eq!(shown(&rest), ["ObjectTypeUpdated v2", "ObjectTypeUpdated v2"]);
    let latest = page(&oms, &all, &Start::Latest, 100).await.unwrap();
    assert_eq!((latest.events.len(), latest.has_more), (0, false));
    created(&oms, object("New")).await;
    assert_eq!(shown(&page(&oms, &all, &after(&latest.resume_token), 100).await.unwrap()), ["ObjectTypeCreated v1"]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn filters_by_type_entity_and_name_must_all_hold(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    let ask = async |filter: EventFilter| shown(&page(&oms, &filter, &Start::Earliest, 100).await.unwrap());
    let types = vec![EventType::ObjectTypeUpdated, EventType::LinkTypeCreated];
    assert_eq!(
        ask(EventFilter { types: types.clone(), ..EventFilter::default() }).await,
        ["LinkTypeCreated v1", "ObjectTypeUpdated v2", "ObjectTypeUpdated v2"]
    );
    // A rename is an event of both names.
    for name in ["cUSTOMER", "client"] {
        let names = vec![name.to_owned()];
        let found = ask(EventFilter { names, types: types.clone(), ..EventFilter::default() }).await;
        assert_eq!(found, ["ObjectTypeUpdated v2"], "{name}");
    }
    let order = oms.object_types.get(&caller(), &crate::fixture::key("Order")).await.unwrap().id.0;
    let entities = EventFilter { entities: vec![order], ..EventFilter::default() };
    assert_eq!(ask(entities.clone()).await, ["ObjectTypeCreated v1", "ObjectTypeUpdated v2"]);
    let both = EventFilter { names: vec!["Client".into()], ..entities };
    assert_eq!(ask(both).await, Vec::<String>::new());
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_tenant_sees_its_own_events_and_a_caller_what_it_may_read(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    oms.object_types.create(&caller_of("globex"), &object("Theirs")).await.unwrap();
    let all = EventFilter::default();
    let theirs = oms.feed.page(&caller_of("globex"), &all, &Start::Earliest, 100).await.unwrap();
    assert_eq!(shown(&theirs), ["ObjectTypeCreated v1"]);
    // A token belongs to its tenant.
    assert_eq!(code(page(&oms, &all, &after(&theirs.resume_token), 100).await), "INVALID_CURSOR");

    let reads = |permission: Option<Permission>| Context { permissions: permission.into_iter().collect(), ..caller() };
    let links = oms.feed.page(&reads(Some(Permission::LinkTypeRead)), &all, &Start::Earliest, 100).await.unwrap();
    assert_eq!(shown(&links), ["LinkTypeCreated v1"]);
    let asked = EventFilter { types: vec![EventType::ObjectTypeCreated], ..EventFilter::default() };
    let refused = oms.feed.page(&reads(Some(Permission::LinkTypeRead)), &asked, &Start::Earliest, 100).await;
    assert_eq!(code(refused), "PERMISSION_DENIED");
    let nobody = Context { permissions: Permissions::default(), ..caller() };
    assert_eq!(code(oms.feed.page(&nobody, &all, &Start::Earliest, 100).await), "PERMISSION_DENIED");
    assert_eq!(code(oms.feed.watch(&nobody, all, &Start::Latest).await), "PERMISSION_DENIED");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_token_from_before_the_log_or_of_another_epoch_is_expired_and_never_a_gap(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    let all = EventFilter::default();
    let first = page(&oms, &all, &Start::Earliest, 1).await.unwrap();
    let second = page(&oms, &all, &after(&first.resume_token), 1).await.unwrap();
    // As if the range of the first two events had been dropped.
    sqlx::query("UPDATE event_log_head SET first_position = 3").execute(&pool).await.unwrap();
    sqlx::query("DELETE FROM events WHERE position < 3").execute(&pool).await.unwrap();
    assert_eq!(code(page(&oms, &all, &after(&first.resume_token), 10).await), "RESUME_TOKEN_EXPIRED");
    assert_eq!(code(oms.feed.watch(&caller(), all.clone(), &after(&first.resume_token)).await), "RESUME_TOKEN_EXPIRED");
    let rest = page(&oms, &all, &after(&second.resume_token), 10).await.unwrap();
    assert_eq!(rest.events.len(), 3, "nothing after this token was dropped");
    let earliest = page(&oms, &all, &Start::Earliest, 10).await.unwrap();
    assert_eq!(earliest.events[0].0.event.position, 3);

    let mut watch = oms.feed.watch(&caller(), all.clone(), &Start::Latest).await.unwrap();
    sqlx::query("SELECT begin_epoch()").execute(&pool).await.unwrap();
    assert_eq!(code(page(&oms, &all, &after(&rest.resume_token), 10).await), "RESUME_TOKEN_EXPIRED");
    created(&oms, object("Next")).await;
    assert_eq!(code(watch.next(SOON).await), "RESUME_TOKEN_EXPIRED");
    let epochs: Vec<i64> =
        page(&oms, &all, &Start::Earliest, 10).await.unwrap().events.iter().map(|(e, _)| e.event.epoch).collect();
    assert!(epochs[..3] == [1, 1, 1] && epochs[3] > 1, "{epochs:?}");
}

/// Reads until so many events came; their positions.
async fn read(watch: &mut Watch, events: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.len() < events {
        let page = watch.next(SOON).await.unwrap();
        assert!(!page.events.is_empty() || page.has_more, "nothing came, {seen:?} so far");
        seen.extend(page.events.iter().map(|(event, _)| event.event.position));
    }
    seen
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_watch_sees_what_was_and_what_comes_each_once(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    let all = EventFilter::default();
    let mut from_start = oms.feed.watch(&caller(), all.clone(), &Start::Earliest).await.unwrap();
    let mut from_now = oms.feed.watch(&caller(), all.clone(), &Start::Latest).await.unwrap();
    assert_eq!(read(&mut from_start, 5).await, [1, 2, 3, 4, 5]);
    for n in 0..30 {
        created(&oms, object(&format!("T{n}"))).await;
    }
    deleted(&oms, "T7").await;
    let expected: Vec<i64> = (6..=36).collect();
    assert_eq!(read(&mut from_start, 31).await, expected);
    assert_eq!(read(&mut from_now, 31).await, expected);
    let token = from_now.resume_token().unwrap();
    let nothing = from_now.next(Duration::from_millis(1)).await.unwrap();
    assert_eq!((nothing.events.len(), nothing.resume_token), (0, token.clone()));
    created(&oms, object("Later")).await;
    let mut resumed = oms.feed.watch(&caller(), all, &after(&token)).await.unwrap();
    assert_eq!(read(&mut resumed, 1).await, [37]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_watch_sees_what_another_process_commits_and_what_commits_late(pool: PgPool) {
    let (oms, other) = (registry(&pool), registry(&pool));
    let mut watch = oms.feed.watch(&caller(), EventFilter::default(), &Start::Latest).await.unwrap();
    let mut late = pool.begin().await.unwrap();
    sqlx::query(
        r#"INSERT INTO outbox (tenant_id, event_type, entity_kind, entity_id, version, actor, document)
        VALUES ('acme', 'ObjectTypeCreated', 'object_type', gen_random_uuid(), 1, 'late', '{"definition": {"name": "Late"}}')"#,
    )
    .execute(&mut *late)
    .await
    .unwrap();
    created(&other, object("A")).await;
    assert_eq!(read(&mut watch, 1).await, [1]);
    late.commit().await.unwrap();
    let page = watch.next(SOON).await.unwrap();
    assert_eq!(page.events[0].0.event.actor, "late");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_hundred_watchers_share_each_event_and_its_json(pool: PgPool) {
    let options = pool.connect_options().as_ref().clone().application_name("watched");
    let watched = PgPoolOptions::new().max_connections(5).connect_with(options).await.unwrap();
    let (oms, writer) = (registry(&watched), registry(&pool));
    let mut watches = Vec::new();
    for _ in 0..100 {
        watches.push(oms.feed.watch(&caller(), EventFilter::default(), &Start::Latest).await.unwrap());
    }
    // The reader's first look is over when one of them waits.
    watches[0].next(Duration::from_millis(1)).await.unwrap();
    created(&writer, object("A")).await;
    let pages = futures::future::join_all(watches.iter_mut().map(|watch| watch.next(SOON))).await;
    let mut texts = pages.iter().map(|page| page.as_ref().unwrap().events[0].0.json().unwrap().as_ptr());
    let first = texts.next().unwrap();
    assert!(texts.all(|text| text == first), "all show the one event that was read, made into JSON once");
    watched.close().await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_event_that_can_not_be_read_does_not_end_the_feed(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    oms.events.sequence().await.unwrap();
    sqlx::query("UPDATE events SET document = '{}' WHERE position = 2").execute(&pool).await.unwrap();
    let page = page(&oms, &EventFilter::default(), &Start::Earliest, 100).await.unwrap();
    let read: Vec<oms_events::Event> =
        page.events.iter().map(|(event, _)| serde_json::from_str(event.json().unwrap()).unwrap()).collect();
    let checked: Vec<bool> = read.iter().map(|event| event.data.claim_check.is_some()).collect();
    assert_eq!(checked, [false, true, false, false, false]);
}

/// The beats of a session until its end: events as positions, what else as letters.
async fn beats(session: &mut Session) -> Vec<String> {
    let mut beats = Vec::new();
    while let Some(beat) = session.next().await.unwrap() {
        beats.push(match beat {
            Beat::Open(_) => "open".to_owned(),
            Beat::Event(event, _) => event.event.position.to_string(),
            Beat::Alive(_) => "alive".to_owned(),
            Beat::End(_) => "end".to_owned(),
        });
    }
    beats
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_session_without_time_tells_what_is_there_and_ends_even_when_it_is_behind(pool: PgPool) {
    let oms = registry(&pool);
    history(&oms).await;
    let open = async |start: &Start| {
        let all = EventFilter::default();
        Session::open(&oms.feed, &caller(), all, start, Duration::ZERO).await.unwrap()
    };
    assert_eq!(beats(&mut open(&Start::Earliest).await).await, ["open", "1", "2", "3", "4", "5", "end"]);
    assert_eq!(beats(&mut open(&Start::Latest).await).await, ["open", "end"]);

    // More than a page: the end comes first, with a token that goes on.
    let types: Vec<_> =
        (0..40).map(|n| with(object(&format!("T{n}")), json!({"description": "x".repeat(60_000)}))).collect();
    oms.object_types.create_batch(&caller(), &types).await.unwrap();
    let (mut start, mut seen, mut sessions) = (Start::Earliest, Vec::new(), 0);
    while seen.len() < 45 {
        let mut session = open(&start).await;
        while let Some(beat) = session.next().await.unwrap() {
            match beat {
                Beat::Event(event, _) => seen.push(event.event.position),
                Beat::End(token) => start = Start::After(token),
                Beat::Open(_) | Beat::Alive(_) => {}
            }
        }
        sessions += 1;
    }
    assert_eq!(seen, (1..=45).collect::<Vec<i64>>());
    assert!(sessions > 1, "two megabytes came at once");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_session_ends_with_the_token_of_its_caller_and_with_the_server(pool: PgPool) {
    let oms = registry(&pool);
    let expired = Context { expires_at: Some(chrono::Utc::now()), ..caller() };
    let hour = Duration::from_secs(3_600);
    let mut session = Session::open(&oms.feed, &expired, EventFilter::default(), &Start::Latest, hour).await.unwrap();
    assert_eq!(beats(&mut session).await, ["open", "end"]);

    let mut session = Session::open(&oms.feed, &caller(), EventFilter::default(), &Start::Latest, hour).await.unwrap();
    assert!(matches!(session.next().await.unwrap(), Some(Beat::Open(_))));
    oms.feed.end();
    assert_eq!(beats(&mut session).await, ["end"]);
}
