//! `GET /{kind}`.

use axum::{extract::State, response::Response};
use oms_core::{
    entity::{Filter, ListQuery},
    error::Kind,
    fault::FaultKind,
    link_type::Cardinality,
    page::{DEFAULT_LIMIT, MAX_LIMIT, Sort, SortBy},
};
use oms_edge::{ApiError, Edge};

use super::{Resource, next_cursor};
use crate::{answer::Items, call::Call};

pub(super) async fn list<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let sorts = "name, -name, displayName, -displayName, createdAt, -createdAt, updatedAt, -updatedAt";
    let sort = query.read("sort", FaultKind::NotOneOf { allowed: sorts }, sort).unwrap_or_default();
    let mut filter = Filter {
        category: query.text("category", 64),
        any_tags: query.texts("tag"),
        all_tags: query.texts("allTags"),
        ..Filter::default()
    };
    if R::KIND == Kind::LinkType {
        filter.source = query.key("source");
        filter.target = query.key("target");
        filter.either_end = query.key("objectType");
        let allowed = FaultKind::NotOneOf { allowed: "ONE_TO_ONE, ONE_TO_MANY, MANY_TO_MANY" };
        filter.cardinality = query.read("cardinality", allowed, Cardinality::parse);
    }
    let count = query.flag("count");
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT, "a whole number from 1 to 200");
    let cursor = query.cursor();
    query.finish()?;

    let list = ListQuery { filter, sort, cursor, limit, count };
    let page = R::service(&edge.registry).list(&call.context, &list).await?;
    let mut items = Items::new(edge.config.max_response_bytes);
    for entity in &page.items {
        if !items.push(&entity.shape(call.version))? {
            break;
        }
    }
    let next = next_cursor(&page, items.kept());
    items.finish_page(&call, next, page.total)
}

fn sort(text: &str) -> Option<Sort> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    SortBy::parse(name).map(|by| Sort { by, descending })
}
