use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::{all, with_types};
use crate::{
    Registry,
    event_log::LogEvent,
    fixture::{caller, deleted, key, object, patched, registry},
};

/// Fails unless positions are 1, 2, 3... and in each entity the versions are.
fn assert_in_order(events: &[LogEvent]) {
    let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
    let expected: Vec<i64> = (1..=i64::try_from(events.len()).unwrap()).collect();
    assert_eq!(positions, expected, "gap-free");
    let mut versions = HashMap::new();
    for event in events {
        let version = versions.entry(event.entity_id).or_insert(0);
        assert_eq!(event.version, *version + 1, "{event:?}");
        *version = event.version;
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn writes_become_events_in_the_order_of_their_commits(pool: PgPool) {
    let oms = registry(&pool);
    with_types(&oms, &["Customer"]).await;
    patched(&oms, "Customer", json!({"description": "one"})).await;
    deleted(&oms, "Customer").await;
    oms.object_types.restore(&caller(), &key("Customer"), None).await.unwrap();
    assert_eq!(oms.events.sequence_until(None).await.unwrap(), 4);
    assert_eq!(oms.events.sequence_until(None).await.unwrap(), 0, "nothing is moved twice");
    let events = all(&pool).await;
    assert_in_order(&events);
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["ObjectTypeCreated", "ObjectTypeUpdated", "ObjectTypeDeleted", "ObjectTypeRestored"]);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
}

/// 16 writers, a third of whose transactions roll back, and two sequencers beside them.
#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn positions_have_no_gap_under_concurrent_writers_rollbacks_and_two_sequencers(pool: PgPool) {
    const WRITERS: usize = 16;
    const WRITES: usize = 60;
    let options = pool.connect_options().as_ref().clone();
    let pool = PgPoolOptions::new().max_connections(24).connect_with(options).await.unwrap();
    let oms = registry(&pool);
    for writer in 0..WRITERS {
        oms.object_types.create(&caller(), &object(&format!("T{writer}"))).await.unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let sequencers = [0, 1].map(|_| tokio::spawn(sequence_until(oms.clone(), done.clone())));
    let writers = (0..WRITERS).map(|writer| tokio::spawn(write(oms.clone(), pool.clone(), writer, WRITES)));
    let committed: usize = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).sum();
    done.store(true, Ordering::SeqCst);
    for sequencer in sequencers {
        sequencer.await.unwrap();
    }
    oms.events.sequence_until(None).await.unwrap();
    let events = all(&pool).await;
    assert_eq!(events.len(), WRITERS + committed);
    assert_in_order(&events);
    pool.close().await;
}

async fn sequence_until(oms: Registry, done: Arc<AtomicBool>) {
    while !done.load(Ordering::SeqCst) {
        oms.events.sequence_until(None).await.unwrap();
    }
}

