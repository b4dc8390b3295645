//! `PATCH /{kind}/{id}`, `DELETE /{kind}/{id}` and `POST /{kind}/{id}/restore`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use oms_core::error::{Error, Kind};
use oms_edge::{ApiError, Edge, JsonBody};

use super::{Resource, tag};
use crate::{
    answer,
    call::Call,
    precondition::{optional_match, required_match},
};

pub(super) async fn update<R: Resource>(
    State(edge): State<Edge>,
    call: Call,
    JsonBody(patch, hash): JsonBody,
) -> Result<Response, ApiError> {
    call.query().finish()?;
    let expected = required_match(&call.headers)?;
    let key = call.key(R::NOT_FOUND)?;
    let updated = R::service(&edge.registry).update(&call.writing(&hash)?, &key, &patch, expected).await;
    let updated = updated.map_err(|error| lost(error, expected))?;
    let mut response = answer::json(StatusCode::OK, &updated.shape(call.version))?;
    tag(&mut response, updated.stamp().version);
    Ok(response)
}

pub(super) async fn delete<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let cascade = R::KIND == Kind::ObjectType && query.flag("cascade");
    query.finish()?;
    let expected = required_match(&call.headers)?;
    let key = call.key(R::NOT_FOUND)?;
    let deleted = R::service(&edge.registry).delete(&call.writing(&[])?, &key, expected, cascade).await;
    deleted.map_err(|error| lost(error, expected))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn restore<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    call.query().finish()?;
    let expected = optional_match(&call.headers)?;
    let key = call.key(R::NOT_FOUND)?;
    let restored = R::service(&edge.registry).restore(&call.writing(&[])?, &key, expected).await;
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
