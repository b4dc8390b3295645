//! SQL of versions, the same for every kind of type.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{entity::listing::MAX_PAGE_BYTES, error::Kind, id::TenantId, name::TypeKey};

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

/// The newest versions of each of these types, at most `limit` of each, without snapshots. What does not fit into
/// [`MAX_PAGE_BYTES`] is left out, the oldest first; the newest version of each is always there.
pub(crate) async fn newest(
    db: impl PgExecutor<'_>,
    kind: Kind,
    tenant: &TenantId,
    ids: &[Uuid],
    limit: i64,
) -> sqlx::Result<Vec<VersionRow>> {
    // 200 bytes for what stands beside a description.
    sqlx::query_as!(
        VersionRow,
        r#"SELECT entity_id, version, action, change_description, created_at, created_by, NULL AS snapshot
        FROM (
            SELECT v.*, sum(200 + coalesce(octet_length(change_description), 0)) OVER (ORDER BY place, entity_id) AS bytes
            FROM (SELECT DISTINCT id FROM unnest($3::uuid[]) AS id) wanted
            CROSS JOIN LATERAL (
                SELECT *, row_number() OVER (ORDER BY version DESC) AS place FROM type_versions
                WHERE tenant_id = $1 AND entity_kind = $2 AND entity_id = wanted.id
                ORDER BY version DESC LIMIT $4
            ) v
        ) sized
        WHERE place = 1 OR bytes <= $5
        ORDER BY entity_id, version DESC"#,
        tenant.as_str(),
        kind.as_str(),
        ids,
        limit,
        MAX_PAGE_BYTES,
    )
    .fetch_all(db)
    .await
}

/// A snapshot by its place among those asked for; none if it is too much together with those before it.
pub(crate) struct SnapshotRow {
    pub(crate) ordinal: i64,
    pub(crate) document: Option<String>,
}

/// The snapshots of these versions of these types that are there, in their order, as far as they fit into `most` bytes; the
/// first one does.
pub(crate) async fn fetch_each(
    db: impl PgExecutor<'_>,
    kind: Kind,
    tenant: &TenantId,
    ids: &[Uuid],
    versions: &[i32],
    most: i64,
) -> sqlx::Result<Vec<SnapshotRow>> {
    sqlx::query_as!(
        SnapshotRow,
        r#"WITH found AS MATERIALIZED (
            SELECT wanted.ordinal, v.snapshot::text AS document
            FROM unnest($3::uuid[], $4::integer[]) WITH ORDINALITY AS wanted(id, version, ordinal)
            JOIN type_versions v ON v.tenant_id = $1 AND v.entity_kind = $2
                AND v.entity_id = wanted.id AND v.version = wanted.version
        )
        SELECT ordinal AS "ordinal!", CASE WHEN row_number() OVER so_far = 1
            OR sum(octet_length(document)) OVER so_far <= $5 THEN document END AS document
        FROM found WINDOW so_far AS (ORDER BY ordinal)
        ORDER BY ordinal"#,
        tenant.as_str(),
        kind.as_str(),
        ids,
        versions,
        most,
    )
    .fetch_all(db)
    .await
}
