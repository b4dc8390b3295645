//! Circuit breakers (specification 16.4): what does not answer is left alone for a moment, so that nobody waits for it in
//! vain and it is not buried under calls when it comes back.
//!
//! Closed: every call goes through. After so many failures in a row it opens, and calls are rejected at once. When that
//! time is over it is half-open: one call at a time probes. A good one closes it, a bad one opens it again.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use failsafe::{
    Instrument, StateMachine, backoff,
    failure_policy::{self, ConsecutiveFailures},
};

use crate::config::Source;

/// Gauge, by dependency: 0 closed, 1 half-open, 2 open.
pub const STATE_METRIC: &str = "oms_circuit_breaker_state";

/// Counter, by dependency: calls that were not made.
pub const REJECTED_METRIC: &str = "oms_circuit_breaker_rejected_total";

const CLOSED: u8 = 0;
const HALF_OPEN: u8 = 1;
const OPEN: u8 = 2;

/// When a breaker opens, and for how long (specification 17.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// `CIRCUIT_BREAKER_FAILURES`: after so many failures in a row it opens.
    pub failures: u32,
    /// `CIRCUIT_BREAKER_OPEN_MS`: how long calls are rejected until one may probe.
    pub open: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, open: Duration::from_secs(1) }
    }
}

impl BreakerConfig {
    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let default = Self::default();
        let failures = source.parse("CIRCUIT_BREAKER_FAILURES", default.failures, "a number of failures");
        let open = source.millis("CIRCUIT_BREAKER_OPEN_MS", 1_000);
        if failures == 0 {
            source.problem("CIRCUIT_BREAKER_FAILURES: must be 1 or more");
        }
        // An open breaker is asked for again after an hour at most: longer is surely a slip.
        if open.is_zero() || open > Duration::from_secs(3_600) {
            source.problem("CIRCUIT_BREAKER_OPEN_MS: must be from 1 to 3600000");
        }
        Self { failures: failures.max(1), open: open.clamp(Duration::from_millis(1), Duration::from_secs(3_600)) }
    }
}

/// A call was rejected, since what it is for does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not answer: its circuit breaker is open")]
pub struct Open(pub &'static str);

/// The breaker of one dependency; a clone is the same breaker.
#[derive(Clone)]
pub struct Breaker {
    machine: StateMachine<ConsecutiveFailures<backoff::Constant>, Observer>,
    seen: Arc<Seen>,
}

/// What the state machine told, and what it does not know.
struct Seen {
    dependency: &'static str,
    state: AtomicU8,
    /// Whether a probe is under way.
    probing: AtomicBool,
    /// Whether the gauge is there: a recorder may be installed after the breaker is made.
    shown: AtomicBool,
}

#[derive(Clone)]
struct Observer(Arc<Seen>);

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Breaker").field(&self.seen.dependency).finish()
    }
}

impl Breaker {
    /// A closed breaker; the name is the label of its metrics.
    #[must_use]
    pub fn new(dependency: &'static str, config: BreakerConfig) -> Self {
        let (state, probing, shown) = (AtomicU8::new(CLOSED), AtomicBool::new(false), AtomicBool::new(false));
        let seen = Arc::new(Seen { dependency, state, probing, shown });
        let policy = failure_policy::consecutive_failures(config.failures, backoff::constant(config.open));
        Self { machine: StateMachine::new(policy, Observer(seen.clone())), seen }
    }

    /// Asks to make a call. What is admitted is told how it went; one that is dropped, as a cancelled call is, says nothing.
    ///
    /// # Errors
    ///
    /// [`Open`]: the call is not to be made.
    pub fn admit(&self) -> Result<Admission<'_>, Open> {
        self.permit().ok_or_else(|| {
            metrics::counter!(REJECTED_METRIC, "dependency" => self.seen.dependency).increment(1);
            Open(self.seen.dependency)
        })
    }

    /// For a call that has to be tried in any case; the breaker learns from it all the same.
    pub fn insist(&self) -> Admission<'_> {
        self.permit().unwrap_or(Admission { breaker: self, way: Way::Insisted })
    }

    /// Makes a call if it may be made. `is_outage` tells of an error whether nobody is there; whoever answers with another
    /// error is there.
    ///
    /// # Errors
    ///
    /// [`Open`]: it was not made.
    pub async fn call<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        is_outage: impl FnOnce(&E) -> bool,
    ) -> Result<Result<T, E>, Open> {
        let admission = self.admit()?;
        let result = work.await;
        match &result {
            Err(error) if is_outage(error) => admission.failed(),
            _ => admission.succeeded(),
        }
        Ok(result)
    }

    fn permit(&self) -> Option<Admission<'_>> {
        if !self.seen.shown.load(Ordering::Relaxed) {
            self.seen.shown.store(true, Ordering::Relaxed);
            self.seen.show();
        }
        if self.is_closed() {
            if !self.machine.is_call_permitted() {
                return None;
            }
            if self.is_closed() {
                return Some(Admission { breaker: self, way: Way::Closed });
            }
        }
        if self.seen.probing.swap(true, Ordering::AcqRel) {
            return None;
        }
        // Asked only now: the probe before may have failed meanwhile. Whoever is not permitted lets go of the probe again.
        let probe = Admission { breaker: self, way: Way::Probe };
        self.machine.is_call_permitted().then_some(probe)
    }

    /// Whether calls go through as ever. What it says may be a moment old.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.seen.state.load(Ordering::Acquire) == CLOSED
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Closed,
    Probe,
    Insisted,
}

/// A call that may be made. A dropped one has no verdict, and lets another probe.
#[derive(Debug)]
#[must_use = "the breaker learns nothing from a call without a verdict"]
pub struct Admission<'a> {
    breaker: &'a Breaker,
    way: Way,
}

impl Admission<'_> {
    /// Whether the breaker had nothing against the call.
    #[must_use]
    pub fn is_permitted(&self) -> bool {
        self.way != Way::Insisted
    }

    /// Somebody answered, if only with an error.
    pub fn succeeded(self) {
        self.breaker.machine.on_success();
    }

    /// Nobody answered.
    pub fn failed(self) {
        self.breaker.machine.on_error();
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.way == Way::Probe {
            self.breaker.seen.probing.store(false, Ordering::Release);
        }
    }
}

impl Seen {
    fn show(&self) {
        let state = f64::from(self.state.load(Ordering::Relaxed));
        metrics::gauge!(STATE_METRIC, "dependency" => self.dependency).set(state);
    }

    /// Notes a state; the one before.
    fn turn(&self, state: u8) -> u8 {
        let before = self.state.swap(state, Ordering::AcqRel);
        if before != state {
            self.show();
        }
        before
    }
}

impl Instrument for Observer {
    /// Not every attempt is rejected that the machine does not permit: see [`Breaker::insist`].
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        let dependency = self.0.dependency;
        // An outage is told of once, not with every probe.
        if self.0.turn(OPEN) == CLOSED {
            tracing::warn!(dependency, "a dependency does not answer: its circuit breaker opens");
        } else {
            tracing::debug!(dependency, "a probe failed");
        }
    }

    fn on_half_open(&self) {
        self.0.turn(HALF_OPEN);
    }

    fn on_closed(&self) {
        if self.0.turn(CLOSED) != CLOSED {
            tracing::info!(dependency = self.0.dependency, "a dependency answers again: its circuit breaker closes");
        }
    }
}

#[cfg(test)]
mod tests;
