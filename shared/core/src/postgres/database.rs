//! The database as services see it: the pool behind a circuit breaker, and no call without an end.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream, stream::BoxStream};
use sqlx::{
    Connection as _, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlSafeStr, SqlStr,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::login::Login;
use crate::{
    breaker::{Admission, Breaker, BreakerConfig},
    login::LoginTokens,
};

/// How much longer than the database itself may take for a statement its answer is waited for: what takes longer does not
/// come any more.
const MARGIN: Duration = Duration::from_secs(1);

/// How many statements of a transaction may take as long as one may.
const STATEMENTS: u32 = 4;

/// The pool of connections; a clone is the same pool.
///
/// A statement runs on it as on a pool. What needs a connection of its own for several statements says so with
/// [`Database::with`] and [`Database::transaction`].
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    breaker: Breaker,
    limit: Duration,
    login: Option<Arc<Login>>,
}

impl Database {
    /// Over a pool whose sessions end a statement after `statement_timeout`.
    pub(crate) fn new(pool: PgPool, breaker: BreakerConfig, statement_timeout: Duration) -> Self {
        let limit = statement_timeout.saturating_add(MARGIN);
        Self { pool, breaker: Breaker::new("postgresql", breaker), limit, login: None }
    }

    /// Sessions log in with these tokens.
    pub(crate) fn with_login_tokens(self, tokens: Arc<dyn LoginTokens>) -> Self {
        Self { login: Some(Arc::new(Login::new(tokens))), ..self }
    }

    /// How the pool connects.
    pub(crate) fn connect_options(&self) -> sqlx::Result<PgConnectOptions> {
        self.renew_login()?;
        Ok(self.pool.connect_options().as_ref().clone())
    }

    /// Before a session may begin.
    fn renew_login(&self) -> sqlx::Result<()> {
        self.login.as_ref().map_or(Ok(()), |login| login.renew(&self.pool))
    }

    /// How long one statement may run.
    pub(super) fn statement_timeout(&self) -> Duration {
        self.limit.saturating_sub(MARGIN)
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Work on one connection, which takes no longer than a statement may.
    pub(crate) async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        self.within(self.limit, work).await
    }

    /// Work in a transaction that begins with `begin`, and is committed unless the work fails.
    pub(crate) async fn transaction<T>(
        &self,
        begin: impl SqlSafeStr,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let begin = begin.into_sql_str();
        self.within(self.limit * STATEMENTS, async move |connection: &mut PgConnection| {
            let mut transaction = connection.begin_with(begin).await?;
            let done = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done)
        })
        .await
    }

    /// A statement on a connection that is none of the pool's.
    pub(crate) async fn aside<T>(&self, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        settle(self.admit()?, limited(self.limit, statement).await)
    }

    /// The same for what has to be tried in any case.
    pub(crate) async fn aside_anyway<T>(&self, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        settle(self.breaker.insist(), limited(self.limit, statement).await)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let admission = self.admit()?;
        let done = async {
            self.renew_login()?;
            let mut held = Held { connection: self.pool.acquire().await?, is_whole: false };
            let done = limited(limit, work(&mut held.connection)).await;
            held.is_whole = !done.as_ref().is_err_and(is_timeout);
            done
        };
        settle(admission, done.await)
    }

    fn admit(&self) -> sqlx::Result<Admission<'_>> {
        self.breaker.admit().map_err(|open| sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, open)))
    }
}

/// A connection of the pool at work.
struct Held {
    connection: PoolConnection<Postgres>,
    /// Whether it has no statement in flight.
    is_whole: bool,
}

impl Drop for Held {
    /// The pool would wait without an end for the answer that is still to come, and count the connection all the while.
    fn drop(&mut self) {
        if !self.is_whole {
            self.connection.close_on_drop();
        }
    }
}

async fn limited<T>(limit: Duration, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => {
            let text = format!("no answer within {} ms", limit.as_millis());
            Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
        }
    }
}

fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

fn settle<T>(admission: Admission<'_>, done: sqlx::Result<T>) -> sqlx::Result<T> {
    match &done {
        // It says nothing of the database.
        Err(sqlx::Error::PoolClosed) => drop(admission),
        Err(error) if is_outage(error) => admission.failed(),
        _ => admission.succeeded(),
    }
    done
}

/// Whether the database is away, or can serve nobody. A statement that took too long, and a write that is refused, are
/// answers.
pub(super) fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        // Connection exceptions; shutting down, crashed, starting up; out of connections, memory or disk.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["08", "57P", "53"].iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

