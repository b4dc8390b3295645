mod resuming;

use std::collections::BTreeMap;

use oms_events::EventType;
use serde_json::json;
use sqlx::PgPool;

use super::*;
use crate::{
    Registry,
    context::{Permission, Permissions},
    feed::Start,
    fixture::{caller, caller_of, code, created, deleted, key, link, linked, object, patched, registry, with},
};

const HOUR: Duration = Duration::from_secs(3_600);

fn after(token: &str) -> FollowStart {
    FollowStart::After(token.to_owned())
}

async fn open(oms: &Registry, filter: EventFilter, start: &FollowStart) -> Follow {
    Follow::open(&oms.feed, &caller(), filter, start, HOUR).await.unwrap()
}

async fn snapshot(oms: &Registry) -> Follow {
    open(oms, EventFilter::default(), &FollowStart::Snapshot).await
}

/// A step, short: what happened if it is a change, name and version.
fn told(step: &Step) -> String {
    let name = |snapshot: Snapshot| match snapshot {
        Snapshot::ObjectType(found) => (found.definition.name, found.stamp.version),
        Snapshot::LinkType(found) => (found.definition.name, found.stamp.version),
    };
    match step {
        Step::State(state, _) => {
            let (name, version) = name(state.clone());
            format!("{name} v{version}")
        }
        Step::Complete(_) => "complete".to_owned(),
        Step::Beat(Beat::Open(_)) => "open".to_owned(),
        Step::Beat(Beat::Event(event, _)) => {
            let (name, version) = name(event.event.snapshot().unwrap());
            format!("{} {name} v{version}", event.event.event_type)
        }
        Step::Beat(Beat::Alive(_)) => "alive".to_owned(),
        Step::Beat(Beat::End(_)) => "end".to_owned(),
    }
}

fn token(step: &Step) -> &str {
    match step {
        Step::State(_, token) | Step::Complete(token) | Step::Beat(Beat::Event(_, token)) => token,
        Step::Beat(Beat::Open(token) | Beat::Alive(token) | Beat::End(token)) => token,
    }
}

async fn take(follow: &mut Follow, steps: usize) -> Vec<String> {
    let mut taken = Vec::new();
    for _ in 0..steps {
        taken.push(told(&follow.next().await.unwrap().expect("it goes on")));
    }
    taken
}

/// Steps until the end.
async fn drain(follow: &mut Follow) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = follow.next().await.unwrap() {
        steps.push(step);
    }
    steps
}

/// Steps until one, which comes last.
async fn until(follow: &mut Follow, last: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        let step = follow.next().await.unwrap().expect("it goes on");
        assert_ne!(told(&step), "alive", "{last} does not come");
        steps.push(step);
        if told(&steps[steps.len() - 1]) == last {
            return steps;
        }
    }
}

/// So many types that a page has about 17 of.
async fn large(oms: &Registry, count: usize) {
    let types: Vec<_> =
        (0..count).map(|n| with(object(&format!("T{n}")), json!({"description": "x".repeat(60_000)}))).collect();
    oms.object_types.create_batch(&caller(), &types).await.unwrap();
}

/// What a reader knows that keeps the version of each live type.
#[derive(Debug, Default)]
struct Reader {
    /// The last version of each type that came, deleted or not.
    versions: BTreeMap<Uuid, i32>,
    live: BTreeMap<Uuid, i32>,
    states: usize,
}

impl Reader {
    /// Whether it was news.
    fn take(&mut self, step: &Step) -> bool {
        let (id, version, is_live) = match step {
            Step::State(Snapshot::ObjectType(found), _) => (found.id.0, found.stamp.version, true),
            Step::State(Snapshot::LinkType(found), _) => (found.id.0, found.stamp.version, true),
            Step::Beat(Beat::Event(event, _)) => {
                let deletes = [EventType::ObjectTypeDeleted, EventType::LinkTypeDeleted];
                (event.event.entity_id, event.event.version, !deletes.contains(&event.event.event_type))
            }
            _ => return true,
        };
        self.states += usize::from(matches!(step, Step::State(..)));
        let is_new = self.versions.get(&id).is_none_or(|known| *known < version);
        if is_new {
            self.versions.insert(id, version);
            self.live.remove(&id);
            self.live.extend(is_live.then_some((id, version)));
        }
        is_new
    }
}

