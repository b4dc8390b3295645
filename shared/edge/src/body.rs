//! The JSON body of a request, with every way of being wrong told apart.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, Request,
        rejection::{BytesRejection, FailedToBufferBody},
    },
};
use http::{HeaderMap, header};
use oms_core::{
    error::{Code, Error},
    fault::{FaultKind, Location},
};
use sha2::{Digest, Sha256};

use crate::{
    problem::{ApiError, Cause},
    request::RequestInfo,
};

/// serde_json stops at this depth, which keeps the stack safe.
const MAX_DEPTH: usize = 128;

/// A JSON body and the SHA-256 of its bytes, which an idempotency key is bound to.
///
/// Takes `application/json` and `*+json`. Refuses with `UNSUPPORTED_MEDIA_TYPE`, `BODY_TOO_LARGE`, `MALFORMED_JSON` (line
/// and column), `TOO_DEEP`, or `REQUIRED_FIELD_MISSING` when there is no body. The last of duplicate keys wins.
#[derive(Debug, Clone)]
pub struct JsonBody(
    /// The value.
    pub serde_json::Value,
    /// SHA-256 of the bytes as they came.
    pub [u8; 32],
);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let info = RequestInfo::of(request.extensions())?;
        let limit = info.max_body_bytes();
        let declared = content_length(request.headers());
        // Refused before it is read: a client that waits for "100 Continue" then sends nothing.
        if declared.is_some_and(|length| length > limit as u64) {
            return Err(Cause::BodyTooLarge { limit }.into());
        }
        let json = is_json(request.headers());
        // The task of a write outlives the limit of the request, but not for a body that comes byte by byte.
        let bytes = tokio::time::timeout(info.request_timeout(), Bytes::from_request(request, state));
        let bytes = bytes.await.map_err(|_| Cause::Timeout)?.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                Cause::BodyTooLarge { limit }
            }
            _ => Cause::BodyUnreadable,
        })?;
        if bytes.is_empty() {
            return Err(Error::fault(Code::InvalidRequest, Location::root(), FaultKind::Required).into());
        }
        if !json {
            return Err(Cause::UnsupportedMediaType.into());
        }
        Ok(Self(parse(&bytes)?, Sha256::digest(&bytes).into()))
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media.split_once('/').is_some_and(|(_, subtype)| subtype.ends_with("+json"))
}

fn parse(bytes: &[u8]) -> Result<serde_json::Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        // serde_json has no other way to tell this cause; a test holds it to the words.
        if error.to_string().starts_with("recursion limit exceeded") {
            Error::fault(Code::InvalidRequest, Location::root(), FaultKind::TooDeep { max: MAX_DEPTH }).into()
        } else {
            Cause::MalformedJson { line: error.line(), column: error.column() }.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_media_type() {
        for (value, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("application/problem+json;q=1", true),
            ("text/json", false),
            ("application/x-www-form-urlencoded", false),
            ("text/plain", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_json(&headers), json, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn malformed_json_is_located() {
        let error = parse(b"{\n  \"name\": oops\n}").unwrap_err();
        assert!(matches!(error.cause(), Cause::MalformedJson { line: 2, column: 11 }), "{error:?}");
        assert!(matches!(parse(b"{} {}").unwrap_err().cause(), Cause::MalformedJson { .. }));
        assert!(matches!(parse(b"\"\xff\"").unwrap_err().cause(), Cause::MalformedJson { .. }));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert_eq!(parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().code(), Code::TooDeep);
        assert_eq!(parse(nested(100_000).as_bytes()).unwrap_err().code(), Code::TooDeep);
    }
}
