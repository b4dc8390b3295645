//! How long to wait after failures.

use std::time::Duration;

/// Doubles from a tenth of a second up to ten seconds, until something works.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    failures: u32,
}

impl Pause {
    pub(crate) async fn after_failure(&mut self) {
        let pause = Duration::from_millis(100 << self.failures.min(7)).min(Duration::from_secs(10));
        self.failures += 1;
        tokio::time::sleep(pause).await;
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}
