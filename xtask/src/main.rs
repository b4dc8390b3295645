//! `cargo xtask`: see `cargo xtask --help`.

#![expect(clippy::print_stdout, reason = "a command line tool answers on stdout")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::interrupt::{self, Interrupted};
use xtask::state::State;
use xtask::token::{self, ROLES, Subject};
use xtask::{dev, import, lambda, lint, test, workspace};

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
    Dev,
    /// Bring everything up in the background and write .oms/dev.json
    Up,
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
    /// Run the functions under cargo-lambda, the REST function at one base URL
    Lambda,
    /// Check formatting, clippy, the query data in .sqlx, and the dependencies
    Lint,
    /// Write the query data in .sqlx and the GraphQL schema anew
    Prepare,
    /// Run every test on a temporary PostgreSQL and Redis
    Test {
        /// Go to `cargo test`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
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
    if !matches!(task, Task::Down { .. } | Task::Token { .. }) {
        interrupt::install()?;
    }
    match task {
        Task::Dev => dev::dev()?,
        Task::Up => dev::up()?,
        Task::Down { purge } => dev::down(purge)?,
        Task::Import { file, url, token } => import::import(&file, url, token)?,
        Task::Token { roles, tenant, subject, ttl_hours } => {
            let secret = State::open(&workspace::root()?)?.jwt_secret()?;
            let name = subject.unwrap_or_else(|| format!("dev-{}", roles.join("-")));
            let subject = Subject { name: &name, roles: &roles, tenant: &tenant };
            println!("{}", token::sign(&secret, &subject, Duration::from_secs(ttl_hours.saturating_mul(3600)))?);
        }
        Task::Lambda => lambda::lambda()?,
        Task::Lint => lint::lint()?,
        Task::Prepare => lint::prepare()?,
        Task::Test { arguments } => return test::test(&arguments),
    }
    Ok(ExitCode::SUCCESS)
}
