//! One migration between two versions: functions of the release write until after it is there, and those that come with it
//! join them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, Column as _, Executor as _, PgConnection, PgPool, SqlSafeStr as _, Statement as _, TypeInfo as _,
    migrate::{Migrate as _, Migration},
    postgres::PgConnectOptions,
};
use tokio::task::JoinHandle;

use super::{
    baseline::Baseline,
    current,
    session::{Failure, Session, connect, pid},
};

/// How many functions of the release write.
const WRITERS: usize = 2;

/// How many cycles must begin and end within a phase, with the one that was under way: then one of them is whole.
const WHOLE: u64 = 2;

/// How often it is looked whether a phase is over.
const LOOK: Duration = Duration::from_millis(5);

/// A database, and what comes to it.
pub(super) struct Deployment {
    pub(super) pool: PgPool,
    pub(super) release: Baseline,
    /// How long a statement may wait for a lock, that of a writer and that of a migration.
    pub(super) patience: Duration,
}

/// How many cycles the slowest writer of the release did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cycles {
    pub(super) before: u64,
    /// While the migration was applied and not committed. A statement that waited for it counts as one.
    pub(super) during: u64,
    pub(super) after: u64,
}

/// Who writes after the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newcomer {
    /// Whatever of the release fits the schema by then.
    Release,
    /// The code of now, which also reads what was written before.
    Current,
}

