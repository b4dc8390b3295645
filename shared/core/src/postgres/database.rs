//! The database as services see it: the pool behind a circuit breaker, and no call without an end.

use std::{future::Future, io, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream, stream::BoxStream};
use sqlx::{
    Connection as _, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlSafeStr, SqlStr,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use crate::breaker::{Admission, Breaker, BreakerConfig};

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
}

impl Database {
    /// Over a pool whose sessions end a statement after `statement_timeout`.
    pub(crate) fn new(pool: PgPool, breaker: BreakerConfig, statement_timeout: Duration) -> Self {
        Self { pool, breaker: Breaker::new("postgresql", breaker), limit: statement_timeout.saturating_add(MARGIN) }
    }

    /// How the pool connects.
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        self.pool.connect_options().as_ref().clone()
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
fn is_outage(error: &sqlx::Error) -> bool {
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
