//! The development environment of a checkout: its services, and what runs on them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::process::Started;
use crate::services::{
    Account, AwsResources, Compose, Kafka, Moto, Outside, Postgres, Redis, create_folder, random_hex,
};
use crate::state::{Data, Run, State, Volumes};
use crate::{install, interrupt, ports, token, workspace};

/// Far from the ports that the packages' own services use.
const POSTGRES_PORT: u16 = 15_432;
const REDIS_PORT: u16 = 16_379;
const KAFKA_PORT: u16 = 19_092;
const MOTO_PORT: u16 = 15_000;
const DATABASE: &str = "oms";
/// What a program exits with when its configuration is wrong, by sysexits.h.
const CONFIGURATION: i32 = 78;

/// The environment of one checkout, as one command sees it.
#[derive(Debug)]
pub struct Environment {
    /// The checkout.
    pub root: PathBuf,
    /// Its `.oms`.
    pub state: State,
    command: &'static str,
}

/// Which services, where there is a choice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Apache Kafka too; otherwise `KAFKA_BROKERS` counts, or the server plays Kafka itself.
    pub kafka: bool,
    /// PostgreSQL, Redis, Apache Kafka and moto as containers.
    pub docker: bool,
}

/// Running services, as the server and the functions need to know them.
#[derive(Debug)]
pub struct Services {
    /// The database `oms`.
    pub database_url: String,
    /// Redis.
    pub redis_url: String,
    /// Kafka, when there is one: our own or the caller's.
    pub kafka_brokers: Option<String>,
    /// What stands for AWS.
    pub aws: AwsResources,
    /// What tokens are signed with.
    pub jwt_secret: String,
}

impl Environment {
    /// The environment for the subcommand `command`.
    pub fn open(command: &'static str) -> Result<Self> {
        let root = workspace::root()?;
        let state = State::open(&root)?;
        Ok(Self { root, state, command })
    }

