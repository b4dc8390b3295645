//! Who asks: a token or an API key (specification 9.1, corrected: the algorithm is fixed, `exp`, `iss`, `aud` and `sub` are
//! required), and what the roles of the caller permit.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use http::{HeaderMap, header};
use jsonwebtoken::{DecodingKey, Validation, errors::ErrorKind};
use moka::sync::Cache;
use oms_core::{Registry, context::Permissions, error::Error, id::TenantId};
use serde::{Deserialize, Deserializer};

use crate::{
    config::{EdgeConfig, KeySource},
    jwks::Jwks,
};

const MAX_SUBJECT: usize = 255;

/// How many tokens are remembered, and how long ones: two megabytes at most, as tokens usually are.
const REMEMBERED: u64 = 1_000;
const MAX_REMEMBERED_BYTES: usize = 4 * 1_024;
const API_KEY_ACTOR: &str = "api-key:";

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The `sub` of the token, or `api-key:<id>`.
    pub actor: String,
    /// The tenant of the token or of the key.
    pub tenant: TenantId,
    /// What all its roles together may do.
    pub permissions: Permissions,
    /// When the token or the key ends, if it does.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Why a caller is not authenticated.
#[derive(Debug)]
pub enum Refusal {
    /// Neither a token nor a key came: nothing for the audit log.
    Missing,
    /// A token and a key came together; neither was looked at.
    Ambiguous,
    /// What came is not valid.
    Invalid {
        /// For the audit row; never a part of what came.
        reason: &'static str,
        /// Whether a token came, rather than a key or another scheme.
        token: bool,
    },
    /// It can't be judged now: the keys or the database are away.
    Unavailable(Error),
}

enum Keys {
    Secret(DecodingKey),
    Jwks(Jwks),
}

/// Judges tokens and API keys.
pub struct Authenticator {
    config: Arc<EdgeConfig>,
    validation: Validation,
    keys: Keys,
    /// By token, what came of it: callers send the same one again and again, and to verify one takes longer than to read a type.
    verified: LazyLock<Cache<String, Arc<Verified>>>,
}

/// A token that was verified.
struct Verified {
    principal: Principal,
    /// The key of a set that verified it, by its id; none for the secret.
    key: Option<(Option<String>, Arc<DecodingKey>)>,
    /// The last second that it is good for.
    until: i64,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    tenant: Option<String>,
    roles: Option<Vec<String>>,
    /// A NumericDate: seconds, perhaps with a fraction.
    #[serde(deserialize_with = "seconds")]
    exp: i64,
}

