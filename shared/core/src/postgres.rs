//! The connection pool, and which failures of the database mean what.

mod database;
mod login;
mod migration;
#[cfg(test)]
mod overlap;
mod roles;

use std::{str::FromStr, time::Duration};

use log::LevelFilter;
use sqlx::{
    ConnectOptions, Connection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub use database::Database;
pub(crate) use migration::migrate;
pub use migration::{Migrated, MigrationError};
pub use roles::Roles;

use crate::{config::PostgresConfig, error::Result};

/// The migrations, embedded. `oms-server migrate` applies them.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// A pool that opens its first connection when it is first needed, so that a cold start does not wait for it.
pub fn connect_lazy(config: &PostgresConfig) -> Result<Database> {
    let options = PgConnectOptions::from_str(config.url.expose())?.application_name("oms");
    // Who logs in by IAM has a role of its own, and may come through RDS Proxy, which refuses sessions that bring settings.
    let options = match config.login_tokens {
        Some(_) => options,
        None => options.options(session_settings(config.statement_timeout)),
    };
    // A slow statement is worth its whole SQL, which has parameters in place of values; the others only for who asks.
    let options =
        options.log_statements(LevelFilter::Trace).log_slow_statements(LevelFilter::Warn, Duration::from_secs(1));
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .min_connections(0)
        .max_lifetime(config.max_lifetime)
        .idle_timeout(None)
        .acquire_timeout(config.acquire_timeout)
        // A ping before every query would double the round trips; only a connection that rested may have died.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < Duration::from_secs(1) {
                    return Ok(true);
                }
                Ok(tokio::time::timeout(Duration::from_secs(1), connection.ping()).await.is_ok_and(|ping| ping.is_ok()))
            })
        })
        .connect_lazy_with(options);
    let db = Database::new(pool, config.breaker, config.statement_timeout);
    Ok(match &config.login_tokens {
        Some(tokens) => db.with_login_tokens(tokens.clone()),
        None => db,
    })
}

/// What every session of requests needs: brought along, or set for its role.
fn session_settings(statement_timeout: Duration) -> [(&'static str, String); 5] {
    [
        ("statement_timeout", statement_timeout.as_millis().to_string()),
        // Whoever is cut, or frozen, in the middle of a transaction must not keep its locks.
        ("idle_in_transaction_session_timeout", "10000".to_owned()),
        // Notices would become log lines.
        ("client_min_messages", "warning".to_owned()),
        // One letter too few in the middle of a word must still find it.
        ("pg_trgm.word_similarity_threshold", "0.45".to_owned()),
        // Statements are short: where the planner expects too many rows, compiling one takes a third of a second.
        ("jit", "off".to_owned()),
    ]
}

/// For a session that holds locks: past any proxy, and gone soon after the client is. A dead one must not keep its locks.
pub(crate) fn direct_options(config: &PostgresConfig) -> Result<PgConnectOptions> {
    let timeout = config.statement_timeout.as_millis().to_string();
    let url = config.direct_url.as_ref().unwrap_or(&config.url);
    let options = PgConnectOptions::from_str(url.expose())?
        .application_name("oms-publisher")
        .log_statements(LevelFilter::Trace)
        .options([
            ("statement_timeout", timeout.as_str()),
            ("client_min_messages", "warning"),
            ("jit", "off"),
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "11000"),
        ]);
    Ok(match &config.login_tokens {
        Some(tokens) => login::with_token(options, tokens.as_ref())?,
        None => options,
    })
}

/// Whether a statement took longer than it may.
pub(crate) fn is_cancelled(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("57014")
}

/// What a failed write means, as far as the database's own words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A live type has the name.
    NameTaken,
    /// A foreign key: the target is gone, or the deleted type is still used.
    Reference,
    /// The idempotency key was stored by a concurrent request.
    IdempotencyKey,
    /// A deadlock or a serialization failure: the same write may be tried again.
    Retry,
}

/// Reads a refusal out of an error; none when it is a failure of another sort.
pub(crate) fn refusal(error: &sqlx::Error) -> Option<Refusal> {
    let database = error.as_database_error()?;
    let constraint = database.constraint().unwrap_or_default();
    match database.code().as_deref()? {
        "40001" | "40P01" => Some(Refusal::Retry),
        "23505" if constraint == "idempotency_keys_pkey" => Some(Refusal::IdempotencyKey),
        "23505" if constraint.ends_with("_name_key") => Some(Refusal::NameTaken),
        // A reference whose name was not found is null where null may not be.
        "23503" | "23502" => Some(Refusal::Reference),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

    use super::*;
    use crate::config::Source;

    fn lazy_pool(options: &PgConnectOptions, more: &[(&str, &str)]) -> Database {
        let url = options.to_url_lossy().to_string();
        let pairs = more.iter().copied().chain([("DATABASE_URL", url.as_str())]);
        connect_lazy(&PostgresConfig::read(&mut Source::from_pairs(pairs))).unwrap()
    }

    #[sqlx::test(migrations = false)]
    async fn notices_are_not_sent_at_all(_: PgPoolOptions, options: PgConnectOptions) {
        let pool = lazy_pool(&options, &[]);
        let level: (String,) = sqlx::query_as("SHOW client_min_messages").fetch_one(&pool).await.unwrap();
        assert_eq!(level.0, "warning");
        pool.close().await;
    }
}
