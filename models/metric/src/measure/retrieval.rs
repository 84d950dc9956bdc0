//! Given vectors of two sides and what belongs together, how well is one found
//! by the other?

use std::collections::BTreeMap;

use ndarray::{ArrayView2, Axis, s};

use super::{QueryScore, Relevance, score_query};

/// Recall, ranks and precision of one direction of retrieval. Fractions are in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrievalScore {
    /// Queries counted.
    pub queries: usize,
    /// Queries left out, because nothing is relevant to them.
    pub lone: usize,
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
    /// Mean rank of the best relevant item, from 1.
    pub mean_rank: f64,
    /// Mean of 1 / rank of the best relevant item.
    pub mean_reciprocal_rank: f64,
    /// Mean average precision.
    pub mean_average_precision: f64,
    /// Mean average precision with each ranking cut after R, its number of relevant items.
    pub mean_average_precision_at_r: f64,
    /// Mean share of relevant items among the first R.
    pub r_precision: f64,
}

impl RetrievalScore {
    /// The means over queries; `None` for a query that nothing is relevant to.
    ///
    /// `None` if there is no query left: a mean over nothing is no number.
    pub fn new(scores: &[Option<QueryScore>], candidates: usize) -> Option<Self> {
        let counted: Vec<QueryScore> = scores.iter().copied().flatten().collect();
        let mut ranks: Vec<usize> = counted.iter().map(|s| s.rank).collect();
        ranks.sort_unstable();
        let n = ranks.len();
        let mean = |of: &dyn Fn(&QueryScore) -> f64| counted.iter().map(of).sum::<f64>() / n as f64;
        let below = |k: usize| ranks.partition_point(|&r| r < k) as f64 / n as f64;
        // The median of an even number of ranks is the mean of the middle two, floored.
        let median = usize::midpoint(*ranks.get(n.checked_sub(1)? / 2)?, *ranks.get(n / 2)?);
        Some(Self {
            queries: n,
            lone: scores.len() - n,
            candidates,
            recall_at_1: below(1),
            recall_at_5: below(5),
            recall_at_10: below(10),
            median_rank: median + 1,
            mean_rank: mean(&|s| (s.rank + 1) as f64),
            mean_reciprocal_rank: mean(&QueryScore::reciprocal_rank),
            mean_average_precision: mean(&|s| s.average_precision),
            mean_average_precision_at_r: mean(&|s| s.average_precision_at_r),
            r_precision: mean(&|s| s.r_precision),
        })
    }

    /// The sum of the three recalls, in percent (0..=300).
    pub fn recall_sum(&self) -> f64 {
        100.0 * (self.recall_at_1 + self.recall_at_5 + self.recall_at_10)
    }
}

/// Scores held at once: 64 MiB of them.
const HELD: usize = 1 << 24;

/// Scores every query by inner product (the cosine of unit vectors), a block of
/// queries at a time; nothing is approximated.
///
/// # Shapes
/// `queries`: q × d, `candidates`: c × d; gives q entries, `None` where nothing
/// is relevant.
///
/// # Panics
/// If the widths differ, or the numbers of rows are not those of `relevance`.
pub fn retrieve(
    queries: ArrayView2<'_, f32>,
    candidates: ArrayView2<'_, f32>,
    relevance: &Relevance,
) -> Vec<Option<QueryScore>> {
    assert_eq!(queries.nrows(), relevance.queries(), "one relevance set a query");
    assert_eq!(candidates.nrows(), relevance.candidates(), "candidates of the relevance");
    let block = (HELD / candidates.nrows().max(1)).clamp(1, 1024);
    let mut scored = Vec::with_capacity(queries.nrows());
    for (b, rows) in queries.axis_chunks_iter(Axis(0), block).enumerate() {
        let scores = rows.dot(&candidates.t());
        for (i, row) in scores.outer_iter().enumerate() {
            let query = b * block + i;
            let row = row.slice(s![..]).to_vec();
            scored.push(score_query(&row, relevance.of(query), relevance.itself(query)));
        }
    }
    scored
}

