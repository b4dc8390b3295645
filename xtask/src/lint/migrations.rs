//! Migrations that hurt nobody while old and new functions run side by side: what was released stays as it was, and what
//! is new either expands the schema or contracts it.

mod statement;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha384};

use self::statement::{Effect, Statement};
use super::runs;
use crate::install;

/// Relative to the folder of migrations: a line for each released one, as `sha384sum` writes it.
const RELEASED: &str = "baseline/checksums";

/// How sqlx is told to run a migration outside of a transaction.
const NO_TRANSACTION: &str = "-- no-transaction";
const CONTRACT: &str = "-- contract: ";
const UNUSED_SINCE: &str = ", unused since ";

/// One file.
pub(crate) struct Migration {
    pub(crate) name: String,
    pub(crate) text: String,
    path: PathBuf,
}

/// Whether the migrations of a folder are those that were released, and others that may follow them; prints what is wrong.
pub fn migrations(root: &Path, folder: &Path) -> Result<bool> {
    let (all, released) = (Migration::all(folder)?, released(folder)?);
    let mut faults = changed(&all, &released);
    let last = released.keys().next_back().map_or("", String::as_str);
    // Of the others nothing can be mended.
    let new: Vec<&Migration> = all.iter().filter(|migration| !released.contains_key(&migration.name)).collect();
    for migration in &new {
        if migration.name.as_str() < last {
            faults.push(format!(
                "{}: it must come after {last}, which was released: give it a later number",
                migration.name
            ));
        }
        faults.extend(refused(migration, &released).into_iter().map(|fault| format!("{}: {fault}", migration.name)));
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    Ok(squawk(root, &new)? && faults.is_empty())
}

/// The checksum of a migration as sqlx keeps it in the database.
pub(crate) fn checksum(text: &str) -> String {
    Sha384::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is different in released migrations. A database that has one refuses to go on when it finds another text.
fn changed(all: &[Migration], released: &BTreeMap<String, String>) -> Vec<String> {
    let texts: BTreeMap<&str, &str> =
        all.iter().map(|migration| (migration.name.as_str(), migration.text.as_str())).collect();
    let fault = |(name, sum): (&String, &String)| match texts.get(name.as_str()) {
        None => Some(format!("{name}: it was released and is gone: bring it back")),
        Some(text) if checksum(text) != *sum => Some(format!(
            "{name}: it was released with another text: bring that back, and put what you want into a new migration"
        )),
        Some(_) => None,
    };
    released.iter().filter_map(fault).collect()
}

/// Why a new migration may not be.
fn refused(migration: &Migration, released: &BTreeMap<String, String>) -> Vec<String> {
    let statements = statement::statements(&migration.text);
    let mut faults = Vec::new();
    if !is_named_well(&migration.name) {
        faults.push("name it <YYYYMMDD><6 digits>_<verb>_<noun>.sql".to_owned());
    }
    if is_outside_transaction(&migration.text) && statements.len() != 1 {
        faults.push(
            "without a transaction it may have one statement only: if a second one fails, the first stays".to_owned(),
        );
    }
    let contracts = match contract(&migration.text) {
        Some(Ok(since)) => {
            if !released.keys().any(|name| name.split('_').next() == Some(since)) {
                faults.push(format!(
                    "no release ends with the migration {since}: {RELEASED} has those that were released"
                ));
            }
            true
        }
        Some(Err(fault)) => {
            faults.push(fault);
            true
        }
        None => false,
    };
    for Statement { line, words, effect } in &statements {
        if words.iter().any(|word| word == "CONCURRENTLY") && !is_outside_transaction(&migration.text) {
            faults.push(format!("line {line}: CONCURRENTLY needs `{NO_TRANSACTION}` as the first line of the file"));
        }
        // Bodies of functions are words too.
        let begin = words.iter().take(6).map(|word| if word.len() < 40 { word.as_str() } else { "..." });
        let what = begin.collect::<Vec<_>>().join(" ");
        let why = match effect {
            Effect::Expands if contracts => {
                "expands, in a migration that contracts: put it into a migration of its own"
            }
            Effect::Contracts if !contracts => {
                "takes away what a running version may use; once a release no longer uses it, a migration of its own may, \
                 with the first line `-- contract: <what>, unused since <number of the release's last migration>`"
            }
            Effect::Refused(why) => why,
            Effect::Expands | Effect::Contracts | Effect::Neither => continue,
        };
        faults.push(format!("line {line}: `{what}` {why}"));
    }
    faults
}

/// What a migration that contracts says about itself, before its first statement: the release that no longer needs it.
fn contract(text: &str) -> Option<Result<&str, String>> {
    let mut lines = text.lines().skip_while(|line| line.starts_with(NO_TRANSACTION));
    let said = lines.next()?.strip_prefix(CONTRACT)?;
    Some(match said.rsplit_once(UNUSED_SINCE) {
        Some((what, since)) if !what.trim().is_empty() => Ok(since.trim_end_matches('.').trim()),
        _ => Err(format!("say what it takes away, and since when: `{CONTRACT}<what>{UNUSED_SINCE}<number>`")),
    })
}

fn is_outside_transaction(text: &str) -> bool {
    text.starts_with(NO_TRANSACTION)
}

fn is_named_well(name: &str) -> bool {
    let parts = name.strip_suffix(".sql").and_then(|stem| stem.split_once('_'));
    parts.is_some_and(|(number, words)| {
        number.len() == 14
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && words.contains('_')
            && words.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

/// What the linter for PostgreSQL's migrations finds, see `.squawk.toml`.
fn squawk(root: &Path, new: &[&Migration]) -> Result<bool> {
    let (outside, within): (Vec<&Migration>, Vec<&Migration>) =
        new.iter().partition(|migration| is_outside_transaction(&migration.text));
    let mut passes = true;
    for (files, options) in [(within, [].as_slice()), (outside, ["--no-assume-in-transaction"].as_slice())] {
        if !files.is_empty() {
            let mut command = Command::new(install::infra_tools(root)?.join("squawk"));
            command.arg("--config").arg(root.join(".squawk.toml")).args(options);
            passes &= runs(command.args(files.iter().map(|migration| &migration.path)))?;
        }
    }
    Ok(passes)
}

impl Migration {
    /// All of a folder, in the order in which they are applied.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            all.push(Self { name, text, path });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

/// The names of the released migrations with their checksums.
fn released(folder: &Path) -> Result<BTreeMap<String, String>> {
    let path = folder.join(RELEASED);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut released = BTreeMap::new();
    for line in text.lines() {
        let Some((sum, name)) = line.split_once("  ") else {
            bail!("{} has a line that is none of sha384sum: {line}", path.display());
        };
        released.insert(name.to_owned(), sum.to_owned());
    }
    Ok(released)
}