    /// The subcommand.
    #[must_use]
    pub fn command(&self) -> &'static str {
        self.command
    }

    /// What runs of it, if anything does.
    pub fn running(&self) -> Result<Option<Run>> {
        // Containers come back by themselves, after a crash of the machine too.
        Ok(self.state.run()?.filter(|run| run.containers || run.processes.iter().any(Started::is_alive)))
    }

    /// Fails when the environment is up, since a foreground command could not tear down what another one uses.
    pub fn refuse_when_running(&self) -> Result<()> {
        if let Some(run) = self.running()? {
            bail!(
                "the environment is already up (by `cargo xtask {}`); run `cargo xtask down` first, or use it as .oms/dev.json says",
                run.command
            );
        }
        Ok(())
    }

    /// Installs what is missing, builds the server, starts PostgreSQL, Redis, moto and perhaps Apache Kafka, applies the
    /// migrations.
    pub fn start_services(&self, wanted: Wanted) -> Result<Services> {
        let docker = wanted.docker || only_docker_is_left()?;
        if docker {
            Compose::check()?;
        } else {
            install::moto(&self.root)?;
            if wanted.kafka {
                install::kafka(&self.root)?;
            }
        }
        self.build_server()?;
        let services = if docker { self.start_containers()? } else { self.start_processes(wanted.kafka)? };
        self.state.write_aws(&services.aws)?;
        let status = interrupt::run(services.environment_of(&mut self.server()?).arg("migrate"))?;
        if status.code() == Some(CONFIGURATION) {
            bail!("the configuration is wrong, see above; change these settings, then run this again");
        }
        if !status.success() {
            bail!(
                "the migrations failed (see above); mend them and run this again, \
                 or start with an empty database after `cargo xtask down --purge`"
            );
        }
        Ok(services)
    }

    fn start_processes(&self, kafka: bool) -> Result<Services> {
        let account = Account::for_postgres()?;
        let data = self.data(account.as_ref())?;
        let mut postgres =
            Postgres::development(&data.folder, account, &data.password, ports::free_from(POSTGRES_PORT)?)?;
        let recorded = postgres.started().and_then(|started| self.state.record(self.command, started));
        // What is not on record nobody would end.
        recorded.inspect_err(|_| drop(postgres.stop()))?;
        postgres.ensure_database(DATABASE)?;

        let mut redis = Redis::development(&self.state.path("redis"), ports::free_from(REDIS_PORT)?)?;
        let recorded = redis.started().and_then(|started| self.state.record(self.command, started));
        recorded.inspect_err(|_| drop(redis.stop()))?;

        let mut moto = Moto::development(&self.state.path("moto"), ports::free_from(MOTO_PORT)?)?;
        let recorded = moto.started().and_then(|started| self.state.record(self.command, started));
        recorded.inspect_err(|_| drop(moto.stop()))?;

        Ok(Services {
            database_url: postgres.database_url(DATABASE),
            redis_url: redis.url(),
            aws: moto.resources()?,
            kafka_brokers: if kafka { Some(self.start_kafka()?) } else { callers_kafka() },
            jwt_secret: self.state.jwt_secret()?,
        })
    }

    fn start_containers(&self) -> Result<Services> {
        eprintln!("Starting PostgreSQL, Redis, Apache Kafka and moto with docker compose");
        let volumes = match self.state.volumes()? {
            Some(volumes) => volumes,
            None => Volumes { password: random_hex(16)? },
        };
        self.state.write_volumes(&volumes)?;
        let outside = Outside {
            postgres: ports::free_from(POSTGRES_PORT)?,
            redis: ports::free_from(REDIS_PORT)?,
            kafka: ports::free_from(KAFKA_PORT)?,
            moto: ports::free_from(MOTO_PORT)?,
            password: volumes.password,
        };
        let compose = self.compose();
        // What is not on record nobody would end.
        self.state.record_containers(self.command)?;
        compose.up(&outside)?;
        Ok(Services {
            database_url: outside.database_url(),
            redis_url: outside.redis_url(),
            aws: compose.resources(&outside)?,
            kafka_brokers: Some(outside.kafka_brokers()),
            jwt_secret: self.state.jwt_secret()?,
        })
    }

    fn compose(&self) -> Compose {
        Compose::new(self.root.clone(), self.state.unique_name())
    }

    fn start_kafka(&self) -> Result<String> {
        eprintln!("Starting Apache Kafka");
        let mut kafka = Kafka::development(&self.state.path("kafka"), ports::free_from(KAFKA_PORT)?)?;
        let recorded = kafka.started().and_then(|started| self.state.record(self.command, started));
        recorded.inspect_err(|_| drop(kafka.stop()))?;
        Ok(kafka.brokers())
    }

    /// The services of the environment that is up.
    pub fn services(&self) -> Result<Services> {
        let up = self.running()?.and(self.state.dev()?).zip(self.state.aws()?);
        let (dev, aws) = up.context("nothing is up here; run `cargo xtask up` first")?;
        Ok(Services {
            database_url: dev.database_url,
            redis_url: dev.redis_url,
            kafka_brokers: dev.kafka_brokers,
            aws,
            jwt_secret: self.state.jwt_secret()?,
        })
    }

    /// The server's program.
    pub fn server(&self) -> Result<Command> {
        Ok(Command::new(workspace::binaries(&self.root)?.join("oms-server")))
    }

    /// Records a process of the environment, or ends it when that fails: nobody else would.
    pub fn record(&self, name: &str, child: &mut Child) -> Result<()> {
        let recorded = Started::record(name, child.id()).and_then(|started| self.state.record(self.command, started));
        if recorded.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        recorded
    }

    /// Ends what was recorded, last things first, and forgets it. Gives the names of what still ran.
    pub fn stop(&self) -> Result<Vec<String>> {
        let mut stopped = Vec::new();
        if let Some(run) = self.state.run()? {
            for process in run.processes.iter().rev().filter(|process| process.is_alive()) {
                // To PostgreSQL SIGINT is "end now, but orderly"; after SIGTERM it would wait for its clients.
                let signal = if process.name == "PostgreSQL" { Signal::SIGINT } else { Signal::SIGTERM };
                process.stop(signal)?;
                stopped.push(process.name.clone());
            }
            if run.containers {
                self.compose().down(false)?;
                stopped.push("the containers".to_owned());
            }
        }
        self.state.forget()?;
        Ok(stopped)
    }

    /// Removes the data and the secrets of an environment that has been stopped.
    pub fn purge(&self) -> Result<()> {
        if self.state.volumes()?.is_some() {
            self.compose().down(true)?;
        }
        self.state.purge()
    }

    /// Waits for a foreground process and tears the environment down, however that process ends.
    ///
    /// Whoever ran `down` and `up` again meanwhile keeps the new environment.
    pub fn stop_after(&self, child: &mut Child) -> Result<()> {
        let status = interrupt::wait(child).context("cannot wait for the foreground process");
        let _lock = self.state.lock_after_others()?;
        let ours = self.state.run()?.is_some_and(|run| run.processes.iter().any(|process| process.pid == child.id()));
        if ours {
            self.stop()?;
            eprintln!("Stopped what was started.");
        }
        let status = status?;
        if !interrupt::requested() && ours && !status.success() {
            bail!(
                "it ended by itself ({status}); see its log above, mend the cause, then run `cargo xtask {}` again",
                self.command
            );
        }
        Ok(())
    }

    pub(crate) fn build_server(&self) -> Result<()> {
        install::build_tools()?;
        eprintln!("Building oms-server");
        let status =
            interrupt::run(workspace::cargo(&self.root).args(["build", "--workspace", "--bin", "oms-server"]))?;
        if !status.success() {
            bail!("the server does not compile; mend the errors above, then run this again");
        }
        Ok(())
    }

    /// The place of the development data: in the checkout, unless PostgreSQL's account can't reach it there.
    fn data(&self, account: Option<&Account>) -> Result<Data> {
        let (inside, outside) = (self.state.path("postgres"), self.state.outside_folder());
        let recorded = self.state.data()?;
        if let Some(data) = &recorded
            && data.folder.is_dir()
            && (data.folder == inside || data.folder == outside)
        {
            return Ok(Data { folder: data.folder.clone(), password: data.password.clone() });
        }
        let folder = match create_folder(&inside, account) {
            Ok(()) => inside,
            Err(_) if account.is_some() => {
                let _ = std::fs::remove_dir(&inside);
                create_folder(&outside, account)?;
                eprintln!(
                    "PostgreSQL cannot run as root, nor can its user enter this checkout: data in {}",
                    outside.display()
                );
                outside
            }
            Err(error) => return Err(error),
        };
        let password = recorded.map_or_else(|| random_hex(16), |data| Ok(data.password))?;
        let data = Data { folder, password };
        self.state.write_data(&data)?;
        Ok(data)
    }
}

