//! The settings of one test's service, as environment variables would say them.

use std::collections::BTreeMap;

use crate::{
    database::Database,
    environment::redis_url,
    token::{AUDIENCE, ISSUER, SECRET},
};

/// Settings by name.
#[derive(Debug, Clone)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Those that every test starts from.
    #[must_use]
    pub fn for_database(database: &Database) -> Self {
        let pairs = [
            ("DATABASE_URL", database.url()),
            ("REDIS_URL", redis_url()),
            ("REDIS_KEY_PREFIX", format!("{}:", uuid::Uuid::now_v7().simple())),
            // On a busy machine a slow answer of Redis is no outage, and tests count what the cache saves.
            ("REDIS_TIMEOUT_MS", "5000".to_owned()),
            ("JWT_ALGORITHM", "HS256".to_owned()),
            ("JWT_SECRET", SECRET.to_owned()),
            ("JWT_ISSUER", ISSUER.to_owned()),
            ("JWT_AUDIENCE", AUDIENCE.to_owned()),
        ];
        Self(pairs.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// With another value of one.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    /// Without one.
    #[must_use]
    pub fn remove(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// All of them.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
