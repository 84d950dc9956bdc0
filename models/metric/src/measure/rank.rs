//! Given one query's scores, where do the relevant candidates stand? Without a
//! sort of the candidates, exact, ties and NaN counted against us.

use std::cmp::Ordering;

/// The 0-based rank of the best relevant candidate: how many candidates that
/// are not relevant score at least as much (or NaN).
///
/// `None` if nothing is relevant.
///
/// # Shapes
/// `scores` and `relevant`: one entry a candidate.
///
/// ```
/// use ekphrasis_metric::measure::rank;
/// assert_eq!(rank(&[0.9, 0.5, 0.7], |c| c == 2), Some(1));
/// // A tie counts against us:
/// assert_eq!(rank(&[0.5, 0.5, 0.5], |c| c == 0), Some(2));
/// ```
pub fn rank(scores: &[f32], relevant: impl Fn(usize) -> bool) -> Option<usize> {
    let best =
        (0..scores.len()).filter(|&c| relevant(c)).map(|c| known(scores[c])).reduce(f32::max)?;
    Some((0..scores.len()).filter(|&c| !relevant(c) && reaches(scores[c], best)).count())
}

/// A relevant candidate without a number stands behind all others.
fn known(score: f32) -> f32 {
    if score.is_nan() { f32::NEG_INFINITY } else { score }
}

/// Whether a candidate that is not relevant stands before or beside a relevant
/// one of score `other`: as high, or no number at all.
fn reaches(score: f32, other: f32) -> bool {
    score.partial_cmp(&other) != Some(Ordering::Less)
}

/// What one query says of a ranking. Every relevant candidate is placed behind
/// all others of its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryScore {
    /// 0-based rank of the best relevant candidate, as [`rank`] gives it.
    pub rank: usize,
    /// Average precision: Σ_k precision(k) · relevant(k) / R, in 0..=1.
    pub average_precision: f64,
    /// The same with the ranking cut after R, the number of relevant ones.
    pub average_precision_at_r: f64,
    /// Share of relevant ones among the first R.
    pub r_precision: f64,
}

impl QueryScore {
    /// 1 / (rank + 1).
    pub fn reciprocal_rank(&self) -> f64 {
        1.0 / (self.rank + 1) as f64
    }
}

