//! `POST /{kind}/{id}/validate`.

use axum::{extract::State, response::Response};
use http::StatusCode;
use oms_core::{
    entity::MAX_INSTANCES,
    error::Code,
    fault::{Fault, FaultKind},
    input::{Faults, Fields},
};
use oms_edge::{ApiError, Edge, JsonBody, Locale};
use serde_json::{Value, json};

use super::Resource;
use crate::{answer, call::Call};

pub(super) async fn validate<R: Resource>(
    State(edge): State<Edge>,
    call: Call,
    JsonBody(input, _): JsonBody,
) -> Result<Response, ApiError> {
    let mut query = call.query();
    let version = query.version("version");
    query.finish()?;
    let key = call.key(R::NOT_FOUND)?;
    let mut faults = Faults::default();
    let instances = instances(&input, &mut faults);
    faults.finish(Code::InvalidRequest)?;
    let service = R::service(&edge.registry);
    match instances {
        Some(Instances::One(instance)) => {
            let results = service.validate(&call.context, &key, version, std::slice::from_ref(instance)).await?;
            let errors = errors(call.locale, results.first().map(Vec::as_slice).unwrap_or_default());
            answer::json(StatusCode::OK, &json!({ "valid": errors.is_empty(), "errors": errors }))
        }
        Some(Instances::Many(instances)) => {
            let results = service.validate(&call.context, &key, version, instances).await?;
            let valid = results.iter().all(Vec::is_empty);
            let results = results.iter().enumerate().map(|(index, faults)| {
                json!({ "index": index, "valid": faults.is_empty(), "errors": errors(call.locale, faults) })
            });
            let results: Vec<Value> = results.collect();
            answer::json(StatusCode::OK, &json!({ "valid": valid, "results": results }))
        }
        None => Err(oms_core::error::Error::internal("a validation without faults has no instance").into()),
    }
}

enum Instances<'a> {
    One(&'a Value),
    Many(&'a [Value]),
}

fn instances<'a>(input: &'a Value, faults: &mut Faults) -> Option<Instances<'a>> {
    let mut fields = Fields::of(input, "", faults)?;
    let one = fields.value("instance");
    let many = fields.array("instances", MAX_INSTANCES, faults);
    if one.is_none() && fields.value("instances").is_none() {
        fields.require("instance", None::<()>, faults);
    }
    if one.is_some() && many.is_some() {
        faults.push("/instances", FaultKind::Duplicate);
    }
    fields.finish(faults);
    one.map(Instances::One).or(many.map(Instances::Many))
}

fn errors(locale: Locale, faults: &[Fault]) -> Vec<Value> {
    let shown = |fault: &Fault| {
        json!({
            "pointer": fault.location.to_string(),
            "code": fault.kind.code().as_str(),
            "message": locale.fault(&fault.kind),
        })
    };
    faults.iter().map(shown).collect()
}
