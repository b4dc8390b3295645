//! `PATCH /{kind}/{id}`, `DELETE /{kind}/{id}` and `POST /{kind}/{id}/restore`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use oms_core::error::{Error, Kind};
use oms_edge::{ApiError, Edge, JsonBody};

use super::{Resource, tag};
use crate::{answer, call::Call, precondition::Expected};

pub(super) async fn update<R: Resource>(
    State(edge): State<Edge>,
    call: Call,
    JsonBody(patch, hash): JsonBody,
) -> Result<Response, ApiError> {
    call.query().finish()?;
    let expected = Expected::required(&call.headers)?;
    let key = call.key(R::NOT_FOUND)?;
    let service = R::service(&edge.registry);
    let expected = expected.resolve(service, &call.context, &key).await?;
    let updated = service.update(&call.writing(&hash)?, &key, &patch, expected).await;
    let updated = updated.map_err(|error| lost(error, expected))?;
    let mut response = answer::json(StatusCode::OK, &updated.shape(call.version))?;
    tag(&mut response, updated.stamp().version);
    Ok(response)
}

pub(super) async fn delete<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let cascade = R::KIND == Kind::ObjectType && query.flag("cascade");
    query.finish()?;
    let expected = Expected::required(&call.headers)?;
    let key = call.key(R::NOT_FOUND)?;
    let service = R::service(&edge.registry);
    let expected = expected.resolve(service, &call.context, &key).await?;
    let deleted = service.delete(&call.writing(&[])?, &key, expected, cascade).await;
    deleted.map_err(|error| lost(error, expected))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn restore<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    call.query().finish()?;
    let expected = Expected::optional(&call.headers)?;
    let key = call.key(R::NOT_FOUND)?;
    let service = R::service(&edge.registry);
    let expected = expected.resolve(service, &call.context, &key).await?;
    let restored = service.restore(&call.writing(&[])?, &key, expected).await;
    let restored = restored.map_err(|error| lost(error, expected))?;
    let mut response = answer::json(StatusCode::OK, &restored.shape(call.version))?;
    tag(&mut response, restored.stamp().version);
    Ok(response)
}

/// A lost race against an `If-Match` is a failed precondition.
fn lost(error: Error, expected: Option<i32>) -> ApiError {
    let conflict = matches!(error, Error::VersionConflict { .. });
    let error = ApiError::from(error);
    if conflict && expected.is_some() { error.with_status(StatusCode::PRECONDITION_FAILED) } else { error }
}
