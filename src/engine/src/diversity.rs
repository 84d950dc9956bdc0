//! Given hits in the order of how well they fit, in which order does each also show something
//! that those before it do not?

use ekphrasis_embed::dot;

/// The order of maximal marginal relevance, as positions among the given: next comes always who
/// has the most of `(1 − diversity) · fit − diversity · likeness`, where `fit` is the score,
/// scaled over the given ones so that the best has 1 and the worst 0, and `likeness` the largest
/// cosine to one that came before. Ties go to the earlier one. With a diversity of 0 the order is
/// that of the scores.
///
/// Scores are scaled because a fused score, BM25 and a cosine between words and pictures are
/// none of them on the scale of cosines between pictures.
///
/// # Shapes
/// `scores` and `vectors`: one entry a hit, scores descending; unit vectors, `None` where there
/// is none: such a hit is like nothing. `diversity` in 0..=1: 1 − λ of the paper.
///
/// # Source
/// J. Carbonell, J. Goldstein: The Use of MMR, Diversity-Based Reranking for Reordering Documents
/// and Producing Summaries, SIGIR 1998.
pub(crate) fn marginal_relevance(
    scores: &[f32],
    vectors: &[Option<&[f32]>],
    diversity: f32,
) -> Vec<usize> {
    let (best, worst) = (scores.first().copied(), scores.last().copied());
    let span = best.zip(worst).map_or(0.0, |(best, worst)| best - worst);
    let fit = |i: usize| match worst {
        Some(worst) if span > 0.0 => (scores[i] - worst) / span,
        _ => 1.0,
    };
    let mut left: Vec<usize> = (0..scores.len()).collect();
    let mut likeness: Vec<Option<f32>> = vec![None; scores.len()];
    let mut order = Vec::with_capacity(scores.len());
    while !left.is_empty() {
        let worth =
            |i: usize| (1.0 - diversity) * fit(i) - diversity * likeness[i].unwrap_or_default();
        let mut next = 0;
        for at in 1..left.len() {
            if worth(left[at]).total_cmp(&worth(left[next])).is_gt() {
                next = at;
            }
        }
        let chosen = left.remove(next);
        order.push(chosen);
        for &i in &left {
            if let (Some(a), Some(b)) = (vectors[chosen], vectors[i]) {
                let cosine = dot(a, b);
                likeness[i] = Some(likeness[i].map_or(cosine, |known| known.max(cosine)));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition: every value anew for every step.
    fn brute(scores: &[f32], vectors: &[Vec<f32>], diversity: f32) -> Vec<usize> {
        let (best, worst) = (scores[0], scores[scores.len() - 1]);
        let fit = |i: usize| if best > worst { (scores[i] - worst) / (best - worst) } else { 1.0 };
        let mut order: Vec<usize> = vec![];
        while order.len() < scores.len() {
            let worth = |i: usize| {
                let like = order.iter().map(|&j| dot(&vectors[j], &vectors[i])).reduce(f32::max);
                (1.0 - diversity) * fit(i) - diversity * like.unwrap_or_default()
            };
            let left = (0..scores.len()).filter(|i| !order.contains(i));
            // The last of equals, over a reversed walk: the first.
            let next = left.rev().max_by(|&a, &b| worth(a).total_cmp(&worth(b)));
            order.extend(next);
        }
        order
    }

    fn unit(values: &[f32]) -> Vec<f32> {
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
        values.iter().map(|v| v / norm).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            // Few different numbers, so that there are ties.
            cells in prop::collection::vec((0u8..6, prop::array::uniform3(-2i8..3)), 1..24),
            diversity in prop::sample::select(vec![0.0f32, 0.2, 0.5, 0.9, 1.0]),
        ) {
            let mut scores: Vec<f32> = cells.iter().map(|c| f32::from(c.0)).collect();
            scores.sort_by(|a, b| b.total_cmp(a));
            let vectors: Vec<Vec<f32>> =
                cells.iter().map(|c| unit(&c.1.map(f32::from))).collect();
            let given: Vec<Option<&[f32]>> = vectors.iter().map(|v| Some(v.as_slice())).collect();
            let order = marginal_relevance(&scores, &given, diversity);
            prop_assert_eq!(&order, &brute(&scores, &vectors, diversity));
            if diversity == 0.0 {
                prop_assert_eq!(order, (0..scores.len()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_copy_waits_until_something_else_was_shown() {
        let (x, y) = ([1.0f32, 0.0], [0.0, 1.0]);
        let vectors = [Some(&x[..]), Some(&x[..]), Some(&y[..]), None];
        assert_eq!(marginal_relevance(&[1.0, 0.9, 0.5, 0.1], &vectors, 0.5), [0, 2, 3, 1]);
        assert_eq!(marginal_relevance(&[], &[], 0.5), [0usize; 0]);
    }
}
