//! `oms-server redrive`: puts dead letters back on the topic of events, and says what it did.

use anyhow::bail;
use oms_core::config::Source;
use oms_outbox_publisher::redrive::{DeadLetters, Place, RedriveOptions, Report};

/// Puts the letters back; only shows them in a dry run. A letter that can't be put back stays, and makes it fail.
///
/// # Errors
///
/// Every problem of the configuration at once, what can't be reached, and letters that were left.
pub async fn run(mut source: Source, from: Place, dry_run: bool) -> anyhow::Result<()> {
    let letters = DeadLetters::read(&mut source);
    if let Some(problem) = letters.problem(from) {
        source.problem(problem);
    }
    source.finish()?;
    let reports = letters.redrive(from, RedriveOptions { dry_run, ..RedriveOptions::default() }, tell).await;
    if reports.iter().any(|report| report.failure.is_some()) {
        bail!("not every dead letter was reached, see above");
    }
    let left: usize = reports.iter().map(|report| report.left().count()).sum();
    if left > 0 {
        bail!("{left} dead letter(s) could not be put back, see above");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report of a command")]
fn tell(report: &Report) {
    print!("{report}");
}
