//! Packs what has to be sent into as few calls as its order allows.

use std::ops::Range;

/// Cuts a sequence of sizes into runs, in order, none of more than `max_items` items or `max_bytes` bytes. An item that
/// alone is larger gets a run of its own: keep it out before.
pub(crate) fn pack(sizes: &[usize], max_items: usize, max_bytes: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (index, &size) in sizes.iter().enumerate() {
        if index > start && (index - start == max_items || bytes.saturating_add(size) > max_bytes) {
            runs.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes = bytes.saturating_add(size);
    }
    if start < sizes.len() {
        runs.push(start..sizes.len());
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{EVENTBRIDGE_MAX_BYTES, EVENTBRIDGE_MAX_ENTRIES};

    #[test]
    fn a_run_may_be_exactly_full() {
        assert_eq!(pack(&[5, 5, 1], 10, 10), [0..2, 2..3]);
        assert_eq!(pack(&[1; 20], 10, 1_000), [0..10, 10..20]);
        assert!(pack(&[], 10, 10).is_empty());
    }

    proptest! {
        #[test]
        fn order_is_kept_limits_are_respected_nothing_is_lost_and_runs_are_full(
            sizes in prop::collection::vec(prop_oneof![1..2_000_usize, 1..=EVENTBRIDGE_MAX_BYTES], 0..80),
        ) {
            let runs = pack(&sizes, EVENTBRIDGE_MAX_ENTRIES, EVENTBRIDGE_MAX_BYTES);
            let packed: Vec<usize> = runs.iter().cloned().flatten().collect();
            prop_assert_eq!(packed, (0..sizes.len()).collect::<Vec<_>>());
            for run in &runs {
                let bytes: usize = sizes[run.clone()].iter().sum();
                prop_assert!(!run.is_empty() && run.len() <= EVENTBRIDGE_MAX_ENTRIES && bytes <= EVENTBRIDGE_MAX_BYTES);
                if let Some(next) = sizes.get(run.end) {
                    prop_assert!(run.len() == EVENTBRIDGE_MAX_ENTRIES || bytes + next > EVENTBRIDGE_MAX_BYTES);
                }
            }
        }
    }
}
