//! Processes that outlive the command that started them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::wait;

/// A process that this tool started, with enough to tell it from a later one that got the same id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Started {
    /// What it is, for messages.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, in a form that only this system has to understand.
    identity: String,
}

impl Started {
    /// Records a process that runs now.
    pub fn record(name: &str, pid: u32) -> Result<Self> {
        let identity = identity(pid).with_context(|| format!("{name} ended right after its start"))?;
        Ok(Self { name: name.to_owned(), pid, identity })
    }

    /// Whether this very process, not another one with its id, still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        identity(self.pid).as_deref() == Some(&self.identity)
    }

    /// Ends the process: politely with `signal`, after 20 seconds with force. Nothing happens when it is gone.
    pub fn stop(&self, signal: Signal) -> Result<()> {
        if self.ends_by(signal, Duration::from_secs(20)).is_err() {
            self.ends_by(Signal::SIGKILL, Duration::from_secs(10))?;
        }
        Ok(())
    }

    fn ends_by(&self, signal: Signal, limit: Duration) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        kill(Pid::from_raw(self.pid.cast_signed()), signal).with_context(|| {
            format!("cannot end {} (process {}); end it as the user who started it", self.name, self.pid)
        })?;
        let what = format!("{} (process {}) did not end", self.name, self.pid);
        wait::until(&what, limit, || Ok((!self.is_alive()).then_some(())))
    }
}

/// What stays the same for the life of a process and differs for its successors; `None` when it has ended, as a
/// zombie too (in a container there may be nobody to collect it).
fn identity(pid: u32) -> Option<String> {
    if cfg!(target_os = "linux") {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        // The command's name comes first, in parentheses, and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let (state, start) = (fields.first()?, fields.get(19)?);
        (!matches!(*state, "Z" | "X")).then(|| format!("{} {start}", boot.trim()))
    } else {
        let ps = Command::new("ps")
            .env("LC_ALL", "C")
            .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
            .output()
            .ok()?;
        let line = String::from_utf8_lossy(&ps.stdout).into_owned();
        let (state, start) = line.trim().split_once(' ')?;
        (!state.starts_with('Z')).then(|| start.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_recorded_process_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = Started::record("sleep", child.id()).unwrap();
        assert!(started.is_alive());

        let successor = Started { identity: "another start".to_owned(), ..started.clone() };
        successor.stop(Signal::SIGKILL).unwrap();
        assert!(started.is_alive(), "a process with the same id and another start is left alone");

        started.stop(Signal::SIGTERM).unwrap();
        assert!(!started.is_alive());
        child.wait().unwrap();
        started.stop(Signal::SIGTERM).unwrap();
    }
}
