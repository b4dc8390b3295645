//! The rows of the table, in groups that share what they need.

mod batch;
mod cold_start;
mod create;
mod first_request;
mod get;
mod graphql;
mod memory;
mod publish;
mod relay;
mod scale;
mod validate;
mod warm;

use std::{collections::BTreeSet, pin::Pin};

use anyhow::Result;

use crate::{environment::Environment, ontology, report::Row};

/// A group of rows.
pub(crate) struct Group {
    /// What `--rows` calls it.
    pub(crate) name: &'static str,
    /// Measures it.
    pub(crate) measure: for<'a> fn(&'a mut Bench) -> Measuring<'a>,
}

/// What ends with rows.
pub(crate) type Measuring<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>>> + 'a>>;

macro_rules! groups {
    ($($name:literal: $module:ident),+ $(,)?) => {
        /// All groups, in the order of the table.
        pub(crate) const GROUPS: &[Group] = &[$(Group { name: $name, measure: |bench| Box::pin($module::measure(bench)) }),+];
    };
}

groups! {
    "cold-start": cold_start,
    "first-request": first_request,
    "warm": warm,
    "get": get,
    "create": create,
    "batch": batch,
    "scale": scale,
    "graphql": graphql,
    "validate": validate,
    "publish": publish,
    "relay": relay,
    "memory": memory,
}

/// Their names.
pub(crate) fn names() -> Vec<&'static str> {
    GROUPS.iter().map(|group| group.name).collect()
}

/// What rows share.
pub(crate) struct Bench {
    /// Services and programs.
    pub(crate) environment: Environment,
    /// Whether time is short.
    pub(crate) quick: bool,
    loaded: BTreeSet<&'static str>,
}

/// A database, and how many object types it has.
pub(crate) type Loaded = (&'static str, usize);

/// A thousand.
pub(crate) const SMALL: Loaded = ("bench_1k", 1_000);
/// Ten thousand.
pub(crate) const MEDIUM: Loaded = ("bench_10k", 10_000);
/// A hundred thousand.
pub(crate) const LARGE: Loaded = ("bench_100k", 100_000);

/// A server without a cache.
pub(crate) const NO_CACHE: &[(&str, &str)] = &[("REDIS_URL", "")];

impl Bench {
    /// Nothing is loaded yet.
    pub(crate) fn new(environment: Environment, quick: bool) -> Self {
        Self { environment, quick, loaded: BTreeSet::new() }
    }

    /// How often something is measured, when there is time and when there is little.
    pub(crate) fn rounds(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Fills a database, unless it is filled already.
    pub(crate) async fn load(&mut self, (database, types): Loaded) -> Result<()> {
        if self.loaded.insert(database) {
            ontology::load(&self.environment, database, types).await?;
        }
        Ok(())
    }
}
