use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use sqlx::PgPool;

use super::with_types;
use crate::{
    event_log::PARTITIONS,
    fixture::{cached, caller, created, deleted, key, object, patched, registry},
};

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn two_publishers_share_the_partitions_and_see_each_event_once(pool: PgPool) {
    let oms = registry(&pool);
    let types: Vec<_> = (0..200).map(|n| object(&format!("T{n}"))).collect();
    oms.object_types.create_batch(&caller(), &types).await.unwrap();
    oms.events.sequence().await.unwrap();
    let (mut one, mut two) = (oms.events.claimer().await.unwrap(), oms.events.claimer().await.unwrap());
    let first = one.claim(8).await.unwrap();
    let second = two.claim(16).await.unwrap();
    assert_eq!((first.len(), second.len()), (8, 8), "what one has the other has not");
    assert!(first.iter().all(|partition| !second.contains(partition)));
    let mut seen = one.next(&first, 1_000).await.unwrap();
    seen.extend(two.next(&second, 1_000).await.unwrap());
    seen.sort_by_key(|event| event.position);
    assert_eq!(seen.iter().map(|event| event.position).collect::<Vec<_>>(), (1..=200).collect::<Vec<i64>>());
    assert!(seen.iter().all(|event| (0..PARTITIONS).contains(&event.partition)));

    let reached: Vec<_> =
        seen.iter().filter(|e| first.contains(&e.partition)).map(|e| (e.partition, e.position)).collect();
    one.advance(&reached).await.unwrap();
    assert_eq!(one.next(&first, 10).await.unwrap().len(), 0);
    assert_eq!(one.claim(16).await.unwrap().len(), 0, "nothing is left but what the other has");
    two.close().await;
    // A session that ends leaves its partitions, unpublished as they are, as soon as the database has noticed.
    let mut left = BTreeSet::new();
    let claiming = async {
        while left.len() < 8 {
            left.extend(one.claim(16).await.unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(20), claiming).await.unwrap();
    assert_eq!(left, second.into_iter().collect());
    one.release().await.unwrap();
    one.close().await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn checkpoints_never_move_back(pool: PgPool) {
    let oms = registry(&pool);
    with_types(&oms, &["A"]).await;
    patched(&oms, "A", json!({"description": "b"})).await;
    oms.events.sequence().await.unwrap();
    let mut claims = oms.events.claimer().await.unwrap();
    let claimed = claims.claim(1).await.unwrap();
    claims.advance(&[(claimed[0], 2)]).await.unwrap();
    claims.advance(&[(claimed[0], 1)]).await.unwrap();
    assert_eq!(claims.next(&claimed, 10).await.unwrap().len(), 0);
    claims.close().await;
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn the_age_of_the_oldest_event_counts_until_it_is_published(pool: PgPool) {
    let oms = registry(&pool);
    assert!(oms.events.oldest_unpublished_age().await.unwrap().is_none());
    with_types(&oms, &["A"]).await;
    assert!(oms.events.oldest_unpublished_age().await.unwrap().is_some(), "in the outbox");
    oms.events.sequence().await.unwrap();
    assert!(oms.events.oldest_unpublished_age().await.unwrap().is_some(), "in the log");
    let mut claims = oms.events.claimer().await.unwrap();
    let claimed = claims.claim(16).await.unwrap();
    claims.advance(&[(claimed[0], 1)]).await.unwrap();
    claims.close().await;
    assert!(oms.events.oldest_unpublished_age().await.unwrap().is_none());
}

/// A process lost Redis, or its life, between its commit and telling the cache of it.
#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_cache_write_that_was_lost_is_repeated_from_the_log(pool: PgPool) {
    let (oms, without_cache) = (cached(&pool), registry(&pool));
    created(&oms, object("Customer")).await;
    let name = key("Customer");
    assert_eq!(oms.object_types.get(&caller(), &name).await.unwrap().stamp.version, 1);
    patched(&without_cache, "Customer", json!({"description": "new"})).await;
    assert_eq!(oms.object_types.get(&caller(), &name).await.unwrap().stamp.version, 1, "the cache was not told");
    oms.events.sequence().await.unwrap();
    oms.repeat_cache_writes(&super::all(&pool).await).await;
    assert_eq!(oms.object_types.get(&caller(), &name).await.unwrap().stamp.version, 2);

    deleted(&without_cache, "Customer").await;
    oms.events.sequence().await.unwrap();
    oms.repeat_cache_writes(&super::all(&pool).await).await;
    assert!(oms.object_types.get(&caller(), &name).await.is_err(), "deleted");
}

/// As during a deployment: another version writes what this one does not know.
#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn an_event_of_an_unknown_type_waits_and_other_partitions_go_on(pool: PgPool) {
    let oms = registry(&pool);
    let types: Vec<_> = (0..100).map(|n| object(&format!("T{n}"))).collect();
    oms.object_types.create_batch(&caller(), &types).await.unwrap();
    oms.events.sequence().await.unwrap();
    let rename = "UPDATE events SET event_type = 'ObjectTypeMerged' WHERE position = 50 RETURNING publisher_partition";
    let partition: i16 = sqlx::query_scalar(rename).fetch_one(&pool).await.unwrap();
    let mut claims = oms.events.claimer().await.unwrap();
    let claimed = claims.claim(16).await.unwrap();
    let events = claims.next(&claimed, 1_000).await.unwrap();
    let behind = |event: &&crate::event_log::LogEvent| event.partition == partition && event.position >= 50;
    assert_eq!(events.iter().filter(behind).count(), 0);
    assert!(events.iter().any(|event| event.position > 50));
    let reached: Vec<_> = events.iter().map(|event| (event.partition, event.position)).collect();
    claims.advance(&reached).await.unwrap();
    assert!(claims.next(&claimed, 1_000).await.is_err(), "only what waits is left");
    claims.close().await;

    let feed = oms.feed.page(&caller(), &Default::default(), &crate::feed::Start::Earliest, 1_000).await.unwrap();
    assert_eq!((feed.events.len(), feed.has_more), (49, true), "the feed waits too, and has no gap");
    let after = crate::feed::Start::After(feed.resume_token);
    assert!(oms.feed.page(&caller(), &Default::default(), &after, 1_000).await.is_err());
}
