//! Conditional requests: `If-Match` guards writes, `If-None-Match` spares reads.

use http::{HeaderMap, HeaderValue, header};
use oms_core::{
    error::{Code, Error},
    fault::{FaultKind, Location},
};
use oms_edge::{ApiError, Cause};

/// The version that a write expects; none for `*`. Without the header a write is refused with 428.
pub(crate) fn required_match(headers: &HeaderMap) -> Result<Option<i32>, ApiError> {
    if headers.contains_key(header::IF_MATCH) {
        optional_match(headers)
    } else {
        Err(Cause::PreconditionRequired.into())
    }
}

/// The version that a write expects, if the header is there and not `*`.
pub(crate) fn optional_match(headers: &HeaderMap) -> Result<Option<i32>, ApiError> {
    let malformed = || {
        let kind = FaultKind::Malformed { expected: r#"one ETag such as "3", or *"# };
        Error::fault(Code::InvalidRequest, Location::Header("If-Match"), kind)
    };
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().map_err(|_| malformed())?.trim();
    if text == "*" {
        return Ok(None);
    }
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    quoted.and_then(|version| version.parse().ok()).map(Some).ok_or_else(|| malformed().into())
}

/// Whether the client has this version already.
pub(crate) fn none_match(headers: &HeaderMap, version: i32) -> bool {
    let Some(value) = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) else { return false };
    let own = format!("\"{version}\"");
    value.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
}

/// The ETag of a version.
pub(crate) fn etag(version: i32) -> HeaderValue {
    // Digits between quotes are always a header value.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}
