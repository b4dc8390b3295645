//! SQL of versions, the same for every kind of type.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{error::Kind, id::TenantId, name::TypeKey};

/// A version as stored.
pub(crate) struct VersionRow {
    pub(crate) entity_id: Uuid,
    pub(crate) version: i32,
    pub(crate) action: String,
    pub(crate) change_description: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) created_by: String,
    pub(crate) snapshot: Option<String>,
}

/// The newest versions below `before`, without snapshots. Versions of deleted types are found by id.
pub(crate) async fn list(
    db: impl PgExecutor<'_>,
    kind: Kind,
    tenant: &TenantId,
    key: &TypeKey,
    before: Option<i32>,
    limit: i64,
) -> sqlx::Result<Vec<VersionRow>> {
    sqlx::query_as!(
        VersionRow,
        r#"SELECT entity_id, version, action, change_description, created_at, created_by, NULL AS snapshot
        FROM type_versions
        WHERE tenant_id = $1 AND entity_kind = $2 AND version < coalesce($5, 2147483647) AND entity_id = coalesce($3, CASE $2
            WHEN 'object_type' THEN (SELECT id FROM object_types WHERE tenant_id = $1 AND lower(name) = $4 AND NOT is_deleted)
            ELSE (SELECT id FROM link_types WHERE tenant_id = $1 AND lower(name) = $4 AND NOT is_deleted) END)
        ORDER BY version DESC LIMIT $6"#,
        tenant.as_str(),
        kind.as_str(),
        key.id(),
        key.folded_name(),
        before,
        limit,
    )
    .fetch_all(db)
    .await
}

/// These versions of a type with their snapshots, and always the first one, which tells that the type exists.
pub(crate) async fn fetch(
    db: impl PgExecutor<'_>,
    kind: Kind,
    tenant: &TenantId,
    key: &TypeKey,
    versions: &[i32],
) -> sqlx::Result<Vec<VersionRow>> {
    sqlx::query_as!(
        VersionRow,
        r#"SELECT entity_id, version, action, change_description, created_at, created_by, snapshot::text AS snapshot
        FROM type_versions
        WHERE tenant_id = $1 AND entity_kind = $2 AND (version = ANY($5) OR version = 1) AND entity_id = coalesce($3, CASE $2
            WHEN 'object_type' THEN (SELECT id FROM object_types WHERE tenant_id = $1 AND lower(name) = $4 AND NOT is_deleted)
            ELSE (SELECT id FROM link_types WHERE tenant_id = $1 AND lower(name) = $4 AND NOT is_deleted) END)
        ORDER BY version"#,
        tenant.as_str(),
        kind.as_str(),
        key.id(),
        key.folded_name(),
        versions,
    )
    .fetch_all(db)
    .await
}

/// The snapshots of these versions of these types, in their order.
pub(crate) async fn fetch_each(
    db: impl PgExecutor<'_>,
    tenant: &TenantId,
    ids: &[Uuid],
    versions: &[i32],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT v.snapshot::text AS "snapshot!"
        FROM unnest($2::uuid[], $3::integer[]) WITH ORDINALITY AS wanted(id, version, ordinal)
        JOIN type_versions v ON v.tenant_id = $1 AND v.entity_id = wanted.id AND v.version = wanted.version
        ORDER BY wanted.ordinal"#,
        tenant.as_str(),
        ids,
        versions,
    )
    .fetch_all(db)
    .await
}
