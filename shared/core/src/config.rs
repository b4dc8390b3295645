//! Configuration from the environment and a file under `/etc/oms`, one struct per concern, every problem named at once.

use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

use crate::breaker::BreakerConfig;

/// A value that must never be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: hand it to what needs it, never to a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// All that is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} problem(s):\n  - {}", .0.len(), .0.join("\n  - "))]
pub struct ConfigError(pub Vec<String>);

/// Where settings are read from. Problems are gathered; [`Source::finish`] reports them all.
#[derive(Debug, Default)]
pub struct Source {
    variables: HashMap<String, String>,
    problems: Vec<String>,
}

impl Source {
    /// The environment over the file named by `OMS_CONFIG_FILE` (default `/etc/oms/oms.env`, lines of `KEY=value`).
    pub fn from_env() -> Self {
        let mut source = Self::default();
        let named = std::env::var("OMS_CONFIG_FILE").ok();
        let path = named.as_deref().unwrap_or("/etc/oms/oms.env");
        match std::fs::read_to_string(path) {
            Ok(text) => source.read_lines(path, &text),
            Err(error) if named.is_some() => {
                source.problems.push(format!("OMS_CONFIG_FILE: cannot read {path}: {error}"));
            }
            Err(_) => {}
        }
        source
            .variables
            .extend(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))));
        source
    }

    /// Exactly these settings.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { variables: pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect(), problems: Vec::new() }
    }

    fn read_lines(&mut self, path: &str, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                Some((key, value)) => {
                    let value = value.trim();
                    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
                    self.variables.insert(key.trim().to_owned(), value.to_owned());
                }
                None => self.problems.push(format!("{path}:{}: expected KEY=value", number + 1)),
            }
        }
    }

    /// The setting as text; empty is the same as absent.
    pub fn text(&self, key: &str) -> Option<String> {
        self.variables.get(key).filter(|value| !value.is_empty()).cloned()
    }

    /// The setting parsed, or the default when it is absent; `shape` says what it should look like.
    pub fn parse<T: FromStr>(&mut self, key: &str, default: T, shape: &str) -> T {
        match self.text(key).map(|text| text.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                self.problem(format!("{key}: expected {shape}"));
                default
            }
        }
    }

    /// A duration given in milliseconds.
    pub fn millis(&mut self, key: &str, default: u64) -> Duration {
        Duration::from_millis(self.parse(key, default, "a number of milliseconds"))
    }

    /// Notes a problem that a concern found. What several concerns read is named once.
    pub fn problem(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    /// Ends the reading: all problems, or none.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError(self.problems)) }
    }
}

/// PostgreSQL (specification 11.1, 13.1). `DATABASE_URL` wins over `DB_*`.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/name?sslmode=...`
    pub url: Secret,
    /// `DATABASE_DIRECT_URL`: the same database past any proxy, for sessions that hold locks; absent means `url`.
    pub direct_url: Option<Secret>,
    /// The most connections of the pool: 25 in the server, 1 in a Lambda environment.
    pub max_connections: u32,
    /// How long a connection may live.
    pub max_lifetime: Duration,
    /// How long a request waits for a connection.
    pub acquire_timeout: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
    /// When the database is left alone.
    pub breaker: BreakerConfig,
}

impl PostgresConfig {
    /// Reads the settings; on Lambda (`AWS_LAMBDA_RUNTIME_API` is there) the pool has one connection by default.
    pub fn read(source: &mut Source) -> Self {
        let url = source.text("DATABASE_URL").unwrap_or_else(|| {
            let host = source.text("DB_HOST").unwrap_or_else(|| "localhost".to_owned());
            let port = source.parse("DB_PORT", 5432_u16, "a port number");
            let name = source.text("DB_NAME").unwrap_or_else(|| "oms".to_owned());
            let user = source.text("DB_USER").unwrap_or_else(|| "oms_user".to_owned());
            let password = source.text("DB_PASSWORD").unwrap_or_default();
            let mode = source.text("DB_SSL_MODE").unwrap_or_else(|| "require".to_owned());
            format!(
                "postgres://{}:{}@{host}:{port}/{}?sslmode={mode}",
                percent_encode(&user),
                percent_encode(&password),
                percent_encode(&name),
            )
        });
        if let Err(error) = url.parse::<sqlx::postgres::PgConnectOptions>() {
            source.problem(format!("DATABASE_URL or DB_*: {error}"));
        }
        let direct_url = source.text("DATABASE_DIRECT_URL");
        if let Some(Err(error)) = direct_url.as_ref().map(|url| url.parse::<sqlx::postgres::PgConnectOptions>()) {
            source.problem(format!("DATABASE_DIRECT_URL: {error}"));
        }
        let most = if source.text("AWS_LAMBDA_RUNTIME_API").is_some() { 1 } else { 25 };
        let max_connections = source.parse("DB_MAX_CONNECTIONS", most, "a number of connections");
        if max_connections == 0 {
            source.problem("DB_MAX_CONNECTIONS: must be 1 or more");
        }
        Self {
            url: Secret::new(url),
            direct_url: direct_url.map(Secret::new),
            max_connections,
            max_lifetime: source.millis("DB_MAX_LIFETIME_MS", 300_000),
            acquire_timeout: source.millis("DB_ACQUIRE_TIMEOUT_MS", 3_000),
            statement_timeout: source.millis("DB_STATEMENT_TIMEOUT_MS", 8_000),
            breaker: BreakerConfig::read(source),
        }
    }
}

