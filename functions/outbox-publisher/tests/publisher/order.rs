//! Order, on the mock cluster.

use std::time::Duration;

use oms_outbox_publisher::{Drained, Publisher};
use sqlx::PgPool;

use crate::{
    brokers::{assert_order, messages, mock},
    oms::{create, locks, registry, unpublished, update},
};

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn every_event_arrives_in_order_of_its_entity_and_no_lock_is_left(pool: PgPool) {
    let (_mock, config) = mock(8);
    let oms = registry(&pool);
    let ids = create(&oms, (0..20).map(|n| format!("Type{n}"))).await;
    let mut publisher = Publisher::new(config.clone());
    assert_eq!(publisher.drain(&oms, None).await.unwrap().published, 20);
    for round in 0..3 {
        for id in &ids {
            update(&oms, *id, &format!("round {round}")).await;
        }
        let drained = publisher.drain(&oms, None).await.unwrap();
        assert_eq!((drained.published, drained.dead_lettered, drained.unfinished), (20, 0, false));
        assert_eq!(locks(&pool).await, 0);
    }
    let got = messages(&config, &config.topic);
    assert_eq!(got.len(), 80, "nothing is repeated when nothing fails");
    let versions = assert_order(&got);
    assert_eq!(versions.len(), 20);
    assert!(versions.values().all(|versions| versions.len() == 4));
    assert_eq!(unpublished(&pool).await, 0);
    assert_eq!(publisher.drain(&oms, None).await.unwrap(), Drained::default(), "there is nothing more to do");
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_backlog_of_many_batches_is_drained_in_order(pool: PgPool) {
    let (_mock, config) = mock(4);
    let oms = registry(&pool);
    let ids = create(&oms, (0..900).map(|n| format!("Type{n}"))).await;
    // More versions than a batch holds, without waiting for thousands of writes.
    oms.events.sequence().await.unwrap();
    sqlx::query(
        "WITH head AS (SELECT position FROM event_log_head), copied AS (
            INSERT INTO events (position, epoch, event_id, tenant_id, event_type, entity_kind, entity_id, version,
                actor, occurred_at, document, changes, bytes, names, publisher_partition)
            SELECT head.position + row_number() OVER (ORDER BY n, e.position), epoch, gen_random_uuid(), tenant_id,
                'ObjectTypeUpdated', entity_kind, entity_id, version + n, actor, occurred_at, document, changes, bytes,
                names, publisher_partition
            FROM head, events e, generate_series(1, 9) AS n
            RETURNING position)
        UPDATE event_log_head SET position = (SELECT max(position) FROM copied)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let drained = Publisher::new(config.clone()).drain(&oms, None).await.unwrap();
    assert_eq!(drained.published, 9_000);
    let versions = assert_order(&messages(&config, &config.topic));
    assert_eq!(versions.len(), ids.len());
    assert!(versions.values().all(|versions| versions.len() == 10));
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn publishers_at_the_same_time_share_the_partitions_and_repeat_nothing(pool: PgPool) {
    let (mock, config) = mock(4);
    let oms = registry(&pool);
    let (mut first, mut second) = (Publisher::new(config.clone()), Publisher::new(config.clone()));
    for publisher in [&mut first, &mut second] {
        publisher.warm().await;
        // It has its connection from here on.
        publisher.drain(&oms, None).await.unwrap();
    }
    for batch in 0..4 {
        create(&oms, (0..500).map(|n| format!("Type{batch}x{n}"))).await;
    }
    oms.events.sequence().await.unwrap();
    // So far away that neither is done before the other begins.
    mock.broker_round_trip_time(-1, Duration::from_millis(500)).unwrap();
    let (first, second) = tokio::join!(first.drain(&oms, None), second.drain(&oms, None));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.published + second.published, 2_000);
    assert!(first.published > 0 && second.published > 0, "both took part: {first:?}, {second:?}");
    assert_eq!(messages(&config, &config.topic).len(), 2_000);
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (0, 0));
}
