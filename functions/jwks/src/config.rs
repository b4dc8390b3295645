//! Where the keys come from, and where they go.

use oms_core::config::Source;
use oms_edge::config::read_url;

/// Settings of the copier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksConfig {
    /// `JWKS_SOURCE_URL`: the provider's key set (RFC 7517).
    pub source_url: String,
    /// `JWKS_BUCKET`: the name of the bucket.
    pub bucket: String,
    /// `JWKS_KEY`: the key of the object in it.
    pub key: String,
    /// `AWS_ENDPOINT_URL`: where AWS is, when it is not AWS.
    pub endpoint: Option<String>,
    /// `AWS_REGION`.
    pub region: Option<String>,
}

impl JwksConfig {
    /// Reads the settings. Problems are noted in the source.
    pub fn read(source: &mut Source) -> Self {
        let (source_url, endpoint) = (read_url(source, "JWKS_SOURCE_URL"), source.text("AWS_ENDPOINT_URL"));
        match source_url.as_deref() {
            None if source.text("JWKS_SOURCE_URL").is_none() => {
                source.problem("JWKS_SOURCE_URL: is required: the address of the provider's JSON Web Key Set");
            }
            // Whoever is on the way could put keys of their own into it.
            Some(url) if !url.starts_with("https:") && endpoint.is_none() => {
                source.problem("JWKS_SOURCE_URL: expected an https address");
            }
            _ => {}
        }
        let bucket = source.text("JWKS_BUCKET");
        if bucket.is_none() {
            source.problem("JWKS_BUCKET: is required: the name of an S3 bucket");
        }
        Self {
            source_url: source_url.unwrap_or_default(),
            bucket: bucket.unwrap_or_default(),
            key: source.text("JWKS_KEY").unwrap_or_else(|| "jwks.json".to_owned()),
            endpoint,
            region: source.text("AWS_REGION"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut source = Source::from_pairs(pairs.iter().copied());
        JwksConfig::read(&mut source);
        source.finish().map_or_else(|error| error.0, |()| Vec::new())
    }

    #[test]
    fn what_is_missing_is_named_at_once_and_keys_come_over_tls() {
        let missing = problems(&[]);
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing[0].starts_with("JWKS_SOURCE_URL: is required") && missing[1].starts_with("JWKS_BUCKET"));
        let from = |url, more: &[_]| problems(&[&[("JWKS_SOURCE_URL", url), ("JWKS_BUCKET", "keys")], more].concat());
        assert_eq!(from("https://id.test/jwks.json", &[]), [""; 0]);
        assert_eq!(from("http://id.test/jwks.json", &[]), ["JWKS_SOURCE_URL: expected an https address"]);
        assert_eq!(from("http://127.0.0.1/jwks.json", &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]), [""; 0]);
        assert_eq!(from("id.test", &[]), ["JWKS_SOURCE_URL: expected an http or https address"]);
    }
}
