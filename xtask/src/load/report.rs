//! What a run is told as: a page of Markdown, and JSON.

use std::fmt;

use serde::Serialize;

use super::Load;
use super::generator::{Kind, Outcome};
use super::memory::{Sample, slope};

/// The report of one run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    cores: usize,
    architecture: &'static str,
    minutes: u32,
    rate: u32,
    rate_reached: f64,
    dropped: u64,
    errors: u64,
    kinds: Vec<Kind>,
    memory: Memory,
}

/// Resident memory of the server, in MiB.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    /// After the warm-up, and each minute from then on.
    minutes: Vec<f64>,
    end: f64,
    max: f64,
    /// Of the best line through all samples.
    slope_per_minute: f64,
    /// The same of the second half.
    late_slope_per_minute: f64,
}

impl Report {
    pub(super) fn new(load: &Load, outcome: &Outcome, samples: &[Sample]) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            architecture: std::env::consts::ARCH,
            minutes: load.minutes,
            rate: load.rate,
            rate_reached: outcome.reached,
            dropped: outcome.dropped,
            errors: outcome.errors(),
            kinds: outcome.kinds.clone(),
            memory: Memory::of(samples),
        }
    }
}

impl Memory {
    fn of(samples: &[Sample]) -> Self {
        let (_, late) = samples.split_at(samples.len() / 2);
        let at = |minute: u32| samples.iter().find(|sample| sample.minutes >= f64::from(minute));
        Self {
            minutes: (0..).map_while(|minute| Some(at(minute)?.mib)).collect(),
            end: samples.last().map_or(0.0, |sample| sample.mib),
            max: samples.iter().map(|sample| sample.mib).fold(0.0, f64::max),
            slope_per_minute: slope(samples).unwrap_or_default(),
            late_slope_per_minute: slope(late).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, architecture, minutes, rate, rate_reached, dropped, errors, kinds, memory } = self;
        writeln!(f, "{rate} requests a second for {minutes} minutes on {cores} cores ({architecture}):")?;
        writeln!(f, "{rate_reached:.1} a second were made, {errors} answers were wrong, {dropped} were dropped.\n")?;
        writeln!(f, "| requests | number | p50 ms | p99 ms | slowest ms | errors |")?;
        writeln!(f, "| --- | --: | --: | --: | --: | --: |")?;
        for Kind { kind, count, p50, p99, max, errors } in kinds {
            writeln!(f, "| {kind} | {count} | {p50:.2} | {p99:.2} | {max:.1} | {errors} |")?;
        }
        let each: Vec<String> = memory.minutes.iter().map(|mib| format!("{mib:.1}")).collect();
        writeln!(
            f,
            "\nResident memory of the server in MiB, after the warm-up and each minute from then on: {}.",
            each.join(", ")
        )?;
        write!(
            f,
            "At the end {:.1}, at most {:.1}; {:+.2} a minute, {:+.2} in the second half.",
            memory.end, memory.max, memory.slope_per_minute, memory.late_slope_per_minute
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_for_each_minute_and_the_second_half_by_itself() {
        // Grows by 6 a minute in the first minute, then not at all.
        let samples: Vec<Sample> = (0..=24)
            .map(|step| {
                let minutes = f64::from(step) / 12.0;
                Sample { minutes, mib: 100.0 + 6.0 * minutes.min(1.0) }
            })
            .collect();
        let memory = Memory::of(&samples);
        assert_eq!(memory.minutes, [100.0, 106.0, 106.0]);
        assert_eq!((memory.end, memory.max, memory.late_slope_per_minute), (106.0, 106.0, 0.0));
        assert!(memory.slope_per_minute > 1.0, "{}", memory.slope_per_minute);
    }
}
