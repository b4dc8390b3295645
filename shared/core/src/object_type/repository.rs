//! SQL of object types.

use sqlx::{PgConnection, PgExecutor};

use super::ObjectType;
use crate::{
    entity::{
        listing::{Columns, MAX_PAGE_BYTES},
        statement::{Outcome, Statement, write_statement},
        store::{LatestState, Store},
    },
    id::TenantId,
    name::TypeKey,
    postgres::Database,
};

impl Store for ObjectType {
    const COLUMNS: Columns =
        Columns { from: "object_types t", document: "(SELECT document FROM object_type_as_text(t))" };

    async fn fetch(db: &Database, tenant: &TenantId, key: &TypeKey) -> sqlx::Result<Option<String>> {
        match key {
            TypeKey::Id(id) => {
                sqlx::query_scalar!(
                    r#"SELECT (SELECT document FROM object_type_as_text(t)) AS "document!"
                    FROM object_types t WHERE t.tenant_id = $1 AND t.id = $2 AND NOT t.is_deleted"#,
                    tenant.as_str(),
                    id,
                )
                .fetch_optional(db)
                .await
            }
            TypeKey::Name(name) => {
                sqlx::query_scalar!(
                    r#"SELECT (SELECT document FROM object_type_as_text(t)) AS "document!"
                    FROM object_types t WHERE t.tenant_id = $1 AND lower(t.name) = $2 AND NOT t.is_deleted"#,
                    tenant.as_str(),
                    name.folded(),
                )
                .fetch_optional(db)
                .await
            }
        }
    }

    async fn fetch_many(
        db: &Database,
        tenant: &TenantId,
        ids: &[uuid::Uuid],
        names: &[String],
    ) -> sqlx::Result<Vec<Option<String>>> {
        sqlx::query_scalar!(
            r#"WITH found AS MATERIALIZED (
                SELECT (SELECT document FROM object_type_as_text(t)) AS document
                FROM object_types t
                WHERE t.tenant_id = $1 AND NOT t.is_deleted AND (t.id = ANY($2) OR lower(t.name) = ANY($3))
            )
            SELECT CASE WHEN row_number() OVER so_far = 1 OR sum(octet_length(document)) OVER so_far <= $4
                THEN document END AS document
            FROM found WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)"#,
            tenant.as_str(),
            ids,
            names,
            MAX_PAGE_BYTES,
        )
        .fetch_all(db)
        .await
    }

    async fn fetch_latest(db: &Database, tenant: &TenantId, key: &TypeKey) -> sqlx::Result<Option<LatestState>> {
        match key {
            TypeKey::Id(id) => {
                sqlx::query_as!(
                    LatestState,
                    r#"SELECT t.version, t.is_deleted, v.snapshot::text AS "document!"
                    FROM object_types t
                    JOIN type_versions v ON v.tenant_id = $1 AND v.entity_id = t.id AND v.version = t.version
                    WHERE t.tenant_id = $1 AND t.id = $2"#,
                    tenant.as_str(),
                    id,
                )
                .fetch_optional(db)
                .await
            }
            TypeKey::Name(name) => {
                sqlx::query_as!(
                    LatestState,
                    r#"SELECT t.version, t.is_deleted, v.snapshot::text AS "document!"
                    FROM object_types t
                    JOIN type_versions v ON v.tenant_id = $1 AND v.entity_id = t.id AND v.version = t.version
                    WHERE t.tenant_id = $1 AND lower(t.name) = $2
                    ORDER BY t.is_deleted, t.updated_at DESC LIMIT 1"#,
                    tenant.as_str(),
                    name.folded(),
                )
                .fetch_optional(db)
                .await
            }
        }
    }

    async fn write(db: &mut PgConnection, statement: &Statement<'_>) -> sqlx::Result<Vec<Outcome>> {
        write_statement!(
            "reach(owner_id, property_id, node) AS (
                SELECT owner_id, property_id, target_id FROM resolved WHERE required AND added
                UNION
                SELECT reach.owner_id, reach.property_id, r.target_id FROM reach JOIN type_references r
                    ON r.tenant_id = $1 AND r.owner_id = reach.node AND r.owner_kind = 'object_type' AND r.required
                WHERE reach.node <> reach.owner_id
            ), blocked AS (
                SELECT owner_id, property_id FROM reach WHERE node = owner_id
            ), created AS (
                INSERT INTO object_types AS t (tenant_id, id, name, display_name, description, category, tags, properties,
                    base_datasets, metadata, created_by, updated_by, search, search_text)
                SELECT $1, id, name, display_name, description, category, tags, properties, base_datasets, metadata, $2, $2,
                    search_vector(search_a, search_b, search_c), search_text
                FROM input WHERE expected = 0 ORDER BY lower(name)
                RETURNING t AS entity, t.id, t.version, t.is_deleted
            ), revised AS (
                UPDATE object_types t SET name = i.name, display_name = i.display_name, description = i.description,
                    category = i.category, tags = i.tags, properties = i.properties, base_datasets = i.base_datasets,
                    metadata = i.metadata, is_deleted = i.is_deleted, version = t.version + 1,
                    updated_at = greatest(now(), t.updated_at), updated_by = $2,
                    search = search_vector(i.search_a, i.search_b, i.search_c), search_text = i.search_text
                FROM input i
                WHERE t.tenant_id = $1 AND t.id = i.id AND t.version = i.expected
                    AND NOT EXISTS (SELECT FROM blocked b WHERE b.owner_id = i.id)
                RETURNING t AS entity, t.id, t.version, t.is_deleted
            ), cascaded AS (
                UPDATE link_types l SET is_deleted = true, version = l.version + 1,
                    updated_at = greatest(now(), l.updated_at), updated_by = $2
                FROM revised r
                WHERE $12::boolean AND r.is_deleted AND l.tenant_id = $1 AND NOT l.is_deleted
                    AND (l.source_object_type_id = r.id OR l.target_object_type_id = r.id)
                RETURNING l AS entity, l.id, l.version, l.source_object_type_id AS source_id, l.target_object_type_id AS target_id
            ), written AS (
                SELECT id, is_deleted FROM created UNION ALL SELECT id, is_deleted FROM revised
                UNION ALL SELECT id, true FROM cascaded
            ), changed AS (
                SELECT 'object_type' AS entity_kind, w.id AS entity_id, w.version, i.ordinal, i.action,
                    object_type_document(w.entity, coalesce(s.refs, '{}')) AS document, i.old, i.changes, i.change_description
                FROM (SELECT * FROM created UNION ALL SELECT * FROM revised) w
                JOIN input i ON i.id = w.id
                LEFT JOIN shown s ON s.owner_id = w.id
                UNION ALL
                SELECT 'link_type', c.id, c.version, NULL, 'DELETE',
                    link_type_document(c.entity, source.name, target.name, references_of($1, c.id)),
                    link_type_document(before, source.name, target.name, references_of($1, c.id)), '[]', NULL
                FROM cascaded c
                JOIN link_types before ON before.tenant_id = $1 AND before.id = c.id
                JOIN object_types source ON source.tenant_id = $1 AND source.id = c.source_id
                JOIN object_types target ON target.tenant_id = $1 AND target.id = c.target_id
            )",
            statement,
            "object_type",
            statement.cascade
        )
        .fetch_all(db)
        .await
    }

    async fn taken_names(
        db: &Database,
        tenant: &TenantId,
        names: &[String],
    ) -> sqlx::Result<Vec<(String, uuid::Uuid)>> {
        let rows = sqlx::query!(
            r#"SELECT lower(name) AS "name!", id FROM object_types
            WHERE tenant_id = $1 AND NOT is_deleted AND lower(name) = ANY($2)"#,
            tenant.as_str(),
            names,
        )
        .fetch_all(db)
        .await?;
        Ok(rows.into_iter().map(|row| (row.name, row.id)).collect())
    }
}

