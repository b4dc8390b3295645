//! Tokens for development.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// The roles that `.oms/dev.json` holds a token for.
pub const ROLES: [&str; 3] = ["viewer", "editor", "admin"];
/// `iss` of development tokens.
pub const ISSUER: &str = "oms-dev";
/// `aud` of development tokens.
pub const AUDIENCE: &str = "oms";

/// Whom a token stands for.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// `sub`
    pub name: &'a str,
    /// `roles`
    pub roles: &'a [String],
    /// `tenant`
    pub tenant: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    roles: &'a [String],
    tenant: &'a str,
    iss: &'static str,
    aud: &'static str,
    iat: u64,
    exp: u64,
}

/// A token signed with HS256.
pub fn sign(secret: &str, subject: &Subject<'_>, lifetime: Duration) -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970; set it")?;
    let claims = Claims {
        sub: subject.name,
        roles: subject.roles,
        tenant: subject.tenant,
        iss: ISSUER,
        aud: AUDIENCE,
        iat: now.as_secs(),
        exp: now.saturating_add(lifetime).as_secs(),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.as_bytes()))
        .context("cannot sign the token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_its_claims_and_verifies() {
        let roles = ["admin".to_owned()];
        let subject = Subject { name: "dev-admin", roles: &roles, tenant: "default" };
        let token = sign("a secret", &subject, Duration::from_secs(60)).unwrap();

        let mut validation = jsonwebtoken::Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        let key = jsonwebtoken::DecodingKey::from_secret(b"a secret");
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).unwrap().claims;
        assert_eq!(claims["sub"], "dev-admin");
        assert_eq!(claims["roles"], serde_json::json!(["admin"]));
        assert_eq!(claims["tenant"], "default");
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    }
}
