//! Cleaning up after a temporary service, whatever happens to the process that started it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result};

use super::account::{self, Account};

/// Whether the command line of a process contains a text: a file with a process id may be older than the process.
const RUNS: &str =
    r#"runs() { { tr '\0' ' ' <"/proc/$1/cmdline" || ps -o args= -p "$1"; } 2>/dev/null | grep -qF -- "$2"; }"#;

/// A shell that waits for the end of its input, then runs a script. The script may ask `runs PID TEXT`.
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
            .args(["-c", &format!("{RUNS}; cat >/dev/null; {script}"), "sh"])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_command_line() {
        let mut child = std::process::Command::new("sleep").arg("61").spawn().unwrap();
        let pid = child.id().to_string();
        let runs = |text: &str| {
            let script = format!(r#"{RUNS}; runs "$1" "$2""#);
            std::process::Command::new("/bin/sh").args(["-c", &script, "sh", &pid, text]).status().unwrap().success()
        };
        let found = (runs("sleep"), runs("61"), runs("redis-server"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((found, runs("sleep")), ((true, true, false), false));
    }
}
