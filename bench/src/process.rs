//! What is known of a process.

use std::process::Command;

use anyhow::{Context as _, Result};

/// Bytes of memory that a process has.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let printed = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().context("cannot run ps")?;
    let kilobytes: f64 =
        String::from_utf8_lossy(&printed.stdout).trim().parse().context("ps does not know the process")?;
    Ok(kilobytes * 1024.0)
}
