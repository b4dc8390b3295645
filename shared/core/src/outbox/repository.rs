//! SQL of the outbox.

use sqlx::PgExecutor;

pub(super) async fn oldest_age(db: impl PgExecutor<'_>) -> sqlx::Result<Option<f64>> {
    let row = sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM now() - occurred_at)::float8 AS "seconds!" FROM outbox ORDER BY seq LIMIT 1"#
    );
    row.fetch_optional(db).await
}
