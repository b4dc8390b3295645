//! PostgreSQL, Redis, Kafka and an AWS of our own: on 127.0.0.1, on ports nobody else uses, never one that was there
//! before.

mod account;
mod aws;
mod child;
mod docker;
mod kafka;
mod moto;
mod postgres;
mod reaper;
mod redis;
mod server;

pub use account::Account;
pub(crate) use account::create_folder;
pub use aws::AwsResources;
pub use docker::{Compose, Outside};
pub use kafka::{KAFKA, Kafka, KafkaPrograms};
pub use moto::Moto;
pub use postgres::{Binaries, Postgres};
pub use redis::Redis;
pub use server::Server;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The last lines of a log, for a failure's message.
#[must_use]
pub fn log_tail(path: &Path) -> String {
    let log = std::fs::read(path).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default();
    format!("{}\n  (the end of {})", tail.join("\n"), path.display())
}

/// `bytes` random bytes as hexadecimal digits: passwords, secrets, names of temporary folders.
pub fn random_hex(bytes: usize) -> Result<String> {
    use std::io::Read as _;
    let mut random = vec![0; bytes];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .context("cannot read /dev/urandom")?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The first executable of this name on the PATH or in the folders given.
pub(crate) fn find_program(name: &str, more: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(more.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// A new folder for a temporary instance. It lies where every account can reach it, which `TMPDIR` may not.
fn temporary_folder(kind: &str, account: Option<&Account>) -> Result<PathBuf> {
    let parent = if account.is_some() { PathBuf::from("/tmp") } else { std::env::temp_dir() };
    let folder = parent.join(format!("oms-{kind}-{}-{}", std::process::id(), random_hex(4)?));
    account::create_folder(&folder, account)?;
    Ok(folder)
}
