//! A moto of our own, which plays AWS: EventBridge, SQS and DynamoDB.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::aws::client_environment;
use super::reaper::Reaper;
use super::{AwsResources, account, child, log_tail, temporary_folder};
use crate::process::Started;
use crate::{interrupt, ports, state, wait, workspace};

/// moto's own program would log each request; the folder is there for [`child::REAP`].
const SERVER: &str = "import logging, sys
logging.getLogger('werkzeug').setLevel(logging.ERROR)
from moto.server import main
_, folder, port = sys.argv
main(['-H', '127.0.0.1', '-p', port])";

const RESOURCES: &str = include_str!("moto_resources.py");

/// A moto server on 127.0.0.1. It keeps its state only while it runs.
///
/// A temporary one ends when the value is dropped; one for development runs on.
#[derive(Debug)]
pub struct Moto {
    python: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
    /// Only a temporary server has one.
    reaper: Option<Reaper>,
}

impl Moto {
    /// The Python that has moto's server: the one on the PATH, else the one of `.oms/tools`.
    #[must_use]
    pub fn python(root: &Path) -> Option<PathBuf> {
        let own = state::folder(root).join("tools/moto/bin/python");
        [PathBuf::from("python3"), own].into_iter().find_map(|python| {
            // Not `python3` itself, which may be a script that looks for the real one each time.
            let probe = "import sys, boto3, moto.server; print(sys.executable)";
            let output = Command::new(python).args(["-c", probe]).stdin(Stdio::null()).output().ok()?;
            let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
            (output.status.success() && !path.is_empty()).then(|| PathBuf::from(path))
        })
    }

    /// A new, empty moto on a free port, gone with this value.
    pub fn temporary() -> Result<Self> {
        let python = Self::installed()?;
        let folder = temporary_folder("moto", None)?;
        let reaper = Reaper::start(None, child::REAP, [folder.as_os_str()])?;
        let mut moto = Self { python, folder, port: ports::free()?, child: None, reaper: Some(reaper) };
        moto.start()?;
        Ok(moto)
    }

    /// The moto of the development environment. It runs on after this value is gone.
    pub fn development(folder: &Path, port: u16) -> Result<Self> {
        account::create_folder(folder, None)?;
        let mut moto = Self { python: Self::installed()?, folder: folder.to_owned(), port, child: None, reaper: None };
        moto.start()?;
        Ok(moto)
    }

    fn installed() -> Result<PathBuf> {
        Self::python(&workspace::root()?)
            .context("moto is not installed; `cargo xtask test` and `cargo xtask dev` install it")
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The running process.
    pub fn started(&self) -> Result<Started> {
        let child = self.child.as_ref().context("moto was not started")?;
        Started::record("moto", child.id())
    }

    /// What an AWS client needs in its environment to come here, whatever the resources.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        client_environment(&self.endpoint())
    }

    /// Starts it, or starts it again on the same port, and returns once it answers. It is empty then.
    pub fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log_path = self.folder.join("moto.log");
        let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
        let mut command = child::command(&self.folder, &self.python);
        command.args(["-c", SERVER]).arg(&self.folder).arg(self.port.to_string());
        let child = command.stderr(log.try_clone()?).stdout(log).spawn().context("cannot run /bin/sh")?;
        let url = format!("{}/moto-api/data.json", self.endpoint());
        let child = self.child.insert(child);
        let ready = wait::until("moto did not answer", Duration::from_secs(60), || {
            interrupt::check()?;
            if child.try_wait()?.is_some() {
                bail!("moto did not start:\n{}", log_tail(&log_path));
            }
            Ok(crate::environment::answers(&url).then_some(()))
        });
        if ready.is_err()
            && let Some(mut child) = self.child.take()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
        ready
    }

    /// Ends it; what it held is gone.
    pub fn stop(&mut self) -> Result<()> {
        match self.child.take() {
            Some(child) => child::stop("moto", child),
            None => Ok(()),
        }
    }

    /// Makes the resources of OMS, unless they are there.
    pub fn resources(&self) -> Result<AwsResources> {
        let output = account::command(None, &self.python)
            .args(["-c", RESOURCES])
            .envs(self.environment())
            // What the user set for the real AWS.
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .context("cannot run Python")?;
        interrupt::check()?;
        if !output.status.success() {
            bail!("the AWS resources were not made:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("the script that makes the AWS resources printed no JSON")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        if self.reaper.take().is_some()
            && let Some(mut child) = self.child.take()
        {
            let _ = child.wait();
        }
    }
}