/// Scores one query.
///
/// `None` if nothing is relevant.
///
/// # Shapes
/// `scores`: one entry a candidate. `relevant`: positions in it, ascending, each
/// once. `skipped`: the position of the query itself, if it is a candidate; it
/// must not be in `relevant`.
///
/// # Panics
/// If a position is out of range.
pub fn score_query(
    scores: &[f32],
    relevant: &[usize],
    skipped: Option<usize>,
) -> Option<QueryScore> {
    if relevant.is_empty() {
        return None;
    }
    // Ascending, so that one binary search says how many relevant ones a candidate beats.
    let mut own: Vec<f32> = relevant.iter().map(|&c| known(scores[c])).collect();
    own.sort_by(f32::total_cmp);
    let mut beaten = vec![0usize; own.len() + 1];
    let mut next = relevant.iter().copied().peekable();
    for (c, &score) in scores.iter().enumerate() {
        if next.next_if_eq(&c).is_some() || skipped == Some(c) {
            continue;
        }
        let count = if score.is_nan() { own.len() } else { own.partition_point(|&o| o <= score) };
        beaten[count] += 1;
    }
    // `ahead` of the i-th best relevant one: candidates that beat all but the i better ones.
    let total = own.len();
    let (mut ahead, mut first) = (0usize, None);
    let (mut precision, mut precision_at_r, mut within_r) = (0.0, 0.0, 0usize);
    for i in 0..total {
        ahead += beaten[total - i];
        first.get_or_insert(ahead);
        let place = ahead + i + 1;
        let at = (i + 1) as f64 / place as f64;
        precision += at;
        if place <= total {
            precision_at_r += at;
            within_r += 1;
        }
    }
    Some(QueryScore {
        rank: first?,
        average_precision: precision / total as f64,
        average_precision_at_r: precision_at_r / total as f64,
        r_precision: within_r as f64 / total as f64,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition: sort, others before relevant ones of the same score.
    fn brute(scores: &[f32], relevant: &[usize]) -> QueryScore {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| {
            let key = |c: usize| (relevant.contains(&c), c);
            scores[b].total_cmp(&scores[a]).then(key(a).cmp(&key(b)))
        });
        let hits: Vec<usize> = (0..order.len()).filter(|&k| relevant.contains(&order[k])).collect();
        let total = relevant.len() as f64;
        let precision = |k: usize| {
            (0..=k).filter(|&j| relevant.contains(&order[j])).count() as f64 / (k + 1) as f64
        };
        let within: Vec<usize> = hits.iter().copied().filter(|&k| k < relevant.len()).collect();
        QueryScore {
            rank: hits[0],
            average_precision: hits.iter().map(|&k| precision(k)).sum::<f64>() / total,
            average_precision_at_r: within.iter().map(|&k| precision(k)).sum::<f64>() / total,
            r_precision: within.len() as f64 / total,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_sorting(
            cells in prop::collection::vec((0u8..6, any::<bool>()), 1..40)
        ) {
            // Few different scores, so that there are ties.
            let scores: Vec<f32> = cells.iter().map(|c| f32::from(c.0)).collect();
            let relevant: Vec<usize> = (0..cells.len()).filter(|&c| cells[c].1).collect();
            let seen = score_query(&scores, &relevant, None);
            if relevant.is_empty() {
                prop_assert_eq!(seen, None);
            } else {
                let (seen, expected) = (seen.expect("scored"), brute(&scores, &relevant));
                prop_assert_eq!(seen.rank, expected.rank);
                prop_assert_eq!(rank(&scores, |c| relevant.contains(&c)), Some(seen.rank));
                for (a, b) in [
                    (seen.average_precision, expected.average_precision),
                    (seen.average_precision_at_r, expected.average_precision_at_r),
                    (seen.r_precision, expected.r_precision),
                ] {
                    prop_assert!((a - b).abs() < 1e-12, "{a} {b}");
                }
            }
        }
    }

    /// ```python
    /// from sklearn.metrics import average_precision_score
    /// average_precision_score([1,0,1,0,0,1], [.9,.8,.7,.6,.5,.4])  # 0.7222222222222222
    /// ```
    #[test]
    fn average_precision_without_ties_is_that_of_scikit_learn() {
        let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
        let seen = score_query(&scores, &[0, 2, 5], None).expect("scored");
        assert!((seen.average_precision - 0.722_222_222_222_222_2).abs() < 1e-15);
        assert_eq!(seen.r_precision, 2.0 / 3.0);
        assert!((seen.average_precision_at_r - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
        assert_eq!(seen.reciprocal_rank(), 1.0);
    }

    #[test]
    fn a_model_that_breaks_down_scores_nothing() {
        let nan = [f32::NAN; 4];
        assert_eq!(rank(&nan, |c| c == 0), Some(3));
        assert_eq!(score_query(&nan, &[0, 1], None).expect("scored").rank, 2);
        let mixed = [f32::NAN, 0.5, 0.1];
        assert_eq!(rank(&mixed, |c| c == 1), Some(1), "the NaN of another counts as ahead");
        assert_eq!(rank(&mixed, |c| c == 0), Some(2), "its own NaN counts as last");
    }

    #[test]
    fn the_query_itself_is_no_candidate() {
        let scores = [1.0, 0.4, 0.6];
        assert_eq!(score_query(&scores, &[2], None).expect("scored").rank, 1);
        assert_eq!(score_query(&scores, &[2], Some(0)).expect("scored").rank, 0);
    }

    #[test]
    fn nothing_relevant_is_no_rank() {
        assert_eq!(rank(&[0.1, 0.2], |_| false), None);
        assert_eq!(score_query(&[0.1, 0.2], &[], None), None);
    }
}