/// The versions of the live types, as the database has them.
async fn live(pool: &PgPool) -> BTreeMap<Uuid, i32> {
    let rows: Vec<(Uuid, i32)> = sqlx::query_as(
        "SELECT id, version FROM object_types WHERE tenant_id = 'acme' AND NOT is_deleted
        UNION ALL SELECT id, version FROM link_types WHERE tenant_id = 'acme' AND NOT is_deleted",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter().collect()
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_snapshot_shows_what_is_there_and_then_what_changed_since(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Customer")).await;
    created(&oms, object("Order")).await;
    created(&oms, object("Gone")).await;
    linked(&oms, link("buys", "Customer", "Order")).await;
    deleted(&oms, "Gone").await;
    oms.object_types.create(&caller_of("globex"), &object("Theirs")).await.unwrap();

    let mut follow = snapshot(&oms).await;
    assert_eq!(take(&mut follow, 1).await, ["open"]);
    // Before anything is read: the snapshot shows it, and it does not come again.
    patched(&oms, "Customer", json!({"name": "Client"})).await;
    assert_eq!(take(&mut follow, 2).await, ["Client v2", "Order v1"]);
    patched(&oms, "Order", json!({"category": "sales"})).await;
    created(&oms, object("Invoice")).await;
    let link = follow.next().await.unwrap().unwrap();
    assert_eq!(told(&link), "buys v1");
    let Step::State(Snapshot::LinkType(link), _) = link else { panic!("{link:?}") };
    assert_eq!(link.ends.source.name, "Client", "names are those of now");
    assert_eq!(
        take(&mut follow, 3).await,
        ["complete", "ObjectTypeUpdated Order v2", "ObjectTypeCreated Invoice v1"],
        "what changed behind its back"
    );
    patched(&oms, "Client", json!({"category": "sales"})).await;
    deleted(&oms, "Invoice").await;
    assert_eq!(take(&mut follow, 2).await, ["ObjectTypeUpdated Client v3", "ObjectTypeDeleted Invoice v2"]);
    assert!(follow.shown.versions.is_empty(), "what was shown is forgotten once its events are over");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn no_version_is_missed_or_comes_twice_while_others_write(pool: PgPool) {
    let oms = registry(&pool);
    large(&oms, 50).await;
    let mut follow = snapshot(&oms).await;
    let (mut reader, mut steps, mut is_complete) = (Reader::default(), 0, false);
    // Types before, within and after what was read at the time.
    let names = [0_usize, 3, 10, 20, 30, 49];
    let mut write = 0;
    loop {
        let step = follow.next().await.unwrap().unwrap();
        assert!(reader.take(&step), "{} is old, step {steps}", told(&step));
        steps += 1;
        if told(&step) == "complete" {
            is_complete = true;
            created(&oms, object("Last")).await;
        } else if !is_complete && steps % 7 == 1 {
            created(&oms, object(&format!("N{write}"))).await;
            patched(&oms, &format!("T{}", names[write % 6]), json!({"displayName": format!("{write}")})).await;
            deleted(&oms, &format!("T{}", 5 + 6 * write)).await;
            let again = format!("T{}", 4 + 6 * write);
            let gone = oms.object_types.get(&caller(), &key(&again)).await.unwrap();
            deleted(&oms, &again).await;
            oms.object_types.restore(&caller(), &key(&gone.id.0.to_string()), None).await.unwrap();
            write += 1;
        } else if told(&step) == "ObjectTypeCreated Last v1" {
            break;
        }
    }
    assert!(write >= 5 && reader.states > 40, "{write} times in {} types", reader.states);
    assert_eq!(reader.live, live(&pool).await);
    // Whatever the log has came, or the snapshot stood for it.
    let log = oms.feed.page(&caller(), &EventFilter::default(), &Start::Earliest, 1_000).await.unwrap();
    for (event, _) in &log.events {
        let (id, version) = (event.event.entity_id, event.event.version);
        assert!(reader.versions.get(&id).is_some_and(|known| *known >= version), "{:?} was missed", event.event);
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_filter_shows_its_types_and_tells_when_one_leaves(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, with(object("A"), json!({"category": "sales", "tags": ["x", "y"]}))).await;
    created(&oms, with(object("B"), json!({"category": "Sales", "tags": ["z"]}))).await;
    created(&oms, object("C")).await;
    linked(&oms, with(link("ab", "A", "B"), json!({"category": "sales"}))).await;
    let c = oms.object_types.get(&caller(), &key("C")).await.unwrap().id.0;
    let filters = [
        EventFilter { categories: vec!["sales".into(), "none".into()], ..EventFilter::default() },
        EventFilter { tags: vec!["none".into(), "y".into()], ..EventFilter::default() },
        EventFilter { names: vec!["a".into()], ..EventFilter::default() },
        EventFilter { entities: vec![c], ..EventFilter::default() },
        EventFilter { categories: vec!["sales".into()], tags: vec!["z".into()], ..EventFilter::default() },
        // Only the kind counts for the snapshot.
        EventFilter { types: vec![EventType::LinkTypeDeleted], ..EventFilter::default() },
    ];
    let mut follows = Vec::new();
    for filter in filters {
        let mut follow = open(&oms, filter, &FollowStart::Snapshot).await;
        let steps = until(&mut follow, "complete").await;
        follows.push((follow, steps.iter().map(told).collect::<Vec<_>>()));
    }
    patched(&oms, "A", json!({"category": "support", "tags": ["x"]})).await;
    patched(&oms, "A", json!({"name": "D"})).await;
    patched(&oms, "D", json!({"displayName": "nobody's"})).await;
    patched(&oms, "C", json!({"category": "sales", "tags": ["y", "z"]})).await;
    deleted(&oms, "C").await;
    oms.link_types.delete(&caller(), &key("ab"), None, false).await.unwrap();
    let expected: [(&[&str], &[&str]); 6] = [
        (
            &["A v1", "ab v1"],
            &["ObjectTypeUpdated A v2", "ObjectTypeUpdated C v2", "ObjectTypeDeleted C v3", "LinkTypeDeleted ab v2"],
        ),
        (&["A v1"], &["ObjectTypeUpdated A v2", "ObjectTypeUpdated C v2", "ObjectTypeDeleted C v3"]),
        (&["A v1"], &["ObjectTypeUpdated A v2", "ObjectTypeUpdated D v3"]),
        (&["C v1"], &["ObjectTypeUpdated C v2", "ObjectTypeDeleted C v3"]),
        (&[], &["ObjectTypeUpdated C v2", "ObjectTypeDeleted C v3"]),
        (&["ab v1"], &["LinkTypeDeleted ab v2"]),
    ];
    for ((follow, steps), (shown, changes)) in follows.iter_mut().zip(expected) {
        assert_eq!(*steps, [&["open"], shown, &["complete"]].concat());
        assert_eq!(take(follow, changes.len()).await, changes, "after {shown:?}");
    }
    oms.feed.end();
    for (follow, _) in &mut follows {
        assert_eq!(drain(follow).await.iter().map(told).collect::<Vec<_>>(), ["end"], "nothing else");
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_snapshot_shows_what_its_caller_may_read(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Customer")).await;
    linked(&oms, link("knows", "Customer", "Customer")).await;
    let open = async |permissions: Permissions, types: &[EventType], start: &FollowStart| {
        let context = Context { permissions, ..caller() };
        let filter = EventFilter { types: types.to_vec(), ..EventFilter::default() };
        Follow::open(&oms.feed, &context, filter, start, Duration::ZERO).await
    };
    let told_to = async |permission: Permission, start: &FollowStart| {
        let mut follow = open([permission].into_iter().collect(), &[], start).await.unwrap();
        drain(&mut follow).await.iter().map(told).collect::<Vec<_>>()
    };
    let objects = told_to(Permission::ObjectTypeRead, &FollowStart::Snapshot).await;
    assert_eq!(objects, ["open", "Customer v1", "complete", "end"]);
    let links = told_to(Permission::LinkTypeRead, &FollowStart::Snapshot).await;
    assert_eq!(links, ["open", "knows v1", "complete", "end"]);
    assert_eq!(code(open(Permissions::default(), &[], &FollowStart::Snapshot).await), "PERMISSION_DENIED");
    let reads_objects: Permissions = [Permission::ObjectTypeRead].into_iter().collect();
    let refused = open(reads_objects, &[EventType::LinkTypeCreated], &FollowStart::Snapshot).await;
    assert_eq!(code(refused), "PERMISSION_DENIED");

    // A place among the link types shows none of them to whoever may not read them any more.
    let mut follow = snapshot(&oms).await;
    let steps = until(&mut follow, "Customer v1").await;
    linked(&oms, link("likes", "Customer", "Customer")).await;
    let rest = told_to(Permission::ObjectTypeRead, &after(token(&steps[1]))).await;
    assert_eq!(rest, ["open", "complete", "end"]);
    let within = token(&follow.next().await.unwrap().unwrap()).to_owned();
    assert_eq!(told_to(Permission::ObjectTypeRead, &after(&within)).await, ["open", "complete", "end"]);
    let rest = told_to(Permission::LinkTypeRead, &after(&within)).await;
    assert_eq!(rest, ["open", "likes v1", "complete", "end"]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_write_that_commits_late_is_not_passed_over(pool: PgPool) {
    let oms = registry(&pool);
    large(&oms, 20).await;
    let write = async |name: &str, id: &str| {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query(
            "WITH made AS (
                INSERT INTO object_types AS t (tenant_id, id, name, display_name, created_by, updated_by)
                VALUES ('acme', $2::uuid, $1, $1, 'late', 'late') RETURNING t AS entity
            )
            INSERT INTO outbox (tenant_id, event_type, entity_kind, entity_id, version, actor, document)
            SELECT 'acme', 'ObjectTypeCreated', 'object_type', $2::uuid, 1, 'late', object_type_document(entity, '{}')
            FROM made",
        )
        .bind(name)
        .bind(id)
        .execute(&mut *transaction)
        .await
        .unwrap();
        transaction
    };
    let passed = write("Passed", "00000000-0000-7000-8000-000000000001").await;
    let ahead = write("Ahead", "ffffffff-0000-7000-8000-000000000001").await;
    let later = write("Later", "00000000-0000-7000-8000-000000000002").await;
    let mut follow = snapshot(&oms).await;
    assert_eq!(take(&mut follow, 3).await, ["open", "T0 v1", "T1 v1"]);
    // Others commit, and the log goes on, before these do.
    created(&oms, object("Between")).await;
    oms.events.sequence().await.unwrap();
    passed.commit().await.unwrap();
    ahead.commit().await.unwrap();
    let steps = until(&mut follow, "complete").await;
    let shown: Vec<String> = steps.iter().map(told).collect();
    assert_eq!(shown[shown.len() - 3..], ["Between v1", "Ahead v1", "complete"]);
    assert_eq!(take(&mut follow, 1).await, ["ObjectTypeCreated Passed v1"], "what was shown does not come again");
    later.commit().await.unwrap();
    assert_eq!(take(&mut follow, 1).await, ["ObjectTypeCreated Later v1"]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn without_a_snapshot_a_stream_is_as_every_other(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Customer")).await;
    let mut follow = open(&oms, EventFilter::default(), &FollowStart::Latest).await;
    let opened = follow.next().await.unwrap().unwrap();
    created(&oms, object("Order")).await;
    assert_eq!(take(&mut follow, 1).await, ["ObjectTypeCreated Order v1"]);
    let mut resumed = open(&oms, EventFilter::default(), &after(token(&opened))).await;
    assert_eq!(take(&mut resumed, 2).await, ["open", "ObjectTypeCreated Order v1"]);
}
