//! What has to be on the machine, and how it gets there. Every function says what it installs before it does.

mod kafka;
mod native;
mod prometheus;
mod python;

pub use kafka::kafka;
pub use native::build_tools;
pub use prometheus::promtool;
pub use python::{cross_compiler, infra_tools, k6, moto, python_clients, sam};

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

use crate::services::{Binaries, Redis, find_program};
use crate::{interrupt, state, workspace};

/// The major version that Debian 12 has.
const OLDEST_NODE: u32 = 18;

/// PostgreSQL and Redis, from the system's packages.
pub fn services() -> Result<()> {
    let by_hand = "install PostgreSQL 15 or newer and Redis 6 or newer, then run this again";
    let wanted = [
        (Binaries::find(None).is_some(), "postgresql", "postgresql@17"),
        (Redis::is_installed(), "redis-server", "redis"),
    ];
    packages(&wanted, by_hand)?;
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

/// Node.js from the system's packages, and the JavaScript clients that the black-box tests run.
pub fn clients(root: &Path) -> Result<()> {
    node()?;
    let folder = root.join("tests/clients");
    let (lock, modules) = (folder.join("package-lock.json"), folder.join("node_modules"));
    let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    // npm removes all of node_modules first: this copy is there only after everything else is.
    let installed = modules.join(".installed-package-lock.json");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("Installing the JavaScript clients of the tests with npm into {}", modules.display());
    let npm = ["ci", "--prefer-offline", "--loglevel=error"];
    if !interrupt::run(Command::new("npm").args(npm).current_dir(&folder))?.success() {
        bail!("npm could not install them, see above; with a network, run this again");
    }
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))
}

/// kcat, with which the black-box tests read Kafka as an operator would.
pub fn kcat() -> Result<()> {
    let by_hand = "install kcat (https://github.com/edenhill/kcat), then run this again";
    // It prints its version for -V only.
    let here = || Command::new("kcat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    packages(&[(here(), "kcat", "kcat")], by_hand)?;
    if !here() {
        bail!("kcat is not found after its installation; {by_hand}");
    }
    Ok(())
}

/// wrk, which makes load.
pub fn wrk() -> Result<PathBuf> {
    let by_hand = "install wrk (https://github.com/wg/wrk), then run this again";
    let here = || find_program("wrk", &["/opt/homebrew/bin", "/usr/local/bin"]);
    packages(&[(here().is_some(), "wrk", "wrk")], by_hand)?;
    here().with_context(|| format!("wrk is not found after its installation; {by_hand}"))
}

fn node() -> Result<()> {
    let by_hand = format!("install Node.js {OLDEST_NODE} or newer with npm (https://nodejs.org), then run this again");
    packages(&[(node_is_here(), "nodejs", "node"), (runs("npm"), "npm", "node")], &by_hand)?;
    if !node_is_here() || !runs("npm") {
        bail!("this system's packages have no Node.js {OLDEST_NODE} or newer with npm; {by_hand}");
    }
    Ok(())
}

fn node_is_here() -> bool {
    let printed = Command::new("node").arg("--version").stderr(Stdio::null()).output();
    printed.is_ok_and(|printed| node_major(&String::from_utf8_lossy(&printed.stdout)) >= Some(OLDEST_NODE))
}

/// `printed` is as in `v18.20.4`.
fn node_major(printed: &str) -> Option<u32> {
    printed.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Installs packages of the system that are not here yet; each has a name for apt-get and one for brew.
fn packages(wanted: &[(bool, &str, &str)], by_hand: &str) -> Result<()> {
    let missing = wanted.iter().filter(|(here, ..)| !here);
    let (debian, mut brewed): (Vec<&str>, Vec<&str>) = missing.map(|(_, debian, brewed)| (debian, brewed)).unzip();
    if debian.is_empty() {
        return Ok(());
    }
    if runs("apt-get") {
        eprintln!("Installing with apt-get: {}", debian.join(" "));
        eprintln!("  (packages may start services of their own; OMS does not use those)");
        // Without the lists of a fresh machine no package is found; old lists may still do when this fails.
        let _ = system("apt-get", &["update", "-qq"]);
        system("apt-get", &[&["install", "-y", "-qq", "--no-install-recommends"], debian.as_slice()].concat())
            .with_context(|| by_hand.to_owned())?;
    } else if runs("brew") {
        brewed.dedup();
        eprintln!("Installing with brew: {}", brewed.join(" "));
        let status = Command::new("brew").arg("install").args(&brewed).stdin(Stdio::null()).status()?;
        if !status.success() {
            bail!("brew failed; {by_hand}");
        }
    } else {
        bail!("neither apt-get nor brew is here; {by_hand}");
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
    let venv = state::folder(root).join("tools/cargo-lambda");
    let installed = venv.join("bin/cargo-lambda");
    for candidate in [PathBuf::from("cargo-lambda"), installed.clone()] {
        if has_version(&candidate, "cargo-lambda", "^1") {
            return Ok(candidate);
        }
    }
    if runs("python3") {
        eprintln!("Installing cargo-lambda with pip into {}", venv.display());
        // The linker it brings for cross-compiling has 400 MB and is not for running functions here.
        let done = python::environment(&venv, &["--quiet", "--no-deps", "cargo-lambda"]);
        interrupt::check()?;
        match done {
            Ok(()) if has_version(&installed, "cargo-lambda", "^1") => return Ok(installed),
            Ok(()) => eprintln!("pip could not install it"),
            Err(error) => eprintln!("{error:#}"),
        }
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

#[cfg(test)]
mod tests {
    use super::node_major;

    #[test]
    fn the_major_version_of_node_is_a_number() {
        assert_eq!(["v18.20.4\n", "v9.0.0", "", "node"].map(node_major), [Some(18), Some(9), None, None]);
        assert!(None < Some(0), "an unknown one is not enough");
    }
}
