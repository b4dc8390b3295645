//! Conditional requests: `If-Match` guards writes, `If-None-Match` spares reads.

use http::{HeaderMap, HeaderValue, header};
use oms_core::{
    context::Context,
    entity::Service,
    error::{Code, Error},
    fault::{FaultKind, Location},
    name::TypeKey,
};
use oms_edge::{ApiError, Cause};

use crate::resource::Resource;

/// The versions that a write accepts.
#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    /// Whatever is there: `*`.
    Any,
    /// One of these; none of them when no tag is one that we give.
    Versions(Vec<i32>),
}

impl Expected {
    /// What `If-Match` says. Without the header a write is refused with 428.
    pub(crate) fn required(headers: &HeaderMap) -> Result<Self, ApiError> {
        if headers.contains_key(header::IF_MATCH) {
            Self::optional(headers)
        } else {
            Err(Cause::PreconditionRequired.into())
        }
    }

    /// The same where the header may be left out.
    pub(crate) fn optional(headers: &HeaderMap) -> Result<Self, ApiError> {
        // Several lines of a list are one list (RFC 9110, 5.3).
        let lines: Result<Vec<&str>, _> = headers.get_all(header::IF_MATCH).iter().map(|line| line.to_str()).collect();
        lines.ok().and_then(|lines| Self::parse(&lines.join(","), lines.is_empty())).ok_or_else(|| {
            let kind = FaultKind::Malformed { expected: r#"ETags such as "3", or *"# };
            Error::fault(Code::InvalidRequest, Location::Header("If-Match"), kind).into()
        })
    }

    fn parse(text: &str, absent: bool) -> Option<Self> {
        if absent || text.trim() == "*" {
            return Some(Self::Any);
        }
        let (mut versions, mut tags) = (Vec::new(), 0);
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return (tags > 0).then_some(Self::Versions(versions));
            }
            let weak = rest.starts_with("W/");
            let (tag, after) = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
            if tag.contains([' ', '\t']) {
                return None;
            }
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
            tags += 1;
            // A weak tag never matches a write, nor does what we would write in another way, such as "+1".
            let version = tag.parse().ok().filter(|version: &i32| !weak && version.to_string() == tag);
            versions.extend(version);
        }
    }

    /// The one version to expect; none for any. Of several it is the current one, if that is among them.
    pub(crate) async fn resolve<R: Resource>(
        self,
        service: &Service<R>,
        context: &Context,
        key: &TypeKey,
    ) -> Result<Option<i32>, ApiError> {
        match self {
            Self::Any => Ok(None),
            Self::Versions(versions) => match versions.as_slice() {
                // There is no version 0.
                [] => Ok(Some(0)),
                [version] => Ok(Some(*version)),
                [first, ..] => {
                    let newest = match service.versions(context, key, None, 1).await {
                        Ok(page) => page.items.first().map(|newest| newest.version),
                        // What is not there is the write's to say.
                        Err(Error::NotFound { .. }) => None,
                        Err(error) => return Err(error.into()),
                    };
                    Ok(newest.filter(|newest| versions.contains(newest)).or(Some(*first)))
                }
            },
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&'static str]) -> Option<Expected> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::IF_MATCH, HeaderValue::from_static(line));
        }
        Expected::required(&headers).ok()
    }

    #[test]
    fn if_match_is_read_as_http_says() {
        let versions = |versions: &[i32]| Some(Expected::Versions(versions.to_vec()));
        assert_eq!(of(&["*"]), Some(Expected::Any));
        assert_eq!(of(&["\"3\""]), versions(&[3]));
        assert_eq!(of(&["\"1\", \"3\""]), versions(&[1, 3]));
        assert_eq!(of(&["\"1\"", "\"3\" ,, \"4\","]), versions(&[1, 3, 4]));
        for unmatched in ["W/\"1\"", "\"+1\"", "\"01\"", "\"one\"", "\"\"", "\"a,b\"", "\"99999999999\""] {
            assert_eq!(of(&[unmatched]), versions(&[]), "{unmatched}");
        }
        for malformed in ["", ",", "1", "'1'", "\"1", "\"1\"\"2\"", "\"1\" \"2\"", "w/\"1\"", "*, \"1\"", "\"a b\""] {
            assert_eq!(of(&[malformed]), None, "{malformed}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(Expected::optional(&HeaderMap::new()).ok(), Some(Expected::Any));
    }
}
