//! `POST /{kind}/{id}/validate`.

use axum::{extract::State, response::Response};
use http::StatusCode;
use oms_core::{
    entity::{MAX_INSTANCES, Verdict},
    error::{Code, Error},
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
    let (instances, many) = instances(input)?;
    let verdicts = R::service(&edge.registry).validate(&call.context, &key, version, instances).await?;
    let mut room = Room { left: edge.config.max_response_bytes, truncated: verdicts.truncated };
    let valid = verdicts.each.iter().all(|verdict| verdict.valid);
    let mut answer = if many {
        room.left = room.left.saturating_sub(verdicts.each.len() * EMPTY_RESULT);
        let result = |(index, verdict): (usize, &Verdict)| {
            let errors = room.errors(call.locale, &verdict.faults);
            json!({ "index": index, "valid": verdict.valid, "errors": errors })
        };
        let results: Vec<Value> = verdicts.each.iter().enumerate().map(result).collect();
        json!({ "valid": valid, "results": results })
    } else {
        let faults = verdicts.each.first().map(|verdict| verdict.faults.as_slice()).unwrap_or_default();
        json!({ "valid": valid, "errors": room.errors(call.locale, faults) })
    };
    if room.truncated
        && let Some(answer) = answer.as_object_mut()
    {
        answer.insert("truncated".to_owned(), json!(true));
    }
    answer::json(StatusCode::OK, &answer)
}

/// The instances to be judged, and whether they came as a list.
fn instances(mut input: Value) -> Result<(Vec<Value>, bool), Error> {
    let mut faults = Faults::default();
    let mut many = false;
    if let Some(mut fields) = Fields::of(&input, "", &mut faults) {
        let one = fields.value("instance").is_some();
        many = fields.array("instances", MAX_INSTANCES, &mut faults).is_some();
        if !one && fields.value("instances").is_none() {
            fields.require("instance", None::<()>, &mut faults);
        }
        if one && many {
            faults.push("/instances", FaultKind::Excludes { other: "instance" });
        }
        fields.finish(&mut faults);
    }
    faults.finish(Code::InvalidRequest)?;
    let instances = match input.get_mut(if many { "instances" } else { "instance" }).map(Value::take) {
        Some(Value::Array(instances)) if many => instances,
        one => one.into_iter().collect(),
    };
    Ok((instances, many))
}

/// More than a result without errors takes, and what stands around the results.
const EMPTY_RESULT: usize = 64;

/// How much an answer still has room for.
struct Room {
    left: usize,
    truncated: bool,
}

impl Room {
    fn errors(&mut self, locale: Locale, faults: &[Fault]) -> Vec<Value> {
        let mut errors = Vec::with_capacity(faults.len());
        for fault in faults {
            let error = json!({
                "pointer": fault.location.as_str(),
                "code": fault.kind.code().as_str(),
                "message": locale.fault(&fault.kind),
            });
            let length = error.to_string().len() + 1;
            if length > self.left {
                self.truncated = true;
                break;
            }
            self.left -= length;
            errors.push(error);
        }
        errors
    }
}
