//! Ctrl-C, SIGTERM and SIGHUP, and the commands that have to end with them.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The user asked to stop. The exit code is 130, as a shell would give it.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From now on an interruption no longer ends this process: it ends the running commands, and [`check`] fails.
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        // Whoever asks a second time does not want to wait for a polite end.
        let signal = if REQUESTED.swap(true, Ordering::SeqCst) { Signal::SIGKILL } else { Signal::SIGTERM };
        for group in groups().iter() {
            // The group may have ended by itself a moment ago.
            let _ = killpg(*group, signal);
        }
    })
    .context("cannot handle Ctrl-C")
}

/// Fails with [`Interrupted`] once an interruption was asked for.
pub fn check() -> Result<()> {
    if requested() { Err(Interrupted.into()) } else { Ok(()) }
}

/// Whether an interruption was asked for.
#[must_use]
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Runs a command to its end, or until an interruption ends it and every process it started.
///
/// It gets a process group of its own: SIGTERM to this process alone would otherwise leave `cargo`'s children behind.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    check()?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {program}; check that it is installed and on the PATH"))?;
    let status = wait(&mut child);
    check()?;
    status.with_context(|| format!("cannot wait for {program}"))
}

/// Waits for the leader of a process group; an interruption ends the whole group.
pub fn wait(leader: &mut Child) -> std::io::Result<ExitStatus> {
    let group = Pid::from_raw(leader.id().cast_signed());
    groups().push(group);
    if requested() {
        // The handler ran before the group was in its list.
        let _ = killpg(group, Signal::SIGTERM);
    }
    let status = leader.wait();
    groups().retain(|other| *other != group);
    status
}

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}
