use sqlx::{
    ConnectOptions as _, PgPool, SqlSafeStr as _,
    migrate::MigrationType,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::oneshot;

use super::*;
use crate::{
    config::{PostgresConfig, Source},
    postgres::connect_lazy,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn database(options: &PgConnectOptions) -> Database {
    let url = options.to_url_lossy().to_string();
    let pairs = [("DATABASE_URL", url.as_str()), ("DB_STATEMENT_TIMEOUT_MS", "1")];
    connect_lazy(&PostgresConfig::read(&mut Source::from_pairs(pairs))).unwrap()
}

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    let no_tx = sql.starts_with("-- no-transaction");
    Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), no_tx)
}

async fn run(
    options: &PgConnectOptions,
    migrations: Vec<Migration>,
    within: Duration,
    lock_timeout: &str,
) -> Result<Migrated, MigrationError> {
    let db = database(options);
    let run = Run::new(&db, &migrations, &Roles::default(), Instant::now() + within).repeat(lock_timeout).await;
    db.close().await;
    run
}

/// Waits until a session of the migrator waits, or does not.
async fn until(pool: &PgPool, is_there: bool, sql: &'static str) {
    let waiting = async { while sqlx::query_scalar::<_, bool>(sql).fetch_one(pool).await.unwrap() != is_there {} };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

const WAITS: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'oms-migrate' AND wait_event_type = 'Lock')";
const QUEUES: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'oms-migrate' AND wait_event = 'advisory')";
const SLEEPS: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'oms-migrate' AND wait_event = 'PgSleep')";

#[sqlx::test(migrations = false)]
async fn all_migrations_are_applied_once_and_may_take_longer_than_a_statement(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let db = database(&options);
    let (roles, deadline) = (Roles::default(), Instant::now() + PATIENCE);
    let first = migrate(&db, &roles, deadline).await.unwrap();
    assert_eq!(first.migrations.len(), MIGRATOR.iter().count());
    assert_eq!(first.migrations[0], "20261122000001_create_object_and_link_types");
    assert_eq!(migrate(&db, &roles, deadline).await.unwrap(), Migrated::default());
    let limit: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&db).await.unwrap();
    assert_eq!(limit, "1ms", "requests keep theirs");
    db.close().await;
}

#[sqlx::test(migrations = false)]
async fn two_at_once_apply_each_migration_once(_: PgPoolOptions, options: PgConnectOptions) {
    let (one, other) = (database(&options), database(&options));
    let (roles, deadline) = (Roles::default(), Instant::now() + PATIENCE);
    let (first, second) = tokio::join!(migrate(&one, &roles, deadline), migrate(&other, &roles, deadline));
    assert_eq!(first.unwrap().migrations.len() + second.unwrap().migrations.len(), MIGRATOR.iter().count());
    one.close().await;
    other.close().await;
}

#[sqlx::test(migrations = false)]
async fn what_fails_is_named_and_what_was_before_it_stays(pool: PgPool) {
    let options = pool.connect_options();
    let migrations = || {
        vec![
            migration(1, "create one", "CREATE TABLE one ()"),
            migration(2, "create two", "CREATE TABLE two (); CREATE TABLE one ()"),
        ]
    };
    let error = run(&options, migrations(), PATIENCE, LOCK_TIMEOUT).await.unwrap_err();
    assert_eq!(error.to_string(), "the migration 2_create_two failed");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("already exists"));
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(tables, ["_sqlx_migrations", "one"]);
}

#[sqlx::test(migrations = false)]
async fn an_edited_migration_is_refused(_: PgPoolOptions, options: PgConnectOptions) {
    run(&options, vec![migration(1, "create one", "CREATE TABLE one ()")], PATIENCE, LOCK_TIMEOUT).await.unwrap();
    let edited = vec![
        migration(1, "create one", "CREATE TABLE one (id bigint)"),
        migration(2, "create two", "CREATE TABLE two ()"),
    ];
    let error = run(&options, edited, PATIENCE, LOCK_TIMEOUT).await.unwrap_err();
    assert!(error.to_string().starts_with("1_create_one is not what it was when it was applied"), "{error}");
}

/// A deployment that fails later brings the version before back, and asks it to migrate.
#[sqlx::test(migrations = false)]
async fn an_older_version_is_content_with_a_newer_database(pool: PgPool) {
    let db = database(&pool.connect_options());
    let (roles, deadline) = (Roles::default(), Instant::now() + PATIENCE);
    migrate(&db, &roles, deadline).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (29991231000001, 'create the future', true, '', 1)";
    sqlx::query(newer).execute(&pool).await.unwrap();
    assert_eq!(migrate(&db, &roles, deadline).await.unwrap(), Migrated::default());
    db.close().await;
}

#[sqlx::test(migrations = false)]
async fn who_waits_for_a_lock_lets_others_pass_and_comes_back(pool: PgPool) {
    sqlx::query("CREATE TABLE busy ()").execute(&pool).await.unwrap();
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM busy").execute(&mut *reader).await.unwrap();
    let options = pool.connect_options();
    let migrations = vec![migration(1, "alter busy", "ALTER TABLE busy ADD COLUMN more text")];
    let run = tokio::spawn(async move { run(&options, migrations, PATIENCE, "200ms").await });
    until(&pool, true, WAITS).await;
    until(&pool, false, WAITS).await;
    // Between two attempts nobody waits behind the migration.
    sqlx::query("SELECT FROM busy").execute(&pool).await.unwrap();
    reader.commit().await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().migrations, ["1_alter_busy"]);
}

