//! Measuring two things against each other: A B, B A, A B, so that a machine that slows down slows both.

use anyhow::Result;

/// What rounds of both have measured, pair by pair.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs(Vec<(f64, f64)>);

/// Takes turns. A first round of each warms up and does not count.
pub(crate) async fn alternate(
    rounds: usize,
    mut ours: impl AsyncFnMut() -> Result<f64>,
    mut reference: impl AsyncFnMut() -> Result<f64>,
) -> Result<Pairs> {
    ours().await?;
    reference().await?;
    let mut pairs = Vec::with_capacity(rounds);
    for round in 0..rounds {
        pairs.push(if round % 2 == 0 {
            let ours = ours().await?;
            (ours, reference().await?)
        } else {
            let reference = reference().await?;
            (ours().await?, reference)
        });
    }
    Ok(Pairs(pairs))
}

impl Pairs {
    /// The median of ours.
    pub(crate) fn ours(&self) -> f64 {
        median(self.0.iter().map(|(ours, _)| *ours))
    }

    /// The median of the reference.
    pub(crate) fn reference(&self) -> f64 {
        median(self.0.iter().map(|(_, reference)| *reference))
    }

    /// The median of what each pair says: a change of the machine between pairs does not touch it.
    pub(crate) fn ratio(&self) -> f64 {
        median(self.0.iter().map(|(ours, reference)| ours / reference))
    }

    /// How far the middle half of ours lies apart, as a part of the median.
    pub(crate) fn spread(&self) -> f64 {
        let sorted = sorted(self.0.iter().map(|(ours, _)| *ours));
        (quantile(&sorted, 0.75) - quantile(&sorted, 0.25)) / quantile(&sorted, 0.5)
    }
}

/// The middle of these values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&sorted(values), 0.5)
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Between two values it is what lies between them.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are not that many measurements"
)]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = part * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_ratio_is_that_of_pairs_and_a_slow_spell_does_not_change_it() {
        let ours = [100.0, 10.0, 10.0, 90.0, 10.0, 30.0].into_iter();
        let reference = [1.0, 5.0, 5.0, 45.0, 5.0, 10.0].into_iter();
        let (mut ours, mut reference) = (ours, reference);
        let pairs =
            alternate(5, async || Ok(ours.next().unwrap()), async || Ok(reference.next().unwrap())).await.unwrap();
        assert_eq!((pairs.ours(), pairs.reference(), pairs.ratio()), (10.0, 5.0, 2.0));
        assert_eq!(pairs.spread(), 2.0);
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }
}
