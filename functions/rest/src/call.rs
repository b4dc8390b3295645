//! What every handler knows of its call: who asks, in which version of the API, in which language, for which path.

use axum::extract::{FromRequestParts, RawPathParams};
use http::{HeaderMap, Method, request::Parts};
use oms_core::{
    context::Context, error::Error, fault::FaultKind, idempotency::IdempotencyKey, input::parameter, name::TypeKey,
};
use oms_edge::{ApiError, Caller, Cause, Locale, RequestInfo, request::idempotency_key};
use sha2::{Digest, Sha256};

use crate::query::Query;

const API_VERSION: &str = "x-api-version";

/// The shape of object types in answers (specification 16.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiVersion {
    /// Trimmed: id, name, displayName, properties.
    V1,
    /// Every field.
    V2,
}

/// A call.
pub(crate) struct Call {
    pub(crate) context: Context,
    pub(crate) version: ApiVersion,
    pub(crate) locale: Locale,
    pub(crate) headers: HeaderMap,
    pub(crate) path: String,
    method: Method,
    query: String,
    parameters: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Caller(context) = Caller::from_request_parts(parts, state).await?;
        let locale = RequestInfo::from_request_parts(parts, state).await?.locale();
        let version = match parts.headers.get(API_VERSION).map(|value| value.as_bytes()) {
            None | Some(b"v1") => ApiVersion::V1,
            Some(b"v2") => ApiVersion::V2,
            Some(_) => return Err(Cause::UnknownApiVersion.into()),
        };
        // Only a path that is not UTF-8 is refused here, and nothing has such a path.
        let raw = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Cause::RouteNotFound)?;
        Ok(Self {
            context,
            version,
            locale,
            headers: parts.headers.clone(),
            path: parts.uri.path().to_owned(),
            method: parts.method.clone(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            parameters: raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }
}

impl Call {
    /// The query string, to be read strictly.
    pub(crate) fn query(&self) -> Query {
        Query::new(&self.query)
    }

    /// A parameter of the path.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The type that the path names; what can't be a name or an id names none.
    pub(crate) fn key(&self, not_found: oms_core::error::Code) -> Result<TypeKey, Error> {
        let text = self.parameter("id");
        TypeKey::parse(text).map_err(|_| Error::NotFound { code: not_found, key: text.to_owned() })
    }

    /// The context of a write: with the idempotency key, bound to method, path, query, body and precondition.
    pub(crate) fn writing(&self, body_hash: &[u8]) -> Result<Context, Error> {
        let mut context = self.context.clone();
        let Some(key) = idempotency_key(&self.headers)? else { return Ok(context) };
        let mut hash = Sha256::new();
        hash.update(body_hash);
        hash.update(&self.query);
        for precondition in self.headers.get_all(http::header::IF_MATCH) {
            hash.update(b"\0");
            hash.update(precondition.as_bytes());
        }
        context.idempotency = Some(IdempotencyKey {
            key: key.to_owned(),
            route: format!("{} {}", self.method, self.path),
            body_hash: hash.finalize().into(),
        });
        Ok(context)
    }

    /// A number in the path.
    pub(crate) fn number(&self, name: &'static str) -> Result<i32, Error> {
        let malformed = |_| parameter(name, FaultKind::Malformed { expected: "a version number" });
        self.parameter(name).parse().map_err(malformed)
    }
}

impl Call {
    /// The path and query of the same question with another value of one parameter.
    pub(crate) fn with(&self, parameter: &str, value: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, known) in form_urlencoded::parse(self.query.as_bytes()).filter(|(name, _)| name != parameter) {
            query.append_pair(&name, &known);
        }
        query.append_pair(parameter, value);
        format!("{}?{}", self.path, query.finish())
    }
}