/// The names and ids among `keys` that belong to live object types.
pub(crate) async fn live_keys(
    db: impl PgExecutor<'_>,
    tenant: &TenantId,
    ids: &[uuid::Uuid],
    names: &[String],
) -> sqlx::Result<Vec<(uuid::Uuid, String)>> {
    let rows = sqlx::query!(
        r#"SELECT id, lower(name) AS "name!" FROM object_types
        WHERE tenant_id = $1 AND NOT is_deleted AND (id = ANY($2) OR lower(name) = ANY($3))"#,
        tenant.as_str(),
        ids,
        names,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// A live type that points at an object type, as stored.
pub(crate) struct ReferrerRow {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) properties: Option<sqlx::types::Json<Vec<crate::property::Property>>>,
    pub(crate) property_id: Option<uuid::Uuid>,
}

/// What points at an object type from outside, at most 100 of them: links (unless they go with it) and references.
pub(crate) async fn referrers(
    db: impl PgExecutor<'_>,
    tenant: &TenantId,
    id: uuid::Uuid,
    links: bool,
) -> sqlx::Result<Vec<ReferrerRow>> {
    sqlx::query_as!(
        ReferrerRow,
        r#"SELECT 'link_type' AS "kind!", l.name AS "name!",
            NULL::jsonb AS "properties: sqlx::types::Json<Vec<crate::property::Property>>", NULL::uuid AS property_id
        FROM link_types l
        WHERE $3 AND l.tenant_id = $1 AND NOT l.is_deleted
            AND (l.source_object_type_id = $2 OR l.target_object_type_id = $2)
        UNION ALL
        SELECT r.owner_kind, coalesce(o.name, k.name), coalesce(o.properties, k.properties), r.property_id
        FROM type_references r
        LEFT JOIN object_types o ON o.tenant_id = $1 AND o.id = r.owner_id AND r.owner_kind = 'object_type'
        LEFT JOIN link_types k ON k.tenant_id = $1 AND k.id = r.owner_id AND r.owner_kind = 'link_type'
        WHERE r.tenant_id = $1 AND r.target_id = $2 AND r.owner_id <> $2
        ORDER BY 1, 2 LIMIT 100"#,
        tenant.as_str(),
        id,
        links,
    )
    .fetch_all(db)
    .await
}

/// How many live object types there are, over all tenants.
pub(crate) async fn count_all(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM object_types WHERE NOT is_deleted"#).fetch_one(db).await
}
