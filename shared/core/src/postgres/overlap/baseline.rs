//! What the last release left: its schema, every statement that its code has, and how it writes.

use std::{fs, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A folder of `migrations/baseline`.
pub(super) struct Baseline {
    /// Its last migration.
    pub(super) version: i64,
    /// What its migrations make of an empty database, as `pg_dump` says it.
    pub(super) schema: String,
    /// Every statement that the compiler checked.
    pub(super) queries: Vec<String>,
    /// What its functions do, again and again.
    pub(super) writes: Vec<Step>,
}

/// A step of the writing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// A part of the one query that this runs.
    pub(super) query: Option<String>,
    /// Or a statement without arguments, such as BEGIN.
    pub(super) sql: Option<String>,
    #[serde(default)]
    pub(super) arguments: Vec<Value>,
    /// How many rows it must give.
    pub(super) rows: Option<usize>,
}

impl Baseline {
    /// The newest one.
    pub(super) fn released() -> Self {
        let folder = migrations().join("baseline");
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let versions = entries.filter_map(|name| name.to_string_lossy().parse::<i64>().ok());
        let version = versions.max().expect("a baseline");
        let read = |file: &str| fs::read_to_string(folder.join(version.to_string()).join(file)).unwrap();
        let queries = read("queries.sql").split("\n;\n").map(str::to_owned).filter(|query| !query.is_empty()).collect();
        let writes = serde_json::from_str(&read("writes.json")).unwrap();
        Self { version, schema: read("schema.sql"), queries, writes }
    }

    /// The query of a step.
    pub(super) fn query(&self, part: &str) -> &str {
        let mut found = self.queries.iter().filter(|query| query.contains(part));
        let query = found.next().unwrap_or_else(|| panic!("no query of the release has `{part}`"));
        assert!(found.next().is_none(), "more than one query of the release has `{part}`");
        query
    }
}

pub(super) fn migrations() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../migrations")
}
