//! `GET /{kind}/{id}`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use oms_edge::{ApiError, Edge};

use super::{Resource, tag};
use crate::{answer, call::Call, precondition};

pub(super) async fn read<R: Resource>(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    call.query().finish()?;
    let entity = R::service(&edge.registry).get(&call.context, &call.key(R::NOT_FOUND)?).await?;
    let version = entity.stamp().version;
    let mut response = if precondition::none_match(&call.headers, version) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().append(header::VARY, HeaderValue::from_static("x-api-version"));
        response
    } else {
        answer::json(StatusCode::OK, &entity.shape(call.version))?
    };
    tag(&mut response, version);
    Ok(response)
}
