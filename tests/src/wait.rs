//! The one place that waits for something by asking again.

use std::time::{Duration, Instant};

/// Asks until there is an answer. `what` completes the sentence "... within 30 seconds".
pub async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(Duration::from_secs(30), what, probe).await
}

/// The same with more patience, or less.
pub async fn until_within<T>(limit: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(started.elapsed() < limit, "{what} within {} seconds", limit.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
