//! What producers, consumers and administrators have in common.

use std::{
    error::Error as StdError,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_config::Region;
use rdkafka::{
    ClientConfig, ClientContext,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{Error, KafkaConfig, Result, Security};

/// How long the credentials of a token may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What every client is told, before what only producers or consumers need.
///
/// # Errors
///
/// [`Error::NoBrokers`].
pub fn client_config(config: &KafkaConfig) -> Result<ClientConfig> {
    let brokers = config.brokers.as_deref().ok_or(Error::NoBrokers)?;
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", brokers)
        .set("client.id", "oms")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("socket.connection.setup.timeout.ms", "3000")
        // A broker that comes back is found within a second.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Warning);
    if config.security != Security::Plaintext {
        // OpenSSL built into the program knows no folder of certificates by itself: librdkafka probes for the system's.
        client.set("ssl.ca.location", config.ca_file.as_deref().unwrap_or("probe"));
    }
    match config.security {
        Security::Plaintext => client.set("security.protocol", "plaintext"),
        Security::Tls => client.set("security.protocol", "ssl"),
        Security::MskIam => client.set("security.protocol", "sasl_ssl").set("sasl.mechanism", "OAUTHBEARER"),
    };
    Ok(client)
}

/// What a producer is told that sends each partition without a gap, or not at all.
///
/// # Errors
///
/// [`Error::NoBrokers`].
pub fn producer_config(config: &KafkaConfig) -> Result<ClientConfig> {
    let mut client = client_config(config)?;
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // When Kafka refuses a batch, what follows it in the queue must not overtake: the producer stops instead.
        .set("enable.gapless.guarantee", "true")
        // An expired record would let the next one overtake. How long to wait is decided by who sends.
        .set("message.timeout.ms", "0")
        .set("compression.type", "zstd")
        // As every Java client hashes keys.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", config.linger.as_millis().to_string())
        // A topic may take less than a broker does by default: small batches seldom fail together.
        .set("batch.size", "262144")
        .set("queue.buffering.max.kbytes", "65536");
    Ok(client)
}

/// Keeps what librdkafka has to say, and makes tokens for MSK.
#[derive(Debug, Clone)]
pub struct KafkaContext {
    region: Option<String>,
    last_error: Arc<Mutex<Option<String>>>,
}

impl KafkaContext {
    /// The context of one client.
    #[must_use]
    pub fn new(config: &KafkaConfig) -> Self {
        Self { region: config.region.clone(), last_error: Arc::default() }
    }

    /// Why the brokers can't be reached, if they could not. A time-out alone would not tell.
    fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The failure, with the reason behind it.
    #[must_use]
    pub fn explain(&self, failure: &str) -> Error {
        Error::Kafka(match self.last_error() {
            Some(reason) => format!("{failure}; {reason}"),
            None => failure.to_owned(),
        })
    }
}

impl ClientContext for KafkaContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    // Whoever uses the client handles its failures, and logs them once; librdkafka repeats them with every attempt.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "a client's error");
        // That all brokers are down says less than why one is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }

    /// librdkafka asks from whichever thread polls, which may be one of an async runtime: the token is made on a thread
    /// and a runtime of its own.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn StdError>> {
        let region = Region::new(self.region.clone().ok_or("AWS_REGION is not set")?);
        let make = move || -> Result<(String, i64), String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(async {
                match tokio::time::timeout(TOKEN_TIMEOUT, aws_msk_iam_sasl_signer::generate_auth_token(region)).await {
                    Ok(token) => token.map_err(|error| error.to_string()),
                    Err(_) => Err("no credentials in time".to_owned()),
                }
            })
        };
        let made = std::thread::spawn(make).join().unwrap_or_else(|_| Err("the signer panicked".to_owned()));
        let (token, lifetime_ms) = made.inspect_err(|error| {
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(format!("no token for MSK: {error}"));
        })?;
        Ok(OAuthToken { token, principal_name: String::new(), lifetime_ms })
    }
}

impl ConsumerContext for KafkaContext {}

#[cfg(test)]
mod tests {
    use oms_core::config::Source;

    use super::*;

    fn config(pairs: &[(&str, &str)]) -> KafkaConfig {
        KafkaConfig::read(&mut Source::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn librdkafka_takes_each_kind_of_security() {
        for security in ["plaintext", "tls", "msk-iam"] {
            let config =
                config(&[("KAFKA_BROKERS", "127.0.0.1:1"), ("KAFKA_SECURITY", security), ("AWS_REGION", "eu-west-1")]);
            client_config(&config).unwrap().create_native_config().unwrap();
        }
        assert!(matches!(client_config(&config(&[])), Err(Error::NoBrokers)));
    }

    #[test]
    fn a_token_without_a_region_says_what_is_missing() {
        let context = KafkaContext::new(&config(&[]));
        assert_eq!(context.generate_oauth_token(None).err().unwrap().to_string(), "AWS_REGION is not set");
    }
}