struct Writer {
    pid: i32,
    cycles: Arc<AtomicU64>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Deployment {
    /// Applies a migration, after all before it were, while functions write.
    pub(super) async fn step(&self, migration: &Migration, newcomer: Newcomer) -> Result<Cycles, Failure> {
        let (mut early, complete) = self.session("before").await;
        assert!(complete || migration.version <= self.release.version, "nothing may be missing after the release");
        for _ in 0..3 {
            early.cycle().await?;
        }
        let (rows, answers) = (self.rows().await, self.answers().await);
        let mut crowd = Crowd::new(connect(&self.options(), self.patience).await);
        for _ in 0..WRITERS {
            crowd.add(self.session("old").await.0).await;
        }
        let cycles = self.between(&mut crowd, migration, newcomer).await;
        let ended = crowd.end(cycles.is_err()).await;
        // Whose statement failed says more than that the crowd did not come to its end.
        ended?;
        let cycles = cycles?;
        let contracts = migration.sql.as_str().contains("-- contract: ");
        compare(&rows, &self.rows().await, contracts)?;
        self.compare_answers(&answers).await?;
        if newcomer == Newcomer::Current {
            current::reads(&self.pool, "before").await?;
        }
        Ok(cycles)
    }

    async fn between(&self, crowd: &mut Crowd, migration: &Migration, newcomer: Newcomer) -> Result<Cycles, Failure> {
        crowd.all_reach(&[0; WRITERS], None).await?;
        let before = crowd.least(&[0; WRITERS]);

        // The migrator's last statement before its commit notes the migration: it has every lock by then, and waits here.
        let mut gate = connect(&self.options(), self.patience).await;
        let keeper = pid(&mut gate).await;
        let close = "BEGIN; LOCK TABLE _sqlx_migrations IN SHARE ROW EXCLUSIVE MODE";
        sqlx::raw_sql(close).execute(&mut gate).await.unwrap();
        let mut connection = connect(&self.options(), self.patience).await;
        let applying = pid(&mut connection).await;
        let (migration, name) = (migration.clone(), migration.description.clone());
        let applied = tokio::spawn(async move { connection.apply("_sqlx_migrations", &migration).await.map(drop) });
        while crowd.blocked(&[applying], keeper).await.is_empty() && !applied.is_finished() {
            crowd.check()?;
        }
        let start = crowd.counts();
        let waiting = crowd.all_reach(&start, Some(applying)).await?;
        let during = crowd.least(&start).max(u64::from(waiting));
        sqlx::raw_sql("COMMIT").execute(&mut gate).await.unwrap();
        applied.await.unwrap().map_err(|error| Failure::new("the migration", name, error))?;

        let start = crowd.counts();
        match newcomer {
            Newcomer::Release => crowd.add(self.session("new").await.0).await,
            Newcomer::Current => crowd.add_current(&self.pool),
        }
        crowd.all_reach(&start, None).await?;
        Ok(Cycles { before, during, after: crowd.least(&start) })
    }

    fn options(&self) -> PgConnectOptions {
        self.pool.connect_options().as_ref().clone()
    }

    async fn session(&self, tenant: &'static str) -> (Session, bool) {
        Session::open(connect(&self.options(), self.patience).await, tenant, &self.release).await
    }

    /// What every query of the release takes and gives; those that the schema has nothing for are left out. What was compiled
    /// against other types can't read them.
    pub(super) async fn answers(&self) -> BTreeMap<String, String> {
        let mut connection = connect(&self.options(), self.patience).await;
        let mut answers = BTreeMap::new();
        for query in &self.release.queries {
            if let Ok(statement) = connection.prepare(AssertSqlSafe(query.clone()).into_sql_str()).await {
                let columns = statement.columns().iter().map(|c| format!("{} {}", c.name(), c.type_info().name()));
                answers.insert(query.clone(), columns.collect::<Vec<_>>().join(", "));
            }
        }
        answers
    }

    async fn compare_answers(&self, before: &BTreeMap<String, String>) -> Result<(), Failure> {
        let after = self.answers().await;
        for (query, answer) in before {
            let now = after.get(query).map_or("nothing, it is refused", String::as_str);
            if now != answer {
                return Err(Failure::new("a query of the release", query, format!("it gave {answer}, now {now}")));
            }
        }
        Ok(())
    }

    /// What there is of the data from before, by table. An event is the same one in the outbox and in the log.
    async fn rows(&self) -> BTreeMap<String, Vec<Map<String, Value>>> {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let mut rows: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
        for table in tables {
            let sql = format!("SELECT to_jsonb(t) FROM {table} t WHERE tenant_id = 'before'");
            let found: Vec<sqlx::types::Json<Map<String, Value>>> =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&self.pool).await.unwrap();
            let mut found: Vec<Map<String, Value>> = found.into_iter().map(|row| row.0).collect();
            let is_event = table == "outbox" || table == "events";
            if is_event {
                let of_both =
                    ["event_id", "event_type", "entity_id", "version", "actor", "occurred_at", "document", "changes"];
                found.iter_mut().for_each(|row| row.retain(|column, _| of_both.contains(&column.as_str())));
            }
            rows.entry(if is_event { "an event".to_owned() } else { table }).or_default().extend(found);
        }
        rows
    }
}

/// Whether the rows are as they were, in the columns that are still there.
fn compare(
    before: &BTreeMap<String, Vec<Map<String, Value>>>,
    after: &BTreeMap<String, Vec<Map<String, Value>>>,
    contracts: bool,
) -> Result<(), Failure> {
    for (table, before) in before {
        let Some(after) = after.get(table) else {
            if contracts {
                continue;
            }
            return Err(Failure::new("the migration", table, "the table is gone"));
        };
        let columns = |rows: &[Map<String, Value>]| -> BTreeSet<String> {
            rows.first().map(|row| row.keys().cloned().collect()).unwrap_or_default()
        };
        let (had, has) = (columns(before), columns(after));
        if !contracts && !had.is_subset(&has) {
            return Err(Failure::new("the migration", table, format!("it had {had:?}, and has {has:?}")));
        }
        let shown = |rows: &[Map<String, Value>]| -> BTreeSet<String> {
            let kept = |row: &Map<String, Value>| {
                let of_both = row.iter().filter(|(column, _)| had.contains(*column) && has.contains(*column));
                Value::Object(of_both.map(|(column, value)| (column.clone(), value.clone())).collect()).to_string()
            };
            rows.iter().map(kept).collect()
        };
        let (before, after) = (shown(before), shown(after));
        if let Some(lost) = before.difference(&after).next() {
            return Err(Failure::new("the migration", table, format!("this row is not as it was: {lost}")));
        }
    }
    Ok(())
}

