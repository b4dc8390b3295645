//! Chance that can be had again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `SplitMix64`: small, and good enough to choose what breaks next.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another one.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// Whether it is one of so many in a hundred.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A time of up to so many milliseconds.
    pub(crate) fn millis(&mut self, most: usize) -> Duration {
        Duration::from_millis(u64::try_from(self.below(most + 1)).unwrap())
    }

    /// Another one, whose numbers have nothing to do with those of this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

/// The seed of `OMS_FAULTS_SEED`, or a new one.
pub(crate) fn seed() -> u64 {
    number("OMS_FAULTS_SEED").unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// A number of the environment, for who looks for a fault.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number")))
}
