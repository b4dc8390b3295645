//! The one place that waits for something by asking again.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Short against every start-up time here, long against the cost of a probe.
const INTERVAL: Duration = Duration::from_millis(25);

/// Asks `probe` until it has an answer. `what` completes the sentence "... within N seconds".
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("{what} within {} seconds", limit.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
}
