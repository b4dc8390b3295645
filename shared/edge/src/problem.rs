//! What a handler answers when it fails, and its RFC 9457 form: `application/problem+json`.
//!
//! [`ApiError`] becomes a response without a body; the outermost middleware writes the body, since it alone knows the
//! language and the correlation id of the request.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use oms_core::{
    error::{Code, Error},
    fault::Location,
};
use serde::Serialize;

use crate::{codes, locale::Locale, request::RequestInfo};

/// Why a request failed: in the core, or at the edge before it came there.
#[derive(Debug)]
pub enum Cause {
    /// A use case failed.
    Core(Error),
    /// No valid token or API key came with the request.
    Unauthenticated {
        /// Whether a token came and was not valid.
        invalid_token: bool,
    },
    /// A token and an API key came together.
    AmbiguousCredentials,
    /// Too many failed logins from one address.
    RateLimited {
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// The body is over the limit.
    BodyTooLarge {
        /// The most bytes of a body.
        limit: usize,
    },
    /// The body ended early.
    BodyUnreadable,
    /// The body is in another media type than JSON.
    UnsupportedMediaType,
    /// The body is not JSON.
    MalformedJson {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault in bytes, from 1; 0 where a line ended.
        column: usize,
    },
    /// No route answers the path.
    RouteNotFound,
    /// No service has the method (of gRPC).
    ProcedureNotFound,
    /// The message (of gRPC) is not what its method takes.
    MessageUnreadable {
        /// What its decoder says.
        because: String,
    },
    /// The call (of gRPC) comes in a form that nobody reads.
    RequestUnsupported {
        /// What its decoder says.
        because: String,
    },
    /// The deadline that the client set has passed.
    DeadlinePassed,
    /// The route does not answer the method.
    MethodNotAllowed,
    /// A write came without `If-Match`.
    PreconditionRequired,
    /// `X-API-Version` names no version.
    UnknownApiVersion,
    /// The handler took longer than a request may.
    Timeout,
}

/// A failed request. Anything of [`Cause`] or of the core's `Error` turns into it.
#[derive(Debug)]
pub struct ApiError {
    cause: Cause,
    status: Option<StatusCode>,
}

impl From<Cause> for ApiError {
    fn from(cause: Cause) -> Self {
        Self { cause, status: None }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Cause::Core(error).into()
    }
}

impl ApiError {
    /// The same failure with another status than its code has: 412 for a lost `If-Match`.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Why.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The public code (specification 7.1).
    pub fn code(&self) -> Code {
        match &self.cause {
            Cause::Core(error) => error.code(),
            Cause::Unauthenticated { .. } => Code::Unauthenticated,
            Cause::AmbiguousCredentials | Cause::BodyUnreadable | Cause::MessageUnreadable { .. } => {
                Code::InvalidRequest
            }
            Cause::RateLimited { .. } => Code::RateLimited,
            Cause::BodyTooLarge { .. } => Code::BodyTooLarge,
            Cause::UnsupportedMediaType | Cause::RequestUnsupported { .. } => Code::UnsupportedMediaType,
            Cause::MalformedJson { .. } => Code::MalformedJson,
            Cause::RouteNotFound | Cause::ProcedureNotFound => Code::RouteNotFound,
            Cause::MethodNotAllowed => Code::MethodNotAllowed,
            Cause::PreconditionRequired => Code::PreconditionRequired,
            Cause::UnknownApiVersion => Code::UnknownApiVersion,
            Cause::Timeout | Cause::DeadlinePassed => Code::ServiceUnavailable,
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| codes::row(self.code()).http)
    }

    /// When it makes sense to try again, for failures that pass by themselves.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.cause {
            Cause::Core(error) => error.retry_after(),
            Cause::RateLimited { retry_after } => Some(*retry_after),
            Cause::Timeout => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// What the log must know and the client must not.
    pub fn internal_cause(&self) -> Option<&str> {
        match &self.cause {
            Cause::Core(Error::Internal { cause } | Error::Unavailable { cause }) => Some(cause),
            Cause::Timeout => Some("the request took longer than REQUEST_TIMEOUT_MS"),
            _ => None,
        }
    }

