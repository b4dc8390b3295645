//! Brings a database to what this version needs: migrations, then roles.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection,
    migrate::{Migrate as _, MigrateError, Migration},
};

use super::{
    Database, MIGRATOR,
    database::is_outage,
    is_cancelled,
    roles::{self, Roles},
};

/// Where sqlx keeps what was applied.
const TABLE: &str = "_sqlx_migrations";

/// How long a statement waits for a lock: everybody else waits behind it.
const LOCK_TIMEOUT: &str = "5s";

/// How long one attempt waits for another migration. An index that is built beside writes waits for every older statement,
/// this one too, and the two would be a deadlock: so it ends before PostgreSQL looks for one, after a second.
const QUEUE_TIMEOUT: &str = "500ms";

/// Until those who waited had their turn.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a database may be away: one that has scaled to zero needs a while to wake.
const WAKE: Duration = Duration::from_secs(60);

/// What was done; empty when nothing was left to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The migrations that were applied, in order, as their files are called.
    pub migrations: Vec<String>,
    /// The roles that are there and have their rights.
    pub roles: Vec<String>,
}

/// Why a database is not as this version needs it. The text is for everybody; the database's own words are in the source.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database refused a step. What was done before it stays.
    #[error("{step} failed")]
    Failed {
        /// Which.
        step: String,
        /// Why.
        source: sqlx::Error,
    },
    /// A file is not what it was when it was applied.
    #[error(
        "{0} is not what it was when it was applied; a migration that was released is never edited, so bring it back"
    )]
    Edited(String),
    /// The time was over. The statement is cancelled, and nothing of a step that runs in a transaction is kept.
    #[error("{step} did not end in time")]
    OutOfTime {
        /// Which.
        step: String,
        /// What made it begin again before: mostly a lock that another session holds.
        source: Option<sqlx::Error>,
    },
}

/// Applies the migrations that are missing and gives roles their rights, on a connection of its own: an index on a large
/// table takes longer than a request's statement may. What only waits for a lock is tried again until the deadline.
pub(crate) async fn migrate(db: &Database, roles: &Roles, deadline: Instant) -> Result<Migrated, MigrationError> {
    Run::new(db, MIGRATOR.iter().as_slice(), roles, deadline).repeat(LOCK_TIMEOUT).await
}

/// One call, over as many attempts as it takes.
struct Run<'a> {
    db: &'a Database,
    migrations: &'a [Migration],
    roles: &'a Roles,
    began: Instant,
    deadline: Instant,
    /// What it is at.
    step: String,
    done: Migrated,
}

impl<'a> Run<'a> {
    fn new(db: &'a Database, migrations: &'a [Migration], roles: &'a Roles, deadline: Instant) -> Self {
        let (step, done) = (String::new(), Migrated::default());
        Self { db, migrations, roles, began: Instant::now(), deadline, step, done }
    }

    async fn repeat(mut self, lock_timeout: &str) -> Result<Migrated, MigrationError> {
        let mut before: Option<(String, sqlx::Error)> = None;
        loop {
            let deadline = self.deadline.into();
            let Ok(attempt) = tokio::time::timeout_at(deadline, self.attempt(lock_timeout)).await else {
                let (step, source) = before.map_or((self.step, None), |(step, error)| (step, Some(error)));
                return Err(MigrationError::OutOfTime { step, source });
            };
            // What is left of it is in the way of another attempt, whose failure would hide the reason.
            let leaves_half = matches!(&attempt, Err(MigrateError::ExecuteMigration(_, version))
                if self.migrations.iter().any(|migration| migration.no_tx && migration.version == *version));
            let source = match attempt {
                Ok(()) => return Ok(self.done),
                Err(MigrateError::VersionMismatch(version)) => {
                    let edited = self.migrations.iter().find(|migration| migration.version == version);
                    return Err(MigrationError::Edited(edited.map_or_else(|| version.to_string(), name)));
                }
                Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => error,
                Err(error) => sqlx::Error::Migrate(Box::new(error)),
            };
            let step = std::mem::take(&mut self.step);
            // The deadline, as the database keeps it.
            if is_cancelled(&source) {
                return Err(MigrationError::OutOfTime { step, source: Some(source) });
            }
            if leaves_half || !self.may_pass(&source) {
                return Err(MigrationError::Failed { step, source });
            }
            tracing::warn!(step, error = %source, "a migration has to wait, and begins again");
            before = Some((step, source));
            let _ = tokio::time::timeout_at(deadline, tokio::time::sleep(PAUSE)).await;
        }
    }

    /// Whether another attempt may end better: somebody had a lock, or the database is not there yet.
    fn may_pass(&self, error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code());
        matches!(code.as_deref(), Some("55P03" | "40P01")) || (is_outage(error) && self.began.elapsed() < WAKE)
    }

    async fn attempt(&mut self, lock_timeout: &str) -> Result<(), MigrateError> {
        "the connection to the database".clone_into(&mut self.step);
        let left = self.deadline.saturating_duration_since(Instant::now()).as_millis().max(1).to_string();
        let options = self.db.connect_options()?.application_name("oms-migrate").options([
            ("lock_timeout", QUEUE_TIMEOUT),
            // Ends what runs when nobody waits for it any more: by the clock, and by the connection.
            ("statement_timeout", left.as_str()),
            ("client_connection_check_interval", "1000"),
        ]);
        let mut connection = self.db.aside(PgConnection::connect_with(&options)).await?;
        "another migration that is under way".clone_into(&mut self.step);
        connection.lock().await?;
        "the list of migrations".clone_into(&mut self.step);
        connection.ensure_migrations_table(TABLE).await?;
        let applied = connection.list_applied_migrations(TABLE).await?;
        // What was applied and is unknown here is of a newer version: a deployment that is rolled back runs the one before.
        for migration in self.migrations {
            match applied.iter().find(|applied| applied.version == migration.version) {
                Some(applied) if applied.checksum == migration.checksum => continue,
                Some(_) => return Err(MigrateError::VersionMismatch(migration.version)),
                None => {}
            }
            self.step = format!("the migration {}", name(migration));
            // What runs outside a transaction makes nobody wait, and half of it would stay.
            let patience = if migration.no_tx { "0" } else { lock_timeout };
            set_lock_timeout(&mut connection, patience).await?;
            connection.apply(TABLE, migration).await?;
            self.done.migrations.push(name(migration));
        }
        "the database roles".clone_into(&mut self.step);
        set_lock_timeout(&mut connection, lock_timeout).await?;
        self.done.roles = roles::grant(&mut connection, self.roles, self.db.statement_timeout()).await?;
        // What was done is done, whether the connection hears of its end or not.
        let _ = connection.close().await;
        Ok(())
    }
}

async fn set_lock_timeout(connection: &mut PgConnection, value: &str) -> sqlx::Result<()> {
    connection.execute(AssertSqlSafe(format!("SET lock_timeout = '{value}'"))).await.map(drop)
}

/// As its file is called.
fn name(migration: &Migration) -> String {
    format!("{}_{}", migration.version, migration.description.replace(' ', "_"))
}

#[cfg(test)]
mod tests;
