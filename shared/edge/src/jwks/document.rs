//! The document of a key set: fetched whole or not at all, and read for the keys that can verify a token.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;

/// The most bytes of a key set; those of large providers have some thousands.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

/// The algorithms that keys of a set can be for.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// A key, and its id when it has one.
pub(super) type Key = (Option<String>, Arc<DecodingKey>);

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Fetches a key set for somebody else, as it is, once it is sure that tokens can be verified with it.
///
/// # Errors
///
/// Why it is of no use: nobody answers in time, the answer is no key set or too large, or it has no key for RS256, ES256 or
/// EdDSA.
pub async fn fetch_usable(url: &str) -> Result<Vec<u8>, Failure> {
    let document = fetch(&client()?, url).await?;
    for algorithm in ALGORITHMS {
        if !keys(&document, algorithm)?.is_empty() {
            return Ok(document);
        }
    }
    Err("the key set has no key that verifies RS256, ES256 or EdDSA".into())
}

pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(5))
        .user_agent("oms")
        .build()
}

pub(super) async fn fetch(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, Failure> {
    let mut response = client.get(url).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(format!("the key set has more than {MAX_BYTES} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether nobody answers, or nobody who could serve. A provider that gives no keys is there.
pub(super) fn is_outage(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<reqwest::Error>();
    error.is_some_and(|error| error.status().is_none_or(|status| status.is_server_error()))
}

/// The keys that verify signatures of this algorithm.
pub(super) fn keys(document: &[u8], algorithm: Algorithm) -> Result<Vec<Key>, Failure> {
    /// A key of a kind that we don't know must not cost us the others.
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(document).map_err(|error| format!("it is no key set: {error}"))?;
    let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    Ok(jwks
        .filter(|jwk| usable(jwk, algorithm))
        .filter_map(|jwk| Some((jwk.common.key_id.clone(), Arc::new(DecodingKey::from_jwk(&jwk).ok()?))))
        .filter(|(_, key)| key.family() != AlgorithmFamily::Hmac)
        .collect())
}

/// Whether a key is there to verify signatures of this algorithm.
fn usable(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let (named, fits) = match (algorithm, &jwk.algorithm) {
        (Algorithm::RS256, AlgorithmParameters::RSA(_)) => (KeyAlgorithm::RS256, true),
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(key)) => {
            (KeyAlgorithm::ES256, key.curve == EllipticCurve::P256)
        }
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(key)) => {
            (KeyAlgorithm::EdDSA, key.curve == EllipticCurve::Ed25519)
        }
        _ => return false,
    };
    fits && jwk.common.key_algorithm.is_none_or(|its| its == named)
        && jwk.common.public_key_use.as_ref().is_none_or(|its| *its == PublicKeyUse::Signature)
        && jwk.common.key_operations.as_ref().is_none_or(|its| its.contains(&KeyOperations::Verify))
}
