//! The keys that verify tokens come by way of a bucket.

use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use axum::Json;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use oms_tests::aws_endpoint;

use super::*;

#[tokio::test]
async fn a_token_is_verified_with_keys_that_were_copied_from_the_provider() {
    let pair = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
    let key = EncodingKey::from_ed_der(pair.as_ref());
    let set = json!({"keys": [Jwk::from_encoding_key(&key, Algorithm::EdDSA).unwrap()]});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = format!("http://{}/jwks", listener.local_addr().unwrap());
    let router = Router::new().route("/jwks", get(async move || Json(set)));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let (aws, database) = (Aws::create().await, Arc::new(Database::create().await));
    let bucket = format!("keys-{}", uuid::Uuid::now_v7().simple());
    let address = format!("{}/{bucket}", aws_endpoint());
    // Who verifies tokens reads without a signature.
    let everybody = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": format!("arn:aws:s3:::{bucket}/*"),
    }]});
    for (path, body) in [("", String::new()), ("?policy", everybody.to_string())] {
        let put = reqwest::Client::new().put(format!("{address}{path}")).body(body);
        put.send().await.unwrap().error_for_status().unwrap();
    }
    let jwks = Function::with("jwks", database.clone(), |settings| {
        aws.settings(settings).set("JWKS_SOURCE_URL", provider).set("JWKS_BUCKET", bucket)
    })
    .await;
    let answer = jwks.ask(sample("schedule.json")).await;
    assert!(answer["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{answer}");

    let url = format!("{address}/jwks.json");
    let rest = Function::with("rest", database, |settings| {
        settings.remove("JWT_SECRET").set("JWT_ALGORITHM", "EdDSA").set("JWT_JWKS_URL", url)
    })
    .await;
    let signed = Token::of("viewer").sign();
    let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap();
    for (token, expected) in [(token, 200), (signed, 401)] {
        let mut request = event("GET", "/api/v1/object-types", None, false);
        request["headers"]["authorization"] = json!(format!("Bearer {token}"));
        let (status, _, body) = rest.invoke(request).await;
        assert_eq!(status, expected, "{body}");
    }
}
