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
    super::repository::newest(pool, 0, 1_000_000).await.unwrap()
}

async fn with_types(oms: &Registry, names: &[&str]) {
    for name in names {
        created(oms, object(name)).await;
    }
}
