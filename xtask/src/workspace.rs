//! The checkout this tool works on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The folder with the workspace's `Cargo.toml`.
///
/// `cargo run` names this package's folder; without it the place where the tool was built counts.
pub fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|folder| folder.ends_with("xtask"));
    let package = package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let root = package.parent().context("xtask lies at the root of the file system")?;
    root.canonicalize()
        .with_context(|| format!("the checkout {} is gone; run `cargo xtask` inside a checkout", root.display()))
}

/// The cargo that runs this tool, in the checkout.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(root);
    command
}

/// What a tool that wants to be run by cargo expects in its environment as `CARGO`.
#[must_use]
pub fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// Where cargo puts the debug binaries.
pub fn binaries(root: &Path) -> Result<PathBuf> {
    Ok(target(root)?.join("debug"))
}

/// Where cargo puts what it builds.
pub fn target(root: &Path) -> Result<PathBuf> {
    let output = cargo(root)
        .args(["metadata", "--format-version=1", "--no-deps"])
        .output()
        .context("cannot run cargo; install Rust from https://rustup.rs")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr)))?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(target))
}
