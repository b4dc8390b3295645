//! The owner of the database, whose password RDS keeps in Secrets Manager and changes now and then.

use std::time::Duration;

use aws_config::{BehaviorVersion, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_secretsmanager::{Client, error::DisplayErrorContext};
use oms_core::config::{PostgresConfig, Secret};
use serde::Deserialize;

use crate::Failure;

/// How long one attempt to read the secret may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// As RDS writes it.
#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

/// The settings with the owner's login. It is read each time: an environment may live longer than a password.
pub(crate) async fn login(postgres: PostgresConfig, secret: &str) -> Result<PostgresConfig, Failure> {
    let timeouts = TimeoutConfig::builder().connect_timeout(ATTEMPT).operation_attempt_timeout(ATTEMPT).build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard())
        .load()
        .await;
    let read = Client::new(&config).get_secret_value().secret_id(secret).send().await;
    let read = read.map_err(|error| Failure::Owner(DisplayErrorContext(error).to_string()))?;
    // What serde says of a secret could quote it.
    let malformed = |_| Failure::Owner("the secret is no JSON with username and password".to_owned());
    let Login { username, password } =
        serde_json::from_str(read.secret_string().unwrap_or_default()).map_err(malformed)?;
    Ok(postgres.with_login(&username, &Secret::new(password)))
}
