//! Tokens: what the service accepts, and what it must not.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value, json};

pub(crate) const SECRET: &str = "the black-box tests sign with this secret";
pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "oms";

/// A token to be. A new one is good for an hour.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Map<String, Value>,
    algorithm: String,
}

impl Token {
    /// For the subject `tester-ROLE` of the tenant `default`.
    #[must_use]
    pub fn of(role: &str) -> Self {
        let claims = json!({
            "sub": format!("tester-{role}"),
            "roles": [role],
            "tenant": "default",
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": now() + 3600,
        });
        let Value::Object(claims) = claims else { unreachable!("an object") };
        Self { claims, algorithm: "HS256".to_owned() }
    }

    /// With another value of a claim; without the claim when it is null.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => self.claims.remove(name),
            value => self.claims.insert(name.to_owned(), value),
        };
        self
    }

    /// Of another tenant.
    #[must_use]
    pub fn tenant(self, tenant: &str) -> Self {
        self.claim("tenant", tenant)
    }

    /// That expires so many seconds from now, or expired before.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", now() + seconds)
    }

    /// Whose header names another algorithm: HS256 and HS512 are signed as such, `none` not at all, and all others with the
    /// secret as if it were HS256, which is what a forger would try.
    #[must_use]
    pub fn algorithm(mut self, algorithm: &str) -> Self {
        algorithm.clone_into(&mut self.algorithm);
        self
    }

    /// The token.
    #[must_use]
    pub fn sign(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(&json!({"alg": self.algorithm, "typ": "JWT"}));
        let message = format!("{header}.{}", part(&Value::Object(self.claims.clone())));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let signature = match self.algorithm.as_str() {
            "none" => String::new(),
            "HS512" => crypto::sign(message.as_bytes(), &key, Algorithm::HS512).unwrap(),
            _ => crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap(),
        };
        format!("{message}.{signature}")
    }
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(elapsed.as_secs()).unwrap()
}
