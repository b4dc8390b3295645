//! A connection of the last release at work: its statements are prepared once, as those of running functions are, and live
//! through the migration.

use std::{
    collections::HashMap,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, PgConnection, Row as _, ValueRef as _,
    postgres::{PgConnectOptions, PgRow},
};

use super::baseline::{Baseline, Step};

/// What its writers do before there is anything that its statements could write: the tables of the first migration.
const EARLY: &str = "INSERT INTO object_types (tenant_id, id, name, display_name, created_by, updated_by)
    VALUES ('{tenant}', '00000005-0000-7000-8000-{n}', 'Early_{n}', 'Early', 'ada', 'ada')";

/// How often the service tries a write that was the victim of a deadlock.
const ATTEMPTS: usize = 8;

/// What went wrong, and whose statement it was.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) who: &'static str,
    pub(super) what: String,
    pub(super) error: String,
}

impl Failure {
    pub(super) fn new(who: &'static str, what: impl Into<String>, error: impl fmt::Display) -> Self {
        Self { who, what: what.into(), error: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`: {}", self.who, self.what, self.error)
    }
}

/// Connects. No statement may wait longer for a lock than `patience`.
pub(super) async fn connect(options: &PgConnectOptions, patience: Duration) -> PgConnection {
    let limit = patience.as_millis().to_string();
    let options = options.clone().options([
        ("lock_timeout", limit.as_str()),
        ("client_min_messages", "warning"),
        // To compile a plan takes a hundred times as long as to run it on these few rows.
        ("jit", "off"),
    ]);
    PgConnection::connect_with(&options).await.unwrap()
}

pub(super) async fn pid(connection: &mut PgConnection) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.unwrap()
}

/// A writer of the last release.
pub(super) struct Session {
    connection: PgConnection,
    tenant: &'static str,
    steps: Vec<Step>,
    /// The columns that the query before gave.
    last: HashMap<String, Vec<Option<String>>>,
}

impl Session {
    /// With those statements that the schema has everything for. Whether it has all, is said too.
    pub(super) async fn open(mut connection: PgConnection, tenant: &'static str, release: &Baseline) -> (Self, bool) {
        let mut steps = Vec::new();
        for step in &release.writes {
            if let Some(part) = &step.query {
                let prepare = format!("PREPARE w{} AS {}", steps.len(), release.query(part));
                if sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.is_err() {
                    continue;
                }
            }
            steps.push(step.clone());
        }
        let complete = steps.len() == release.writes.len();
        if !steps.iter().any(|step| step.query.is_some()) {
            steps = vec![Step { query: None, sql: Some(EARLY.to_owned()), arguments: Vec::new(), rows: None }];
        }
        (Self { connection, tenant, steps, last: HashMap::new() }, complete)
    }

    pub(super) async fn pid(&mut self) -> i32 {
        pid(&mut self.connection).await
    }

    /// Every step once, on new types. What was the victim of a deadlock begins again, as the service would.
    pub(super) async fn cycle(&mut self) -> Result<(), Failure> {
        static CYCLES: AtomicU64 = AtomicU64::new(1);
        let n = format!("{:012x}", CYCLES.fetch_add(1, Ordering::Relaxed));
        let (mut at, mut whole, mut attempts) = (0, 0, 1);
        let mut in_transaction = false;
        while let Some(step) = self.steps.get(at).cloned() {
            if !in_transaction && whole != at {
                (whole, attempts) = (at, 1);
            }
            match self.run(at, &step, &n).await {
                Ok(()) => {
                    if let Some(sql) = &step.sql {
                        in_transaction = sql.rfind("BEGIN") > sql.rfind("COMMIT");
                    }
                    at += 1;
                }
                Err(Problem::Database(error)) if is_deadlock(&error) && attempts < ATTEMPTS => {
                    sqlx::raw_sql("ROLLBACK")
                        .execute(&mut self.connection)
                        .await
                        .map_err(|error| fail(&step, error))?;
                    (at, in_transaction, attempts) = (whole, false, attempts + 1);
                }
                Err(problem) => return Err(fail(&step, problem)),
            }
        }
        Ok(())
    }

    async fn run(&mut self, at: usize, step: &Step, n: &str) -> Result<(), Problem> {
        if let Some(sql) = &step.sql {
            let sql = self.filled(sql, n);
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await?;
            return Ok(());
        }
        let arguments: Vec<String> = step.arguments.iter().map(|argument| self.literal(argument, n)).collect();
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        let execute = AssertSqlSafe(format!("EXECUTE w{at}{arguments}"));
        let rows = sqlx::raw_sql(execute).fetch_all(&mut self.connection).await?;
        self.last = columns(&rows);
        match step.rows {
            Some(wanted) if wanted != rows.len() => Err(Problem::Rows { wanted, got: rows.len() }),
            _ => Ok(()),
        }
    }

    /// An argument as SQL has it; the server gives it the parameter's type.
    fn literal(&self, argument: &Value, n: &str) -> String {
        let text = match argument {
            Value::Null => return "NULL".to_owned(),
            Value::String(text) => self.filled(text, n),
            other => self.filled(&other.to_string(), n),
        };
        format!("'{}'", text.replace('\'', "''"))
    }

    /// Puts values in for `{n}` and `{tenant}`, for `{column}` what the query before gave in its first row, and for
    /// `{column[]}` what it gave in all of them.
    fn filled(&self, text: &str, n: &str) -> String {
        let mut filled = text.replace("{n}", n).replace("{tenant}", self.tenant);
        if let Some(column) = filled.strip_prefix('{').and_then(|rest| rest.strip_suffix("[]}")) {
            let values = self.last.get(column).into_iter().flatten().map(|value| value.as_deref().unwrap_or("NULL"));
            return format!("{{{}}}", values.collect::<Vec<_>>().join(","));
        }
        for (column, values) in &self.last {
            if let Some(Some(first)) = values.first() {
                filled = filled.replace(&format!("{{{column}}}"), first);
            }
        }
        filled
    }
}

enum Problem {
    Database(sqlx::Error),
    Rows { wanted: usize, got: usize },
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Rows { wanted, got } => write!(f, "{got} rows instead of {wanted}"),
        }
    }
}

fn fail(step: &Step, error: impl fmt::Display) -> Failure {
    let what = step.query.as_ref().or(step.sql.as_ref()).cloned().unwrap_or_default();
    Failure::new("a writer of the release", what, error)
}

fn is_deadlock(error: &sqlx::Error) -> bool {
    crate::postgres::refusal(error) == Some(crate::postgres::Refusal::Retry)
}

/// By name, without what tells the compiler about types.
fn columns(rows: &[PgRow]) -> HashMap<String, Vec<Option<String>>> {
    let mut columns: HashMap<String, Vec<Option<String>>> = HashMap::new();
    for row in rows {
        for column in row.columns() {
            let name = column.name().split(['!', '?', ':']).next().unwrap_or_default();
            let value = row.try_get_raw(column.ordinal()).unwrap();
            let text = (!value.is_null()).then(|| value.as_str().unwrap().to_owned());
            columns.entry(name.to_owned()).or_default().push(text);
        }
    }
    columns
}
