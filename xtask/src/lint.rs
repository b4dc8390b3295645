//! `cargo xtask lint` and `prepare`.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::services::Postgres;
use crate::{install, interrupt, workspace};

const SQLX_VERSION: &str = "^0.9";
const DENY_VERSION: &str = "^0.20";
const DATABASE: &str = "oms";

/// Whether the checkout passes; the tool itself has said what it found.
type Check = fn(&Path) -> Result<bool>;

/// Runs every lint, also after one has failed, and says how to mend what failed.
pub fn lint() -> Result<()> {
    let root = workspace::root()?;
    let lints: [(&str, &str, Check); 4] = [
        ("formatting", "cargo fmt --all", |root| runs(workspace::cargo(root).args(["fmt", "--all", "--check"]))),
        ("clippy", "cargo clippy --workspace --all-targets --fix, then mend the rest by hand", |root| {
            runs(workspace::cargo(root).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
        }),
        ("query data", "cargo xtask prepare, and commit .sqlx", |root| sqlx_prepare(root, true)),
        ("dependencies", "change the dependency, or argue for it in deny.toml", deny),
    ];
    let mut failed = Vec::new();
    for (name, repair, run) in lints {
        eprintln!("Checking {name}");
        match run(&root) {
            Ok(true) => {}
            Ok(false) => failed.push(format!("{name}: {repair}")),
            Err(error) => {
                interrupt::check()?;
                failed.push(format!("{name}: {error:#}"));
            }
        }
    }
    if !failed.is_empty() {
        bail!("these lints failed; to mend them:\n  {}", failed.join("\n  "));
    }
    println!("All lints passed.");
    Ok(())
}

/// Writes anew what is generated and committed: the query data of `.sqlx` and the GraphQL schema.
pub fn prepare() -> Result<()> {
    let root = workspace::root()?;
    if !sqlx_prepare(&root, false)? {
        bail!("the query data could not be written; mend the errors above, then run this again");
    }
    // The test that compares the schema writes it when it is told to.
    let schema = ["test", "--quiet", "--package", "oms-graphql", "--lib", "the_committed_schema"];
    if !runs(workspace::cargo(&root).args(schema).env("UPDATE_SCHEMA", "1"))? {
        bail!("the GraphQL schema could not be written; mend the errors above, then run this again");
    }
    println!("Wrote .sqlx and functions/graphql/schema.graphql; commit them.");
    Ok(())
}

/// Compares the query data with a new database that has every migration, or writes it anew.
fn sqlx_prepare(root: &Path, check: bool) -> Result<bool> {
    install::services()?;
    let sqlx = install::cargo_tool(
        root,
        "sqlx-cli",
        SQLX_VERSION,
        &["--no-default-features", "--features", "postgres,rustls"],
    )?;
    let postgres = Postgres::temporary()?;
    postgres.ensure_database(DATABASE)?;
    let run = |arguments: &[&str]| {
        runs(
            Command::new(&sqlx)
                .current_dir(root)
                .arg("sqlx")
                .args(arguments)
                .env("DATABASE_URL", postgres.database_url(DATABASE))
                .env("SQLX_OFFLINE", "false")
                .env("CARGO", workspace::cargo_program()),
        )
    };
    if !run(&["migrate", "run", "--source", "migrations"])? {
        bail!("a migration does not apply to an empty database; mend it");
    }
    let mut arguments = vec!["prepare", "--workspace"];
    if check {
        arguments.push("--check");
    }
    // Tests may have queries too.
    arguments.extend(["--", "--all-targets"]);
    run(&arguments)
}

/// What of cargo-deny needs no network; advisories do.
fn deny(root: &Path) -> Result<bool> {
    let deny = install::cargo_tool(root, "cargo-deny", DENY_VERSION, &[])?;
    // Offline it reads every package from cargo's own store, those of other platforms too. Without a network they
    // may be there all the same.
    let _ = interrupt::run(workspace::cargo(root).args(["fetch", "--quiet", "--locked"]))?;
    runs(Command::new(deny).current_dir(root).args(["--offline", "check", "bans", "licenses", "sources"]))
}

fn runs(command: &mut Command) -> Result<bool> {
    Ok(interrupt::run(command)?.success())
}
