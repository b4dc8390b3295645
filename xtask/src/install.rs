//! What has to be on the machine, and how it gets there. Every function says what it installs before it does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

use crate::services::{Binaries, Redis};
use crate::{interrupt, state, workspace};

/// PostgreSQL and Redis, from the system's packages.
pub fn services() -> Result<()> {
    let postgres = Binaries::find(None).is_none();
    let redis = !Redis::is_installed();
    if !postgres && !redis {
        return Ok(());
    }
    let by_hand = "install PostgreSQL 15 or newer and Redis 6 or newer, then run this again";
    if runs("apt-get") {
        let packages: Vec<&str> = [(postgres, "postgresql"), (redis, "redis-server")]
            .into_iter()
            .filter_map(|(missing, package)| missing.then_some(package))
            .collect();
        eprintln!("Installing with apt-get: {}", packages.join(" "));
        eprintln!("  (the packages may start services of their own; OMS does not use those)");
        // Without the lists of a fresh machine no package is found; old lists may still do when this fails.
        let _ = system("apt-get", &["update", "-qq"]);
        system("apt-get", &[&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat())
            .with_context(|| by_hand.to_owned())?;
    } else if runs("brew") {
        let packages: Vec<&str> = [(postgres, "postgresql@17"), (redis, "redis")]
            .into_iter()
            .filter_map(|(missing, package)| missing.then_some(package))
            .collect();
        eprintln!("Installing with brew: {}", packages.join(" "));
        let status = Command::new("brew").arg("install").args(&packages).stdin(Stdio::null()).status()?;
        if !status.success() {
            bail!("brew failed; {by_hand}");
        }
    } else {
        bail!("neither apt-get nor brew is here; {by_hand}");
    }
    if Binaries::find(None).is_none() {
        bail!(
            "this system's packages have no PostgreSQL 15 or newer; add the packages of postgresql.org \
             (https://www.postgresql.org/download), install postgresql, then run this again"
        );
    }
    if !Redis::is_installed() {
        bail!("redis-server and redis-cli are not found after their installation; {by_hand}");
    }
    Ok(())
}

/// A cargo tool from the PATH when its version fits, else from `.oms/tools`, where it is built when missing.
pub fn cargo_tool(root: &Path, package: &str, version: &str, options: &[&str]) -> Result<PathBuf> {
    let program = if package == "sqlx-cli" { "cargo-sqlx" } else { package };
    let own = state::folder(root).join("tools");
    let installed = own.join("bin").join(program);
    for candidate in [PathBuf::from(program), installed.clone()] {
        if has_version(&candidate, program, version) {
            return Ok(candidate);
        }
    }
    eprintln!("Installing {package} {version} with cargo into {} (this takes some minutes)", own.display());
    let status = interrupt::run(
        workspace::cargo(root)
            .args(["install", "--quiet", "--locked", package, "--version", version, "--root"])
            .arg(&own)
            .args(options)
            // The workspace's own settings are not meant for other people's programs.
            .current_dir(std::env::temp_dir()),
    )?;
    if !status.success() {
        bail!(
            "could not install {package}; with a network, run `cargo install {package} --locked --version '{version}'`"
        );
    }
    Ok(installed)
}

/// `version` is as in `^0.9`: the printed version has to start with the same numbers.
fn has_version(program: &Path, name: &str, version: &str) -> bool {
    let subcommand = name.trim_start_matches("cargo-");
    let Ok(output) = Command::new(program).args([subcommand, "--version"]).stderr(Stdio::null()).output() else {
        return false;
    };
    let wanted = format!("{}.", version.trim_start_matches('^'));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.split_whitespace().nth(1).is_some_and(|number| number.starts_with(&wanted))
}

/// cargo-lambda: its Python package has the finished program, building it takes long.
pub fn cargo_lambda(root: &Path) -> Result<PathBuf> {
    let tools = state::folder(root).join("tools");
    let venv = tools.join("cargo-lambda");
    let installed = venv.join("bin/cargo-lambda");
    for candidate in [PathBuf::from("cargo-lambda"), installed.clone()] {
        if has_version(&candidate, "cargo-lambda", "^1") {
            return Ok(candidate);
        }
    }
    if runs("python3") {
        eprintln!("Installing cargo-lambda with pip into {}", venv.display());
        std::fs::create_dir_all(&tools)?;
        let made = interrupt::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let done = made.success()
            && interrupt::run(Command::new(venv.join("bin/python")).args([
                "-m",
                "pip",
                "install",
                "--quiet",
                // The linker it brings for cross-compiling has 400 MB and is not for running functions here.
                "--no-deps",
                "cargo-lambda",
            ]))?
            .success();
        if done && has_version(&installed, "cargo-lambda", "^1") {
            return Ok(installed);
        }
        eprintln!("pip could not install it");
    }
    cargo_tool(root, "cargo-lambda", "^1", &[])
}

fn runs(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn system(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = if geteuid().is_root() {
        Command::new(program)
    } else if runs("sudo") {
        // sudo clears the environment, hence env.
        let mut sudo = Command::new("sudo");
        sudo.args(["env", "DEBIAN_FRONTEND=noninteractive", program]);
        sudo
    } else {
        bail!("{program} needs root and sudo is not here; run as root: {program} {}", arguments.join(" "));
    };
    // Not through `interrupt`: sudo asks for a password at the terminal.
    let status = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} {} failed", arguments.join(" "));
    }
    Ok(())
}
