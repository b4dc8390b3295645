//! How much memory a process has while something else goes on.

use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(5);

/// Resident memory at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Since the first one.
    pub(super) minutes: f64,
    pub(super) mib: f64,
}

/// Looks at a process now and then.
pub(super) struct Watch {
    end: Sender<()>,
    looking: JoinHandle<Vec<Sample>>,
}

impl Watch {
    pub(super) fn begin(pid: u32) -> Self {
        let (end, ended) = channel();
        let begin = Instant::now();
        let looking = thread::spawn(move || {
            let mut samples = Vec::new();
            loop {
                let minutes = begin.elapsed().as_secs_f64() / 60.0;
                samples.extend(resident_mib(pid).map(|mib| Sample { minutes, mib }));
                if ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return samples;
                }
            }
        });
        Self { end, looking }
    }

    /// What was seen; nothing of a process that is not there.
    pub(super) fn end(self) -> Vec<Sample> {
        drop(self.end);
        self.looking.join().unwrap_or_default()
    }
}

fn resident_mib(pid: u32) -> Option<f64> {
    let kib = if cfg!(target_os = "linux") {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse::<f64>()
    } else {
        let output = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse::<f64>()
    };
    Some(kib.ok()? / 1024.0)
}

/// MiB a minute, of the straight line that fits best; `None` for fewer than two samples.
pub(super) fn slope(samples: &[Sample]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a sample every few seconds")]
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / samples.len() as f64;
    let (minutes, mib) = (mean(|sample| sample.minutes), mean(|sample| sample.mib));
    let spread: f64 = samples.iter().map(|sample| (sample.minutes - minutes).powi(2)).sum();
    let common: f64 = samples.iter().map(|sample| (sample.minutes - minutes) * (sample.mib - mib)).sum();
    (spread > 0.0).then(|| common / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_best_line() {
        let line = |points: &[(f64, f64)]| {
            slope(&points.iter().map(|&(minutes, mib)| Sample { minutes, mib }).collect::<Vec<_>>())
        };
        let near = |slope: Option<f64>, expected: f64| (slope.unwrap() - expected).abs() < 1e-9;
        assert!(near(line(&[(0.0, 10.0), (1.0, 12.0), (2.0, 14.0)]), 2.0));
        assert!(near(line(&[(0.0, 10.0), (1.0, 13.0), (2.0, 10.0)]), 0.0));
        assert_eq!(line(&[(0.0, 10.0)]), None);
        assert_eq!(line(&[]), None);
    }

    #[test]
    fn a_process_has_memory_while_it_runs() {
        let samples = Watch::begin(std::process::id()).end();
        assert!(samples.iter().all(|sample| sample.mib > 1.0) && !samples.is_empty(), "{samples:?}");
        assert!(Watch::begin(u32::MAX >> 1).end().is_empty());
    }
}
