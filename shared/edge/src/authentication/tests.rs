use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use oms_core::{config::Source, context::Permission};
use serde_json::{Value, json};

use super::*;
use crate::{
    config::tests::{SECRET, config},
    jwks::tests::{Provider, eager},
};

/// A key pair that is made for one test.
pub(crate) struct KeyPair {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl KeyPair {
    pub(crate) fn ed(id: &'static str) -> Self {
        let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        Self { id, algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(der.as_ref()) }
    }

    pub(crate) fn ec(id: &'static str) -> Self {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { id, algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(der.as_ref()) }
    }

    pub(crate) fn rsa(id: &'static str) -> Self {
        let der = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        // The RSA key itself stands behind 26 bytes of PKCS#8.
        Self { id, algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(&der.as_ref()[26..]) }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(more: Value) -> Value {
    let mut claims =
        json!({ "sub": "kim", "iss": "https://issuer.test", "aud": "oms", "exp": now() + 60, "roles": ["viewer"] });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A token of the test configuration.
pub(crate) fn token(more: Value) -> String {
    hs256(SECRET, &claims(more))
}

fn hs256(secret: &str, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

async fn judge(token: &str) -> Result<Principal, Refusal> {
    Authenticator::new(Arc::new(config(&[]))).by_token(token).await
}

async fn reason(token: &str) -> &'static str {
    match judge(token).await {
        Err(Refusal::Invalid { reason, token: true }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_valid_token_tells_who_asks_and_what_they_may_do() {
    let principal = judge(&token(json!({ "tenant": "acme", "roles": ["viewer", "unheard-of"] }))).await.unwrap();
    assert_eq!((principal.actor.as_str(), principal.tenant.as_str()), ("kim", "acme"));
    assert!(principal.permissions.has(Permission::ObjectTypeRead));
    assert!(!principal.permissions.has(Permission::ObjectTypeWrite));

    let bare = judge(&token(json!({ "roles": null, "aud": ["other", "oms"] }))).await.unwrap();
    assert_eq!(bare.tenant.as_str(), "default");
    assert_eq!(bare.permissions, Permissions::default());
}

#[tokio::test]
async fn a_token_that_is_late_early_or_for_others_is_refused() {
    for (more, expected) in [
        (json!({ "exp": now() - 31 }), "the token has expired"),
        (json!({ "nbf": now() + 60 }), "the token is not valid yet"),
        (json!({ "iss": "https://evil.test" }), "the token has another issuer"),
        (json!({ "aud": "billing" }), "the token is for another audience"),
        (json!({ "aud": ["billing"] }), "the token is for another audience"),
    ] {
        assert_eq!(reason(&token(more.clone())).await, expected, "{more}");
    }
    assert!(judge(&token(json!({ "exp": now() - 20 }))).await.is_ok(), "clocks may differ a little");
}

#[tokio::test]
async fn every_claim_that_matters_is_required() {
    for name in ["exp", "iss", "aud", "sub"] {
        let mut without = json!({});
        without[name] = Value::Null;
        let found = reason(&token(without)).await;
        assert!(
            ["the token lacks exp, iss, aud or sub", "the token's claims are malformed"].contains(&found),
            "{name}: {found}"
        );
    }
}

#[tokio::test]
async fn odd_claims_are_refused() {
    for more in [
        json!({ "sub": "" }),
        json!({ "sub": "x".repeat(256) }),
        json!({ "sub": "a\nb" }),
        json!({ "sub": "api-key:0190" }),
        json!({ "sub": 7 }),
        json!({ "tenant": "no spaces" }),
        json!({ "tenant": "" }),
        json!({ "tenant": 7 }),
        json!({ "roles": "admin" }),
        json!({ "roles": [1] }),
        json!({ "exp": "tomorrow" }),
        json!({ "exp": -1 }),
    ] {
        reason(&token(more)).await;
    }
    assert!(judge(&token(json!({ "sub": "한".repeat(255) }))).await.is_ok());
}

#[tokio::test]
async fn a_token_that_somebody_else_made_is_refused() {
    assert_eq!(
        reason(&hs256("another secret, long enough for HS256 too", &claims(json!({})))).await,
        "the token's signature is wrong"
    );
    let valid = token(json!({}));
    let (head, signature) = valid.rsplit_once('.').unwrap();
    assert_eq!(reason(&format!("{head}.")).await, "the token's signature is wrong");
    let (header, _) = head.split_once('.').unwrap();
    let admin = token(json!({ "roles": ["admin"] }));
    let payload = admin.split('.').nth(1).unwrap();
    assert_eq!(reason(&format!("{header}.{payload}.{signature}")).await, "the token's signature is wrong");
    for nonsense in ["a", "a.b", "a.b.c", "....", "\u{1f511}"] {
        reason(nonsense).await;
    }
}

#[tokio::test]
async fn the_algorithm_is_ours_to_choose_not_the_tokens() {
    // {"alg":"none","typ":"JWT"}
    let payload = token(json!({})).split('.').nth(1).unwrap().to_owned();
    reason(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")).await;
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let hs512 = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims(json!({})), &key).unwrap();
    assert_eq!(reason(&hs512).await, "the token is signed with another algorithm");
    assert_eq!(reason(&KeyPair::ed("a").sign(&claims(json!({})))).await, "the token is signed with another algorithm");
}

async fn by_provider(algorithm: &str, keys: &[&KeyPair]) -> Authenticator {
    let (_, url) = Provider::start(keys).await;
    Authenticator::new(Arc::new(config(&[("JWT_ALGORITHM", algorithm), ("JWT_SECRET", ""), ("JWT_JWKS_URL", &url)])))
}

#[tokio::test]
async fn tokens_of_a_provider_are_verified_by_its_keys() {
    for (algorithm, own, stranger) in [
        ("RS256", KeyPair::rsa("one"), KeyPair::rsa("one")),
        ("ES256", KeyPair::ec("one"), KeyPair::ec("one")),
        ("EdDSA", KeyPair::ed("one"), KeyPair::ed("one")),
    ] {
        let authenticator = by_provider(algorithm, &[&own]).await;
        assert_eq!(authenticator.by_token(&own.sign(&claims(json!({})))).await.unwrap().actor, "kim", "{algorithm}");
        let refused = authenticator.by_token(&stranger.sign(&claims(json!({})))).await;
        assert!(
            matches!(refused, Err(Refusal::Invalid { reason: "the token's signature is wrong", .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_token_is_remembered_until_it_ends_and_no_other_for_it() {
    let authenticator = Authenticator::new(Arc::new(config(&[])));
    let (token, ends) = (token(json!({})), i64::try_from(now()).unwrap() + 60);
    let principal = authenticator.by_token(&token).await.unwrap();
    assert_eq!(authenticator.remembered(&token, ends).await, Some(principal.clone()));
    assert_eq!(authenticator.remembered(&token, ends + 3_600).await, None);
    assert_eq!(authenticator.by_token(&token).await.unwrap(), principal);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let reversed: String = signature.chars().rev().collect();
    assert!(authenticator.by_token(&format!("{signed}.{reversed}")).await.is_err());
    // What was refused is not remembered.
    let foreign = hs256("another secret of the tests, long enough", &claims(json!({})));
    assert!(authenticator.by_token(&foreign).await.is_err());
    assert_eq!(authenticator.remembered(&foreign, ends).await, None);
}

#[tokio::test]
async fn a_token_ends_with_the_key_that_verified_it() {
    let (old, new) = (KeyPair::ed("old"), KeyPair::ed("new"));
    let (provider, url) = Provider::start(&[&old]).await;
    let own = config(&[("JWT_ALGORITHM", "EdDSA"), ("JWT_SECRET", ""), ("JWT_JWKS_URL", &url)]);
    let mut authenticator = Authenticator::new(Arc::new(own));
    authenticator.keys = Keys::Jwks(eager(url));
    let token = old.sign(&claims(json!({})));
    for _ in 0..2 {
        assert_eq!(authenticator.by_token(&token).await.unwrap().actor, "kim");
    }
    provider.publish(&[&new]);
    authenticator.by_token(&new.sign(&claims(json!({})))).await.unwrap();
    let refused = authenticator.by_token(&token).await;
    assert!(
        matches!(refused, Err(Refusal::Invalid { reason: "the token is signed with an unknown key", .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    let own = KeyPair::rsa("one");
    let authenticator = by_provider("RS256", &[&own]).await;
    let modulus = own.jwk()["n"].as_str().unwrap().to_owned();
    let forged = jsonwebtoken::encode(
        &Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) },
        &claims(json!({ "roles": ["admin"] })),
        &EncodingKey::from_secret(modulus.as_bytes()),
    );
    let refused = authenticator.by_token(&forged.unwrap()).await;
    assert!(
        matches!(refused, Err(Refusal::Invalid { reason: "the token is signed with another algorithm", .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_fault_of_the_caller() {
    let url = ("JWT_JWKS_URL", "http://127.0.0.1:9/jwks.json");
    let authenticator = Authenticator::new(Arc::new(config(&[("JWT_ALGORITHM", "EdDSA"), ("JWT_SECRET", ""), url])));
    let result = authenticator.by_token(&KeyPair::ed("one").sign(&claims(json!({})))).await;
    assert!(matches!(result, Err(Refusal::Unavailable(Error::Unavailable { .. }))), "{result:?}");
}

#[test]
fn the_scheme_is_bearer_in_any_case() {
    for (value, expected) in [
        ("Bearer abc", Some("abc")),
        ("bearer abc", Some("abc")),
        ("BEARER   abc ", Some("abc")),
        ("abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer a b", None),
        ("Basic abc", None),
        ("BearerX abc", None),
    ] {
        assert_eq!(bearer(value), expected, "{value:?}");
    }
}

#[test]
fn roles_can_be_configured() {
    let mut source = Source::from_pairs([("ROLE_PERMISSIONS", r#"{"auditor": ["audit:read"]}"#)]);
    let config = EdgeConfig::read(&mut source);
    assert!(config.permissions(&["auditor".into()]).has(Permission::AuditRead));
    assert_eq!(config.permissions(&["admin".into()]), Permissions::default());
}
