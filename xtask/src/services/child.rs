//! The process of a service: started so that its [`Reaper`](super::reaper::Reaper) can end it, whatever happens.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account;
use crate::wait;

/// Where [`command`] keeps the process id, in the folder of the service.
const PID_FILE: &str = "pid";

/// Ends a process of [`command`] and removes its folder `$1`, which its command line has to name.
pub(super) const REAP: &str = r#"pid="$(cat "$1/pid")" && runs "$pid" "$1" && kill -KILL "$pid"; rm -rf "$1""#;

/// How long a polite end may take.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A command for a service in this folder. Its process id is on file before the program runs, since the one who starts
/// it may be killed in between.
pub(super) fn command(folder: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = account::command(None, "/bin/sh");
    command
        .args(["-c", r#"echo $$ >"$1"; shift; exec "$@""#, "sh"])
        .arg(folder.join(PID_FILE))
        .arg(program)
        .current_dir(folder)
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Ends it: politely, then with force.
pub(super) fn stop(name: &str, mut child: Child) -> Result<()> {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).with_context(|| format!("cannot end {name}"))?;
    let ended = wait::until(&format!("{name} did not end"), STOP_LIMIT, || Ok(child.try_wait()?));
    if ended.is_err() {
        child.kill().with_context(|| format!("cannot end {name}"))?;
        child.wait().with_context(|| format!("cannot wait for {name}"))?;
    }
    Ok(())
}
