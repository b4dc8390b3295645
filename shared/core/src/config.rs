//! Configuration from the environment and a file under `/etc/oms`, one struct per concern, every problem named at once.

mod cache;
mod database;

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

pub use self::{cache::RedisConfig, database::PostgresConfig};
use crate::login::LoginTokens;

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
    asked: RefCell<BTreeSet<String>>,
    login_tokens: Option<Arc<dyn LoginTokens>>,
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
        Self { variables: pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect(), ..Self::default() }
    }

    /// Lets the settings ask for logins by IAM, with these tokens.
    #[must_use]
    pub fn with_login_tokens(self, tokens: Arc<dyn LoginTokens>) -> Self {
        Self { login_tokens: Some(tokens), ..self }
    }

    /// The tokens for a setting that asks for them.
    fn login_tokens(&mut self, key: &str) -> Option<Arc<dyn LoginTokens>> {
        if self.login_tokens.is_none() {
            self.problem(format!("{key}: only a Lambda function, which has credentials of AWS, can log in by IAM"));
        }
        self.login_tokens.clone()
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
        self.asked.borrow_mut().insert(key.to_owned());
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

    /// The names of the settings that were asked for so far, whether they are there or not.
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    /// Ends the reading: all problems, or none.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError(self.problems)) }
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

    fn problems_of(pairs: &[(&str, &str)], has_tokens: bool) -> Vec<String> {
        let mut source = Source::from_pairs(pairs.iter().copied());
        if has_tokens {
            source = source.with_login_tokens(Arc::new(crate::fixture::Tokens::default()));
        }
        PostgresConfig::read(&mut source);
        RedisConfig::read(&mut source);
        source.finish().map_or_else(|error| error.0, |()| Vec::new())
    }

    #[test]
    fn logins_by_iam_leave_no_room_for_another_way_in() {
        let database = [("DB_IAM_AUTH", "true"), ("DB_HOST", "db")];
        let cache =
            [("REDIS_IAM_CACHE", "oms"), ("REDIS_HOST", "cache"), ("REDIS_USER", "oms-app"), ("REDIS_TLS", "true")];
        let all = [database.as_slice(), &cache].concat();
        assert!(problems_of(&all, true).is_empty());
        let without = problems_of(&all, false);
        assert!(without.len() == 2 && without.iter().all(|problem| problem.contains("Lambda")), "{without:?}");
        for (more, named) in [
            (("DB_PASSWORD", "secret"), "DB_IAM_AUTH"),
            (("DATABASE_URL", "postgres://db/oms"), "DB_IAM_AUTH"),
            (("DATABASE_DIRECT_URL", "postgres://db/oms"), "DB_IAM_AUTH"),
            (("REDIS_PASSWORD", "secret"), "REDIS_IAM_CACHE"),
            (("REDIS_URL", "rediss://cache"), "REDIS_IAM_CACHE"),
            (("REDIS_HOST", ""), "REDIS_IAM_CACHE"),
            (("REDIS_USER", ""), "REDIS_IAM_CACHE"),
            (("REDIS_TLS", "false"), "REDIS_IAM_CACHE"),
        ] {
            let problems = problems_of(&[all.as_slice(), &[more]].concat(), true);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(named) && problems[0].contains(more.0), "{problems:?}");
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
