//! SQL of the search.

use sqlx::PgExecutor;

use super::words::QueryWords;
use crate::{entity::listing::MAX_PAGE_BYTES, error::Kind, id::TenantId};

/// A result as stored.
pub(super) struct HitRow {
    pub(super) kind: String,
    pub(super) score: f32,
    pub(super) document: String,
}

/// An exact name first, then full text. Similar spelling is looked at only when that does not fill the answer and nothing has
/// exactly that name: whoever spells one right is not guessed at, and of many names that begin alike each would be weighed. It
/// counts less than a word in a name and more than a word in a description, and of equals the shorter text is nearer. Results
/// end where they no longer fit into [`MAX_PAGE_BYTES`].
pub(super) async fn search(
    db: impl PgExecutor<'_>,
    tenant: &TenantId,
    words: &QueryWords,
    kind: Option<Kind>,
    limit: u32,
) -> sqlx::Result<Vec<HitRow>> {
    sqlx::query_as!(
        HitRow,
        r#"WITH query AS (
            SELECT to_tsquery('simple', $2) || to_tsquery('english', $2) AS words
        ), hits AS (
            (SELECT 'object_type' AS kind, t.id, t.name,
                ts_rank(t.search, words) + 10 * (replace(lower(t.name), '_', '') = $3)::integer AS score
            FROM object_types t, query
            WHERE $6 AND t.tenant_id = $1 AND NOT t.is_deleted AND t.search @@ words
            ORDER BY score DESC, length(t.name), t.name LIMIT $5)
            UNION ALL
            (SELECT 'link_type', t.id, t.name,
                ts_rank(t.search, words) + 10 * (replace(lower(t.name), '_', '') = $3)::integer AS score
            FROM link_types t, query
            WHERE $7 AND t.tenant_id = $1 AND NOT t.is_deleted AND t.search @@ words
            ORDER BY score DESC, length(t.name), t.name LIMIT $5)
        ), alike AS (
            (SELECT 'object_type' AS kind, t.id, t.name,
                0.25 * word_similarity($4, t.search_text) + 0.25 * similarity($4, t.search_text) AS score
            FROM object_types t
            WHERE $6 AND (SELECT count(*) < $5 AND coalesce(max(score), 0) < 10 FROM hits) AND t.tenant_id = $1 AND NOT t.is_deleted
                AND $4 <% t.search_text AND NOT EXISTS (SELECT FROM hits h WHERE h.id = t.id)
            ORDER BY score DESC, length(t.name), t.name LIMIT $5)
            UNION ALL
            (SELECT 'link_type', t.id, t.name,
                0.25 * word_similarity($4, t.search_text) + 0.25 * similarity($4, t.search_text) AS score
            FROM link_types t
            WHERE $7 AND (SELECT count(*) < $5 AND coalesce(max(score), 0) < 10 FROM hits) AND t.tenant_id = $1 AND NOT t.is_deleted
                AND $4 <% t.search_text AND NOT EXISTS (SELECT FROM hits h WHERE h.id = t.id)
            ORDER BY score DESC, length(t.name), t.name LIMIT $5)
        ), best AS (
            SELECT *, row_number() OVER (ORDER BY score DESC, length(name), name) AS place
            FROM (SELECT * FROM hits UNION ALL SELECT * FROM alike) found
            ORDER BY place LIMIT $5
        ), documents AS MATERIALIZED (
            SELECT b.kind, b.score, b.place, coalesce(
                (SELECT d.document FROM object_types t, object_type_as_text(t) d
                    WHERE b.kind = 'object_type' AND t.tenant_id = $1 AND t.id = b.id),
                (SELECT d.document FROM link_types t
                    JOIN object_types s ON s.tenant_id = $1 AND s.id = t.source_object_type_id
                    JOIN object_types g ON g.tenant_id = $1 AND g.id = t.target_object_type_id
                    CROSS JOIN LATERAL link_type_as_text(t, s.name, g.name) d
                    WHERE b.kind = 'link_type' AND t.tenant_id = $1 AND t.id = b.id)) AS document
            FROM best b
        ), sized AS (
            SELECT *, sum(octet_length(document)) OVER (ORDER BY place) AS bytes FROM documents
        )
        SELECT kind AS "kind!", score::real AS "score!", document AS "document!"
        FROM sized WHERE place = 1 OR bytes <= $8 ORDER BY place"#,
        tenant.as_str(),
        words.tsquery,
        words.squashed,
        words.plain,
        i64::from(limit),
        kind != Some(Kind::LinkType),
        kind != Some(Kind::ObjectType),
        MAX_PAGE_BYTES,
    )
    .fetch_all(db)
    .await
}
