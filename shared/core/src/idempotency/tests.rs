use serde_json::json;
use sqlx::PgPool;

use crate::{
    context::Context,
    entity::Filter,
    fixture::{at, caller, caller_with_key, code, created, key, object, refusal, registry},
    idempotency::IdempotencyKey,
};

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_repeated_write_is_answered_as_the_first_was(pool: PgPool) {
    let oms = registry(&pool);
    let (create, update) = (caller_with_key("create", 1), caller_with_key("update", 1));
    let (delete, restore) = (caller_with_key("delete", 1), caller_with_key("restore", 1));
    let batch = [object("Zebra"), object("Ant")];
    let name = key("Zebra");
    let patch = json!({"category": "a"});
    let made = oms.object_types.create_batch(&create, &batch).await.unwrap();
    let updated = oms.object_types.update(&update, &name, &patch, Some(1)).await.unwrap();
    let deleted = oms.object_types.delete(&delete, &name, Some(2), false).await.unwrap();
    let restored = oms.object_types.restore(&restore, &name, Some(3)).await.unwrap();
    oms.object_types.update(&caller(), &name, &json!({"category": "b"}), None).await.unwrap();

    assert_eq!(oms.object_types.create_batch(&create, &batch).await.unwrap(), made);
    assert_eq!(oms.object_types.update(&update, &name, &patch, Some(1)).await.unwrap(), updated);
    assert_eq!(oms.object_types.delete(&delete, &name, Some(2), false).await.unwrap(), deleted);
    assert_eq!(oms.object_types.restore(&restore, &name, Some(3)).await.unwrap(), restored);
    let rows: (i64,) = sqlx::query_as("SELECT count(*) FROM outbox").fetch_one(&pool).await.unwrap();
    assert_eq!(rows.0, 2 + 4);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_key_belongs_to_a_body_an_actor_a_route_and_a_tenant(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller_with_key("k", 1);
    oms.object_types.create(&acme, &object("A")).await.unwrap();
    let other_body = oms.object_types.create(&caller_with_key("k", 2), &object("B")).await;
    assert_eq!(code(other_body), "IDEMPOTENCY_KEY_REUSED");
    let route = IdempotencyKey { route: "POST /elsewhere".into(), ..acme.idempotency.clone().unwrap() };
    let others = [
        Context { actor: "bob".into(), ..acme.clone() },
        Context { idempotency: Some(route), ..acme.clone() },
        Context { tenant: "globex".parse().unwrap(), ..acme.clone() },
    ];
    for (other, name) in others.iter().zip(["B", "C", "D"]) {
        assert_eq!(oms.object_types.create(other, &object(name)).await.unwrap().definition.name.as_str(), name);
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_refused_write_leaves_its_key_free(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Taken")).await;
    let acme = caller_with_key("k", 1);
    let taken = oms.object_types.create(&acme, &object("Taken")).await;
    assert_eq!(refusal(taken), at([("/name", "OBJECT_TYPE_NAME_EXISTS")]));
    oms.object_types.create(&caller_with_key("k", 2), &object("Free")).await.unwrap();
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_key_is_forgotten_after_a_day(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller_with_key("k", 1);
    oms.object_types.create(&acme, &object("A")).await.unwrap();
    let age = "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'";
    sqlx::query(age).execute(&pool).await.unwrap();
    let again = oms.object_types.create(&caller_with_key("k", 2), &object("B")).await.unwrap();
    assert_eq!(again.definition.name.as_str(), "B");
    sqlx::query(age).execute(&pool).await.unwrap();
    oms.object_types.create(&caller_with_key("new", 1), &object("C")).await.unwrap();
    oms.sweep().await.unwrap();
    let left: Vec<(String,)> = sqlx::query_as("SELECT key FROM idempotency_keys").fetch_all(&pool).await.unwrap();
    assert_eq!(left, [("new".to_owned(),)]);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn requests_that_repeat_each_other_at_the_same_time_write_once(pool: PgPool) {
    let oms = registry(&pool);
    for round in 0..3 {
        let as_of = |what: &str| caller_with_key(&format!("{what}{round}"), 1);
        let (create, update, delete, restore) = (as_of("create"), as_of("update"), as_of("delete"), as_of("restore"));
        let input = object(&format!("T{round}"));
        let name = key(&format!("T{round}"));

        let answers = futures::future::join_all((0..4).map(|_| oms.object_types.create(&create, &input))).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");

        let patch = json!({"category": "a"});
        let answers =
            futures::future::join_all((0..4).map(|_| oms.object_types.update(&update, &name, &patch, Some(1)))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().stamp.version == 2));

        let answers =
            futures::future::join_all((0..4).map(|_| oms.object_types.delete(&delete, &name, Some(2), false))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().version == 3));

        let answers =
            futures::future::join_all((0..4).map(|_| oms.object_types.restore(&restore, &name, Some(3)))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().stamp.version == 4));
    }
    assert_eq!(oms.object_types.count(&caller(), &Filter::default()).await.unwrap(), 3);
    let rows: (i64,) = sqlx::query_as("SELECT count(*) FROM outbox").fetch_one(&pool).await.unwrap();
    assert_eq!(rows.0, 3 * 4);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_patch_that_changes_nothing_binds_its_key_too(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("A")).await;
    let (name, nothing) = (key("A"), json!({}));
    let first = oms.object_types.get(&caller(), &name).await.unwrap();
    assert_eq!(oms.object_types.update(&caller_with_key("k", 1), &name, &nothing, None).await.unwrap(), first);
    let other_body = oms.object_types.update(&caller_with_key("k", 2), &name, &json!({"category": "b"}), None).await;
    assert_eq!(code(other_body), "IDEMPOTENCY_KEY_REUSED");
    // Repeated after somebody's change, it still answers what it found.
    oms.object_types.update(&caller(), &name, &json!({"category": "c"}), None).await.unwrap();
    assert_eq!(oms.object_types.update(&caller_with_key("k", 1), &name, &nothing, None).await.unwrap(), first);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn one_sweep_forgets_all_old_keys_however_many(pool: PgPool) {
    let insert = "INSERT INTO idempotency_keys (tenant_id, actor, route, key, body_hash, entities, created_at)
        SELECT 'acme', 'kim', 'POST /', n::text, sha256('body'), '[]', now() - interval '25 hours'
        FROM generate_series(1, 20001) n";
    sqlx::query(insert).execute(&pool).await.unwrap();
    registry(&pool).sweep().await.unwrap();
    let left: (i64,) = sqlx::query_as("SELECT count(*) FROM idempotency_keys").fetch_one(&pool).await.unwrap();
    assert_eq!(left.0, 0);
}
