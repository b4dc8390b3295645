//! SQL of link types.

use sqlx::{PgConnection, PgExecutor};

use super::{End, LinkType};
use crate::{
    entity::{
        listing::{Columns, ListRow, MAX_PAGE_BYTES},
        statement::{Outcome, Statement, write_statement},
        store::{LatestState, Store},
    },
    id::TenantId,
    name::TypeKey,
    postgres::Database,
};

impl Store for LinkType {
    const COLUMNS: Columns = Columns {
        from: "link_types t \
            JOIN object_types s ON s.tenant_id = t.tenant_id AND s.id = t.source_object_type_id \
            JOIN object_types g ON g.tenant_id = t.tenant_id AND g.id = t.target_object_type_id",
        document: "(SELECT document FROM link_type_as_text(t, s.name, g.name))",
    };

    async fn fetch(db: &Database, tenant: &TenantId, key: &TypeKey) -> sqlx::Result<Option<String>> {
        match key {
            TypeKey::Id(id) => {
                sqlx::query_scalar!(
                    r#"SELECT (SELECT document FROM link_type_as_text(t, s.name, g.name)) AS "document!"
                    FROM link_types t
                    JOIN object_types s ON s.tenant_id = $1 AND s.id = t.source_object_type_id
                    JOIN object_types g ON g.tenant_id = $1 AND g.id = t.target_object_type_id
                    WHERE t.tenant_id = $1 AND t.id = $2 AND NOT t.is_deleted"#,
                    tenant.as_str(),
                    id,
                )
                .fetch_optional(db)
                .await
            }
            TypeKey::Name(name) => {
                sqlx::query_scalar!(
                    r#"SELECT (SELECT document FROM link_type_as_text(t, s.name, g.name)) AS "document!"
                    FROM link_types t
                    JOIN object_types s ON s.tenant_id = $1 AND s.id = t.source_object_type_id
                    JOIN object_types g ON g.tenant_id = $1 AND g.id = t.target_object_type_id
                    WHERE t.tenant_id = $1 AND lower(t.name) = $2 AND NOT t.is_deleted"#,
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
                SELECT (SELECT document FROM link_type_as_text(t, s.name, g.name)) AS document
                FROM link_types t
                JOIN object_types s ON s.tenant_id = $1 AND s.id = t.source_object_type_id
                JOIN object_types g ON g.tenant_id = $1 AND g.id = t.target_object_type_id
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
                    FROM link_types t
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
                    FROM link_types t
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
        // An end that is not found stays null: the column refuses it, and the service finds out which one it was.
        write_statement!(
            "blocked AS (
                SELECT NULL::uuid AS property_id WHERE false
            ), ends AS (
                SELECT i.id, coalesce(i.source_id, sn.id) AS source_id, coalesce(i.target_id, gn.id) AS target_id,
                    coalesce(si.name, sn.name) AS source_name, coalesce(gi.name, gn.name) AS target_name
                FROM input i
                LEFT JOIN object_types si ON si.tenant_id = $1 AND si.id = i.source_id
                LEFT JOIN object_types sn ON sn.tenant_id = $1 AND lower(sn.name) = i.source_name AND NOT sn.is_deleted
                LEFT JOIN object_types gi ON gi.tenant_id = $1 AND gi.id = i.target_id
                LEFT JOIN object_types gn ON gn.tenant_id = $1 AND lower(gn.name) = i.target_name AND NOT gn.is_deleted
            ), created AS (
                INSERT INTO link_types AS t (tenant_id, id, name, display_name, source_object_type_id, target_object_type_id,
                    cardinality, description, category, tags, properties, base_datasets, metadata, created_by, updated_by,
                    search, search_text)
                SELECT $1, i.id, i.name, i.display_name, e.source_id, e.target_id, i.cardinality, i.description, i.category,
                    i.tags, i.properties, i.base_datasets, i.metadata, $2, $2,
                    search_vector(i.search_a, i.search_b, i.search_c), i.search_text
                FROM input i JOIN ends e ON e.id = i.id WHERE i.expected = 0 ORDER BY lower(i.name)
                RETURNING t AS entity, t.id, t.version, t.is_deleted
            ), revised AS (
                UPDATE link_types t SET name = i.name, display_name = i.display_name, description = i.description,
                    source_object_type_id = e.source_id, target_object_type_id = e.target_id, cardinality = i.cardinality,
                    category = i.category, tags = i.tags, properties = i.properties, base_datasets = i.base_datasets,
                    metadata = i.metadata, is_deleted = i.is_deleted, version = t.version + 1,
                    updated_at = greatest(now(), t.updated_at), updated_by = $2,
                    search = search_vector(i.search_a, i.search_b, i.search_c), search_text = i.search_text
                FROM input i JOIN ends e ON e.id = i.id
                WHERE t.tenant_id = $1 AND t.id = i.id AND t.version = i.expected
                RETURNING t AS entity, t.id, t.version, t.is_deleted
            ), written AS (
                SELECT * FROM created UNION ALL SELECT * FROM revised
            ), changed AS (
                SELECT 'link_type' AS entity_kind, w.id AS entity_id, w.version, i.ordinal, i.action,
                    link_type_document(w.entity, e.source_name, e.target_name, coalesce(s.refs, '{}')) AS document,
                    i.old, i.changes, i.change_description
                FROM written w
                JOIN input i ON i.id = w.id
                JOIN ends e ON e.id = w.id
                LEFT JOIN shown s ON s.owner_id = w.id
            )",
            statement,
            "link_type"
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
            r#"SELECT lower(name) AS "name!", id FROM link_types
            WHERE tenant_id = $1 AND NOT is_deleted AND lower(name) = ANY($2)"#,
            tenant.as_str(),
            names,
        )
        .fetch_all(db)
        .await?;
        Ok(rows.into_iter().map(|row| (row.name, row.id)).collect())
    }
}

/// Makes the query for the first links at one end of object types.
macro_rules! first_links {
    ($end:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            ListRow,
            "WITH wanted AS (
                SELECT * FROM unnest($2::uuid[]) WITH ORDINALITY AS w(id, ordinal)
            ), found AS MATERIALIZED (
                SELECT w.ordinal, l.place,
                    (SELECT document FROM link_type_as_text(l.t, s.name, g.name)) AS document
                FROM wanted w
                CROSS JOIN LATERAL (
                    SELECT t, row_number() OVER (ORDER BY t.name, t.id) AS place
                    FROM link_types t
                    WHERE t.tenant_id = $1 AND NOT t.is_deleted AND t." + $end + " = w.id
                    ORDER BY t.name, t.id LIMIT $3::bigint + 1
                ) l
                JOIN object_types s ON s.tenant_id = $1 AND s.id = (l.t).source_object_type_id
                JOIN object_types g ON g.tenant_id = $1 AND g.id = (l.t).target_object_type_id
            ), sized AS (
                SELECT *, row_number() OVER so_far = 1 OR sum(octet_length(document)) OVER so_far <= $4 AS fits
                FROM found WINDOW so_far AS (ORDER BY place, ordinal)
            ), pages AS (
                SELECT ordinal, array_agg(document ORDER BY place) FILTER (WHERE place <= $3 AND fits) AS documents,
                    bool_or(place > $3 OR NOT fits) AS has_more
                FROM sized GROUP BY ordinal
            )
            SELECT coalesce(p.documents, '{}') AS \"documents!\", coalesce(p.has_more, false) AS \"has_more!\",
                CASE WHEN $5::boolean THEN (
                    SELECT count(*) FROM link_types t
                    WHERE t.tenant_id = $1 AND NOT t.is_deleted AND t." + $end + " = w.id) END AS total
            FROM wanted w LEFT JOIN pages p ON p.ordinal = w.ordinal
            ORDER BY w.ordinal",
            $($argument),+
        )
    };
}

/// The first page, by name, of the live link types at each of these object types, in their order. What does not fit into
/// [`MAX_PAGE_BYTES`] is left out, the second link type of every page before the first of any; a page that would begin with
/// what is left out is empty and says that more follow.
pub(crate) async fn first_links(
    db: impl PgExecutor<'_>,
    tenant: &TenantId,
    end: End,
    object_types: &[uuid::Uuid],
    limit: i64,
    count: bool,
) -> sqlx::Result<Vec<ListRow>> {
    match end {
        End::Source => {
            first_links!("source_object_type_id", tenant.as_str(), object_types, limit, MAX_PAGE_BYTES, count)
                .fetch_all(db)
                .await
        }
        End::Target => {
            first_links!("target_object_type_id", tenant.as_str(), object_types, limit, MAX_PAGE_BYTES, count)
                .fetch_all(db)
                .await
        }
    }
}
