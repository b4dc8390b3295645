//! `cargo xtask test`: every test, on a PostgreSQL and a Redis that live as long as the run.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::services::{Postgres, Redis};
use crate::{install, interrupt, workspace};

/// Runs the tests of the workspace; `arguments` go to `cargo test`. Gives the exit code of `cargo test`.
pub fn test(arguments: &[String]) -> Result<ExitCode> {
    let root = workspace::root()?;
    install::services()?;
    install::clients(&root)?;
    // The black-box tests run the finished programs, which `cargo test` alone does not build.
    if !interrupt::run(workspace::cargo(&root).args(["build", "--workspace", "--bins"]))?.success() {
        bail!("the workspace does not compile; mend the errors above, then run this again");
    }
    let postgres = Postgres::temporary()?;
    let redis = Redis::temporary()?;
    let status = interrupt::run(
        workspace::cargo(&root)
            .args(["test", "--workspace"])
            .args(arguments)
            .env("DATABASE_URL", postgres.url())
            .env("REDIS_URL", redis.url())
            .env("OMS_BIN_DIR", workspace::binaries(&root)?),
    )?;
    if !status.success() {
        eprintln!("Tests failed; run one again with `cargo xtask test -- NAME`.");
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
