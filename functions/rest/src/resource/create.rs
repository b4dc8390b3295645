//! `POST /{kind}` and `POST /{kind}:batch`.

use axum::{extract::State, response::Response};
use http::{StatusCode, header};
use oms_core::{
    entity::MAX_BATCH,
    input::{Faults, Fields},
};
use oms_edge::{ApiError, Edge, JsonBody};
use serde_json::json;

use super::{Resource, location, tag};
use crate::{
    answer::{self, Items},
    call::Call,
};

pub(super) async fn create<R: Resource>(
    State(edge): State<Edge>,
    call: Call,
    JsonBody(input, hash): JsonBody,
) -> Result<Response, ApiError> {
    call.query().finish()?;
    let context = call.writing(&hash)?;
    let created = R::service(&edge.registry).create(&context, &input).await?;
    let mut response = answer::json(StatusCode::CREATED, &created.shape(call.version))?;
    tag(&mut response, created.stamp().version);
    if let Some(location) = location::<R>(created.id()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn create_batch<R: Resource>(
    State(edge): State<Edge>,
    call: Call,
    JsonBody(input, hash): JsonBody,
) -> Result<Response, ApiError> {
    call.query().finish()?;
    let context = call.writing(&hash)?;
    context.require(R::RIGHTS.write)?;
    let mut faults = Faults::default();
    let items = Fields::of(&input, "", &mut faults).and_then(|mut fields| {
        let items = fields.array("items", MAX_BATCH, &mut faults);
        let items = fields.require("items", items, &mut faults);
        fields.finish(&mut faults);
        items
    });
    faults.finish(R::INVALID)?;
    let created = R::service(&edge.registry).create_batch(&context, items.unwrap_or_default()).await?;

    let mut whole = Items::new(edge.config.max_response_bytes);
    for entity in &created {
        if !whole.push(&entity.shape(call.version))? {
            // It is committed; what does not fit can be read.
            let mut short = Items::new(usize::MAX);
            for entity in &created {
                short.push(&json!({ "id": entity.id(), "version": entity.stamp().version }))?;
            }
            return Ok(answer::body(StatusCode::CREATED, short.finish()));
        }
    }
    Ok(answer::body(StatusCode::CREATED, whole.finish()))
}
