//! `GET /{kind}/{id}/versions`, `/versions/{version}` and `/versions/compare`.

use axum::{extract::State, response::Response};
use http::StatusCode;
use oms_core::{
    fault::FaultKind,
    page::{DEFAULT_LIMIT, MAX_LIMIT},
    version::VersionInfo,
};
use oms_edge::{ApiError, Edge};
use serde::Serialize;
use serde_json::json;

use super::{Resource, Shape, id_field};
use crate::{
    answer::{self, Items},
    call::{ApiVersion, Call},
};

pub(super) async fn list<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT, "a whole number from 1 to 200");
    let before = query.read("cursor", FaultKind::Cursor, |text| text.parse().ok());
    query.finish()?;
    let key = call.key(R::NOT_FOUND)?;
    let versions = R::service(&edge.registry).versions(&call.context, &key, before, limit).await?;
    let mut items = Items::new(edge.config.max_response_bytes);
    let mut last = None;
    for version in &versions {
        if !items.push(version)? {
            break;
        }
        last = Some(version.version);
    }
    // Versions start at 1, so what comes below the last one shown is known.
    let next = last.filter(|version| *version > 1).map(|version| version.to_string());
    items.finish_page(&call, next.as_deref(), None)
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
    let comparison = service.compare(&call.context, &key, from.unwrap_or_default(), to.unwrap_or_default()).await?;
    let shown = json!({
        id_field(R::KIND): comparison.to.snapshot.id(),
        "version1": comparison.from.info.version,
        "version2": comparison.to.info.version,
        "changes": comparison.changes,
    });
    answer::json(StatusCode::OK, &shown)
}
