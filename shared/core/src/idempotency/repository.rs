//! SQL of idempotency keys.

use sqlx::{PgExecutor, types::Json};
use uuid::Uuid;

use super::{IdempotencyKey, RETENTION_HOURS};
use crate::context::Context;

/// What a key answered with.
pub(crate) struct Remembered {
    pub(crate) body_hash: Vec<u8>,
    pub(crate) entities: Json<Vec<(Uuid, i32)>>,
}

/// Looks a key up, and forgets it when it is too old.
pub(crate) async fn recall(
    db: impl PgExecutor<'_>,
    context: &Context,
    key: &IdempotencyKey,
) -> sqlx::Result<Option<Remembered>> {
    sqlx::query_as!(
        Remembered,
        r#"WITH expired AS (
            DELETE FROM idempotency_keys WHERE tenant_id = $1 AND actor = $2 AND route = $3 AND key = $4
                AND created_at < now() - make_interval(hours => $5)
        )
        SELECT body_hash, entities AS "entities: Json<Vec<(Uuid, i32)>>" FROM idempotency_keys
        WHERE tenant_id = $1 AND actor = $2 AND route = $3 AND key = $4
            AND created_at >= now() - make_interval(hours => $5)"#,
        context.tenant.as_str(),
        context.actor,
        key.route,
        key.key,
        RETENTION_HOURS,
    )
    .fetch_optional(db)
    .await
}

/// Remembers the answer of a write that had nothing to write. The key may have been taken by a concurrent request: then
/// nothing is remembered here, and the first one's answer stands.
pub(crate) async fn remember(
    db: impl PgExecutor<'_>,
    context: &Context,
    key: &IdempotencyKey,
    entity: (Uuid, i32),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "INSERT INTO idempotency_keys (tenant_id, actor, route, key, body_hash, entities)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        context.tenant.as_str(),
        context.actor,
        key.route,
        key.key,
        key.body_hash.as_slice(),
        Json(vec![entity]) as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets keys that are too old, 10,000 at a time so that no statement takes long; whether there may be more.
pub(crate) async fn prune(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(hours => $1) LIMIT 10000))",
        RETENTION_HOURS,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 10_000)
}
