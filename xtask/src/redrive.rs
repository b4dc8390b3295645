//! `cargo xtask redrive`: puts dead letters back on the topic of events.

use std::process::ExitCode;

use anyhow::Result;

use crate::environment::Environment;
use crate::interrupt;

/// Where dead letters are: SQS has the relay's, Kafka the publisher's.
pub const PLACES: [&str; 3] = ["sqs", "kafka", "all"];

/// What to put back.
#[derive(Debug, Clone)]
pub struct Redrive {
    /// One of [`PLACES`].
    pub from: String,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Lets the server's program do it in the environment that is up. Gives its exit code.
pub fn redrive(redrive: &Redrive) -> Result<ExitCode> {
    let environment = Environment::open("redrive")?;
    let services = environment.services()?;
    environment.build_server()?;
    let mut command = environment.server()?;
    services.environment_of(&mut command).args(["redrive", "--from", &redrive.from]);
    if redrive.dry_run {
        command.arg("--dry-run");
    }
    let status = interrupt::run(&mut command)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
