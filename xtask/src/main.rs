//! `cargo xtask`: see `cargo xtask --help`.

#![expect(clippy::print_stdout, reason = "a command line tool answers on stdout")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::deploy::{self, Deployment};
use xtask::environment::Wanted;
use xtask::interrupt::{self, Interrupted};
use xtask::load::{self, Load};
use xtask::redrive::{self, PLACES, Redrive};
use xtask::state::State;
use xtask::test::{self, Tests};
use xtask::token::{self, ROLES, Subject};
use xtask::watch::{self, Watch};
use xtask::{baseline, bench, dev, functions, import, lambda, lint, workspace};

/// The developer tool of OMS. It says what it installs, and touches nothing that it did not make.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Bring everything up in the foreground; Ctrl-C tears it down
    Dev(Services),
    /// Bring everything up in the background and write .oms/dev.json
    Up(Services),
    /// End what `up`, `dev` or `lambda` started
    Down {
        /// Also remove the development data and secrets
        #[arg(long)]
        purge: bool,
    },
    /// Bring the object types and link types of a JSON file into the registry; a second run changes nothing
    Import {
        /// {"objectTypes": [...], "linkTypes": [...]}
        file: PathBuf,
        /// Base URL; that of .oms/dev.json when absent
        #[arg(long)]
        url: Option<String>,
        /// A token of an editor or admin; that of .oms/dev.json when absent
        #[arg(long)]
        token: Option<String>,
    },
    /// Print a token for the development environment
    Token {
        /// A role; may be given more than once
        #[arg(long = "role", required = true, value_parser = ROLES)]
        roles: Vec<String>,
        /// The tenant
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Who it stands for; dev-ROLE when absent
        #[arg(long)]
        subject: Option<String>,
        /// How long it is valid
        #[arg(long, default_value_t = 12)]
        ttl_hours: u64,
    },
    /// Print events as they happen; Ctrl-C ends it
    Watch {
        /// A resume token, `earliest` or `latest`
        #[arg(long, default_value = "latest")]
        after: String,
        /// Only events of this type, as in ObjectTypeCreated; may be given more than once
        #[arg(long = "type")]
        types: Vec<String>,
        /// Print the JSON of each event
        #[arg(long)]
        json: bool,
        /// Base URL; that of .oms/dev.json when absent
        #[arg(long)]
        url: Option<String>,
        /// A token; that of an admin in .oms/dev.json when absent
        #[arg(long)]
        token: Option<String>,
    },
    /// Put dead letters back on the topic of events, and say what was done
    Redrive {
        /// Where they are: the relay's in SQS, the publisher's in Kafka
        #[arg(value_parser = PLACES)]
        from: String,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Run the functions under cargo-lambda, REST and GraphQL at one base URL, with a pump for their other triggers
    Lambda {
        /// Run Apache Kafka too; otherwise KAFKA_BROKERS counts, or the pump plays Kafka itself
        #[arg(long)]
        kafka: bool,
    },
    /// Build the functions and bring a stage in AWS to what the checkout says
    Deploy(Stage),
    /// Show what `deploy` would change, and change nothing
    Diff(Stage),
    /// Write how large the functions are into docs/sizes.md
    Sizes,
    /// Check formatting, clippy, the query data in .sqlx, dependencies, migrations, templates and containers
    Lint,
    /// Write the query data in .sqlx, the GraphQL schema and the schemas of events anew
    Prepare,
    /// Keep the schema and the queries of a release in migrations/baseline, for the migrations that come after it
    Baseline,
    /// Run every test on a temporary PostgreSQL, Redis, Kafka and moto
    Test {
        /// Run only the tests that kill and cut off what events pass through, which take minutes
        #[arg(long)]
        faults: bool,
        /// Go to `cargo test`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Load a release build with reads, writes, search and GraphQL at a fixed rate, and report times, errors and memory
    Load {
        /// Requests a second; with --find the first rate that is tried
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// How long, after half a minute to warm up
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=600))]
        minutes: u32,
        /// Look for the highest rate that this machine holds, in steps of 20 seconds
        #[arg(long, conflicts_with = "minutes")]
        find: bool,
        /// The file to import; a part of schema.org when absent
        #[arg(long)]
        ontology: Option<PathBuf>,
    },
    /// Measure a release build against the least that the same work can cost, and write target/bench.json
    Bench(bench::Benchmarks),
}

#[derive(clap::Args)]
struct Services {
    /// Run Apache Kafka too; otherwise KAFKA_BROKERS counts, or the server plays Kafka itself
    #[arg(long)]
    kafka: bool,
    /// Run PostgreSQL, Redis, Apache Kafka and moto in containers, with docker compose
    #[arg(long)]
    docker: bool,
}

impl From<Services> for Wanted {
    fn from(Services { kafka, docker }: Services) -> Self {
        Self { kafka, docker }
    }
}

#[derive(clap::Args)]
struct Stage {
    /// A file of infra/parameters: dev, staging, prod, or one of your own
    #[arg(long)]
    stage: String,
    /// Take the functions as the last build left them in target/lambda
    #[arg(long)]
    no_build: bool,
    /// The bucket for code and templates; SAM makes one when it is not given
    #[arg(long)]
    bucket: Option<String>,
}

impl From<Stage> for Deployment {
    fn from(Stage { stage, no_build, bucket }: Stage) -> Self {
        Self { stage, no_build, bucket }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("Interrupted; what was started has been stopped.");
            ExitCode::from(130)
        }
        Err(error) => {
            // Not the `{:?}` of anyhow, which appends a backtrace where one is switched on.
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    // What has nothing to tear down ends at once.
    if !matches!(task, Task::Down { .. } | Task::Token { .. } | Task::Watch { .. }) {
        interrupt::install()?;
    }
    match task {
        Task::Dev(services) => dev::dev(services.into())?,
        Task::Up(services) => dev::up(services.into())?,
        Task::Down { purge } => dev::down(purge)?,
        Task::Import { file, url, token } => import::import(&file, url, token)?,
        Task::Token { roles, tenant, subject, ttl_hours } => {
            let secret = State::open(&workspace::root()?)?.jwt_secret()?;
            let name = subject.unwrap_or_else(|| format!("dev-{}", roles.join("-")));
            let subject = Subject { name: &name, roles: &roles, tenant: &tenant };
            println!("{}", token::sign(&secret, &subject, Duration::from_secs(ttl_hours.saturating_mul(3600)))?);
        }
        Task::Watch { after, types, json, url, token } => {
            watch::watch(&Watch { after: Some(after), types, json, url, token })?;
        }
        Task::Redrive { from, dry_run } => return redrive::redrive(&Redrive { from, dry_run }),
        Task::Lambda { kafka } => lambda::lambda(kafka)?,
        Task::Deploy(stage) => deploy::deploy(&stage.into())?,
        Task::Diff(stage) => deploy::diff(&stage.into())?,
        Task::Sizes => functions::sizes()?,
        Task::Lint => lint::lint()?,
        Task::Prepare => lint::prepare()?,
        Task::Baseline => baseline::baseline()?,
        Task::Test { faults, arguments } => return test::test(&Tests { faults, arguments }),
        Task::Load { rate, minutes, find, ontology } => return load::load(&Load { rate, minutes, find, ontology }),
        Task::Bench(benchmarks) => return bench::bench(&benchmarks),
    }
    Ok(ExitCode::SUCCESS)
}
