mod publishing;
mod rendering;
mod sequencing;

use sqlx::PgPool;

use crate::{
    Registry,
    event_log::LogEvent,
    fixture::{created, object},
};

/// Every event of the log.
async fn all(pool: &PgPool) -> Vec<LogEvent> {
    super::readable(super::repository::newest(pool, 0, 1_000_000, i64::MAX).await.unwrap()).unwrap()
}

async fn with_types(oms: &Registry, names: &[&str]) {
    for name in names {
        created(oms, object(name)).await;
    }
}
