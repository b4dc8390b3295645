//! `oms-server migrate` and `oms-server begin-epoch`: what is done to the database before the server runs.

use std::time::{Duration, Instant};

use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
    postgres::{Migrated, Roles},
};

/// How long migrations may take, and wait for others.
const PATIENCE: Duration = Duration::from_secs(900);

/// Applies the migrations that are missing, gives roles their rights, and says what it did.
///
/// # Errors
///
/// Every problem of the configuration at once, or which step the database refused.
#[expect(clippy::print_stdout, reason = "the report of a command")]
pub async fn migrate(mut source: Source) -> anyhow::Result<()> {
    let roles = Roles::read(&mut source);
    let Migrated { migrations, roles } = registry(source)?.migrate(&roles, Instant::now() + PATIENCE).await?;
    if migrations.is_empty() {
        println!("every migration was applied before");
    }
    for migration in migrations {
        println!("applied {migration}");
    }
    for role in roles {
        println!("role {role}");
    }
    Ok(())
}

/// Begins the next epoch of the event log, after a restore from a backup, and says which one it is.
///
/// # Errors
///
/// Every problem of the configuration at once, or what the database refused.
#[expect(clippy::print_stdout, reason = "the report of a command")]
pub async fn begin_epoch(source: Source) -> anyhow::Result<()> {
    println!("epoch {}", registry(source)?.begin_epoch().await?);
    Ok(())
}

fn registry(mut source: Source) -> anyhow::Result<Registry> {
    let (postgres, events) = (PostgresConfig::read(&mut source), EventConfig::read(&mut source));
    source.finish()?;
    Ok(Registry::connect_lazy(&postgres, &RedisConfig::none(), &events)?)
}
