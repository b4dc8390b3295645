//! PostgreSQL, Redis, Kafka and moto in containers, as `infra/docker-compose.yml` has them.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

use super::AwsResources;
use crate::interrupt;

const FILE: &str = "infra/docker-compose.yml";
/// What a server of this machine needs. The file has more, in profiles.
const SERVICES: [&str; 4] = ["postgres", "redis", "kafka", "moto"];
/// A task of the file that makes the AWS resources and prints them.
const RESOURCES: &str = "moto-resources";
/// Where moto is for other containers.
const MOTO_INSIDE: &str = "http://moto:5000";
/// Until all are healthy, once their images are here.
const START_LIMIT_SECONDS: &str = "180";

const INSTALL: &str = "install Docker with its compose plugin (https://docs.docker.com/engine/install)";

/// The containers of one checkout, under a project name of their own.
#[derive(Debug)]
pub struct Compose {
    root: PathBuf,
    project: String,
}

/// Where the services listen on 127.0.0.1, and the password of PostgreSQL, which has to be the same as long as its volume is.
#[derive(Debug)]
pub struct Outside {
    /// PostgreSQL.
    pub postgres: u16,
    /// Redis.
    pub redis: u16,
    /// Kafka.
    pub kafka: u16,
    /// moto.
    pub moto: u16,
    /// PostgreSQL's.
    pub password: String,
}

impl Outside {
    /// The database that is made with the container.
    #[must_use]
    pub fn database_url(&self) -> String {
        format!("postgres://oms:{}@127.0.0.1:{}/oms", self.password, self.postgres)
    }

    /// Redis.
    #[must_use]
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis)
    }

    /// Kafka.
    #[must_use]
    pub fn kafka_brokers(&self) -> String {
        format!("127.0.0.1:{}", self.kafka)
    }

    /// What the file reads.
    fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("OMS_POSTGRES_PORT", self.postgres.to_string()),
            ("OMS_REDIS_PORT", self.redis.to_string()),
            ("OMS_KAFKA_PORT", self.kafka.to_string()),
            ("OMS_MOTO_PORT", self.moto.to_string()),
            ("OMS_POSTGRES_PASSWORD", self.password.clone()),
        ]
    }
}

impl Compose {
    /// The containers of the checkout `root`; `project` is no other checkout's.
    #[must_use]
    pub fn new(root: PathBuf, project: String) -> Self {
        Self { root, project }
    }

    /// Fails, and says what to do, when there is no Docker that works.
    pub fn check() -> Result<()> {
        let Ok(compose) = docker(&["compose", "version"]) else {
            bail!("docker is not installed; {INSTALL}, then run this again");
        };
        if !compose.status.success() {
            bail!("docker has no compose plugin; {INSTALL}, then run this again");
        }
        let engine = docker(&["version", "--format", "{{.Server.Version}}"])?;
        if !engine.status.success() {
            bail!(
                "Docker's engine does not answer; start it, or become one who may use it (group docker), then run this \
                 again:\n{}",
                String::from_utf8_lossy(&engine.stderr).trim()
            );
        }
        Ok(())
    }

    /// Starts the services and returns once all are healthy.
    pub fn up(&self, outside: &Outside) -> Result<()> {
        let mut up = self.command();
        up.args(["up", "--detach", "--wait", "--wait-timeout", START_LIMIT_SECONDS]).args(SERVICES);
        if !interrupt::run(up.envs(outside.variables()))?.success() {
            // They are about to be removed, and their logs with them.
            let _ = interrupt::run(self.command().args(["logs", "--tail", "30"]).args(SERVICES))?;
            bail!("docker compose could not start the services, see above; mend the cause, then run this again");
        }
        Ok(())
    }

    /// Makes the AWS resources of OMS in moto, unless they are there.
    pub fn resources(&self, outside: &Outside) -> Result<AwsResources> {
        let output = self
            .command()
            .args(["run", "--rm", "--no-deps", "-T", RESOURCES])
            .envs(outside.variables())
            .output()
            .context("cannot run docker")?;
        interrupt::check()?;
        if !output.status.success() {
            bail!("the AWS resources were not made:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let printed = printed.replace(MOTO_INSIDE, &format!("http://127.0.0.1:{}", outside.moto));
        serde_json::from_str(&printed).with_context(|| format!("{RESOURCES} of {FILE} printed no JSON"))
    }

    /// Removes the containers; their data stays in volumes, unless it is to go too.
    pub fn down(&self, with_data: bool) -> Result<()> {
        let mut down = self.command();
        down.args(["down", "--remove-orphans"]).args(with_data.then_some("--volumes"));
        // Not through `interrupt`: it also runs after an interruption, and must not be ended by one.
        let output = down.process_group(0).output().context("cannot run docker")?;
        if !output.status.success() {
            bail!(
                "docker compose could not remove the containers of {}; mend the cause, then run `cargo xtask down` \
                 again:\n{}",
                self.project,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .args(["compose", "--file"])
            .arg(self.root.join(FILE))
            .args(["--project-name", &self.project])
            .stdin(Stdio::null())
            .current_dir(&self.root);
        // What the user set for some other project.
        for (name, _) in std::env::vars_os() {
            if ["COMPOSE_", "OMS_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
    }
}

fn docker(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new("docker").args(arguments).stdin(Stdio::null()).output()
}
