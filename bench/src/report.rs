//! The table, and the same as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::measure::Pairs;

/// What a ratio should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Time: no more of it than so many times the reference.
    AtMost(f64),
    /// Throughput: no less than this part of the reference.
    AtLeast(f64),
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// The median, in `unit`.
    pub(crate) median: f64,
    /// `ms`, `us`, `1/s`, `MB`.
    pub(crate) unit: &'static str,
    /// How far the middle half lies apart, as a part of the median.
    pub(crate) spread: f64,
    /// The median of the reference, in `unit`.
    pub(crate) reference: f64,
    /// The median against the reference, in pairs of the same moment.
    pub(crate) ratio: f64,
    /// What the ratio should be; none where there is only something to know.
    pub(crate) goal: Option<String>,
    /// Whether it is.
    pub(crate) met: Option<bool>,
    /// The goal as a number.
    #[serde(skip)]
    limit: Option<Goal>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Processor, cores and system.
    pub(crate) machine: String,
    /// In the order of the table.
    pub(crate) rows: Vec<Row>,
}

impl Goal {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("<= {most}"),
            Self::AtLeast(least) => format!(">= {least}"),
        }
    }
}

impl Row {
    /// A row of pairs that were measured.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, pairs: &Pairs, goal: Option<Goal>) -> Self {
        let ratio = pairs.ratio();
        Self {
            name: name.into(),
            median: pairs.ours(),
            unit,
            spread: pairs.spread(),
            reference: pairs.reference(),
            ratio,
            goal: goal.map(Goal::text),
            met: goal.map(|goal| goal.is_met(ratio)),
            limit: goal,
        }
    }

    /// How much of its limit it needs: 1 is the goal, less is better.
    pub(crate) fn of_limit(&self) -> Option<f64> {
        Some(match self.limit? {
            Goal::AtMost(most) => self.ratio / most,
            Goal::AtLeast(least) => least / self.ratio,
        })
    }

    /// A row of two numbers that do not vary.
    pub(crate) fn plain(name: impl Into<String>, unit: &'static str, median: f64, reference: f64) -> Self {
        let ratio = median / reference;
        Self { name: name.into(), median, unit, spread: 0.0, reference, ratio, goal: None, met: None, limit: None }
    }
}

impl Report {
    /// A table in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text =
            String::from("| | median | reference | ratio | goal | |\n| --- | ---: | ---: | ---: | ---: | --- |\n");
        for row in &self.rows {
            let met = match row.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "",
            };
            let _ = writeln!(
                text,
                "| {} | {} {} ± {:.0} % | {} | {:.2} | {} | {met} |",
                row.name,
                number(row.median),
                row.unit,
                row.spread * 100.0,
                number(row.reference),
                row.ratio,
                row.goal.as_deref().unwrap_or_default(),
            );
        }
        let _ = writeln!(text, "\nOn {}.", self.machine);
        text
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        medium if medium < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Processor, cores and system.
pub(crate) fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let processor = read("/proc/cpuinfo").lines().find_map(|line| Some(line.strip_prefix("model name")?.to_owned()));
    let processor = processor.as_deref().unwrap_or(std::env::consts::ARCH).trim_start_matches(['\t', ':', ' ']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{processor}, {cores} cores, {}", std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_missed_and_the_table_says_so() {
        let row = |goal: Goal, ratio| Row {
            goal: Some(goal.text()),
            met: Some(goal.is_met(ratio)),
            ..Row::plain("get by id", "us", 10.0 * ratio, 10.0)
        };
        let rows = vec![row(Goal::AtMost(1.2), 1.2), row(Goal::AtLeast(0.7), 0.69), Row::plain("size", "MB", 1.0, 2.0)];
        let table = Report { machine: "a machine".into(), rows }.table();
        assert!(table.contains("| get by id | 12.0 us ± 0 % | 10.0 | 1.20 | <= 1.2 | met |"), "{table}");
        assert!(table.contains("| get by id | 6.90 us ± 0 % | 10.0 | 0.69 | >= 0.7 | missed |"), "{table}");
        assert!(table.contains("| size | 1.00 MB ± 0 % | 2.00 | 0.50 |  |  |"), "{table}");
    }
}
