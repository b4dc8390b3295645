//! `GET /{kind}/{id}/versions`, `/versions/{version}` and `/versions/compare`.

use axum::{extract::State, response::Response};
use http::StatusCode;
use oms_core::{
    error::Error,
    page::{DEFAULT_LIMIT, MAX_LIMIT},
    version::{FieldChange, VersionInfo},
};
use oms_edge::{ApiError, Edge};
use serde::Serialize;
use serde_json::json;

use super::{Resource, Shape, id_field, next_cursor};
use crate::{
    answer::{self, Items},
    call::{ApiVersion, Call},
};

pub(super) async fn list<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT, "a whole number from 1 to 200");
    let cursor = query.cursor();
    query.finish()?;
    let key = call.key(R::NOT_FOUND)?;
    let page = R::service(&edge.registry).versions(&call.context, &key, cursor.as_deref(), limit).await?;
    let mut items = Items::new(edge.config.max_response_bytes);
    for version in &page.items {
        if !items.push(version)? {
            break;
        }
    }
    let next = next_cursor(&page, items.kept());
    items.finish_page(&call, next, None)
}

#[derive(Serialize)]
struct WithSnapshot<'a> {
    #[serde(flatten)]
    info: &'a VersionInfo,
    snapshot: Shape<'a>,
}

pub(super) async fn read<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    call.query().finish()?;
    let key = call.key(R::NOT_FOUND)?;
    let number = call.number("version")?;
    let version = R::service(&edge.registry).version(&call.context, &key, number).await?;
    let shown = WithSnapshot { info: &version.info, snapshot: version.snapshot.shape(ApiVersion::V2) };
    answer::json(StatusCode::OK, &shown)
}

pub(super) async fn compare<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let (from, to) = (query.version("from"), query.version("to"));
    let (from, to) = (query.require("from", from), query.require("to", to));
    query.finish()?;
    let key = call.key(R::NOT_FOUND)?;
    let service = R::service(&edge.registry);
    let mut comparison = service.compare(&call.context, &key, from.unwrap_or_default(), to.unwrap_or_default()).await?;
    let (id, version1, version2) =
        (comparison.to.snapshot.id(), comparison.from.info.version, comparison.to.info.version);
    let show = |changes: &[FieldChange]| {
        let shown = json!({
            id_field(R::KIND): id,
            "version1": version1,
            "version2": version2,
            "changes": changes,
        });
        serde_json::to_vec(&shown).map_err(Error::internal)
    };
    let mut bytes = show(&comparison.changes)?;
    if bytes.len() > edge.config.max_response_bytes {
        for change in &mut comparison.changes {
            (change.old_value, change.new_value) = (None, None);
        }
        bytes = show(&comparison.changes)?;
    }
    Ok(answer::body(StatusCode::OK, bytes))
}
