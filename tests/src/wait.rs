//! The one place that waits for something by asking again.

use std::time::{Duration, Instant};

/// Asks until there is an answer. `what` completes the sentence "... within 30 seconds".
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    const LIMIT: Duration = Duration::from_secs(30);
    let started = Instant::now();
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(started.elapsed() < LIMIT, "{what} within {} seconds", LIMIT.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