/// Updates a type over and over; every third time its outbox row is written in a transaction that rolls back.
async fn write(oms: Registry, pool: PgPool, writer: usize, writes: usize) -> usize {
    let mut committed = 0;
    for n in 0..writes {
        if n % 3 == 0 {
            let mut transaction = pool.begin().await.unwrap();
            sqlx::query(
                "INSERT INTO outbox (tenant_id, event_type, entity_kind, entity_id, version, actor, document)
                VALUES ('acme', 'ObjectTypeUpdated', 'object_type', gen_random_uuid(), 1, 'ada', '{}')",
            )
            .execute(&mut *transaction)
            .await
            .unwrap();
            transaction.rollback().await.unwrap();
        } else {
            let patch = json!({"description": format!("{n}")});
            oms.object_types.update(&caller(), &key(&format!("T{writer}")), &patch, None).await.unwrap();
            committed += 1;
        }
    }
    committed
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_transaction_that_commits_late_gets_a_late_position_and_is_not_skipped(pool: PgPool) {
    let oms = registry(&pool);
    let mut late = pool.begin().await.unwrap();
    sqlx::query(
        r#"INSERT INTO outbox (tenant_id, event_type, entity_kind, entity_id, version, actor, document)
        VALUES ('acme', 'ObjectTypeCreated', 'object_type', gen_random_uuid(), 1, 'late', '{"definition": {"name": "Late"}}')"#,
    )
    .execute(&mut *late)
    .await
    .unwrap();
    with_types(&oms, &["A", "B"]).await;
    assert_eq!(oms.events.sequence_until(None).await.unwrap(), 2);
    late.commit().await.unwrap();
    assert_eq!(oms.events.sequence_until(None).await.unwrap(), 1);
    let actors: Vec<(i64, String)> = all(&pool).await.into_iter().map(|event| (event.position, event.actor)).collect();
    assert_eq!(actors, [(1, "ada".into()), (2, "ada".into()), (3, "late".into())]);
}

/// Fills ranges that are small, so that the log needs new ones and old ones can go.
#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn ranges_are_made_ahead_and_dropped_when_they_are_old_and_published(pool: PgPool) {
    let oms = registry(&pool);
    // Ranges of ten positions in place of the first, empty ones.
    let small =
        "DROP TABLE events_from_1, events_from_1000001; DELETE FROM event_ranges; SELECT extend_event_ranges(10, 2)";
    sqlx::raw_sql(small).execute(&pool).await.unwrap();
    let types: Vec<_> = (0..15).map(|n| object(&format!("T{n}"))).collect();
    oms.object_types.create_batch(&caller(), &types).await.unwrap();
    oms.events.sequence_until(None).await.unwrap();
    oms.object_types.create(&caller(), &object("Last")).await.unwrap();
    oms.events.sequence_until(None).await.unwrap();
    let drop = |age: &'static str| {
        let pool = pool.clone();
        async move {
            let query = "SELECT drop_oldest_event_range($1::text::interval)";
            sqlx::query_scalar::<_, bool>(query).bind(age).fetch_one(&pool).await.unwrap()
        }
    };
    let none = "0 seconds";
    assert!(!drop(none).await, "nothing was published");
    let mut claims = oms.events.claimer().await.unwrap();
    let claimed = claims.claim(16).await.unwrap();
    let events = claims.next(&claimed, 1_000).await.unwrap();
    assert_eq!(events.len(), 16);
    let reached: Vec<_> = events.iter().map(|event| (event.partition, event.position)).collect();
    claims.advance(&reached).await.unwrap();
    claims.close().await;
    super::super::repository::advance_idle(&pool).await.unwrap();
    assert!(!drop("1 hour").await, "it is young");
    assert!(drop(none).await);
    assert!(!drop(none).await, "the next range is not full");
    assert_eq!(all(&pool).await.first().unwrap().position, 11);
    let first: i64 = sqlx::query_scalar("SELECT first_position FROM event_log_head").fetch_one(&pool).await.unwrap();
    assert_eq!(first, 11);
    let free = "SELECT (SELECT max(end_position) FROM event_ranges) - position - 1 FROM event_log_head";
    let free: i64 = sqlx::query_scalar(free).fetch_one(&pool).await.unwrap();
    assert!(free >= 1_000_000, "{free}");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn the_sweep_keeps_two_ranges_ahead_and_drops_what_is_old(pool: PgPool) {
    let oms = registry(&pool);
    let small =
        "DROP TABLE events_from_1, events_from_1000001; DELETE FROM event_ranges; SELECT extend_event_ranges(10, 2)";
    sqlx::raw_sql(small).execute(&pool).await.unwrap();
    let types: Vec<_> = (0..12).map(|n| object(&format!("T{n}"))).collect();
    oms.object_types.create_batch(&caller(), &types).await.unwrap();
    oms.sweep().await.unwrap();
    let age = "UPDATE events SET sequenced_at = now() - interval '8 days'";
    sqlx::query(age).execute(&pool).await.unwrap();
    oms.sweep().await.unwrap();
    assert_eq!(all(&pool).await.len(), 12, "nothing was published yet");
    oms.events.forgo_publishing().await.unwrap();
    oms.sweep().await.unwrap();
    assert_eq!(all(&pool).await.len(), 2, "the full range is old and published");
    let ranges: Vec<(i64,)> =
        sqlx::query_as("SELECT first_position FROM event_ranges ORDER BY 1").fetch_all(&pool).await.unwrap();
    assert_eq!(ranges.len(), 3, "the current one and two ahead: {ranges:?}");
}

/// Large rows take fewer at a time, whatever a statement may take.
#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_backlog_of_large_rows_is_moved_in_parts(pool: PgPool) {
    let oms = registry(&pool);
    // Random text, which does not get smaller when it is stored.
    let fill = r#"INSERT INTO outbox (tenant_id, event_type, entity_kind, entity_id, version, actor, document)
        SELECT 'acme', 'ObjectTypeCreated', 'object_type', gen_random_uuid(), 1, 'ada', jsonb_build_object('definition',
            jsonb_build_object('name', 'T' || n, 'description', (SELECT string_agg(gen_random_uuid()::text, '')
                FROM generate_series(1, 30000) WHERE n > 0)))
        FROM generate_series(1, 40) n"#;
    sqlx::query(fill).execute(&pool).await.unwrap();
    assert_eq!(oms.events.sequence_until(None).await.unwrap(), 40);
    let transactions: i64 =
        sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM events").fetch_one(&pool).await.unwrap();
    assert!(transactions > 1, "all at once");
    let positions: Vec<i64> =
        sqlx::query_scalar("SELECT position FROM events ORDER BY 1").fetch_all(&pool).await.unwrap();
    assert_eq!(positions, (1..=40).collect::<Vec<i64>>());

    let mut claims = oms.events.claimer().await.unwrap();
    let claimed = claims.claim(16).await.unwrap();
    let taken = claims.next(&claimed, 1_000).await.unwrap().len();
    assert!((1..30).contains(&taken), "{taken} events of a megabyte each were taken at once");
    claims.close().await;
}
