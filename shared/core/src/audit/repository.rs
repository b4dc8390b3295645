//! SQL of the audit log.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{AuditEntry, AuditFilter, FailedLogin};
use crate::id::TenantId;

pub(super) async fn list(
    db: impl PgExecutor<'_>,
    tenant: &TenantId,
    filter: &AuditFilter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<AuditEntry>> {
    sqlx::query_as!(
        AuditEntry,
        r#"SELECT id, entity_type, entity_id, action, actor, host(ip_address) AS ip_address, user_agent,
            old_value AS "old_value: Value", new_value AS "new_value: Value", metadata, created_at
        FROM audit_logs
        WHERE tenant_id = $1
            AND ($2::text IS NULL OR entity_type = $2)
            AND ($3::uuid IS NULL OR entity_id = $3)
            AND ($4::text IS NULL OR actor = $4)
            AND ($5::text IS NULL OR action = $5)
            AND ($6::timestamptz IS NULL OR created_at >= $6)
            AND ($7::timestamptz IS NULL OR created_at < $7)
            AND ($8::timestamptz IS NULL OR (created_at, id) < ($8, $9))
        ORDER BY created_at DESC, id DESC LIMIT $10"#,
        tenant.as_str(),
        filter.entity_type,
        filter.entity_id,
        filter.actor,
        filter.action,
        filter.since,
        filter.until,
        after.map(|(time, _)| time),
        after.map(|(_, id)| id),
        limit,
    )
    .fetch_all(db)
    .await
}

pub(super) async fn insert_failed_login(db: impl PgExecutor<'_>, login: &FailedLogin) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO audit_logs (tenant_id, entity_type, action, actor, ip_address, user_agent, metadata)
        VALUES ($1, 'authentication', 'LOGIN_FAILED', 'anonymous', $2::text::inet, $3, jsonb_strip_nulls($4))",
        login.tenant.as_str(),
        login.ip.map(|ip| ip.to_string()),
        login.user_agent,
        json!({"reason": login.reason, "correlationId": login.correlation_id, "traceparent": login.traceparent}),
    )
    .execute(db)
    .await?;
    Ok(())
}
