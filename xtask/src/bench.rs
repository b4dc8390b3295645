//! `cargo xtask bench`: the benchmarks, on services that live as long as the run.

use std::process::ExitCode;

use anyhow::Result;

use crate::services::{Postgres, Redis};
use crate::{install, interrupt, workspace};

/// Installs what is missing, runs `cargo bench` with these arguments and gives its exit code.
pub fn bench(arguments: &[String]) -> Result<ExitCode> {
    let root = workspace::root()?;
    install::build_tools()?;
    install::services()?;
    let (postgres, redis) = (Postgres::temporary()?, Redis::temporary()?);
    let mut command = workspace::cargo(&root);
    command.arg("bench").args(arguments).env("DATABASE_URL", postgres.url()).env("REDIS_URL", redis.url());
    let status = interrupt::run(&mut command)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
