//! SQL of the audit log.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{AuditEntry, AuditFilter, FailedLogin};
use crate::{entity::listing::MAX_PAGE_BYTES, id::TenantId};

/// The newest entries after a place, as many as fit into [`MAX_PAGE_BYTES`], and whether more follow.
pub(super) async fn list(
    db: impl PgExecutor<'_>,
    tenant: &TenantId,
    filter: &AuditFilter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: u32,
) -> sqlx::Result<(Vec<AuditEntry>, bool)> {
    let rows = sqlx::query!(
        r#"WITH found AS MATERIALIZED (
        SELECT id, entity_type, entity_id, action, actor, host(ip_address) AS ip_address, user_agent,
            old_value, new_value, metadata, created_at
        FROM audit_logs
        WHERE tenant_id = $1
            AND ($2::text IS NULL OR entity_type = $2)
            AND ($3::uuid IS NULL OR entity_id = $3)
            AND ($4::text IS NULL OR actor = $4)
            AND ($5::text IS NULL OR action = $5)
            AND ($6::timestamptz IS NULL OR created_at >= $6)
            AND ($7::timestamptz IS NULL OR created_at < $7)
            AND ($8::timestamptz IS NULL OR (created_at, id) < ($8, $9))
        ORDER BY created_at DESC, id DESC LIMIT $10::bigint + 1
        ), numbered AS (
            SELECT *, row_number() OVER () AS place,
                sum(coalesce(octet_length(old_value::text), 0) + coalesce(octet_length(new_value::text), 0))
                    OVER (ROWS UNBOUNDED PRECEDING) AS bytes
            FROM found
        )
        SELECT id AS "id!", entity_type AS "entity_type!", entity_id, action AS "action!", actor AS "actor!", ip_address,
            user_agent, old_value, new_value, metadata AS "metadata!", created_at AS "created_at!",
            (SELECT count(*) FROM found) AS "found!"
        FROM numbered WHERE place = 1 OR (place <= $10 AND bytes <= $11) ORDER BY place"#,
        tenant.as_str(),
        filter.entity_type,
        filter.entity_id,
        filter.actor,
        filter.action,
        filter.since,
        filter.until,
        after.map(|(time, _)| time),
        after.map(|(_, id)| id),
        i64::from(limit),
        MAX_PAGE_BYTES,
    )
    .fetch_all(db)
    .await?;
    let has_more = rows.first().is_some_and(|row| row.found > i64::try_from(rows.len()).unwrap_or(i64::MAX));
    let entries = rows.into_iter().map(|row| AuditEntry {
        id: row.id,
        entity_type: row.entity_type,
        entity_id: row.entity_id,
        action: row.action,
        actor: row.actor,
        ip_address: row.ip_address,
        user_agent: row.user_agent,
        old_value: row.old_value,
        new_value: row.new_value,
        metadata: row.metadata,
        created_at: row.created_at,
        truncated: false,
    });
    Ok((entries.collect(), has_more))
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