/// As a pool's, what it gives lives longer than the reference: the compiler can't follow it through generic code otherwise.
impl<'c> Executor<'c> for &'_ Database {
    type Database = Postgres;

    /// The rows are there before the first is given out: whoever is slow with them keeps no connection.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let db = self.clone();
        let fetched = async move {
            db.with(async move |connection: &mut PgConnection| {
                connection.fetch_many(query).try_collect::<Vec<_>>().await
            })
            .await
        };
        stream::once(fetched).map_ok(|steps| stream::iter(steps).map(Ok)).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let db = self.clone();
        Box::pin(async move {
            db.with(async move |connection: &mut PgConnection| connection.fetch_optional(query).await).await
        })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        let db = self.clone();
        Box::pin(async move {
            db.with(async move |connection: &mut PgConnection| connection.prepare_with(sql, parameters).await).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        let db = self.clone();
        Box::pin(
            async move { db.with(async move |connection: &mut PgConnection| connection.describe(sql).await).await },
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Instant};

    use sqlx::postgres::PgPoolOptions;

    use super::*;
    use crate::error::Error;

    const TWICE: BreakerConfig = BreakerConfig { failures: 2, open: Duration::from_secs(3_600) };

    async fn one(db: &Database) -> sqlx::Result<i32> {
        sqlx::query_scalar("SELECT 1").fetch_one(db).await
    }

    #[sqlx::test(migrations = false)]
    async fn a_database_that_is_away_is_asked_so_often_and_then_every_caller_hears_so_at_once(pool: PgPool) {
        // Nobody listens on a port that was just given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = pool.connect_options().as_ref().clone().host("127.0.0.1").port(port);
        let wait = Duration::from_millis(200);
        let away = PgPoolOptions::new().acquire_timeout(wait).connect_lazy_with(options);
        let db = Database::new(away, TWICE, Duration::from_secs(8));
        for _ in 0..2 {
            assert!(matches!(one(&db).await, Err(sqlx::Error::PoolTimedOut)));
        }
        let began = Instant::now();
        for _ in 0..100 {
            let error = one(&db).await.unwrap_err();
            assert!(error.to_string().contains("circuit breaker is open"), "{error}");
            assert!(matches!(Error::from(error), Error::Unavailable { .. }));
        }
        let begun = db.transaction("BEGIN", async |_: &mut PgConnection| Ok(())).await;
        assert!(begun.is_err());
        assert!(began.elapsed() < wait * 100, "nobody waited");
    }

    #[sqlx::test(migrations = false)]
    async fn what_the_database_refuses_is_an_answer(pool: PgPool) {
        let db = Database::new(pool, TWICE, Duration::from_secs(8));
        sqlx::query("CREATE TABLE names (name text PRIMARY KEY)").execute(&db).await.unwrap();
        sqlx::query("INSERT INTO names VALUES ('taken')").execute(&db).await.unwrap();
        for _ in 0..5 {
            for sql in ["INSERT INTO names VALUES ('taken')", "SELECT nonsense"] {
                assert!(sqlx::query(sql).execute(&db).await.is_err(), "{sql}");
            }
            let late = db
                .transaction("BEGIN; SET LOCAL statement_timeout = 1", async |connection: &mut PgConnection| {
                    sqlx::query("SELECT pg_sleep(60)").execute(connection).await
                });
            assert!(crate::postgres::is_cancelled(&late.await.unwrap_err()));
        }
        assert_eq!(one(&db).await.unwrap(), 1);
    }

    #[sqlx::test(migrations = false)]
    async fn a_server_that_ends_its_sessions_is_away(pool: PgPool) {
        let db = Database::new(pool, TWICE, Duration::from_secs(8));
        for _ in 0..2 {
            let error = sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())").execute(&db).await.unwrap_err();
            assert!(!error.to_string().contains("breaker"), "{error}");
        }
        let error = one(&db).await.unwrap_err();
        assert!(error.to_string().contains("circuit breaker is open"), "{error}");
    }

    #[sqlx::test(migrations = false)]
    async fn what_is_never_answered_ends_and_leaves_its_place_to_others(pool: PgPool) {
        let options = pool.connect_options().as_ref().clone();
        let single = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        let db = Database::new(single, TWICE, Duration::ZERO);
        let never = async |connection: &mut PgConnection| {
            one_row(connection).await?;
            pending::<sqlx::Result<()>>().await
        };
        let error = db.with(never).await.unwrap_err();
        assert!(error.to_string().contains("no answer within 1000 ms"), "{error}");
        assert_eq!(one(&db).await.unwrap(), 1);
        // A caller that goes away in the middle of a statement is no outage, and keeps no connection either.
        for _ in 0..5 {
            let cut = sqlx::query("SELECT pg_sleep(1)").execute(&db);
            assert!(tokio::time::timeout(Duration::from_millis(50), cut).await.is_err());
        }
        assert_eq!(one(&db).await.unwrap(), 1);
    }

    async fn one_row(connection: &mut PgConnection) -> sqlx::Result<i32> {
        sqlx::query_scalar("SELECT 1").fetch_one(connection).await
    }

    #[sqlx::test(migrations = false)]
    async fn work_that_fails_in_a_transaction_leaves_nothing_behind(pool: PgPool) {
        let db = Database::new(pool, TWICE, Duration::from_secs(8));
        sqlx::query("CREATE TABLE names (name text)").execute(&db).await.unwrap();
        let insert = async |connection: &mut PgConnection| {
            sqlx::query("INSERT INTO names VALUES ('new')").execute(connection).await
        };
        db.transaction("BEGIN", insert).await.unwrap();
        let failing = async |connection: &mut PgConnection| {
            insert(connection).await?;
            Err::<(), _>(sqlx::Error::RowNotFound)
        };
        assert!(matches!(db.transaction("BEGIN", failing).await, Err(sqlx::Error::RowNotFound)));
        let names: Vec<String> = sqlx::query_scalar("SELECT name FROM names").fetch_all(&db).await.unwrap();
        assert_eq!(names, ["new"]);
    }
}