/// Redis (specification 6, 11.1). `REDIS_URL` wins over `REDIS_*`; without either there is no cache.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://` or `rediss://`; none means that OMS runs without a cache.
    pub url: Option<Secret>,
    /// Whether the endpoint is a cluster (ElastiCache Serverless is one).
    pub cluster: bool,
    /// Comes before every key, so that several installations may share a Redis.
    pub prefix: String,
    /// How long an entry may be served at most.
    pub ttl: Duration,
    /// How long a call may take before the database is asked instead.
    pub timeout: Duration,
}

impl RedisConfig {
    /// No cache.
    pub fn none() -> Self {
        Self::read(&mut Source::default())
    }

    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let url = source.text("REDIS_URL").or_else(|| {
            let host = source.text("REDIS_HOST")?;
            let port = source.parse("REDIS_PORT", 6379_u16, "a port number");
            let database = source.parse("REDIS_DB", 0_u8, "a database number");
            let tls = source.parse("REDIS_TLS", false, "true or false");
            let password =
                source.text("REDIS_PASSWORD").map(|p| format!(":{}@", percent_encode(&p))).unwrap_or_default();
            Some(format!("{}://{password}{host}:{port}/{database}", if tls { "rediss" } else { "redis" }))
        });
        if let Some(url) = &url
            && let Err(error) = redis::Client::open(url.as_str())
        {
            source.problem(format!("REDIS_URL or REDIS_*: {error}"));
        }
        Self {
            url: url.map(Secret::new),
            cluster: source.parse("REDIS_CLUSTER", false, "true or false"),
            prefix: source.text("REDIS_KEY_PREFIX").unwrap_or_default(),
            ttl: source.millis("CACHE_TTL_MS", 300_000),
            timeout: source.millis("REDIS_TIMEOUT_MS", 250),
        }
    }
}

/// Events (specification 5, 16.5).
#[derive(Debug, Clone)]
pub struct EventConfig {
    /// `EVENT_MAX_BYTES`: above so many bytes of JSON an event becomes a claim check. EventBridge and SQS take 262,144.
    pub max_bytes: usize,
    /// `EVENT_RETENTION_DAYS`: how long published events stay in the log at least.
    pub retention: Duration,
    /// `EVENT_POLL_MS`: how often those who watch look for what other processes wrote.
    pub poll: Duration,
}

impl EventConfig {
    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let max_bytes = source.parse("EVENT_MAX_BYTES", 240 * 1024, "a number of bytes");
        // The envelope of a claim check has to fit, and what AWS takes is the most.
        if !(4_096..=250_000).contains(&max_bytes) {
            source.problem("EVENT_MAX_BYTES: must be from 4096 to 250000");
        }
        let days = source.parse("EVENT_RETENTION_DAYS", 7_u32, "a number of days");
        let poll = source.millis("EVENT_POLL_MS", 250);
        if poll.is_zero() {
            source.problem("EVENT_POLL_MS: must be 1 or more");
        }
        Self {
            max_bytes,
            retention: Duration::from_secs(u64::from(days) * 86_400),
            poll: poll.max(Duration::from_millis(1)),
        }
    }
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once_and_no_secret_is_printed() {
        let mut source = Source::from_pairs([
            ("DB_PORT", "many"),
            ("DB_PASSWORD", "p@ss/word"),
            ("DB_ACQUIRE_TIMEOUT_MS", "soon"),
            ("REDIS_URL", "nonsense"),
        ]);
        let postgres = PostgresConfig::read(&mut source);
        let redis = RedisConfig::read(&mut source);
        assert!(!format!("{postgres:?}{redis:?}").contains("p@ss"));
        assert!(postgres.url.expose().contains("p%40ss%2Fword"));
        let error = source.finish().unwrap_err();
        assert_eq!(error.0.len(), 3, "{error}");
        for key in ["DB_PORT", "DB_ACQUIRE_TIMEOUT_MS", "REDIS_URL"] {
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_line_that_is_not_a_setting_is_a_problem_with_its_number() {
        let mut source = Source::default();
        source.read_lines("oms.env", "# comment\nDB_NAME = \"my oms\"\n\nnonsense\n");
        assert_eq!(source.text("DB_NAME").as_deref(), Some("my oms"));
        assert_eq!(source.finish().unwrap_err().0, ["oms.env:4: expected KEY=value"]);
    }
}
