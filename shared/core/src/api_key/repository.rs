//! SQL of API keys.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::ApiKey;
use crate::{context::Context, id::TenantId};

pub(super) struct IdentityRow {
    pub(super) tenant_id: String,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) roles: Vec<String>,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// Finds a key that is valid now; notes its use at most once a minute, so that reads stay reads. The minute is judged by
/// the row that is updated, not by the statement's snapshot: who waited for another request's update has nothing to add.
pub(super) async fn authenticate(db: impl PgExecutor<'_>, hash: &[u8]) -> sqlx::Result<Option<IdentityRow>> {
    sqlx::query_as!(
        IdentityRow,
        r#"WITH valid AS (
            SELECT tenant_id, id, name, roles, expires_at FROM api_keys
            WHERE secret_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        ), used AS (
            UPDATE api_keys k SET last_used_at = now() FROM valid v
            WHERE k.tenant_id = v.tenant_id AND k.id = v.id
                AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute')
        )
        SELECT tenant_id, id, name, roles, expires_at FROM valid"#,
        hash,
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn insert(
    db: impl PgExecutor<'_>,
    context: &Context,
    id: Uuid,
    name: &str,
    hash: &[u8],
    roles: &[String],
    expires_at: Option<DateTime<Utc>>,
) -> sqlx::Result<ApiKey> {
    sqlx::query_as!(
        ApiKey,
        r#"WITH made AS (
            INSERT INTO api_keys (tenant_id, id, name, secret_hash, roles, created_by, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            RETURNING id, name, roles, created_at, created_by, expires_at, last_used_at, revoked_at
        ), audited AS (
            INSERT INTO audit_logs (tenant_id, entity_type, entity_id, action, actor, ip_address, user_agent, new_value, metadata)
            SELECT $1, 'api_key', id, 'CREATE', $6, $8::text::inet, $9,
                jsonb_strip_nulls(jsonb_build_object('name', name, 'roles', roles, 'expiresAt', expires_at)),
                jsonb_strip_nulls(jsonb_build_object('correlationId', $10::text, 'traceparent', $11::text))
            FROM made
        )
        SELECT id, name, roles, created_at, created_by, expires_at, last_used_at, revoked_at FROM made"#,
        context.tenant.as_str(),
        id,
        name,
        hash,
        roles,
        context.actor,
        expires_at,
        context.ip.map(|ip| ip.to_string()),
        context.user_agent,
        context.correlation_id,
        context.traceparent,
    )
    .fetch_one(db)
    .await
}

pub(super) async fn list(db: impl PgExecutor<'_>, tenant: &TenantId) -> sqlx::Result<Vec<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        "SELECT id, name, roles, created_at, created_by, expires_at, last_used_at, revoked_at FROM api_keys
        WHERE tenant_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1000",
        tenant.as_str(),
    )
    .fetch_all(db)
    .await
}

/// Whether the key exists; the first revocation is audited.
pub(super) async fn revoke(db: impl PgExecutor<'_>, context: &Context, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"WITH revoked AS (
            UPDATE api_keys SET revoked_at = now(), revoked_by = $3
            WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING id
        ), audited AS (
            INSERT INTO audit_logs (tenant_id, entity_type, entity_id, action, actor, ip_address, user_agent, metadata)
            SELECT $1, 'api_key', id, 'REVOKE', $3, $4::text::inet, $5,
                jsonb_strip_nulls(jsonb_build_object('correlationId', $6::text, 'traceparent', $7::text))
            FROM revoked
        )
        SELECT EXISTS (SELECT FROM api_keys WHERE tenant_id = $1 AND id = $2) AS "exists!""#,
        context.tenant.as_str(),
        id,
        context.actor,
        context.ip.map(|ip| ip.to_string()),
        context.user_agent,
        context.correlation_id,
        context.traceparent,
    )
    .fetch_one(db)
    .await
}