/// What the user set for some other installation.
const FOREIGN: [&str; 8] = ["DB_", "DATABASE_", "REDIS_", "JWT_", "AWS_", "EVENT_BUS_NAME", "RELAY_", "POKE_QUEUE_URL"];

/// Installs PostgreSQL and Redis. Where neither is to be had, Docker will do.
fn only_docker_is_left() -> Result<bool> {
    let Err(error) = install::services() else { return Ok(false) };
    interrupt::check()?;
    if Compose::check().is_err() {
        return Err(error);
    }
    eprintln!("{error:#}\nTaking containers instead, as `--docker` does");
    Ok(true)
}

/// The brokers of the Kafka that the caller has.
fn callers_kafka() -> Option<String> {
    std::env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty())
}

impl Services {
    /// Gives a program what it needs to know, and nothing of what the user set for some other installation.
    pub fn environment_of<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // How to speak with the caller's Kafka stands in his environment too.
        let is_callers = self.kafka_brokers.is_some() && self.kafka_brokers == callers_kafka();
        forget_foreign(command, !is_callers);
        if let Some(brokers) = &self.kafka_brokers {
            command.env("KAFKA_BROKERS", brokers);
        }
        command.envs(self.aws.environment()).envs(variables(&self.database_url, &self.redis_url, &self.jwt_secret))
    }
}

/// Takes away what the user set for some other installation, perhaps another Kafka too.
pub(crate) fn forget_foreign(command: &mut Command, kafka: bool) {
    let kafka = kafka.then_some("KAFKA_");
    for (name, _) in std::env::vars_os() {
        let text = OsStr::to_string_lossy(&name);
        if FOREIGN.into_iter().chain(kafka).any(|prefix| text.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    if std::env::var_os("LOG_LEVEL").is_none() {
        command.env("LOG_LEVEL", "info");
    }
}

/// What every program of a development environment has to know.
pub(crate) fn variables<'a>(
    database_url: &'a str,
    redis_url: &'a str,
    jwt_secret: &'a str,
) -> [(&'static str, &'a str); 9] {
    [
        ("SERVER_MODE", "development"),
        ("SERVICE_NAME", "oms"),
        ("SERVER_HOST", "127.0.0.1"),
        ("DATABASE_URL", database_url),
        ("REDIS_URL", redis_url),
        ("JWT_ALGORITHM", "HS256"),
        ("JWT_SECRET", jwt_secret),
        ("JWT_ISSUER", token::ISSUER),
        ("JWT_AUDIENCE", token::AUDIENCE),
    ]
}

/// Whether a GET of `url` is answered with 200.
#[must_use]
pub fn answers(url: &str) -> bool {
    get(url).is_some()
}

/// What a GET of `url` is answered with, if with 200.
pub(crate) fn get(url: &str) -> Option<ureq::Body> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(std::time::Duration::from_secs(2))).build().into();
    agent.get(url).call().ok().filter(|response| response.status() == 200).map(ureq::http::Response::into_body)
}
