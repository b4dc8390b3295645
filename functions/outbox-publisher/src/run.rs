//! The publisher inside a long-lived process.

use std::time::Duration;

use oms_core::Registry;
use oms_kafka::KafkaConfig;
use tokio::{sync::watch, time};

use crate::{Publisher, Result, publisher::Until};

/// How often it looks for what other processes wrote.
const SWEEP: Duration = Duration::from_secs(1);

/// The first pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How long what Kafka has in hand may take once the process is to end.
const GRACE: Duration = Duration::from_secs(3);

/// Publishes until it is stopped: at once when `written` changes (however often it does so meanwhile, one more drain
/// follows), and now and then by itself. After a failure it waits longer and longer, but no longer than a circuit breaker
/// does: that keeps it from what does not answer.
pub async fn run(
    registry: Registry,
    config: KafkaConfig,
    written: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
) {
    run_every(SWEEP, registry, config, written, stopped).await;
}

/// The same with another time between the looks by itself.
pub async fn run_every(
    sweep: Duration,
    registry: Registry,
    config: KafkaConfig,
    mut written: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
) {
    let mut health = Health::new(config.breaker.open);
    let mut publisher = Publisher::new(config);
    tokio::select! {
        () = publisher.warm() => {}
        () = until(stopped.clone()) => return,
    }
    let ends = Until { deadline: None, stopped: Some(stopped.clone()) };
    loop {
        written.mark_unchanged();
        let result = tokio::select! {
            result = publisher.drain_until(&registry, &ends) => result.map(drop),
            () = async { until(stopped.clone()).await; time::sleep(GRACE).await } => return,
        };
        let pause = health.after(&result);
        let poked = async {
            // After a failure pokes change nothing: whatever was written waits for the same thing.
            if pause.is_some() || written.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = poked => {}
            () = time::sleep(pause.unwrap_or(sweep)) => {}
            () = until(stopped.clone()) => return,
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Whether it works, to log a change and not every attempt.
#[derive(Debug)]
struct Health {
    /// What fails, and the pause before the next attempt.
    failing: Option<(&'static str, Duration)>,
    longest: Duration,
}

impl Health {
    fn new(longest: Duration) -> Self {
        Self { failing: None, longest: longest.max(FIRST_PAUSE) }
    }

    /// The pause after this result, if it is a failure.
    fn after(&mut self, result: &Result<()>) -> Option<Duration> {
        match (result, self.failing) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                tracing::info!("events are published again");
                self.failing = None;
            }
            (Err(error), Some((part, pause))) if part == error.part() => {
                tracing::debug!(%error, "events are still not published");
                self.failing = Some((part, (pause * 2).min(self.longest)));
            }
            (Err(error), _) => {
                tracing::error!(%error, "events are not published; they wait, and it is tried again");
                self.failing = Some((error.part(), FIRST_PAUSE));
            }
        }
        self.failing.map(|(_, pause)| pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn pauses_double_up_to_that_of_a_breaker_and_success_ends_them() {
        let mut health = Health::new(Duration::from_secs(1));
        let failure = || Err(Error::Kafka("down".to_owned()));
        let pauses: Vec<_> = (0..6).map(|_| health.after(&failure()).unwrap().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(health.after(&Ok(())), None);
        assert_eq!(health.after(&failure()), Some(FIRST_PAUSE));
    }
}
