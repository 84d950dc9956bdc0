//! Given similarities and what is relevant, how good is a retrieval? Ranks that
//! count ties against us, so that a constant encoder scores nothing.

/// Recall and ranks of one direction of retrieval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrievalScore {
    /// Queries counted.
    pub queries: usize,
    /// Candidates each query was ranked over.
    pub candidates: usize,
    /// Fraction of queries with a relevant item ranked first.
    pub recall_at_1: f64,
    /// … among the first five.
    pub recall_at_5: f64,
    /// … among the first ten.
    pub recall_at_10: f64,
    /// Median rank of the best relevant item, from 1: `floor(median of 0-based ranks) + 1`.
    pub median_rank: usize,
}

impl RetrievalScore {
    /// From 0-based ranks, one a query.
    ///
    /// # Panics
    /// If there are no ranks: a score over nothing is a bug of the caller.
    pub fn from_ranks(mut ranks: Vec<usize>, candidates: usize) -> Self {
        assert!(!ranks.is_empty(), "no queries to score");
        ranks.sort_unstable();
        let n = ranks.len();
        let below = |k: usize| ranks.partition_point(|&r| r < k) as f64 / n as f64;
        // The median of an even number of ranks is the mean of the middle two, floored.
        let median = usize::midpoint(ranks[(n - 1) / 2], ranks[n / 2]);
        Self {
            queries: n,
            candidates,
            recall_at_1: below(1),
            recall_at_5: below(5),
            recall_at_10: below(10),
            median_rank: median + 1,
        }
    }

    /// The sum of the three recalls, in percent.
    pub fn recall_sum(&self) -> f64 {
        100.0 * (self.recall_at_1 + self.recall_at_5 + self.recall_at_10)
    }
}

/// The 0-based rank of the best relevant candidate: how many candidates that
/// are not relevant score at least as much. Without a sort; exact.
///
/// `None` if nothing is relevant.
///
/// # Shapes
/// `scores` and `relevant`: one entry a candidate.
///
/// ```
/// use ekphrasis_engine::eval::rank;
/// assert_eq!(rank(&[0.9, 0.5, 0.7], |c| c == 2), Some(1));
/// // A tie counts against us:
/// assert_eq!(rank(&[0.5, 0.5, 0.5], |c| c == 0), Some(2));
/// ```
pub fn rank(scores: &[f32], relevant: impl Fn(usize) -> bool) -> Option<usize> {
    let best =
        (0..scores.len()).filter(|&c| relevant(c)).map(|c| scores[c]).max_by(f32::total_cmp)?;
    Some((0..scores.len()).filter(|&c| !relevant(c) && scores[c] >= best).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_worked_example() {
        // Three queries over four candidates; relevant are {0}, {1, 3}, {2}.
        let scores = [[0.9, 0.8, 0.1, 0.0], [0.7, 0.2, 0.9, 0.6], [0.3, 0.3, 0.3, 0.4]];
        let relevant: [&[usize]; 3] = [&[0], &[1, 3], &[2]];
        let ranks: Vec<usize> =
            scores.iter().zip(relevant).filter_map(|(s, r)| rank(s, |c| r.contains(&c))).collect();
        // 1st: nothing beats 0.9. 2nd: best relevant 0.6, beaten by 0.9 and 0.7.
        // 3rd: 0.3 is beaten by 0.4 and tied by two others.
        assert_eq!(ranks, [0, 2, 3]);
        let score = RetrievalScore::from_ranks(ranks, 4);
        assert_eq!(score.recall_at_1, 1.0 / 3.0);
        assert_eq!(score.recall_at_5, 1.0);
        assert_eq!(score.median_rank, 3);
        assert_eq!(score.queries, 3);
    }

    #[test]
    fn a_perfect_encoder_scores_all() {
        let ranks: Vec<usize> = (0..20)
            .filter_map(|q| {
                let scores: Vec<f32> = (0..20).map(|c| if c == q { 1.0 } else { 0.2 }).collect();
                rank(&scores, |c| c == q)
            })
            .collect();
        let score = RetrievalScore::from_ranks(ranks, 20);
        assert_eq!(score.recall_sum(), 300.0);
        assert_eq!(score.median_rank, 1);
    }

    #[test]
    fn a_constant_encoder_scores_nothing() {
        let ranks: Vec<usize> = (0..20).filter_map(|q| rank(&[0.5; 20], |c| c == q)).collect();
        let score = RetrievalScore::from_ranks(ranks, 20);
        assert_eq!(score.recall_sum(), 0.0);
        assert_eq!(score.median_rank, 20);
    }

    #[test]
    fn even_medians_are_floored() {
        assert_eq!(RetrievalScore::from_ranks(vec![0, 1, 4, 9], 10).median_rank, 3);
        assert_eq!(RetrievalScore::from_ranks(vec![9, 0], 10).median_rank, 5);
    }

    #[test]
    fn nothing_relevant_is_no_rank() {
        assert_eq!(rank(&[0.1, 0.2], |_| false), None);
    }
}
