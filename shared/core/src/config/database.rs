//! Settings of the database.

use std::{fs::File, sync::Arc, time::Duration};

use sqlx::postgres::PgConnectOptions;

use super::{Secret, Source, percent_encode};
use crate::{breaker::BreakerConfig, login::LoginTokens};

/// PostgreSQL (specification 11.1, 13.1). `DATABASE_URL` wins over `DB_*`.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/name?sslmode=...`
    pub url: Secret,
    /// `DATABASE_DIRECT_URL`: the same database past any proxy, for sessions that hold locks; absent means `url`.
    pub direct_url: Option<Secret>,
    /// `DB_IAM_AUTH`: signs what is sent as the password; none means that the password is in the URLs.
    pub login_tokens: Option<Arc<dyn LoginTokens>>,
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
            let root = read_root_certificates(source);
            format!(
                "postgres://{}:{}@{host}:{port}/{}?sslmode={mode}{root}",
                percent_encode(&user),
                percent_encode(&password),
                percent_encode(&name),
            )
        });
        if let Err(error) = url.parse::<PgConnectOptions>() {
            source.problem(format!("DATABASE_URL or DB_*: {error}"));
        }
        let direct_url = source.text("DATABASE_DIRECT_URL");
        if let Some(Err(error)) = direct_url.as_ref().map(|url| url.parse::<PgConnectOptions>()) {
            source.problem(format!("DATABASE_DIRECT_URL: {error}"));
        }
        let login_tokens = read_database_login(source);
        let most = if source.text("AWS_LAMBDA_RUNTIME_API").is_some() { 1 } else { 25 };
        let max_connections = source.parse("DB_MAX_CONNECTIONS", most, "a number of connections");
        if max_connections == 0 {
            source.problem("DB_MAX_CONNECTIONS: must be 1 or more");
        }
        Self {
            url: Secret::new(url),
            direct_url: direct_url.map(Secret::new),
            login_tokens,
            max_connections,
            max_lifetime: source.millis("DB_MAX_LIFETIME_MS", 300_000),
            acquire_timeout: source.millis("DB_ACQUIRE_TIMEOUT_MS", 3_000),
            statement_timeout: source.millis("DB_STATEMENT_TIMEOUT_MS", 8_000),
            breaker: BreakerConfig::read(source),
        }
    }

    /// The same database, for somebody else.
    #[must_use]
    pub fn with_login(self, user: &str, password: &Secret) -> Self {
        let url = self.url.expose();
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        let (user, password) = (percent_encode(user), percent_encode(password.expose()));
        let url = Secret::new(format!("{scheme}://{user}:{password}@{host}{path}"));
        Self { url, direct_url: None, login_tokens: None, ..self }
    }
}

/// `DB_SSL_ROOT_CERT` as a parameter of the URL. A file that is not there would be found out with the first connection.
fn read_root_certificates(source: &mut Source) -> String {
    let Some(path) = source.text("DB_SSL_ROOT_CERT") else { return String::new() };
    if let Err(error) = File::open(&path) {
        source.problem(format!("DB_SSL_ROOT_CERT: cannot read {path}: {error}"));
    }
    format!("&sslrootcert={}", percent_encode(&path))
}

fn read_database_login(source: &mut Source) -> Option<Arc<dyn LoginTokens>> {
    if !source.parse("DB_IAM_AUTH", false, "true or false") {
        return None;
    }
    for key in ["DATABASE_URL", "DATABASE_DIRECT_URL", "DB_PASSWORD"] {
        if source.text(key).is_some() {
            source.problem(format!("DB_IAM_AUTH: tokens are for DB_HOST, DB_PORT and DB_USER, without {key}"));
        }
    }
    source.login_tokens("DB_IAM_AUTH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_login_changes_nothing_else() {
        let password = Secret::new("p@ss/word?");
        for (url, expected) in [
            (
                "postgres://oms_user:@db:5432/oms?sslmode=require",
                "postgres://ad%40a:p%40ss%2Fword%3F@db:5432/oms?sslmode=require",
            ),
            ("postgres://db", "postgres://ad%40a:p%40ss%2Fword%3F@db"),
            (
                "postgresql://a:b%40@[::1]/oms?options=-c x=a@b",
                "postgresql://ad%40a:p%40ss%2Fword%3F@[::1]/oms?options=-c x=a@b",
            ),
        ] {
            let config = PostgresConfig::read(&mut Source::from_pairs([("DATABASE_URL", url)]));
            assert_eq!(config.with_login("ad@a", &password).url.expose(), expected);
        }
    }

    #[test]
    fn certificates_that_cannot_be_read_are_a_problem() {
        let mut source = Source::from_pairs([("DB_SSL_ROOT_CERT", "/nowhere/bundle.pem")]);
        PostgresConfig::read(&mut source);
        let problems = source.finish().unwrap_err().0;
        assert!(
            problems.len() == 1 && problems[0].starts_with("DB_SSL_ROOT_CERT: cannot read /nowhere/"),
            "{problems:?}"
        );
    }
}
