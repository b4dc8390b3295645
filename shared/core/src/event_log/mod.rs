//! The event log: every committed write in one gap-free order of positions, which Kafka, EventBridge and the feeds share.
//!
//! Writers only insert into the outbox. Whoever needs the log up to date (a publisher, a reader of the feed) moves the
//! committed rows into it: see [`EventLog::sequence`]. Publishers send the log on, see [`Claims`].

mod claims;
pub(crate) mod repository;
mod row;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, postgres::types::PgInterval};
use tokio::sync::Mutex;

pub use claims::Claims;
pub(crate) use row::{Labels, Row, readable};
pub use row::{LogEvent, Snapshot};

use crate::{
    config::{EventConfig, PostgresConfig},
    error::Result,
    postgres::{self, Database},
};

/// How many partitions publishers share. All events of an entity are in one.
pub const PARTITIONS: i16 = 16;

/// How many rows one transaction moves: with many fewer, writers at full speed would outrun it; more bring nothing, and a
/// publisher would wait longer for the first.
const MOVE: i64 = 5_000;

/// The event log; a clone is the same log.
#[derive(Debug, Clone)]
pub struct EventLog {
    db: Database,
    config: EventConfig,
    direct: Option<PostgresConfig>,
    passes: Arc<Passes>,
}

/// A pass over the outbox, for whoever has something else to do between its transactions.
#[derive(Debug)]
pub struct Pass<'a> {
    log: &'a EventLog,
    limit: i64,
}

