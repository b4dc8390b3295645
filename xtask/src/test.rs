//! `cargo xtask test`: every test, on services that live as long as the run.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::services::{Kafka, Moto, Postgres, Redis};
use crate::{install, interrupt, workspace};

/// Which tests, and what goes to `cargo test`.
#[derive(Debug, Clone, Default)]
pub struct Tests {
    /// Only the long ones that end and cut off what the events pass through.
    pub faults: bool,
    /// For `cargo test`.
    pub arguments: Vec<String>,
}

/// Installs what is missing, runs the tests and gives the exit code of `cargo test`.
pub fn test(tests: &Tests) -> Result<ExitCode> {
    let root = workspace::root()?;
    install::build_tools()?;
    install::services()?;
    install::kafka(&root)?;
    install::moto(&root)?;
    install::kcat()?;
    install::clients(&root)?;
    install::python_clients(&root)?;
    install::infra_tools(&root)?;
    install::promtool(&root)?;
    // The black-box tests run the finished programs, which `cargo test` alone does not build.
    if !interrupt::run(workspace::cargo(&root).args(["build", "--workspace", "--bins", "--examples"]))?.success() {
        bail!("the workspace does not compile; mend the errors above, then run this again");
    }
    let (postgres, redis) = (Postgres::temporary()?, Redis::temporary()?);
    let (kafka, moto) = (Kafka::temporary()?, Moto::temporary()?);
    let mut command = workspace::cargo(&root);
    forget_aws(&mut command);
    command
        .arg("test")
        .args(which(tests))
        .args(&tests.arguments)
        .env("DATABASE_URL", postgres.url())
        .env("REDIS_URL", redis.url())
        .env("KAFKA_BROKERS", kafka.brokers())
        .envs(moto.environment())
        .env("OMS_BIN_DIR", workspace::binaries(&root)?);
    if tests.faults {
        // Each wants the machine for itself, and prints what it counts.
        command.env("RUST_TEST_THREADS", "1").env("RUST_TEST_NOCAPTURE", "1");
    }
    let status = interrupt::run(&mut command)?;
    if !status.success() {
        let faults = if tests.faults { "--faults " } else { "" };
        eprintln!("Tests failed; run one again with `cargo xtask test {faults}-- NAME`.");
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The arguments that choose the tests.
fn which(tests: &Tests) -> &'static [&'static str] {
    let chosen = tests.arguments.iter().take_while(|argument| *argument != "--");
    if tests.faults {
        // Of the whole workspace, as otherwise dependencies would be built again with fewer features.
        &["--workspace", "--features", "oms-tests/faults", "--test", "faults"]
    } else if chosen.into_iter().any(|argument| argument.starts_with("-p") || argument.starts_with("--package")) {
        // Beside `--workspace` cargo would overlook it.
        &[]
    } else {
        &["--workspace"]
    }
}

/// No test may come to the AWS that the user has set.
fn forget_aws(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_named_is_the_only_one() {
        let which = |faults, arguments: &[&str]| {
            let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            which(&Tests { faults, arguments }).first().copied()
        };
        assert_eq!(which(false, &["orders"]), Some("--workspace"));
        assert_eq!(which(false, &["-p", "oms-core", "orders"]), None);
        assert_eq!(which(false, &["orders", "--", "--package"]), Some("--workspace"));
        assert_eq!(which(true, &["-p", "oms-core"]), Some("--workspace"));
    }
}
