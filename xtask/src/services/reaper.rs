//! Cleaning up after a temporary service, whatever happens to the process that started it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result};

use super::account::{self, Account};

/// A shell that waits for the end of its input, then runs a script.
///
/// Its input is a pipe that only this process holds open. So the script runs when this value is dropped, and just as
/// well when the process is killed or leaves the value in a `static`.
#[derive(Debug)]
pub(super) struct Reaper {
    shell: Child,
}

impl Reaper {
    /// `arguments` are `$1`, `$2` ... of the script.
    pub(super) fn start<'a>(
        account: Option<&Account>,
        script: &str,
        arguments: impl IntoIterator<Item = &'a OsStr>,
    ) -> Result<Self> {
        let shell = account::command(account, "/bin/sh")
            .args(["-c", &format!("cat >/dev/null; {script}"), "sh"])
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal goes to a whole group, and must not end the one that cleans up.
            .process_group(0)
            .spawn()
            .context("cannot run /bin/sh")?;
        Ok(Self { shell })
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
