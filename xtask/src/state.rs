//! The folder `.oms` of a checkout: what runs, how to reach it, and the secrets of development.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::process::Started;
use crate::services::{AwsResources, random_hex};

/// `.oms/dev.json`: how to reach the development environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dev {
    /// Base URL of the REST API.
    pub http_url: String,
    /// gRPC, gRPC-Web and Connect; the functions have the latter two at `http_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_url: Option<String>,
    /// Prometheus metrics; a Lambda function has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_url: Option<String>,
    /// The database `oms`.
    pub database_url: String,
    /// Redis.
    pub redis_url: String,
    /// The brokers of Kafka, with commas between them: its own, the caller's, or the mock cluster in the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_brokers: Option<String>,
    /// Where AWS is played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_endpoint_url: Option<String>,
    /// A token for each role.
    pub tokens: BTreeMap<String, String>,
}

/// `.oms/run.json`: what of the environment was started, processes in their order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// The checkout it belongs to. A copied folder does not own the processes of the original.
    checkout: PathBuf,
    /// The command that started it.
    pub command: String,
    /// What it started.
    pub processes: Vec<Started>,
    /// Whether the services are containers, started before any process.
    #[serde(default)]
    pub containers: bool,
}

/// `.oms/postgres.json`: where the development data is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Data {
    /// Holds PostgreSQL's data folder and log.
    pub folder: PathBuf,
    /// The superuser's password.
    pub password: String,
}

/// `.oms/docker.json`: there, as long as containers have data.
#[derive(Debug, Serialize, Deserialize)]
pub struct Volumes {
    /// The superuser's password, which the volume of PostgreSQL was made with.
    pub password: String,
}

/// The folder `.oms` of a checkout.
#[derive(Debug)]
pub struct State {
    checkout: PathBuf,
    folder: PathBuf,
}

/// Where the state of a checkout lies.
#[must_use]
pub fn folder(root: &Path) -> PathBuf {
    root.join(".oms")
}

impl State {
    /// Opens the state of a checkout and creates its folder when missing.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = folder(root);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}; check its owner", folder.display()))?;
        Ok(Self { checkout: root.to_owned(), folder })
    }

    /// A file or folder of the state.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Held while the environment changes; fails when another command is changing it.
    pub fn lock(&self) -> Result<File> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "another `cargo xtask` is starting or stopping this environment; wait for it, then run this again"
                )
            }
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock .oms/lock"),
        }
    }

    /// The same, but waits for the other command.
    pub fn lock_after_others(&self) -> Result<File> {
        let file = self.lock_file()?;
        file.lock().context("cannot lock .oms/lock")?;
        Ok(file)
    }

    fn lock_file(&self) -> Result<File> {
        // A lock file that is removed while somebody waits for it would lock nothing: it stays, see `purge`.
        File::create(self.path("lock")).context("cannot write .oms/lock")
    }

    /// How to reach the environment, when there is one.
    pub fn dev(&self) -> Result<Option<Dev>> {
        self.read("dev.json")
    }

    /// Writes `dev.json`, for the owner's eyes only.
    pub fn write_dev(&self, dev: &Dev) -> Result<()> {
        self.write("dev.json", &serde_json::to_string_pretty(dev)?)
    }

    /// The AWS resources of the environment, when it has any.
    pub fn aws(&self) -> Result<Option<AwsResources>> {
        self.read("aws.json")
    }

    /// Writes down the AWS resources.
    pub fn write_aws(&self, aws: &AwsResources) -> Result<()> {
        self.write("aws.json", &serde_json::to_string_pretty(aws)?)
    }

    /// The recorded processes of this checkout.
    pub fn run(&self) -> Result<Option<Run>> {
        let run: Option<Run> = self.read("run.json")?;
        Ok(run.filter(|run| run.checkout == self.checkout))
    }

    /// Records one more process of the environment.
    pub fn record(&self, command: &str, process: Started) -> Result<()> {
        self.change_run(command, |run| run.processes.push(process))
    }

    /// Records that the environment is about to have containers.
    pub fn record_containers(&self, command: &str) -> Result<()> {
        self.change_run(command, |run| run.containers = true)
    }

    fn change_run(&self, command: &str, change: impl FnOnce(&mut Run)) -> Result<()> {
        let mut run = self.run()?.unwrap_or_else(|| Run {
            checkout: self.checkout.clone(),
            command: command.to_owned(),
            processes: Vec::new(),
            containers: false,
        });
        change(&mut run);
        self.write("run.json", &serde_json::to_string_pretty(&run)?)
    }

    /// Forgets the processes and the addresses.
    pub fn forget(&self) -> Result<()> {
        for name in ["run.json", "dev.json", "aws.json"] {
            let path = self.path(name);
            if path.exists() {
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Where the development data is, when there is any.
    pub fn data(&self) -> Result<Option<Data>> {
        self.read("postgres.json")
    }

    /// Records where the development data is.
    pub fn write_data(&self, data: &Data) -> Result<()> {
        self.write("postgres.json", &serde_json::to_string_pretty(data)?)
    }

    /// The data of the containers, when there is any.
    pub fn volumes(&self) -> Result<Option<Volumes>> {
        self.read("docker.json")
    }

    /// Records that the containers have data.
    pub fn write_volumes(&self, volumes: &Volumes) -> Result<()> {
        self.write("docker.json", &serde_json::to_string_pretty(volumes)?)
    }

    /// The folder for the data of an account that cannot enter the checkout.
    #[must_use]
    pub fn outside_folder(&self) -> PathBuf {
        Path::new("/var/tmp").join(self.unique_name())
    }

    /// A name that no other checkout has.
    #[must_use]
    pub fn unique_name(&self) -> String {
        // FNV-1a: the same in every version of the tool, which std's hashes do not promise.
        let hash = self
            .checkout
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        format!("oms-{hash:016x}")
    }

    /// The secret that development tokens are signed with, made on first use.
    pub fn jwt_secret(&self) -> Result<String> {
        let path = self.path("jwt-secret");
        if !path.exists() {
            self.write("jwt-secret", &random_hex(32)?)?;
        }
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Removes everything but the lock that is held and the installed tools, which take minutes to come back.
    pub fn purge(&self) -> Result<()> {
        if let Some(data) = self.data()?
            && data.folder == self.outside_folder()
            && data.folder.exists()
        {
            fs::remove_dir_all(&data.folder).with_context(|| format!("cannot remove {}", data.folder.display()))?;
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.ends_with("tools") || path.ends_with("lock") {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path(name);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let value = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; remove it and run `cargo xtask up`", path.display()))?;
        Ok(Some(value))
    }

    /// Replaces a file as a whole, so that a reader never sees half of it.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        let _ = fs::remove_file(&new);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