impl Pass<'_> {
    /// Moves some of what is committed in the outbox into the log, in one transaction; how many rows, and whether there may be
    /// more.
    ///
    /// The head is locked in a statement of its own: the next statement's snapshot is younger than the lock, so it sees every
    /// row that the holder before moved, and a position is never given twice nor left out.
    pub async fn step(&mut self) -> Result<(u64, bool)> {
        loop {
            match self.log.move_rows(self.limit).await {
                Ok(moved) => return Ok((moved.rows.unsigned_abs(), moved.more)),
                // Large rows took longer than a statement may.
                Err(error) if self.limit > 1 && postgres::is_cancelled(&error) => self.limit = (self.limit / 8).max(1),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The passes of this process over the outbox, one at a time.
#[derive(Debug, Default)]
struct Passes {
    turn: Mutex<()>,
    begun: AtomicU64,
    /// The number of the last one that came to its end.
    ended: AtomicU64,
}

impl EventLog {
    pub(crate) fn new(db: Database, config: EventConfig, direct: Option<PostgresConfig>) -> Self {
        Self { db, config, direct, passes: Arc::default() }
    }

    /// The most bytes of an event as JSON; a larger one becomes a claim check.
    #[must_use]
    pub fn claim_check_bytes(&self) -> usize {
        self.config.max_bytes
    }

    /// Sees to it that what is committed in the outbox is in the log. Those who ask while a pass is under way share the next
    /// one: a thousand readers who come back at once must not queue for the head.
    pub async fn sequence(&self) -> Result<()> {
        let passes = &self.passes;
        let asked = passes.begun.load(Ordering::SeqCst);
        let _turn = passes.turn.lock().await;
        if passes.ended.load(Ordering::SeqCst) > asked {
            // It began after this call, so it has seen what this call is for.
            return Ok(());
        }
        let pass = passes.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.sequence_until(None).await?;
        passes.ended.store(pass, Ordering::SeqCst);
        Ok(())
    }

    /// Moves what is committed in the outbox into the log, until the outbox is empty or, between two transactions, a deadline
    /// has come; how many rows.
    pub async fn sequence_until(&self, deadline: Option<Instant>) -> Result<u64> {
        let (mut pass, mut all) = (self.pass(), 0);
        loop {
            let (moved, more) = pass.step().await?;
            all += moved;
            if !more || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(all);
            }
        }
    }

    /// A pass over the outbox, step by step.
    #[must_use]
    pub fn pass(&self) -> Pass<'_> {
        Pass { log: self, limit: MOVE }
    }

    /// One short transaction.
    async fn move_rows(&self, limit: i64) -> sqlx::Result<repository::Moved> {
        let work = async |connection: &mut PgConnection| {
            let head = repository::lock_head(connection).await?;
            // The sweep keeps two ranges ahead; only when it did not run for long there is something to do here.
            if head.free < MOVE {
                repository::extend_ranges(connection).await?;
            }
            repository::move_rows(connection, &head, limit).await
        };
        self.db.transaction("BEGIN", work).await
    }

    /// Opens the connection that a publisher locks partitions on. It is one of its own, past any proxy, since the locks live
    /// as long as its session.
    pub async fn claimer(&self) -> Result<Claims> {
        let options = match &self.direct {
            Some(direct) => postgres::direct_options(direct)?,
            None => self.db.connect_options()?,
        };
        // Statistics are behind what was just written: by them the planner takes a partition for nearly empty, and would read
        // and sort all of its rest for every batch.
        let options = options.options([("enable_bitmapscan", "off"), ("enable_seqscan", "off")]);
        let connection = self.db.aside(PgConnection::connect_with(&options)).await?;
        Ok(Claims::new(connection, self.db.clone()))
    }

    /// What has to be done now and then: keeps two ranges ahead, drops old ones and refreshes the gauges. What the outbox holds
    /// goes into the log, and from there on its way even if a poke was lost.
    pub(crate) async fn sweep(&self) -> Result<()> {
        self.sequence().await?;
        // Neither is urgent: when somebody holds a lock for long the next sweep does it.
        if let Err(error) = self.keep_ranges().await {
            tracing::warn!(%error, "the ranges of the event log are not kept now; the next sweep tries it again");
        }
        repository::advance_idle(&self.db).await?;
        self.oldest_unpublished_age().await?;
        let vitals = repository::vitals(&self.db).await?;
        metrics::gauge!("oms_event_ranges_ahead").set(crate::registry::precise(vitals.ranges_ahead));
        metrics::gauge!("oms_queue_dead_rows").set(crate::registry::precise(vitals.dead_rows));
        Ok(())
    }

    async fn keep_ranges(&self) -> sqlx::Result<()> {
        let extend = async |connection: &mut PgConnection| {
            repository::be_impatient(connection).await?;
            repository::extend_ranges(connection).await
        };
        self.db.transaction("BEGIN", extend).await?;
        let age = PgInterval {
            months: 0,
            days: 0,
            microseconds: i64::try_from(self.config.retention.as_micros()).unwrap_or(i64::MAX),
        };
        loop {
            let drop_oldest = async |connection: &mut PgConnection| {
                repository::be_impatient(connection).await?;
                repository::drop_oldest_range(connection, age).await
            };
            if !self.db.transaction("BEGIN", drop_oldest).await? {
                return Ok(());
            }
            tracing::info!("dropped an old range of the event log");
        }
    }

    /// Begins the next epoch; which one it is.
    pub(crate) async fn begin_epoch(&self) -> Result<i64> {
        Ok(repository::begin_epoch(&self.db).await?)
    }

    /// Takes everything for published, for an installation that has no Kafka: the log is for the change feed alone, and its
    /// old ranges may go.
    pub async fn forgo_publishing(&self) -> Result<()> {
        Ok(repository::advance_all(&self.db).await?)
    }

    /// How long the oldest event has waited for a publisher, in the outbox or in the log; none when all are published. The
    /// gauge `oms_outbox_oldest_age_seconds` shows it too.
    pub async fn oldest_unpublished_age(&self) -> Result<Option<Duration>> {
        let seconds = repository::oldest_unpublished(&self.db).await?;
        metrics::gauge!("oms_outbox_oldest_age_seconds").set(seconds.unwrap_or(0.0).max(0.0));
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))))
    }
}
