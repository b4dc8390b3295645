//! An `oms-server` of our own.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::reaper::Reaper;
use super::{child, log_tail, temporary_folder};
use crate::environment::answers;
use crate::{interrupt, ports, wait};

/// A temporary server on 127.0.0.1; it ends when the value is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
    reaper: Option<Reaper>,
}

impl Server {
    /// Runs this program on free ports, with what `configure` sets, and returns once it is ready. Its log goes to a file.
    pub fn temporary(program: &Path, log: &Path, configure: impl FnOnce(&mut Command)) -> Result<Self> {
        let folder = temporary_folder("server", None)?;
        let reaper = Reaper::start(None, child::REAP, [folder.as_os_str()])?;
        // So that its command line names the folder.
        let link = folder.join("oms-server");
        symlink(program, &link).with_context(|| format!("cannot link {}", program.display()))?;
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let (http, grpc, metrics) = (ports::free()?, ports::free()?, ports::free()?);
        let mut command = child::command(&folder, &link);
        configure(&mut command);
        command
            .env("SERVER_PORT", http.to_string())
            .env("GRPC_PORT", grpc.to_string())
            .env("METRICS_PORT", metrics.to_string())
            .stderr(file.try_clone()?)
            .stdout(file);
        let child = command.spawn().context("cannot run /bin/sh")?;
        let mut server = Self { child, port: http, log: log.to_owned(), reaper: Some(reaper) };
        let ready = format!("{}/health/ready", server.url());
        wait::until("the server was not ready", Duration::from_secs(60), || {
            interrupt::check()?;
            server.check()?;
            Ok(answers(&ready).then_some(()))
        })?;
        Ok(server)
    }

    /// Fails, with the end of its log, when it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the server ended ({status}):\n{}", log_tail(&self.log)),
            None => Ok(()),
        }
    }

    /// `http://127.0.0.1:PORT`, where REST and GraphQL are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.reaper.take().is_some() {
            let _ = self.child.wait();
        }
    }
}
