//! Settings of the cache.

use std::time::Duration;

use super::{Secret, Source, percent_encode};
use crate::login::CacheLogin;

/// Redis (specification 6, 11.1). `REDIS_URL` wins over `REDIS_*`; without either there is no cache.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://` or `rediss://`; none means that OMS runs without a cache.
    pub url: Option<Secret>,
    /// Who logs in by IAM; none means that the user and the password are in the URL.
    pub login: Option<CacheLogin>,
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
        let login = read_cache_login(source);
        let url = source.text("REDIS_URL").or_else(|| {
            let host = source.text("REDIS_HOST")?;
            let port = source.parse("REDIS_PORT", 6379_u16, "a port number");
            let database = source.parse("REDIS_DB", 0_u8, "a database number");
            let tls = source.parse("REDIS_TLS", false, "true or false");
            let user = source.text("REDIS_USER").unwrap_or_default();
            let password = source
                .text("REDIS_PASSWORD")
                .map(|password| format!("{}:{}@", percent_encode(&user), percent_encode(&password)))
                .unwrap_or_default();
            Some(format!("{}://{password}{host}:{port}/{database}", if tls { "rediss" } else { "redis" }))
        });
        if let Some(url) = &url
            && let Err(error) = redis::Client::open(url.as_str())
        {
            source.problem(format!("REDIS_URL or REDIS_*: {error}"));
        }
        Self {
            url: url.map(Secret::new),
            login,
            cluster: source.parse("REDIS_CLUSTER", false, "true or false"),
            prefix: source.text("REDIS_KEY_PREFIX").unwrap_or_default(),
            ttl: source.millis("CACHE_TTL_MS", 300_000),
            timeout: source.millis("REDIS_TIMEOUT_MS", 250),
        }
    }
}

/// `REDIS_USER`, and `REDIS_IAM_CACHE` in place of a password. Nobody would miss a cache that can't be logged in to: what
/// is wrong has to be said here.
fn read_cache_login(source: &mut Source) -> Option<CacheLogin> {
    let (user, password) = (source.text("REDIS_USER"), source.text("REDIS_PASSWORD"));
    let Some(cache) = source.text("REDIS_IAM_CACHE") else {
        if user.is_some() && password.is_none() && source.text("REDIS_URL").is_none() {
            source.problem("REDIS_USER: needs REDIS_PASSWORD or REDIS_IAM_CACHE");
        }
        return None;
    };
    for key in ["REDIS_URL", "REDIS_PASSWORD"] {
        if source.text(key).is_some() {
            source.problem(format!("REDIS_IAM_CACHE: tokens are for REDIS_HOST and REDIS_USER, without {key}"));
        }
    }
    for key in ["REDIS_HOST", "REDIS_USER"] {
        if source.text(key).is_none() {
            source.problem(format!("REDIS_IAM_CACHE: needs {key}"));
        }
    }
    if !source.parse("REDIS_TLS", false, "true or false") {
        source.problem("REDIS_IAM_CACHE: needs REDIS_TLS=true");
    }
    Some(CacheLogin { cache, user: user.unwrap_or_default(), tokens: source.login_tokens("REDIS_IAM_CACHE")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_redis_comes_with_a_password() {
        let user = [("REDIS_HOST", "cache"), ("REDIS_USER", "a:b")];
        let mut source = Source::from_pairs(user);
        RedisConfig::read(&mut source);
        assert_eq!(source.finish().unwrap_err().0, ["REDIS_USER: needs REDIS_PASSWORD or REDIS_IAM_CACHE"]);
        let mut source = Source::from_pairs(user.into_iter().chain([("REDIS_PASSWORD", "c@d")]));
        let redis = RedisConfig::read(&mut source);
        source.finish().unwrap();
        assert_eq!(redis.url.unwrap().expose(), "redis://a%3Ab:c%40d@cache:6379/0");
    }
}