impl Authenticator {
    /// Builds the key of HS256 at once; a key set is fetched when the first token needs it.
    pub fn new(config: Arc<EdgeConfig>) -> Self {
        let jwt = &config.jwt;
        let mut validation = Validation::new(jwt.algorithm);
        validation.leeway = jwt.leeway_seconds;
        validation.validate_nbf = true;
        validation.set_issuer(&[&jwt.issuer]);
        validation.set_audience(&[&jwt.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let keys = match &jwt.keys {
            KeySource::Secret(secret) => Keys::Secret(DecodingKey::from_secret(secret.expose().as_bytes())),
            KeySource::Jwks(url) => Keys::Jwks(Jwks::new(url.clone(), jwt.algorithm, config.breaker)),
        };
        Self { validation, keys, config, verified: LazyLock::new(|| Cache::new(REMEMBERED)) }
    }

    /// Finds out who sends these headers.
    pub async fn authenticate(&self, headers: &HeaderMap, registry: &Registry) -> Result<Principal, Refusal> {
        let authorization = single(headers, &header::AUTHORIZATION);
        let api_key = single(headers, &self.config.api_key_header);
        match (authorization, api_key) {
            (None, None) => Err(Refusal::Missing),
            (Some(_), Some(_)) => Err(Refusal::Ambiguous),
            (Some(value), None) => self.by_token(bearer(value.ok_or(NOT_BEARER)?).ok_or(NOT_BEARER)?).await,
            (None, Some(value)) => self.by_api_key(value.ok_or(UNKNOWN_KEY)?, registry).await,
        }
    }

    async fn by_api_key(&self, key: &str, registry: &Registry) -> Result<Principal, Refusal> {
        let identity = registry.api_keys.authenticate(key).await.map_err(Refusal::Unavailable)?.ok_or(UNKNOWN_KEY)?;
        Ok(Principal {
            actor: format!("{API_KEY_ACTOR}{}", identity.id),
            tenant: identity.tenant,
            permissions: self.config.permissions(&identity.roles),
            expires_at: identity.expires_at,
        })
    }

    async fn by_token(&self, token: &str) -> Result<Principal, Refusal> {
        if let Some(principal) = self.remembered(token, Utc::now().timestamp()).await {
            return Ok(principal);
        }
        let (claims, key) = match &self.keys {
            Keys::Secret(key) => (self.decode(token, key)?, None),
            Keys::Jwks(jwks) => {
                let header = jsonwebtoken::decode_header(token).map_err(|error| invalid(error.kind()))?;
                // Before any key is fetched: nobody makes us fetch with a token that no key could save.
                if header.alg != self.config.jwt.algorithm {
                    return Err(invalid(&ErrorKind::InvalidAlgorithm));
                }
                let key = jwks.key(header.kid.as_deref()).await.map_err(Refusal::Unavailable)?;
                let key =
                    key.ok_or(Refusal::Invalid { reason: "the token is signed with an unknown key", token: true })?;
                (self.decode(token, &key)?, Some((header.kid, key)))
            }
        };
        let until = claims.exp.saturating_add(self.validation.leeway.cast_signed());
        let principal = self.principal(claims)?;
        if token.len() <= MAX_REMEMBERED_BYTES {
            let verified = Verified { principal: principal.clone(), key, until };
            self.verified.insert(token.to_owned(), Arc::new(verified));
        }
        Ok(principal)
    }

    /// What came of this token before, unless it has ended since, or its key is no longer in the set or was fetched anew.
    async fn remembered(&self, token: &str, now: i64) -> Option<Principal> {
        let verified = self.verified.get(token).filter(|verified| now <= verified.until)?;
        if let (Keys::Jwks(jwks), Some((kid, key))) = (&self.keys, &verified.key) {
            let current = jwks.key(kid.as_deref()).await.ok()??;
            return Arc::ptr_eq(&current, key).then(|| verified.principal.clone());
        }
        Some(verified.principal.clone())
    }

    fn decode(&self, token: &str, key: &DecodingKey) -> Result<Claims, Refusal> {
        jsonwebtoken::decode(token, key, &self.validation)
            .map(|data| data.claims)
            .map_err(|error| invalid(error.kind()))
    }

    fn principal(&self, claims: Claims) -> Result<Principal, Refusal> {
        let refuse = |reason| Err(Refusal::Invalid { reason, token: true });
        let Claims { sub, tenant, roles, exp } = claims;
        if sub.is_empty() || sub.chars().count() > MAX_SUBJECT || sub.chars().any(char::is_control) {
            return refuse("the token's sub is empty, too long or not printable");
        }
        // Else a token could sign the audit log with the name of a key.
        if sub.starts_with(API_KEY_ACTOR) {
            return refuse("the token's sub looks like an API key");
        }
        let tenant = match tenant.map(|text| text.parse()) {
            None => self.config.default_tenant.clone(),
            Some(Ok(tenant)) => tenant,
            Some(Err(_)) => return refuse("the token's tenant is not a tenant"),
        };
        let permissions = self.config.permissions(&roles.unwrap_or_default());
        // One that is beyond all calendars never ends.
        Ok(Principal { actor: sub, tenant, permissions, expires_at: DateTime::from_timestamp(exp, 0) })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and no calendar reaches that far")]
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    f64::deserialize(deserializer).map(|seconds| seconds as i64)
}

const NOT_BEARER: Refusal = Refusal::Invalid { reason: "Authorization is not one bearer token", token: false };
const UNKNOWN_KEY: Refusal = Refusal::Invalid { reason: "the API key is unknown, expired or revoked", token: false };

/// The header's only value; `Some(None)` when it came several times or is not text.
fn single<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { None } else { first.to_str().ok() })
}

/// The token of `Bearer <token>`; the scheme is compared without case (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
}

fn invalid(kind: &ErrorKind) -> Refusal {
    let reason = match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token has another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            "the token is signed with another algorithm"
        }
        ErrorKind::MissingRequiredClaim(_) => "the token lacks exp, iss, aud or sub",
        ErrorKind::Json(_) | ErrorKind::InvalidClaimFormat(_) => "the token's claims are malformed",
        _ => "the token is malformed",
    };
    Refusal::Invalid { reason, token: true }
}

#[cfg(test)]
pub(crate) mod tests;
