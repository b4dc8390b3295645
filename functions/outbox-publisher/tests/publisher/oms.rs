//! A registry and its callers.

use oms_core::{
    Registry,
    cache::Cache,
    config::RedisConfig,
    context::{Context, Permissions},
    name::TypeKey,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

pub(crate) fn registry(pool: &PgPool) -> Registry {
    Registry::new(pool.clone(), Cache::new(&RedisConfig::none()))
}

pub(crate) fn caller() -> Context {
    Context {
        tenant: "acme".parse().unwrap(),
        actor: "ada".into(),
        permissions: Permissions::all(),
        ip: None,
        user_agent: None,
        correlation_id: "c-1".into(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        idempotency: None,
        expires_at: None,
    }
}

/// Creates object types in one statement; their ids.
pub(crate) async fn create(oms: &Registry, names: impl IntoIterator<Item = String>) -> Vec<Uuid> {
    let inputs: Vec<Value> = names.into_iter().map(|name| json!({"name": name, "displayName": name})).collect();
    let created = oms.object_types.create_batch(&caller(), &inputs).await.unwrap();
    created.into_iter().map(|created| created.id.0).collect()
}

/// Gives an object type another description, so that it has a version more.
pub(crate) async fn update(oms: &Registry, id: Uuid, description: &str) {
    let key = TypeKey::parse(&id.to_string()).unwrap();
    oms.object_types.update(&caller(), &key, &json!({"description": description}), None).await.unwrap();
}

/// The checkpoint of the partition that an entity's events are in.
pub(crate) async fn checkpoint(pool: &PgPool, entity: Uuid) -> i64 {
    sqlx::query_scalar(
        "SELECT c.position FROM publisher_checkpoints c
        WHERE c.publisher_partition = (SELECT publisher_partition FROM events WHERE entity_id = $1 LIMIT 1)",
    )
    .bind(entity)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Events that lie above their partition's checkpoint, or are in the outbox still.
pub(crate) async fn unpublished(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM events e JOIN publisher_checkpoints c
            USING (publisher_partition) WHERE e.position > c.position)",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Advisory locks that are held in this database.
pub(crate) async fn locks(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}
