//! The outbox: what every write leaves for the publisher, in the same statement. Only filled here.

mod repository;

use std::time::Duration;

use sqlx::PgPool;

use crate::error::Result;

/// Looks into the outbox.
#[derive(Debug, Clone)]
pub struct Outbox {
    pool: PgPool,
}

impl Outbox {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// How long the oldest row has waited for the publisher; none when it is empty.
    pub async fn oldest_unpublished_age(&self) -> Result<Option<Duration>> {
        let seconds = repository::oldest_age(&self.pool).await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))))
    }
}
