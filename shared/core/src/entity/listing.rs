//! Lists: filters, sort, cursor and count in one query, whatever the filter.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    error::Kind,
    id::TenantId,
    link_type::Cardinality,
    name::TypeKey,
    page::{self, Digest, Position, Sort, SortValue},
};

/// What a kind's lists select from: `t` is the type.
pub struct Columns {
    pub from: &'static str,
    pub document: &'static str,
}

/// Which types a list shows; all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this category.
    pub category: Option<String>,
    /// With at least one of these tags.
    pub any_tags: Vec<String>,
    /// With all of these tags.
    pub all_tags: Vec<String>,
    /// Link types that start at this object type.
    pub source: Option<TypeKey>,
    /// Link types that end at this object type.
    pub target: Option<TypeKey>,
    /// Link types that start or end at this object type.
    pub either_end: Option<TypeKey>,
    /// Link types of this cardinality.
    pub cardinality: Option<Cardinality>,
}

/// A question for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Which.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// The cursor that the page before gave.
    pub cursor: Option<String>,
    /// The most items, 1 to 200.
    pub limit: u32,
    /// Whether to count all that the filter shows.
    pub count: bool,
}

impl Default for ListQuery {
    fn default() -> Self {
        let limit = crate::page::DEFAULT_LIMIT;
        Self { filter: Filter::default(), sort: Sort::default(), cursor: None, limit, count: false }
    }
}

impl ListQuery {
    /// Marks the cursors of this filter and sort.
    pub(super) fn digest(&self, tenant: &TenantId, kind: Kind) -> Digest {
        page::digest(tenant, &format!("{}\0{:?}\0{:?}", kind.as_str(), self.filter, self.sort))
    }

    /// Marks the whole question, page and all, for the cache.
    pub(super) fn hash(&self, tenant: &TenantId, kind: Kind) -> String {
        let text = format!("{tenant}\0{}\0{self:?}", kind.as_str());
        Sha256::digest(text)[..16].iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// The most bytes of documents that one read takes out of the database, the first one apart: a page of the greatest types
/// would fill the memory.
pub(crate) const MAX_PAGE_BYTES: i64 = 8 * 1_024 * 1_024;

/// Longer pages, in bytes, are not put into the cache.
pub(crate) const MAX_CACHED_PAGE: usize = 1_024 * 1_024;

/// A page as the database gives it and the cache keeps it: documents in order, whether more follow, and the count if it was
/// asked for.
#[derive(sqlx::FromRow, Serialize, Deserialize)]
pub(crate) struct ListRow {
    pub(crate) documents: Vec<String>,
    pub(crate) has_more: bool,
    pub(crate) total: Option<i64>,
}

/// Asks for one item more than the page has, to know whether another page follows. Of these the first ones come whose
/// documents fit into [`MAX_PAGE_BYTES`].
pub(super) fn query(
    columns: &Columns,
    tenant: &TenantId,
    list: &ListQuery,
    after: Option<&Position>,
) -> QueryBuilder<Postgres> {
    let mut sql = found(columns);
    filter(&mut sql, tenant, &list.filter);
    let column = list.sort.by.column();
    let (compare, direction) = if list.sort.descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some(after) = after {
        sql.push(format!(" AND ({column}, t.id) {compare} ("));
        match &after.value {
            SortValue::Text(text) => sql.push_bind(text.clone()),
            SortValue::Time(time) => sql.push_bind(*time),
        };
        sql.push(", ").push_bind(after.id).push(")");
    }
    sql.push(format!(" ORDER BY {column} {direction}, t.id {direction}"));
    first(&mut sql, i64::from(list.limit), MAX_PAGE_BYTES);
    if list.count {
        sql.push("(SELECT count(*) FROM ").push(columns.from);
        filter(&mut sql, tenant, &list.filter);
        sql.push(") AS total");
    } else {
        sql.push("NULL::bigint AS total");
    }
    sql
}

/// A step of a walk through the live types of a tenant. All conditions must hold; an empty one means all.
pub(crate) struct WalkStep<'a> {
    /// Above this id.
    pub(crate) after: Uuid,
    /// One of these.
    pub(crate) ids: &'a [Uuid],
    /// With one of these folded names.
    pub(crate) names: &'a [String],
    /// Of one of these categories.
    pub(crate) categories: &'a [String],
    /// With at least one of these tags.
    pub(crate) tags: &'a [String],
    /// The most types.
    pub(crate) limit: i64,
    /// The most bytes of documents, the first one apart.
    pub(crate) bytes: i64,
}

/// Asks for the next types in the order of their ids. A condition that is not asked for is not in the text: with all of them
/// in it, one plan for all would read the whole tenant for every page.
pub(crate) fn walk(columns: &Columns, tenant: &TenantId, step: &WalkStep<'_>) -> QueryBuilder<Postgres> {
    let mut sql = found(columns);
    live(&mut sql, tenant).push(" AND t.id > ").push_bind(step.after);
    if !step.ids.is_empty() {
        sql.push(" AND t.id = ANY(").push_bind(step.ids.to_vec()).push(")");
    }
    if !step.names.is_empty() {
        sql.push(" AND lower(t.name) = ANY(").push_bind(step.names.to_vec()).push(")");
    }
    if !step.categories.is_empty() {
        sql.push(" AND t.category = ANY(").push_bind(step.categories.to_vec()).push(")");
    }
    if !step.tags.is_empty() {
        sql.push(" AND t.tags && ").push_bind(step.tags.to_vec());
    }
    sql.push(" ORDER BY t.id");
    first(&mut sql, step.limit, step.bytes);
    sql.push("NULL::bigint AS total");
    sql
}

/// Begins with the documents that are found. Each is made once: MATERIALIZED.
fn found(columns: &Columns) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("WITH found AS MATERIALIZED (SELECT ");
    sql.push(columns.document).push(" AS document FROM ").push(columns.from);
    sql
}

