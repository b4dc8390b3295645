//! `cargo xtask bench`: what OMS costs, measured against the least that the same work can cost.

use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Result;

use crate::services::{Kafka, Postgres, Redis};
use crate::{functions, install, interrupt, workspace};

/// Where the report goes.
const REPORT: &str = "target/bench.json";
/// Where the plots go.
const PLOTS: &str = "docs/perf";

/// What is measured, and how thoroughly.
#[derive(Debug, clap::Args)]
pub struct Benchmarks {
    /// Fewer rounds and smaller tables: five minutes
    #[arg(long)]
    quick: bool,
    /// Only these groups of rows, as in cold-start,warm
    #[arg(long)]
    rows: Option<String>,
    /// Run `cargo bench` with these arguments instead, on the same services: `-- -p oms-rpc --bench validation`
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Measures.
pub fn bench(benchmarks: &Benchmarks) -> Result<ExitCode> {
    let root = workspace::root()?;
    install::build_tools()?;
    install::services()?;
    let status = match benchmarks.arguments.as_slice() {
        [] => table(&root, benchmarks)?,
        arguments => {
            let (postgres, redis) = (Postgres::temporary()?, Redis::temporary()?);
            let mut command = workspace::cargo(&root);
            command.arg("bench").args(arguments).env("DATABASE_URL", postgres.url()).env("REDIS_URL", redis.url());
            interrupt::run(&mut command)?
        }
    };
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds the programs, brings up services that live as long as the run, and measures.
fn table(root: &Path, benchmarks: &Benchmarks) -> Result<ExitStatus> {
    let wrk = install::wrk()?;
    install::kafka(root)?;
    functions::build_here(root)?;
    functions::build_server(root)?;
    let programs = workspace::target(root)?.join("release");
    let (postgres, redis, kafka) = (Postgres::temporary()?, Redis::temporary()?, Kafka::temporary()?);
    let mut command = Command::new(programs.join("oms-bench"));
    command
        .current_dir(root)
        .args(["--json", REPORT])
        .args(benchmarks.quick.then_some("--quick"))
        .args(benchmarks.rows.iter().flat_map(|rows| ["--rows", rows]))
        .env("DATABASE_URL", postgres.url())
        .env("REDIS_URL", redis.url())
        .env("KAFKA_BROKERS", kafka.brokers())
        .env("BENCH_PROGRAMS", &programs)
        .env("BENCH_POSTGRES_LOG", postgres.log())
        .env("BENCH_PGBENCH", postgres.pgbench())
        .env("BENCH_WRK", wrk);
    // A picture of a part would replace that of the whole.
    if benchmarks.rows.is_none() && !benchmarks.quick {
        command.args(["--plots", PLOTS]);
    }
    interrupt::run(&mut command)
}
