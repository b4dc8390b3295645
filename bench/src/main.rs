//! Benchmarks of OMS: what it costs against the least that the same work can cost, in the same run. `cargo xtask bench` builds
//! the programs, brings the services up and runs this.
//!
//! Every row is measured in pairs, ours and a reference in turns (see [`measure`]); what a ratio should be is its goal. The
//! programs are those that are deployed, and a request is a whole one: a token is verified, rights are checked, metrics are
//! counted, a line is logged, the answer is JSON.

mod aws;
mod environment;
mod function;
mod measure;
mod ontology;
mod plot;
mod process;
mod report;
mod rows;
mod runtime_api;
mod server;
mod statements;
mod tools;

use std::{fs, io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::{environment::Environment, report::Report, rows::Bench};

#[derive(Parser)]
struct Arguments {
    /// Fewer rounds and smaller tables: five minutes
    #[arg(long)]
    quick: bool,
    /// Only these groups of rows
    #[arg(long, value_delimiter = ',', value_parser = rows::names())]
    rows: Vec<String>,
    /// Where the report goes
    #[arg(long)]
    json: PathBuf,
    /// The folder that the plots go to; none are drawn without
    #[arg(long)]
    plots: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let environment = Environment::read()?;
    let mut bench = Bench::new(environment, arguments.quick);
    let mut report = Report { machine: report::machine(), rows: Vec::new() };
    let mut errors = Vec::new();
    for group in rows::GROUPS {
        if !arguments.rows.is_empty() && !arguments.rows.iter().any(|name| name == group.name) {
            continue;
        }
        let started = std::time::Instant::now();
        writeln!(std::io::stderr(), "measuring {} …", group.name)?;
        // What can't be measured is said in the end; the other rows are worth having.
        match (group.measure)(&mut bench).await.with_context(|| format!("{} was not measured", group.name)) {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => errors.push(format!("{error:#}")),
        }
        writeln!(std::io::stderr(), "  {} s", started.elapsed().as_secs())?;
    }
    if let Some(folder) = arguments.json.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&arguments.json, serde_json::to_string_pretty(&report)?)?;
    writeln!(std::io::stdout(), "{}", report.table())?;
    if let Some(folder) = arguments.plots {
        plot::draw(&report, &folder)?;
    }
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(())
}