    /// What went wrong and what to do about it, for people; bounded in length.
    pub fn detail(&self, locale: Locale) -> String {
        clipped(locale.detail(&self.cause))
    }

    /// Every fault with its place, as many of the first ones as an answer has room for.
    pub fn entries(&self, locale: Locale) -> Vec<Entry<'_>> {
        match &self.cause {
            Cause::Core(Error::Invalid { faults, .. }) => bounded(faults.iter().map(|fault| {
                let code = fault.kind.code().as_str();
                let entry = Entry { code, message: clipped(locale.fault(&fault.kind)), ..Entry::default() };
                match &fault.location {
                    Location::Pointer(pointer) => Entry { pointer: Some(pointer), ..entry },
                    Location::Parameter(name) => Entry { parameter: Some(name), ..entry },
                    Location::Header(name) => Entry { header: Some(name), ..entry },
                }
            })),
            Cause::Core(Error::InUse { referrers }) => bounded(referrers.iter().map(|referrer| {
                let message = clipped(locale.referrer(referrer));
                Entry { code: self.code().as_str(), message, ..Entry::default() }
            })),
            _ => Vec::new(),
        }
    }
}

impl IntoResponse for ApiError {
    /// Status and headers now; the body is written by the outermost middleware.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some(after) = self.retry_after() {
            // A part of a second counts as a whole one: too early would fail again.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if let Cause::Unauthenticated { invalid_token } = self.cause {
            let challenge = if invalid_token { r#"Bearer error="invalid_token""# } else { "Bearer" };
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(Pending(Arc::new(self)));
        response
    }
}

/// A failure on its way from the handler to the middleware that writes it.
#[derive(Clone)]
pub(crate) struct Pending(pub(crate) Arc<ApiError>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Entry<'a>>,
    correlation_id: &'a str,
}

/// One fault, as clients see it.
#[derive(Debug, Serialize, Default)]
pub struct Entry<'a> {
    /// JSON Pointer of what is wrong in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<&'a str>,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<&'a str>,
    /// The header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<&'a str>,
    /// The public code of the fault.
    pub code: &'static str,
    /// What is wrong and what it should be, for people.
    pub message: String,
}

/// About how many bytes of JSON the entries may have; the detail tells how many faults there are in all.
const MAX_ERRORS_BYTES: usize = 256 * 1024;
/// The most characters of a text: what clients send is repeated in some, and may be as large as a body.
const MAX_TEXT: usize = 4_096;

/// As many of the first entries as fit.
fn bounded<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<Entry<'a>> {
    let mut bytes = 0;
    let fits = |entry: &Entry<'a>| {
        // Strings always serialize.
        bytes += serde_json::to_vec(entry).map_or(0, |json| json.len());
        bytes <= MAX_ERRORS_BYTES
    };
    entries.take_while(fits).collect()
}

fn clipped(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// How a failed response gets its form: [`write`], or another one where clients expect another.
pub type WriteFailure = fn(&mut Response, &ApiError, &RequestInfo);

/// Gives a failed response its body, in the language and with the correlation id of its request.
pub fn write(response: &mut Response, error: &ApiError, request: &RequestInfo) {
    let (locale, code) = (request.locale(), error.code());
    let problem = Problem {
        r#type: format!("urn:oms:error:{}", code.as_str()),
        title: locale.title(code),
        status: response.status().as_u16(),
        detail: error.detail(locale),
        code: code.as_str(),
        errors: error.entries(locale),
        correlation_id: request.correlation_id(),
    };
    // Strings and numbers always serialize.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "application/problem+json");
    set(header::CONTENT_LANGUAGE, locale.tag());
    set(header::CACHE_CONTROL, "no-store");
    headers.append(header::VARY, HeaderValue::from_static("Accept-Language"));
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    *response.body_mut() = Body::from(body);
}
