//! Old and new functions run side by side while a migration is applied and for some time after it: nobody may notice.
//!
//! The version before is the last release, by what is kept of it in `migrations/baseline`.

mod baseline;
mod current;
mod deployment;
mod schema;
mod session;

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, PgPool, SqlSafeStr as _,
    migrate::{Migration, MigrationType},
};

use self::{
    baseline::Baseline,
    deployment::{Cycles, Deployment, Newcomer},
    session::{Failure, Session, connect},
};
use crate::postgres::MIGRATOR;

/// As long as a migration waits for a lock.
const PATIENCE: Duration = Duration::from_secs(5);

fn deployment(pool: &PgPool) -> Deployment {
    Deployment { pool: pool.clone(), release: Baseline::released(), patience: PATIENCE }
}

/// A migration that nobody wrote.
fn imagined(sql: &str) -> Migration {
    let outside = sql.starts_with("-- no-transaction");
    let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
    Migration::new(i64::MAX, "imagined".into(), MigrationType::Simple, sql, outside)
}

/// Applies everything, and then what is imagined between functions that write.
async fn imagine(pool: &PgPool, patience: Duration, sql: &str) -> Result<Cycles, Failure> {
    MIGRATOR.run(pool).await.unwrap();
    Deployment { patience, ..deployment(pool) }.step(&imagined(sql), Newcomer::Release).await
}

async fn failure(pool: &PgPool, sql: &str) -> String {
    imagine(pool, PATIENCE, sql).await.expect_err("it must fail").to_string()
}

#[sqlx::test(migrations = false)]
async fn every_migration_is_applied_while_both_versions_write(pool: PgPool) {
    let deployment = deployment(&pool);
    let [first, others @ ..] = MIGRATOR.iter().as_slice() else { panic!("there are migrations") };
    MIGRATOR.run_to(first.version, &pool).await.unwrap();
    for (left, migration) in (0..others.len()).rev().zip(others) {
        let newcomer = if left == 0 { Newcomer::Current } else { Newcomer::Release };
        let cycles = deployment.step(migration, newcomer).await;
        let cycles = cycles.unwrap_or_else(|failure| panic!("{}: {failure}", migration.description));
        assert!(cycles.before > 0 && cycles.during > 0 && cycles.after > 0, "{cycles:?}");
    }
}

#[sqlx::test(migrations = false)]
async fn whoever_waits_for_a_lock_a_moment_writes_on(pool: PgPool) {
    let cycles = imagine(&pool, PATIENCE, "ALTER TABLE object_types ADD COLUMN steward text").await;
    assert_eq!(cycles.unwrap().during, 1, "everybody waited, and nobody did a whole cycle");
}

#[sqlx::test(migrations = false)]
async fn an_index_is_made_while_everybody_writes(pool: PgPool) {
    let sql = "-- no-transaction\nCREATE INDEX CONCURRENTLY object_types_by_owner ON object_types (created_by)";
    let cycles = imagine(&pool, PATIENCE, sql).await;
    assert!(cycles.unwrap().during > 1, "nobody waited");
}

#[sqlx::test(migrations = false)]
async fn a_renamed_column_is_missed(pool: PgPool) {
    // One statement alone writes it, so it is that one which fails, wherever the writers are.
    let failure = failure(&pool, "ALTER TABLE api_keys RENAME COLUMN created_by TO maker").await;
    assert!(failure.contains("`INSERT INTO api_keys`: "), "{failure}");
    assert!(failure.contains("\"created_by\" of relation \"api_keys\" does not exist"), "{failure}");
}

#[sqlx::test(migrations = false)]
async fn a_column_that_must_be_written_is_not_written(pool: PgPool) {
    let sql = "ALTER TABLE idempotency_keys ADD COLUMN region text NOT NULL DEFAULT 'eu';
        ALTER TABLE idempotency_keys ALTER COLUMN region DROP DEFAULT";
    let failure = failure(&pool, sql).await;
    assert!(failure.contains("\"region\" of relation \"idempotency_keys\" violates not-null"), "{failure}");
}

