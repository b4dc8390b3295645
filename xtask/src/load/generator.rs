//! k6 and what it measured.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::interrupt;
use crate::services::Server;

const SCENARIO: &str = "tests/load/scenario.js";
/// 99 % of the answers of each kind have to come within this time.
pub(super) const P99_MS: u32 = 250;
/// What k6 exits with when a threshold of the scenario was crossed.
const THRESHOLD_CROSSED: i32 = 99;

/// Makes load on one server.
pub(super) struct Generator {
    k6: PathBuf,
    scenario: PathBuf,
    summary: PathBuf,
    server: Server,
    viewer: String,
    editor: String,
    runs: u32,
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Whether every answer was right and in time, and every request was made when it was due.
    pub(super) held: bool,
    /// Requests a second.
    pub(super) reached: f64,
    pub(super) dropped: u64,
    pub(super) kinds: Vec<Kind>,
}

/// What `handleSummary` of the scenario writes.
#[derive(Deserialize)]
struct Summary {
    dropped: u64,
    kinds: Vec<Kind>,
}

/// The requests of one kind; times are in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kind {
    pub(super) kind: String,
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
    pub(super) errors: u64,
}

impl Generator {
    pub(super) fn new(k6: PathBuf, root: &Path, target: &Path, server: Server, viewer: String, editor: String) -> Self {
        let (scenario, summary) = (root.join(SCENARIO), target.join("load-k6.json"));
        Self { k6, scenario, summary, server, viewer, editor, runs: 0 }
    }

    /// The process that is loaded.
    pub(super) fn server_pid(&self) -> u32 {
        self.server.pid()
    }

    /// Makes so many requests a second for so long.
    pub(super) fn run(&mut self, rate: u32, duration: Duration) -> Result<Outcome> {
        self.runs += 1;
        let status = interrupt::run(
            Command::new(&self.k6)
                // No summary of its own, no report to its makers, no port for other programs.
                .args(["run", "--quiet", "--no-usage-report", "--address", "", "--log-format", "raw"])
                .arg(&self.scenario)
                .env("OMS", self.server.url())
                .env("VIEWER", &self.viewer)
                .env("EDITOR", &self.editor)
                .env("RUN", self.runs.to_string())
                .env("RATE", rate.to_string())
                .env("SECONDS", duration.as_secs().to_string())
                .env("P99_MS", P99_MS.to_string())
                .env("SUMMARY", &self.summary),
        )?;
        // Its end would explain everything else.
        self.server.check()?;
        let held = status.success();
        if !held && status.code() != Some(THRESHOLD_CROSSED) {
            bail!("k6 failed ({status}), see above");
        }
        let text = std::fs::read(&self.summary).context("k6 left no summary")?;
        let Summary { dropped, kinds } = serde_json::from_slice(&text).context("k6 left another summary")?;
        let count: u64 = kinds.iter().map(|kind| kind.count).sum();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let reached = count as f64 / duration.as_secs_f64();
        Ok(Outcome { held, reached, dropped, kinds })
    }
}

impl Outcome {
    pub(super) fn errors(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.errors).sum()
    }

    /// One line.
    pub(super) fn summary(&self) -> String {
        let mut line = if self.held { "held".to_owned() } else { "did not hold".to_owned() };
        let _ = write!(line, ", {:.0}/s, {} errors, {} dropped", self.reached, self.errors(), self.dropped);
        if let Some(slowest) = self.kinds.iter().max_by(|one, other| one.p99.total_cmp(&other.p99)) {
            let _ = write!(line, ", slowest p99 {:.1} ms ({})", slowest.p99, slowest.kind);
        }
        line
    }
}
