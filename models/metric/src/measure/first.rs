//! Given which of the first hits are relevant, how good are they?

/// What the first hits of a ranking are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FirstHits {
    /// The share of all relevant ones that is among them, 0..=1.
    pub recall: f64,
    /// Normalised discounted cumulative gain with a gain of 1 for what is relevant, 0..=1: the
    /// best order of as many hits has 1.
    pub ndcg: f64,
}

impl FirstHits {
    /// Scores the first hits. `None` if nothing is relevant.
    ///
    /// # Shapes
    /// `hits`: one entry a hit, the best first, whether it is relevant. `relevant`: how many
    /// relevant ones there are, hit or not.
    ///
    /// # Source
    /// K. Järvelin, J. Kekäläinen: Cumulated Gain-based Evaluation of IR Techniques, TOIS 20(4), 2002;
    /// discounted by log2(rank + 1).
    pub fn new(hits: &[bool], relevant: usize) -> Option<Self> {
        if relevant == 0 {
            return None;
        }
        let gain = |rank: usize| 1.0 / (rank as f64 + 1.0).log2();
        let found = hits.iter().filter(|&&hit| hit).count();
        let gained: f64 =
            (1..).zip(hits).filter(|(_, hit)| **hit).map(|(rank, _)| gain(rank)).sum();
        let best: f64 = (1..=relevant.min(hits.len())).map(gain).sum();
        let ndcg = if best > 0.0 { gained / best } else { 0.0 };
        Some(Self { recall: found as f64 / relevant as f64, ndcg })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: (1 + 1/2) / (1 + 1/log2(3) + 1/2 + 1/log2(5)).
    #[test]
    fn the_gain_is_that_of_the_formula() {
        let seen = FirstHits::new(&[true, false, true, false, false], 4).expect("relevant ones");
        assert!((seen.ndcg - 0.585_570_074_988_152_5).abs() < 1e-12, "{seen:?}");
        assert_eq!(seen.recall, 0.5);
    }

    #[test]
    fn the_best_order_has_one_and_nothing_found_has_none() {
        let best = FirstHits::new(&[true, true, false], 2).expect("relevant ones");
        assert_eq!(best, FirstHits { recall: 1.0, ndcg: 1.0 });
        // More relevant ones than places: the gain can be full, the recall cannot.
        let full = FirstHits::new(&[true, true], 8).expect("relevant ones");
        assert_eq!(full, FirstHits { recall: 0.25, ndcg: 1.0 });
        assert_eq!(FirstHits::new(&[false; 3], 2), Some(FirstHits::default()));
        assert_eq!(FirstHits::new(&[], 2), Some(FirstHits::default()));
        assert_eq!(FirstHits::new(&[false], 0), None);
    }
}