#[sqlx::test(migrations = false)]
async fn a_rule_that_was_not_there_before_is_broken(pool: PgPool) {
    let sql = "ALTER TABLE audit_logs ADD CONSTRAINT audited CHECK (user_agent NOT LIKE 'tests/%') NOT VALID";
    let failure = failure(&pool, sql).await;
    assert!(failure.contains("violates check constraint \"audited\""), "{failure}");
}

#[sqlx::test(migrations = false)]
async fn a_statement_that_was_prepared_before_gives_what_it_gave(pool: PgPool) {
    let failure = failure(&pool, "ALTER TABLE api_keys ALTER COLUMN name TYPE varchar(64)").await;
    assert!(failure.contains("cached plan must not change result type"), "{failure}");
}

/// `owner` is the name of a parameter of `references_of`, whose body would take the column for it.
#[sqlx::test(migrations = false)]
async fn a_column_that_hides_a_parameter_is_noticed(pool: PgPool) {
    let failure = failure(&pool, "ALTER TABLE object_types ADD COLUMN owner text").await;
    assert!(failure.contains("operator does not exist: uuid = text"), "{failure}");
}

/// No writer of the test runs it, but functions do.
#[sqlx::test(migrations = false)]
async fn a_query_that_only_reads_is_missed_too(pool: PgPool) {
    let failure = failure(&pool, "ALTER TABLE type_versions ALTER COLUMN created_by TYPE varchar(64)").await;
    assert!(failure.starts_with("a query of the release: "), "{failure}");
    assert!(failure.contains("created_by VARCHAR"), "{failure}");
}

#[sqlx::test(migrations = false)]
async fn a_lock_that_is_held_for_long_is_noticed(pool: PgPool) {
    let sql = "LOCK TABLE outbox; SELECT pg_sleep(3600)";
    let failure = imagine(&pool, Duration::from_millis(100), sql).await.unwrap_err().to_string();
    assert!(failure.contains("lock timeout"), "{failure}");
}

#[sqlx::test(migrations = false)]
async fn data_that_is_not_as_it_was_is_noticed(pool: PgPool) {
    let failure = failure(&pool, "DELETE FROM type_versions WHERE tenant_id = 'before' AND version = 2").await;
    assert!(failure.starts_with("the migration: `type_versions`: this row is not as it was: "), "{failure}");
}

#[sqlx::test(migrations = false)]
async fn what_the_release_still_uses_is_missed_when_it_is_taken_away(pool: PgPool) {
    let failure = failure(
        &pool,
        "-- contract: revoked_by, unused since 20261125000001\nALTER TABLE api_keys DROP COLUMN revoked_by",
    )
    .await;
    assert!(failure.contains("\"revoked_by\" of relation \"api_keys\" does not exist"), "{failure}");
}

/// Else the baseline would say less than the code does.
#[sqlx::test(migrations = false)]
async fn the_baseline_has_every_statement_that_writes_and_fits_its_schema(pool: PgPool) {
    let deployment = deployment(&pool);
    let release = &deployment.release;
    MIGRATOR.run_to(release.version, &pool).await.unwrap();
    let run: Vec<&str> =
        release.writes.iter().filter_map(|step| step.query.as_deref()).map(|part| release.query(part)).collect();
    let writing = ["INSERT INTO", "UPDATE ", "DELETE FROM", "extend_event_ranges", "drop_oldest", "claim_publisher"];
    for query in release.queries.iter().filter(|query| writing.iter().any(|word| query.contains(word))) {
        assert!(run.contains(&query.as_str()), "writes.json does not run: {query}");
    }
    assert_eq!(deployment.answers().await.len(), release.queries.len(), "every query is one of this schema");
    let options = pool.connect_options();
    let (mut session, complete) = Session::open(connect(&options, PATIENCE).await, "acme", release).await;
    assert!(complete, "every step is one of this schema");
    session.cycle().await.unwrap();
}