/// Ends what is found with the first ones, one more than asked for, and goes on to what the page has of them.
fn first(sql: &mut QueryBuilder<Postgres>, limit: i64, bytes: i64) {
    sql.push(" LIMIT ").push_bind(limit + 1);
    // The rows come out of `found` in its order, which `place` keeps from there on.
    sql.push(
        "), numbered AS (SELECT document, row_number() OVER () AS place, \
            sum(octet_length(document)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes FROM found), \
        page AS (SELECT * FROM numbered WHERE place = 1 OR place <= ",
    );
    sql.push_bind(limit).push(" AND bytes <= ").push_bind(bytes);
    sql.push(
        ") SELECT ARRAY(SELECT document FROM page ORDER BY place) AS documents, \
            (SELECT count(*) FROM found) > (SELECT count(*) FROM page) AS has_more, ",
    );
}

fn live<'a>(sql: &'a mut QueryBuilder<Postgres>, tenant: &TenantId) -> &'a mut QueryBuilder<Postgres> {
    sql.push(" WHERE t.tenant_id = ").push_bind(tenant.as_str().to_owned()).push(" AND NOT t.is_deleted")
}

fn filter(sql: &mut QueryBuilder<Postgres>, tenant: &TenantId, filter: &Filter) {
    live(sql, tenant);
    if let Some(category) = &filter.category {
        sql.push(" AND t.category = ").push_bind(category.clone());
    }
    if !filter.any_tags.is_empty() {
        sql.push(" AND t.tags && ").push_bind(filter.any_tags.clone());
    }
    if !filter.all_tags.is_empty() {
        sql.push(" AND t.tags @> ").push_bind(filter.all_tags.clone());
    }
    if let Some(source) = &filter.source {
        end(sql.push(" AND t.source_object_type_id = "), tenant, source);
    }
    if let Some(target) = &filter.target {
        end(sql.push(" AND t.target_object_type_id = "), tenant, target);
    }
    if let Some(either) = &filter.either_end {
        end(sql.push(" AND (t.source_object_type_id = "), tenant, either);
        end(sql.push(" OR t.target_object_type_id = "), tenant, either);
        sql.push(")");
    }
    if let Some(cardinality) = filter.cardinality {
        sql.push(" AND t.cardinality = ").push_bind(cardinality.as_str());
    }
}

fn end(sql: &mut QueryBuilder<Postgres>, tenant: &TenantId, key: &TypeKey) {
    match key {
        TypeKey::Id(id) => sql.push_bind::<Uuid>(*id),
        TypeKey::Name(name) => {
            sql.push("(SELECT id FROM object_types WHERE tenant_id = ").push_bind(tenant.as_str().to_owned());
            sql.push(" AND NOT is_deleted AND lower(name) = ").push_bind(name.folded()).push(")")
        }
    };
}
