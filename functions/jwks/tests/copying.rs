//! From a provider of the test's own into a bucket of moto.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "Clippy takes what tests call for no part of them")]

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use oms_jwks::{Copier, Error, JwksConfig};

/// The public key of RFC 8037, appendix A.2.
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// A provider, which answers what it is told, and a bucket.
struct Stage {
    answer: Arc<Mutex<(StatusCode, String)>>,
    copier: Copier,
    moto: String,
    bucket: String,
    s3: Client,
}

impl Stage {
    async fn new() -> Self {
        let moto = std::env::var("AWS_ENDPOINT_URL").expect("AWS_ENDPOINT_URL is missing: run cargo xtask test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests")))
            .endpoint_url(&moto)
            .build();
        let bucket = format!("keys-{}", uuid::Uuid::new_v4().simple());
        let s3 = Client::from_conf(aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build());
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        // Who verifies tokens reads without a signature.
        let everybody = format!(
            r#"{{"Version": "2012-10-17", "Statement": [
                {{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{bucket}/*"}}]}}"#
        );
        s3.put_bucket_policy().bucket(&bucket).policy(everybody).send().await.unwrap();

        let answer = Arc::new(Mutex::new((StatusCode::OK, String::new())));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source_url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let provider =
            get(async |State(answer): State<Arc<Mutex<(StatusCode, String)>>>| answer.lock().unwrap().clone());
        let router = Router::new().route("/jwks", provider).with_state(answer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = JwksConfig {
            source_url,
            bucket: bucket.clone(),
            key: "jwks.json".to_owned(),
            endpoint: None,
            region: None,
        };
        Self { answer, copier: Copier::with_sdk(config, &sdk), moto, bucket, s3 }
    }

    async fn copy(&self, status: StatusCode, document: impl Into<String>) -> Result<usize, Error> {
        *self.answer.lock().unwrap() = (status, document.into());
        self.copier.copy().await
    }
}

#[tokio::test]
async fn what_the_provider_has_is_in_the_bucket_for_whoever_verifies_tokens() {
    let stage = Stage::new().await;
    let first = format!(r#"{{"keys": [{{"kty": "quantum"}}, {KEY}], "more": 1}}"#);
    assert_eq!(stage.copy(StatusCode::OK, &first).await.unwrap(), first.len());
    let second = format!(r#"{{"keys": [{KEY}]}}"#);
    stage.copy(StatusCode::OK, &second).await.unwrap();

    let object = stage.s3.get_object().bucket(&stage.bucket).key("jwks.json").send().await.unwrap();
    assert_eq!(object.content_type(), Some("application/json"));
    assert_eq!(object.cache_control(), Some("max-age=60"));
    let url = format!("{}/{}/jwks.json", stage.moto, stage.bucket);
    let read = oms_edge::jwks::fetch_usable(&url).await.unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), second);
}

#[tokio::test]
async fn what_is_of_no_use_is_not_taken_over_and_says_why() {
    let stage = Stage::new().await;
    let good = format!(r#"{{"keys": [{KEY}]}}"#);
    stage.copy(StatusCode::OK, &good).await.unwrap();
    let secret = r#"{"keys": [{"kty": "oct", "kid": "one", "k": "AAAA"}]}"#.to_owned();
    let encrypts = good.replace("\"kid\"", "\"use\":\"enc\",\"kid\"");
    let endless = format!(r#"{{"keys": [{KEY}], "more": "{}"}}"#, "x".repeat(1024 * 1024));
    for (status, document, why) in [
        (StatusCode::INTERNAL_SERVER_ERROR, good.clone(), "500 Internal Server Error"),
        (StatusCode::OK, "<html>Please log in</html>".to_owned(), "it is no key set"),
        (StatusCode::OK, r#"{"keys": []}"#.to_owned(), "no key that verifies"),
        (StatusCode::OK, secret, "no key that verifies"),
        (StatusCode::OK, encrypts, "no key that verifies"),
        (StatusCode::OK, endless, "more than 1048576 bytes"),
    ] {
        let error = stage.copy(status, document).await.unwrap_err();
        assert!(matches!(error, Error::Source { .. }) && error.to_string().contains(why), "{error}");
    }
    let object = stage.s3.get_object().bucket(&stage.bucket).key("jwks.json").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().into_bytes(), good.as_bytes());
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_said() {
    let stage = Stage::new().await;
    stage.s3.delete_bucket().bucket(&stage.bucket).send().await.unwrap();
    let error = stage.copy(StatusCode::OK, format!(r#"{{"keys": [{KEY}]}}"#)).await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }) && error.to_string().contains("NoSuchBucket"), "{error}");
}
