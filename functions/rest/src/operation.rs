//! One operation of the API: what routes it and what documents it.

use axum::routing::MethodRouter;
use http::{Method, StatusCode};
use oms_edge::Edge;

/// An operation.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) handler: MethodRouter<Edge>,
    /// Made when the document is: a cold start, which routes alone, does not wait for it.
    pub(crate) docs: Box<dyn FnOnce() -> Docs>,
}

/// What the document says of an operation.
pub(crate) struct Docs {
    pub(crate) id: String,
    pub(crate) tag: &'static str,
    pub(crate) summary: String,
    /// Query and header parameters; those of the path are read from it.
    pub(crate) parameters: Vec<Parameter>,
    /// Schema and media type of the body.
    pub(crate) body: Option<(String, &'static str)>,
    pub(crate) success: StatusCode,
    /// Schema of the answer.
    pub(crate) answer: Option<String>,
    /// Statuses of problems beside those that every operation may answer.
    pub(crate) problems: &'static [u16],
}

/// A query or header parameter.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) location: &'static str,
    pub(crate) required: bool,
    pub(crate) schema: &'static str,
    pub(crate) description: &'static str,
}

/// An optional query parameter; `schema` is JSON Schema as text.
pub(crate) const fn query(name: &'static str, schema: &'static str, description: &'static str) -> Parameter {
    Parameter { name, location: "query", required: false, schema, description }
}

/// A header parameter.
pub(crate) const fn header(name: &'static str, required: bool, description: &'static str) -> Parameter {
    Parameter { name, location: "header", required, schema: r#"{"type":"string"}"#, description }
}

/// A required query parameter.
pub(crate) const fn required(parameter: Parameter) -> Parameter {
    Parameter { required: true, ..parameter }
}
