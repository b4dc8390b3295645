//! A PostgreSQL of our own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::{self, Account};
use super::reaper::Reaper;
use super::{find_program, log_tail, random_hex, temporary_folder};
use crate::process::Started;
use crate::{interrupt, ports, wait};

/// The oldest major version that has what the migrations use.
pub(crate) const OLDEST: u32 = 15;

/// The superuser of our instances. Its password is random and scram or password authentication is always on.
const USER: &str = "oms";

/// Where PostgreSQL's programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The newest installed PostgreSQL, or the one of the major version that made a data folder.
    pub fn find(made_by: Option<u32>) -> Option<Self> {
        let mut found: Vec<Self> = Self::folders().into_iter().filter_map(Self::at).collect();
        found.retain(|binaries| made_by.map_or(binaries.major >= OLDEST, |major| binaries.major == major));
        found.into_iter().max_by_key(|binaries| binaries.major)
    }

    fn folders() -> Vec<PathBuf> {
        let on_path = find_program("initdb", &[]).and_then(|program| program.parent().map(Path::to_owned));
        // Debian and Ubuntu; Homebrew on Apple silicon and on Intel; Red Hat's own packages.
        let installed = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr"]
            .into_iter()
            .filter_map(|parent| fs::read_dir(parent).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .map(|folder| folder.join("bin"));
        on_path.into_iter().chain(installed).collect()
    }

    fn at(folder: PathBuf) -> Option<Self> {
        if !["initdb", "postgres", "pg_ctl", "psql"].iter().all(|program| folder.join(program).is_file()) {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        // postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1), or 18beta1
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = version.split_whitespace().nth(2)?;
        let major = number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some(Self { folder, major })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A PostgreSQL server on 127.0.0.1.
///
/// A temporary one ends when the value is dropped; one for development runs on.
#[derive(Debug)]
pub struct Postgres {
    binaries: Binaries,
    folder: PathBuf,
    account: Option<Account>,
    port: u16,
    password: String,
    child: Option<Child>,
    /// Only a temporary server has one.
    reaper: Option<Reaper>,
}

impl Postgres {
    /// A new server on a free port, fast because it may forget everything in a crash, gone with this value.
    pub fn temporary() -> Result<Self> {
        let binaries = Binaries::find(None).with_context(not_installed)?;
        let account = Account::for_postgres()?;
        let folder = temporary_folder("postgres", account.as_ref())?;
        let script = r#"runs "$(head -n 1 "$2/data/postmaster.pid")" "$2/data" \
            && "$1/pg_ctl" stop --mode=immediate --pgdata="$2/data" --timeout=20
            rm -rf "$2""#;
        let reaper = Reaper::start(account.as_ref(), script, [binaries.folder.as_os_str(), folder.as_os_str()])?;
        let mut postgres = Self {
            binaries,
            folder,
            account,
            port: ports::free()?,
            password: random_hex(16)?,
            child: None,
            reaper: Some(reaper),
        };
        postgres.initialise("password")?;
        postgres.start()?;
        Ok(postgres)
    }

    /// The server of the development environment, with the data that `folder` keeps. It runs on after this value is
    /// gone. The password counts when the data is made, and has to be the same from then on.
    pub fn development(folder: &Path, account: Option<Account>, password: &str, port: u16) -> Result<Self> {
        let made_by =
            fs::read_to_string(folder.join("data/PG_VERSION")).ok().and_then(|version| version.trim().parse().ok());
        let binaries = Binaries::find(made_by).with_context(|| {
            made_by.map_or_else(not_installed, |major: u32| {
                format!(
                    "the data in {} was made by PostgreSQL {major}, which is not installed; install it, or start with \
                     an empty database after `cargo xtask down --purge`",
                    folder.display()
                )
            })
        })?;
        account::create_folder(folder, account.as_ref())?;
        let folder = folder.to_owned();
        let mut postgres =
            Self { binaries, folder, account, port, password: password.to_owned(), child: None, reaper: None };
        if made_by.is_none() {
            postgres.initialise("scram-sha-256")?;
        }
        postgres.start()?;
        Ok(postgres)
    }

    /// `postgres://USER:PASSWORD@127.0.0.1:PORT/postgres`, with the rights of a superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// The same for another database.
    #[must_use]
    pub fn database_url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it writes its log to.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The load generator that comes with it.
    #[must_use]
    pub fn pgbench(&self) -> PathBuf {
        self.binaries.program("pgbench")
    }

    /// The running process.
    pub fn started(&self) -> Result<Started> {
        let child = self.child.as_ref().context("PostgreSQL was not started")?;
        Started::record("PostgreSQL", child.id())
    }

    /// Creates a database unless it is there.
    pub fn ensure_database(&self, name: &str) -> Result<()> {
        if self.psql(&format!("SELECT 1 FROM pg_database WHERE datname = '{name}'"))?.is_empty() {
            self.psql(&format!("CREATE DATABASE \"{name}\""))?;
        }
        Ok(())
    }

    /// Runs statements in the database `postgres`, all or none.
    pub fn run(&self, statements: &str) -> Result<()> {
        self.psql(statements).map(drop)
    }

    /// The schema of the database `postgres`, as `pg_dump` says it.
    pub fn schema(&self) -> Result<String> {
        let port = self.port.to_string();
        let output = self
            .command("pg_dump")
            .env("PGPASSWORD", &self.password)
            .args(["--schema-only", "--no-owner", "-h", "127.0.0.1", "-p", &port, "-U", USER, "-d", "postgres"])
            .output()
            .context("cannot run pg_dump")?;
        if !output.status.success() {
            bail!("pg_dump failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).context("the schema is no UTF-8")
    }

    /// Starts it, or starts it again on the same port and data, and returns once it answers.
    pub fn start(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log_path = self.log();
        let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        // No Unix socket: its path may have 107 bytes, and a checkout may lie deeper than that.
        let mut settings = vec!["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
        if self.reaper.is_some() {
            settings.extend(["fsync=off", "full_page_writes=off", "synchronous_commit=off"]);
        }
        for setting in settings {
            command.args(["-c", setting]);
        }
        let child = command
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", self.binaries.program("postgres").display()))?;
        self.child = Some(child);
        let ready = wait::until("PostgreSQL did not answer", Duration::from_secs(60), || {
            interrupt::check()?;
            if let Some(child) = &mut self.child
                && child.try_wait()?.is_some()
            {
                bail!("PostgreSQL did not start:\n{}", log_tail(&log_path));
            }
            // Only ours takes the password, whoever else may have taken the port.
            Ok(self.psql("SELECT 1").ok())
        });
        if ready.is_err() {
            // The failure to start is what the caller has to hear of.
            let _ = self.stop();
        }
        ready.map(drop)
    }

    /// Ends it at once, as a crash would: connections break, the data stays.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            if child.try_wait()?.is_none() {
                kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGQUIT).context("cannot end PostgreSQL")?;
            }
            child.wait().context("cannot wait for PostgreSQL")?;
        }
        Ok(())
    }

    /// Makes the data folder, under another name until it is complete.
    fn initialise(&self, authentication: &str) -> Result<()> {
        let unfinished = self.folder.join("data.unfinished");
        let password_file = self.folder.join("password");
        fs::write(&password_file, &self.password)?;
        self.give(&password_file)?;
        let mut failure = String::new();
        // Under `C` pg_trgm would drop every Korean letter, and macOS may lack C.UTF-8.
        for locale in ["C.UTF-8", "en_US.UTF-8"] {
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            let output = self
                .command("initdb")
                .arg("--pgdata")
                .arg(&unfinished)
                .args(["--encoding=UTF8", "--no-sync", "--username", USER])
                .arg(format!("--locale={locale}"))
                .arg(format!("--auth={authentication}"))
                .arg("--pwfile")
                .arg(&password_file)
                .process_group(0)
                .output()
                .context("cannot run initdb")?;
            interrupt::check()?;
            if output.status.success() {
                fs::remove_file(&password_file)?;
                return fs::rename(&unfinished, self.data()).context("cannot name the data folder");
            }
            failure = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        bail!("initdb failed in {}:\n{failure}", self.folder.display())
    }

    /// Runs one statement in the database `postgres` and gives its output.
    fn psql(&self, statement: &str) -> Result<String> {
        let port = self.port.to_string();
        let output = self
            .command("psql")
            // On the command line everybody could read it.
            .env("PGPASSWORD", &self.password)
            .args([
                "--no-psqlrc",
                "-qtA",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                USER,
                "-d",
                "postgres",
                "-c",
                statement,
            ])
            .output()
            .context("cannot run psql")?;
        if !output.status.success() {
            bail!("PostgreSQL refused `{statement}`: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = account::command(self.account.as_ref(), self.binaries.program(program));
        command.current_dir(&self.folder);
        // What the user set to reach some other server, or to start it in some other way.
        for (name, _) in std::env::vars_os() {
            if OsStr::to_string_lossy(&name).starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
    }

    fn give(&self, file: &Path) -> Result<()> {
        account::give(file, self.account.as_ref())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.reaper.take().is_some()
            && let Some(mut child) = self.child.take()
        {
            let _ = child.wait();
        }
    }
}

fn not_installed() -> String {
    format!("PostgreSQL {OLDEST} or newer is not installed; `cargo xtask test` and `cargo xtask dev` install it")
}
