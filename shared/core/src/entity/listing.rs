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
    // MATERIALIZED: every document is made once.
    let mut sql = QueryBuilder::new("WITH found AS MATERIALIZED (SELECT ");
    sql.push(columns.document).push("::text AS document FROM ").push(columns.from);
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
    sql.push(format!(" ORDER BY {column} {direction}, t.id {direction} LIMIT ")).push_bind(i64::from(list.limit) + 1);
    // The rows come out of `found` in its order, which `place` keeps from there on.
    sql.push(
        "), numbered AS (SELECT document, row_number() OVER () AS place, \
            sum(octet_length(document)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes FROM found), \
        page AS (SELECT * FROM numbered WHERE place = 1 OR place <= ",
    );
    sql.push_bind(i64::from(list.limit)).push(" AND bytes <= ").push_bind(MAX_PAGE_BYTES);
    sql.push(
        ") SELECT ARRAY(SELECT document FROM page ORDER BY place) AS documents, \
            (SELECT count(*) FROM found) > (SELECT count(*) FROM page) AS has_more, ",
    );
    if list.count {
        sql.push("(SELECT count(*) FROM ").push(columns.from);
        filter(&mut sql, tenant, &list.filter);
        sql.push(") AS total");
    } else {
        sql.push("NULL::bigint AS total");
    }
    sql
}

fn filter(sql: &mut QueryBuilder<Postgres>, tenant: &TenantId, filter: &Filter) {
    sql.push(" WHERE t.tenant_id = ").push_bind(tenant.as_str().to_owned()).push(" AND NOT t.is_deleted");
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
