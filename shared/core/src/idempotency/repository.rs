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

/// Forgets keys that are too old, at most 10,000 at a time.
pub(crate) async fn prune(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(hours => $1) LIMIT 10000))",
        RETENTION_HOURS,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