/// The mean of `values` within each class, then over classes: rare classes count
/// as much as frequent ones. Queries without a value are left out.
///
/// `None` if there is no value at all.
///
/// # Shapes
/// `values` and `classes`: one entry a query.
pub fn class_means(values: &[Option<f64>], classes: &[usize]) -> Option<f64> {
    let mut sums: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for (value, &class) in values.iter().zip(classes) {
        if let Some(value) = value {
            let (sum, n) = sums.entry(class).or_default();
            *sum += value;
            *n += 1;
        }
    }
    let classes = sums.len();
    (classes > 0)
        .then(|| sums.values().map(|(sum, n)| sum / *n as f64).sum::<f64>() / classes as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::measure::rank;

    #[test]
    fn a_hand_worked_example() {
        // Three queries over four candidates; relevant are {0}, {1, 3}, {2}.
        let scores = [[0.9, 0.8, 0.1, 0.0], [0.7, 0.2, 0.9, 0.6], [0.3, 0.3, 0.3, 0.4]];
        let relevant: [&[usize]; 3] = [&[0], &[1, 3], &[2]];
        let seen: Vec<_> =
            scores.iter().zip(relevant).map(|(s, r)| score_query(s, r, None)).collect();
        // 1st: nothing beats 0.9. 2nd: best relevant 0.6, beaten by 0.9 and 0.7.
        // 3rd: 0.3 is beaten by 0.4 and tied by two others.
        assert_eq!(seen.iter().flatten().map(|s| s.rank).collect::<Vec<_>>(), [0, 2, 3]);
        let score = RetrievalScore::new(&seen, 4).expect("three queries");
        assert_eq!(score.recall_at_1, 1.0 / 3.0);
        assert_eq!(score.recall_at_5, 1.0);
        assert_eq!((score.median_rank, score.queries, score.lone), (3, 3, 0));
        assert!((score.mean_rank - (1.0 + 3.0 + 4.0) / 3.0).abs() < 1e-12);
        assert!((score.mean_reciprocal_rank - (1.0 + 1.0 / 3.0 + 0.25) / 3.0).abs() < 1e-12);
        // 2nd: places 3 and 4 → (1/3 + 2/4) / 2.
        let expected = (1.0 + (1.0 / 3.0 + 0.5) / 2.0 + 0.25) / 3.0;
        assert!((score.mean_average_precision - expected).abs() < 1e-12);
    }

    #[test]
    fn a_constant_encoder_scores_nothing_and_a_perfect_one_all() {
        let labels: Vec<usize> = (0..20).collect();
        let relevance = Relevance::of_labels(&labels, &labels);
        let constant = Array2::<f32>::from_elem((20, 37), 0.164_398_99);
        let score = retrieve(constant.view(), constant.view(), &relevance);
        let score = RetrievalScore::new(&score, 20).expect("queries");
        assert_eq!((score.recall_sum(), score.median_rank), (0.0, 20));
        let perfect = Array2::<f32>::eye(20);
        let score = retrieve(perfect.view(), perfect.view(), &relevance);
        let score = RetrievalScore::new(&score, 20).expect("queries");
        assert_eq!((score.recall_sum(), score.median_rank, score.r_precision), (300.0, 1, 1.0));
    }

    #[test]
    fn blocks_and_the_whole_agree() {
        let mut rng = Pcg64::seed_from_u64(7);
        let mut draw =
            |rows: usize| Array2::from_shape_fn((rows, 9), |_| rng.random_range(-1f32..1.0));
        // More queries than one block holds.
        let (queries, candidates) = (draw(2100), draw(30));
        let sets = (0..2100).map(|q| if q % 5 == 0 { vec![] } else { vec![q % 30, (q * 7) % 30] });
        let relevance = Relevance::new(sets.collect(), 30).expect("valid");
        let seen = retrieve(queries.view(), candidates.view(), &relevance);
        for (q, seen) in seen.iter().enumerate() {
            let scores: Vec<f32> =
                candidates.outer_iter().map(|c| queries.row(q).dot(&c)).collect();
            let expected = rank(&scores, |c| relevance.of(q).contains(&c));
            assert_eq!(seen.map(|s| s.rank), expected, "query {q}");
        }
        let score = RetrievalScore::new(&seen, 30).expect("queries");
        assert_eq!((score.lone, score.queries), (420, 1680));
    }

    #[test]
    fn items_among_themselves_do_not_find_themselves() {
        let vectors = array![[1f32, 0.0], [0.9, 0.1], [0.0, 1.0]];
        let relevance = Relevance::within(&["a", "a", "b"]);
        let seen = retrieve(vectors.view(), vectors.view(), &relevance);
        assert_eq!(
            seen.iter().map(|s| s.map(|s| s.rank)).collect::<Vec<_>>(),
            [Some(0), Some(0), None]
        );
    }

    #[test]
    fn even_medians_are_floored_and_nothing_is_no_score() {
        let of = |ranks: &[usize]| {
            let scores: Vec<_> = ranks
                .iter()
                .map(|&rank| {
                    let p = 1.0 / (rank + 1) as f64;
                    Some(QueryScore {
                        rank,
                        average_precision: p,
                        average_precision_at_r: 0.0,
                        r_precision: 0.0,
                    })
                })
                .collect();
            RetrievalScore::new(&scores, 10)
        };
        assert_eq!(of(&[0, 1, 4, 9]).map(|s| s.median_rank), Some(3));
        assert_eq!(of(&[9, 0]).map(|s| s.median_rank), Some(5));
        assert_eq!(of(&[]), None);
        assert_eq!(RetrievalScore::new(&[None, None], 10), None);
    }

    #[test]
    fn rare_classes_count_as_much() {
        let values = [Some(1.0), Some(1.0), Some(1.0), Some(0.0), None];
        assert_eq!(class_means(&values, &[0, 0, 0, 1, 2]), Some(0.5));
        assert_eq!(class_means(&[None], &[0]), None);
    }
}
