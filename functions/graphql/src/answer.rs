//! What is said of an execution, as JSON.

use async_graphql::{Response, ServerError, Value};
use oms_core::input::shorten;
use oms_edge::RequestInfo;
use serde::Serialize;

use crate::{asked::Asked, refusal::Refusal};

/// The most errors of an answer: a document may be wrong in as many places as it has tokens.
const MAX_ERRORS: usize = 100;
/// The longest message, in bytes: some repeat what the client sent.
const MAX_MESSAGE: usize = 8_192;

/// A result of GraphQL.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether the document was valid, so that there is data.
    pub(crate) started: bool,
    /// The code of the first error.
    pub(crate) code: Option<String>,
    /// The result as JSON, in one line.
    pub(crate) json: String,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

impl Body<'_> {
    fn to_json(&self) -> String {
        // Values of GraphQL always serialize: their keys are text.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Answer {
    /// What an execution came to; refused when it is too large.
    pub(crate) fn new(asked: &Asked, response: Response, max: usize, mutation: bool) -> Result<Self, Refusal> {
        if asked.is_full() {
            return Err(Refusal::AnswerTooLarge { max, mutation });
        }
        let mut errors = response.errors;
        errors.truncate(MAX_ERRORS);
        for error in &mut errors {
            asked.complete(error);
            shorten(&mut error.message, MAX_MESSAGE);
        }
        let started = asked.started();
        let json = Body { errors: &errors, data: started.then_some(&response.data) }.to_json();
        if json.len() > max {
            return Err(Refusal::AnswerTooLarge { max, mutation });
        }
        Ok(Self { started, code: errors.first().and_then(code).map(str::to_owned), json })
    }

    /// An error without data.
    pub(crate) fn failed(error: &ServerError) -> Self {
        let json = Body { errors: std::slice::from_ref(error), data: None }.to_json();
        Self { started: false, code: code(error).map(str::to_owned), json }
    }

    /// Why nothing is carried out.
    pub(crate) fn refused(refusal: &Refusal, info: &RequestInfo) -> Self {
        Self::failed(&refusal.to_error(info.locale(), info.correlation_id()))
    }
}

/// The code of an error.
pub(crate) fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code") {
        Some(Value::String(code)) => Some(code),
        _ => None,
    }
}
