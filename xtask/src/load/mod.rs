//! `cargo xtask load`: the load scenario, run with k6 against a release build on services of its own.

mod generator;
mod memory;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::generator::{Generator, Outcome, P99_MS};
use self::memory::Watch;
use self::report::Report;
use crate::dev::mock_kafka;
use crate::environment::{forget_foreign, variables};
use crate::services::{Postgres, Redis, Server, random_hex};
use crate::token::{Subject, sign};
use crate::{functions, import, install, interrupt, workspace};

/// What is imported when nothing else is named.
const ONTOLOGY: &str = "tests/tests/fixtures/schema_org_part.json";
/// Pools, caches and memory of a server that has just started are not what they become.
const WARM_UP: Duration = Duration::from_secs(30);
/// Of the search for the highest rate.
const STEP: Duration = Duration::from_secs(20);
/// Importing, warming up and the like take less than this.
const BESIDE: Duration = Duration::from_secs(60 * 60);

/// What is run.
#[derive(Debug, Clone)]
pub struct Load {
    /// Requests a second.
    pub rate: u32,
    /// How long, after the warm-up.
    pub minutes: u32,
    /// Look for the highest rate, from this one on, instead.
    pub find: bool,
    /// The file to import.
    pub ontology: Option<PathBuf>,
}

/// Runs it and reports; fails when an answer was wrong, late or could not even be asked for.
pub fn load(load: &Load) -> Result<ExitCode> {
    let root = workspace::root()?;
    install::build_tools()?;
    install::services()?;
    let k6 = install::k6(&root)?;
    let target = build(&root)?;

    let services = Services { postgres: Postgres::temporary()?, redis: Redis::temporary()?, secret: random_hex(32)? };
    // In development a server plays Kafka itself, in its own memory, which would be counted as that of OMS: an idle one
    // plays it for the one under load.
    let idle = services.serve(&target, "idle", "load-kafka.log", None)?;
    let brokers = mock_kafka(&idle.url()).context("the server that plays Kafka does not tell where")?;
    let server = services.serve(&target, "postgres", "load.log", Some(&brokers))?;
    let lifetime = Duration::from_secs(60 * u64::from(load.minutes)) + BESIDE;
    let token = |role: &str| {
        let roles = [role.to_owned()];
        sign(&services.secret, &Subject { name: &format!("load-{role}"), roles: &roles, tenant: "default" }, lifetime)
    };
    let (viewer, editor) = (token("viewer")?, token("editor")?);
    let ontology = load.ontology.clone().unwrap_or_else(|| root.join(ONTOLOGY));
    import::import(&ontology, Some(server.url()), Some(editor.clone()))?;
    // What would happen by itself, within a minute: before it PostgreSQL plans for empty tables.
    services.postgres.run("ANALYZE")?;
    let mut generator = Generator::new(k6, &root, &target, server, viewer, editor);

    eprintln!("Warming up at {}/s for {} seconds", load.rate, WARM_UP.as_secs());
    let warm_up = generator.run(load.rate, WARM_UP)?;
    if load.find { find(load.rate, &mut generator) } else { steady(load, &target, &mut generator, &warm_up) }
}

/// Builds the server for release; gives the target directory.
fn build(root: &Path) -> Result<PathBuf> {
    functions::build_server(root)?;
    workspace::target(root)
}

/// What the server under load needs beside itself; it ends with the value.
struct Services {
    postgres: Postgres,
    redis: Redis,
    secret: String,
}

impl Services {
    /// Runs the migrations on a database of its own, then a server; one without brokers plays Kafka itself.
    fn serve(&self, target: &Path, database: &str, log: &str, brokers: Option<&str>) -> Result<Server> {
        let program = target.join("release/oms-server");
        self.postgres.ensure_database(database)?;
        let (database_url, redis_url) = (self.postgres.database_url(database), self.redis.url());
        let configure = |command: &mut Command| {
            forget_foreign(command, true);
            command.envs(variables(&database_url, &redis_url, &self.secret)).env("REDIS_KEY_PREFIX", database);
            command.envs(brokers.map(|brokers| ("KAFKA_BROKERS", brokers)));
        };
        let mut migrate = Command::new(&program);
        configure(&mut migrate);
        if !interrupt::run(migrate.arg("migrate").stdout(Stdio::null()))?.success() {
            bail!("the migrations failed, see above");
        }
        Server::temporary(&program, &target.join(log), configure)
    }
}

fn find(start: u32, generator: &mut Generator) -> Result<ExitCode> {
    let highest = highest(start, |rate| {
        let outcome = generator.run(rate, STEP)?;
        println!("{rate}/s: {}", outcome.summary());
        Ok(outcome.held)
    })?;
    let Some(rate) = highest else {
        println!("No rate held.");
        return Ok(ExitCode::FAILURE);
    };
    println!(
        "The highest rate that held is {rate}/s: every answer right, none dropped, 99 % of each kind within {P99_MS} ms. \
         A long run is steady at 80 % of it: cargo xtask load --rate {} --minutes 10",
        rate - rate / 5
    );
    Ok(ExitCode::SUCCESS)
}

/// Goes up from `start` until a rate does not hold (down, when that is the first), then halves the distance.
fn highest(start: u32, mut holds: impl FnMut(u32) -> Result<bool>) -> Result<Option<u32>> {
    let (mut rate, mut held, mut failed) = (start, None, None);
    loop {
        *(if holds(rate)? { &mut held } else { &mut failed }) = Some(rate);
        rate = match (held, failed) {
            (Some(held), Some(failed)) if failed - held <= held / 20 + 1 => return Ok(Some(held)),
            (Some(held), Some(failed)) => u32::midpoint(held, failed),
            (Some(held), None) => held.saturating_add(held / 2 + 1),
            (None, _) if rate < 2 => return Ok(None),
            (None, _) => rate / 2,
        };
    }
}

fn steady(load: &Load, target: &Path, generator: &mut Generator, warm_up: &Outcome) -> Result<ExitCode> {
    if !warm_up.held {
        println!("Not even the warm-up went well: {}", warm_up.summary());
        return Ok(ExitCode::FAILURE);
    }
    eprintln!("Running at {}/s for {} minutes", load.rate, load.minutes);
    let duration = Duration::from_secs(60 * u64::from(load.minutes));
    let watch = Watch::begin(generator.server_pid());
    let outcome = generator.run(load.rate, duration)?;
    let samples = watch.end();
    let report = Report::new(load, &outcome, &samples);
    let path = target.join("load.json");
    std::fs::write(&path, serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("{report}");
    Ok(if outcome.held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(start: u32, limit: u32) -> (Option<u32>, usize) {
        let mut runs = 0;
        let highest = highest(start, |rate| {
            runs += 1;
            Ok(rate <= limit)
        });
        (highest.unwrap(), runs)
    }

    #[test]
    fn the_highest_rate_is_found_within_five_percent_from_below_and_above() {
        for (start, limit) in [(100, 1000), (900, 1000), (5000, 1000), (1000, 1000), (1, 1)] {
            let (rate, runs) = found(start, limit);
            let rate = rate.unwrap();
            assert!(rate <= limit && rate + rate / 20 + 1 >= limit, "from {start}: {rate} of {limit}");
            assert!(runs <= 12, "from {start}: {runs} runs");
        }
        assert_eq!(found(100, 0).0, None);
    }
}
