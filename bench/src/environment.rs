//! Where the services and the programs are, and what the programs are told.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

const SECRET: &str = "the benchmarks sign with this secret";
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "oms";

/// Comes before every key in Redis.
pub(crate) const PREFIX: &str = "bench:";

/// What `cargo xtask bench` has brought up.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// `DATABASE_URL`: the database `postgres` of a server of our own, as its superuser.
    pub(crate) database_url: String,
    /// `REDIS_URL`.
    pub(crate) redis_url: String,
    /// `KAFKA_BROKERS`.
    pub(crate) kafka_brokers: String,
    /// `BENCH_PROGRAMS`: the folder of the built programs.
    pub(crate) programs: PathBuf,
    /// `BENCH_POSTGRES_LOG`: what PostgreSQL writes its log to.
    pub(crate) postgres_log: PathBuf,
    /// `BENCH_PGBENCH`.
    pub(crate) pgbench: PathBuf,
    /// `BENCH_WRK`.
    pub(crate) wrk: PathBuf,
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Result<Self> {
        let variable =
            |name: &str| std::env::var(name).with_context(|| format!("{name} is not set; run `cargo xtask bench`"));
        Ok(Self {
            database_url: variable("DATABASE_URL")?,
            redis_url: variable("REDIS_URL")?,
            kafka_brokers: variable("KAFKA_BROKERS")?,
            programs: variable("BENCH_PROGRAMS")?.into(),
            postgres_log: variable("BENCH_POSTGRES_LOG")?.into(),
            pgbench: variable("BENCH_PGBENCH")?.into(),
            wrk: variable("BENCH_WRK")?.into(),
        })
    }

    /// The URL of another database of the server.
    pub(crate) fn database(&self, name: &str) -> String {
        self.database_url.rsplit_once('/').map_or_else(String::new, |(server, _)| format!("{server}/{name}"))
    }

    /// What every program is told: as in production, a token is verified, a line is logged, metrics are counted.
    pub(crate) fn settings(&self, database: &str) -> Vec<(String, String)> {
        let settings = [
            ("DATABASE_URL", self.database(database)),
            ("REDIS_URL", self.redis_url.clone()),
            ("REDIS_KEY_PREFIX", format!("{PREFIX}{database}:")),
            // A machine that is all busy is no outage.
            ("REDIS_TIMEOUT_MS", "5000".to_owned()),
            ("JWT_ALGORITHM", "HS256".to_owned()),
            ("JWT_SECRET", SECRET.to_owned()),
            ("JWT_ISSUER", ISSUER.to_owned()),
            ("JWT_AUDIENCE", AUDIENCE.to_owned()),
        ];
        settings.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// The same for a function, with what Lambda sets.
    pub(crate) fn function_settings(&self, database: &str, runtime_api: String) -> Vec<(String, String)> {
        let lambda = [
            ("AWS_LAMBDA_RUNTIME_API", runtime_api),
            ("AWS_LAMBDA_FUNCTION_NAME", "bench".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench".to_owned()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        let mut settings = self.settings(database);
        settings.extend(lambda.map(|(key, value)| (key.to_owned(), value)));
        settings
    }
}

/// A token of an administrator for the rest of the day.
pub(crate) fn token() -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "sub": "bench", "roles": ["admin"], "tenant": "default", "iss": ISSUER, "aud": AUDIENCE, "exp": now + 86_400,
    });
    Ok(encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?)
}

/// A file of this run that nobody else has.
pub(crate) fn temporary_file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("oms-bench-{}-{name}", std::process::id()))
}
