//! `cargo xtask baseline`: keeps what a release has, for the migrations that come after it. See migrations/README.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::lint::{self, Migration};
use crate::services::Postgres;
use crate::{install, workspace};

/// How the release writes; nothing but people can say it.
const WRITES: &str = "writes.json";

/// A file of `.sqlx`.
#[derive(Deserialize)]
struct Checked {
    query: String,
}

/// Writes the baseline of the release that the checkout becomes.
pub fn baseline() -> Result<()> {
    let root = workspace::root()?;
    let version = write(&root, &root.join("migrations"))?;
    println!(
        "Wrote migrations/baseline/{version}; bring its {WRITES} to what the functions write now, as the test \
         `cargo xtask test -- -p oms-core overlap` says, and commit it."
    );
    Ok(())
}

/// Does so for the migrations of a folder, and gives the number of the last one.
pub fn write(root: &Path, folder: &Path) -> Result<String> {
    if !lint::migrations(root, folder)? {
        bail!("these migrations can't be released; mend them as said above, then run this again");
    }
    let migrations = Migration::all(folder)?;
    let version = migrations.last().and_then(|last| last.name.split('_').next()).context("there are no migrations")?;
    let baseline = folder.join("baseline");
    let before = newest(&baseline)?;
    let release = baseline.join(version);
    fs::create_dir_all(&release).with_context(|| format!("cannot make {}", release.display()))?;
    put(&release.join("schema.sql"), &schema(&migrations)?)?;
    put(&release.join("queries.sql"), &queries(root)?)?;
    if let Some(before) = before.filter(|before| before != version) {
        fs::copy(baseline.join(before).join(WRITES), release.join(WRITES)).context("cannot copy the last release's")?;
    }
    let mut sums = String::new();
    for Migration { name, text, .. } in &migrations {
        writeln!(sums, "{}  {name}", lint::checksum(text))?;
    }
    put(&baseline.join("checksums"), &sums)?;
    Ok(version.to_owned())
}

/// The last release that has a baseline.
fn newest(baseline: &Path) -> Result<Option<String>> {
    let entries = fs::read_dir(baseline).with_context(|| format!("cannot read {}", baseline.display()))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    Ok(names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).max())
}

/// What the migrations make of an empty database, without what a dump says about itself.
fn schema(migrations: &[Migration]) -> Result<String> {
    install::services()?;
    let postgres = Postgres::temporary()?;
    for Migration { name, text, .. } in migrations {
        postgres.run(text).with_context(|| format!("{name} does not apply"))?;
    }
    let dump = postgres.schema()?;
    let mut schema = String::new();
    for line in dump.lines() {
        let about = line == "--" || line.starts_with("-- ") || line.starts_with('\\');
        // Bodies of functions come before the tables that they speak of.
        let setting = line.starts_with("SET ") && line != "SET check_function_bodies = false;";
        let path = line.starts_with("SELECT pg_catalog.set_config");
        let second_blank = line.is_empty() && (schema.is_empty() || schema.ends_with("\n\n"));
        if !(about || setting || path || second_blank) {
            schema.push_str(line);
            schema.push('\n');
        }
    }
    Ok(format!("{}\n", schema.trim_end()))
}

/// Every query that the compiler checked.
fn queries(root: &Path) -> Result<String> {
    let folder = root.join(".sqlx");
    let mut queries = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let checked: Checked = serde_json::from_str(&text).with_context(|| format!("{} is broken", path.display()))?;
        queries.push(checked.query.trim().to_owned());
    }
    queries.sort();
    Ok(queries.into_iter().map(|query| query + "\n;\n").collect())
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