#[sqlx::test(migrations = false)]
async fn a_lock_that_is_held_until_the_deadline_is_told(pool: PgPool) {
    sqlx::query("CREATE TABLE busy ()").execute(&pool).await.unwrap();
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM busy").execute(&mut *reader).await.unwrap();
    let migrations = vec![migration(1, "alter busy", "ALTER TABLE busy ADD COLUMN more text")];
    let within = Duration::from_secs(2);
    let error = run(&pool.connect_options(), migrations, within, "200ms").await.unwrap_err();
    assert_eq!(error.to_string(), "the migration 1_alter_busy did not end in time");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("lock timeout"));
    until(&pool, false, WAITS).await;
}

#[sqlx::test(migrations = false)]
async fn what_takes_too_long_ends_with_its_deadline_in_the_database_too(pool: PgPool) {
    let (options, (told, was_told)) = (pool.connect_options(), oneshot::channel());
    let migrations = vec![migration(1, "sleep", "CREATE TABLE half (); SELECT pg_sleep(600)")];
    let run = tokio::spawn(async move {
        let _ = told.send(run(&options, migrations, Duration::from_secs(3), LOCK_TIMEOUT).await);
    });
    until(&pool, true, SLEEPS).await;
    let error = was_told.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the migration 1_sleep did not end in time");
    until(&pool, false, SLEEPS).await;
    let half: bool = sqlx::query_scalar("SELECT to_regclass('half') IS NOT NULL").fetch_one(&pool).await.unwrap();
    assert!(!half);
    run.await.unwrap();
}

/// Half of it would stay, so it is not cut for a lock that it waits for without being in anybody's way.
#[sqlx::test(migrations = false)]
async fn an_index_that_is_built_beside_writes_waits_for_older_transactions(pool: PgPool) {
    sqlx::query("CREATE TABLE busy (id bigint)").execute(&pool).await.unwrap();
    let mut writer = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO busy VALUES (1)").execute(&mut *writer).await.unwrap();
    let options = pool.connect_options();
    let migrations =
        vec![migration(1, "index busy", "-- no-transaction\nCREATE INDEX CONCURRENTLY busy_id ON busy (id)")];
    let run = tokio::spawn(async move { run(&options, migrations, PATIENCE, "1ms").await });
    until(&pool, true, WAITS).await;
    sqlx::query("INSERT INTO busy VALUES (2)").execute(&pool).await.unwrap();
    until(&pool, true, WAITS).await;
    writer.commit().await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().migrations, ["1_index_busy"]);
}

/// The build waits for every older statement, and so for one that waits for it.
#[sqlx::test(migrations = false)]
async fn who_waits_for_another_migration_is_not_in_its_way(pool: PgPool) {
    sqlx::query("CREATE TABLE busy (id bigint)").execute(&pool).await.unwrap();
    let mut writer = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO busy VALUES (1)").execute(&mut *writer).await.unwrap();
    let start = || {
        let options = pool.connect_options();
        let migrations =
            vec![migration(1, "index busy", "-- no-transaction\nCREATE INDEX CONCURRENTLY busy_id ON busy (id)")];
        tokio::spawn(async move { run(&options, migrations, PATIENCE, LOCK_TIMEOUT).await })
    };
    let first = start();
    until(&pool, true, WAITS).await;
    // A deadlock would end the build, and never the one that waits for it.
    let database = pool.connect_options().get_database().unwrap().to_owned();
    let later = format!("ALTER DATABASE \"{database}\" SET deadlock_timeout = '1min'");
    sqlx::query(AssertSqlSafe(later)).execute(&pool).await.unwrap();
    let second = start();
    until(&pool, true, QUEUES).await;
    writer.commit().await.unwrap();
    assert_eq!(first.await.unwrap().unwrap().migrations, ["1_index_busy"]);
    assert_eq!(second.await.unwrap().unwrap(), Migrated::default());
    let is_valid: bool = sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'busy_id'::regclass")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(is_valid);
}

#[sqlx::test(migrations = false)]
async fn a_deadlock_is_tried_again_where_nothing_is_left_of_the_attempt(pool: PgPool) {
    sqlx::query("CREATE SEQUENCE attempts").execute(&pool).await.unwrap();
    // The first attempt of each.
    let migrations = vec![
        migration(
            1,
            "alter busy",
            "DO $$ BEGIN IF nextval('attempts') = 1 THEN RAISE deadlock_detected; END IF; END $$",
        ),
        migration(
            2,
            "index busy",
            "-- no-transaction\nDO $$ BEGIN IF nextval('attempts') = 3 THEN RAISE deadlock_detected; END IF; END $$",
        ),
    ];
    let error = run(&pool.connect_options(), migrations, PATIENCE, LOCK_TIMEOUT).await.unwrap_err();
    assert_eq!(error.to_string(), "the migration 2_index_busy failed");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("deadlock_detected"));
}