/// Those who write at the same time.
struct Crowd {
    writers: Vec<Writer>,
    stop: Arc<AtomicBool>,
    watcher: PgConnection,
}

impl Crowd {
    fn new(watcher: PgConnection) -> Self {
        Self { writers: Vec::new(), stop: Arc::default(), watcher }
    }

    async fn add(&mut self, mut session: Session) {
        let pid = session.pid().await;
        let (cycles, stop) = (Arc::<AtomicU64>::default(), self.stop.clone());
        let counter = cycles.clone();
        let task = tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                session.cycle().await?;
                counter.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        self.writers.push(Writer { pid, cycles, task });
    }

    fn add_current(&mut self, pool: &PgPool) {
        let (cycles, stop, pool) = (Arc::<AtomicU64>::default(), self.stop.clone(), pool.clone());
        let counter = cycles.clone();
        let task = tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let n = counter.fetch_add(1, Ordering::SeqCst);
                current::writes(&pool, "new", n).await?;
            }
            Ok(())
        });
        self.writers.push(Writer { pid: 0, cycles, task });
    }

    fn counts(&self) -> Vec<u64> {
        self.writers.iter().map(|writer| writer.cycles.load(Ordering::SeqCst)).collect()
    }

    /// How far the slowest of those has come that were there at the start.
    fn least(&self, start: &[u64]) -> u64 {
        self.counts().iter().zip(start).map(|(now, start)| now - start).min().unwrap_or_default()
    }

    /// A writer ends by itself only when it fails.
    fn check(&self) -> Result<(), Failure> {
        if self.writers.iter().any(|writer| writer.task.is_finished()) {
            return Err(Failure::new("a writer", "", "it failed"));
        }
        Ok(())
    }

    /// Waits until each has done a whole cycle, or waits for `behind`; whether any waits.
    async fn all_reach(&mut self, start: &[u64], behind: Option<i32>) -> Result<bool, Failure> {
        let pids: Vec<i32> = self.writers.iter().map(|writer| writer.pid).collect();
        loop {
            self.check()?;
            // Without anybody to wait for this is no more than a pause.
            let blocked = self.blocked(&pids, behind.unwrap_or(0)).await;
            let starts = start.iter().copied().chain(std::iter::repeat(0));
            let far = self.writers.iter().zip(self.counts()).zip(starts);
            if far.into_iter().all(|((writer, now), start)| now >= start + WHOLE || blocked.contains(&writer.pid)) {
                return Ok(!blocked.is_empty());
            }
        }
    }

    /// Those that wait for a lock which `by` has.
    async fn blocked(&mut self, pids: &[i32], by: i32) -> Vec<i32> {
        // They need the processor more than whoever only looks at them.
        tokio::time::sleep(LOOK).await;
        sqlx::query_scalar("SELECT pid FROM unnest($1::integer[]) AS pid WHERE $2 = ANY(pg_blocking_pids(pid))")
            .bind(pids)
            .bind(by)
            .fetch_all(&mut self.watcher)
            .await
            .unwrap()
    }

    /// Ends all, by force when something failed: a migration may hold what they wait for.
    async fn end(mut self, by_force: bool) -> Result<(), Failure> {
        self.stop.store(true, Ordering::SeqCst);
        let failed = self.writers.iter().position(|writer| writer.task.is_finished());
        if by_force {
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            sqlx::raw_sql(others).execute(&mut self.watcher).await.unwrap();
        }
        if let Some(failed) = failed {
            // The others failed only because their sessions were ended.
            self.writers.swap(0, failed);
        }
        let mut first = Ok(());
        for writer in self.writers {
            let ended = writer.task.await.unwrap();
            if first.is_ok() && (failed.is_some() || !by_force) {
                first = ended;
            }
        }
        first
    }
}
