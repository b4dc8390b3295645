//! A Redis of our own.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account;
use super::reaper::Reaper;
use super::{find_program, log_tail, temporary_folder};
use crate::process::Started;
use crate::{interrupt, ports, wait};

const FOLDERS: [&str; 3] = ["/usr/sbin", "/opt/homebrew/bin", "/usr/local/bin"];

/// A Redis server that keeps nothing on disk.
///
/// A temporary one ends when the value is dropped; one for development runs on.
#[derive(Debug)]
pub struct Redis {
    server: PathBuf,
    folder: PathBuf,
    port: u16,
    cluster: bool,
    child: Option<Child>,
    /// Only a temporary server has one.
    reaper: Option<Reaper>,
}

impl Redis {
    /// Whether redis-server and redis-cli are installed.
    #[must_use]
    pub fn is_installed() -> bool {
        find_program("redis-server", &FOLDERS).is_some() && find_program("redis-cli", &FOLDERS).is_some()
    }

    /// A new, empty Redis on a free port, gone with this value.
    pub fn temporary() -> Result<Self> {
        Self::start_temporary(false)
    }

    /// The same with cluster mode on: one node that holds every slot.
    pub fn temporary_cluster() -> Result<Self> {
        Self::start_temporary(true)
    }

    /// The Redis of the development environment. It runs on after this value is gone.
    pub fn development(folder: &Path, port: u16) -> Result<Self> {
        account::create_folder(folder, None)?;
        let mut redis = Self::new(folder.to_owned(), port, false)?;
        redis.start()?;
        Ok(redis)
    }

    fn start_temporary(cluster: bool) -> Result<Self> {
        let folder = temporary_folder("redis", None)?;
        let port = if cluster { ports::free_with_cluster_bus()? } else { ports::free()? };
        // Redis shows its program and its port as its command line.
        let script = r#"pid="$(cat "$1/redis.pid")" && runs "$pid" redis-server && runs "$pid" "$2" && kill -KILL "$pid"
            rm -rf "$1""#;
        let reaper = Reaper::start(None, script, [folder.as_os_str(), OsStr::new(&port.to_string())])?;
        let mut redis = Self::new(folder, port, cluster)?;
        redis.reaper = Some(reaper);
        redis.start()?;
        if cluster {
            // Every version knows ADDSLOTS; the command for a range came with Redis 7.
            let slots: Vec<String> = (0..16_384).map(|slot| slot.to_string()).collect();
            let mut command = vec!["CLUSTER", "ADDSLOTS"];
            command.extend(slots.iter().map(String::as_str));
            redis.cli(&command)?;
            redis.wait_for_cluster()?;
        }
        Ok(redis)
    }

    fn new(folder: PathBuf, port: u16, cluster: bool) -> Result<Self> {
        let server = find_program("redis-server", &FOLDERS)
            .context("redis-server is not installed; `cargo xtask test` and `cargo xtask dev` install it")?;
        Ok(Self { server, folder, port, cluster, child: None, reaper: None })
    }

    /// `redis://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The running process.
    pub fn started(&self) -> Result<Started> {
        let child = self.child.as_ref().context("Redis was not started")?;
        Started::record("Redis", child.id())
    }

    /// Starts it, or starts it again on the same port, and returns once it answers.
    pub fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log_path = self.folder.join("redis.log");
        let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
        let mut command = account::command(None, &self.server);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(&self.folder)
            .arg("--pidfile")
            .arg(self.folder.join("redis.pid"));
        if self.cluster {
            // Without an address of its own to announce, a lone node tells its clients an empty one.
            command.args(["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]);
        }
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", self.server.display()))?;
        let child = self.child.insert(child);

        let pid = child.id();
        let port = self.port.to_string();
        let ready = wait::until("Redis did not answer", Duration::from_secs(20), || {
            interrupt::check()?;
            if child.try_wait()?.is_some() {
                bail!("Redis did not start:\n{}", log_tail(&log_path));
            }
            // Another Redis may have taken the port a moment earlier: the process id tells.
            let info = cli(&port, &["INFO", "server"]).unwrap_or_default();
            Ok(info.lines().any(|line| line.trim() == format!("process_id:{pid}")).then_some(()))
        });
        if ready.is_err() {
            self.kill();
        }
        ready?;
        if self.cluster && self.has_slots()? {
            // A restart: the node finds its slots in its folder, and takes a moment to serve them.
            self.wait_for_cluster()?;
        }
        Ok(())
    }

    /// Ends it, as an outage would look to its clients.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).context("cannot end Redis")?;
            child.wait().context("cannot wait for Redis")?;
        }
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn has_slots(&self) -> Result<bool> {
        Ok(self.cli(&["CLUSTER", "INFO"])?.contains("cluster_slots_assigned:16384"))
    }

    fn wait_for_cluster(&self) -> Result<()> {
        wait::until("the Redis cluster was not complete", Duration::from_secs(20), || {
            interrupt::check()?;
            Ok(self.cli(&["CLUSTER", "INFO"])?.contains("cluster_state:ok").then_some(()))
        })
    }

    fn cli(&self, command: &[&str]) -> Result<String> {
        cli(&self.port.to_string(), command)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.reaper.take().is_some()
            && let Some(mut child) = self.child.take()
        {
            let _ = child.wait();
        }
    }
}

fn cli(port: &str, command: &[&str]) -> Result<String> {
    let program = find_program("redis-cli", &FOLDERS).context("redis-cli is not installed")?;
    let output = Command::new(program).args(["-h", "127.0.0.1", "-p", port]).args(command).output()?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || answer.starts_with("ERR") {
        bail!("Redis refused: {answer}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(answer)
}
