//! Copies the key set of the identity provider into a bucket, on a schedule.
//!
//! The functions that verify tokens live in a network without a way out; they read the object in the bucket as they would read
//! the provider's address. A key set that is of no use is not taken over: the last good one stays, and the invocation fails, so
//! that somebody hears of it. Those who read believe keys for a day.

mod config;
mod lambda;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{Client, config::Builder, error::DisplayErrorContext, primitives::ByteStream};

pub use config::JwksConfig;
pub use lambda::{Settings, run, settings};

/// How long a connection to S3 may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one attempt to put the object may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is tried.
const ATTEMPTS: u32 = 3;

/// Why the key set was not copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider gives none that could be used.
    #[error("the key set of {url} is not taken over: {cause}")]
    Source {
        /// The provider's address.
        url: String,
        /// What is wrong.
        cause: String,
    },
    /// S3 did not take it.
    #[error("the key set can't be put into the bucket {bucket}: {cause}")]
    Store {
        /// Which bucket.
        bucket: String,
        /// What is wrong.
        cause: String,
    },
}

/// From the provider's address to the object.
#[derive(Debug)]
pub struct Copier {
    config: JwksConfig,
    s3: Client,
}

impl Copier {
    /// A copier with the credentials of the environment. Nothing is called yet.
    pub async fn connect(config: JwksConfig) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &config.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let sdk = loader.load().await;
        Self::with_sdk(config, &sdk)
    }

    /// A copier with these credentials, region and endpoint.
    #[must_use]
    pub fn with_sdk(config: JwksConfig, sdk: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(ATTEMPT_TIMEOUT * ATTEMPTS)
            .build();
        let s3 = Builder::from(sdk)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            // An endpoint that is not AWS has no name for each bucket.
            .force_path_style(sdk.endpoint_url().is_some())
            .build();
        Self { config, s3: Client::from_conf(s3) }
    }

    /// Copies the key set as it is now; gives its length in bytes.
    ///
    /// # Errors
    ///
    /// Why the object is what it was before.
    pub async fn copy(&self) -> Result<usize, Error> {
        let JwksConfig { source_url, bucket, key, .. } = &self.config;
        let fetched = oms_edge::jwks::fetch_usable(source_url).await;
        let document = fetched.map_err(|error| Error::Source { url: source_url.clone(), cause: causes(&*error) })?;
        let bytes = document.len();
        let put = self.s3.put_object().bucket(bucket).key(key).body(ByteStream::from(document));
        let put = put.content_type("application/json").cache_control("max-age=60");
        let stored = put.send().await.map_err(|error| DisplayErrorContext(error).to_string());
        stored.map_err(|cause| Error::Store { bucket: bucket.clone(), cause })?;
        Ok(bytes)
    }
}

/// An error with what lies behind it: reqwest tells only there why nobody answered.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
