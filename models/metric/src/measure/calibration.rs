//! Given probabilities and what came true, how far can they be believed, and how
//! well do they tell the one from the other?

/// What was said and what happened, for probabilities that lie near one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    /// The mean of what was said.
    pub said: f64,
    /// The share that came true.
    pub came_true: f64,
    /// How many.
    pub count: usize,
}

/// Probabilities in order, cut into `bins` of equal size (to within one), each with
/// the share that came true. Fewer bins if there are not that many probabilities.
///
/// # Panics
/// If there is not one truth for each probability, or no bin.
pub fn reliability(probabilities: &[f64], truth: &[bool], bins: usize) -> Vec<ReliabilityBin> {
    assert_eq!(probabilities.len(), truth.len(), "one truth for each probability");
    assert!(bins > 0, "at least one bin");
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]).then(a.cmp(&b)));
    let bins = bins.min(order.len());
    (0..bins)
        .map(|b| {
            let bin = &order[b * order.len() / bins..(b + 1) * order.len() / bins];
            let mean = |of: &dyn Fn(usize) -> f64| {
                bin.iter().map(|&i| of(i)).sum::<f64>() / bin.len() as f64
            };
            ReliabilityBin {
                said: mean(&|i| probabilities[i]),
                came_true: mean(&|i| f64::from(u8::from(truth[i]))),
                count: bin.len(),
            }
        })
        .collect()
}

/// The expected calibration error: how far what was said is from what came true, the
/// mean over the bins weighted by their counts. In 0..=1; 0 for no bins.
pub fn calibration_error(bins: &[ReliabilityBin]) -> f64 {
    let all: usize = bins.iter().map(|b| b.count).sum();
    let off: f64 = bins.iter().map(|b| (b.said - b.came_true).abs() * b.count as f64).sum();
    if all == 0 { 0.0 } else { off / all as f64 }
}

/// The share of pairs of one that came true and one that did not in which the first
/// has the higher score; equal scores count half. `None` if there are no such pairs.
///
/// # Panics
/// If there is not one truth for each score.
pub fn area_under_roc(scores: &[f64], truth: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), truth.len(), "one truth for each score");
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut won, mut start) = (0usize, 0f64, 0usize);
    while start < order.len() {
        let score = scores[order[start]];
        let equal = order[start..].iter().take_while(|&&i| scores[i] == score).count();
        let tied = &order[start..start + equal];
        let yes = tied.iter().filter(|&&i| truth[i]).count();
        won += yes as f64 * (below as f64 + (equal - yes) as f64 / 2.0);
        below += equal - yes;
        start += equal;
    }
    let pairs = below * (order.len() - below);
    (pairs > 0).then(|| won / pairs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_worked_values() {
        // Pairs (yes, no): 0.9 beats both, 0.4 ties with one and loses to none but it.
        let auc = area_under_roc(&[0.9, 0.4, 0.4, 0.1], &[true, true, false, false]);
        assert_eq!(auc, Some(3.5 / 4.0));
        assert_eq!(area_under_roc(&[0.5; 6], &[true, false, true, false, true, false]), Some(0.5));
        assert_eq!(area_under_roc(&[0.1, 0.2], &[true, true]), None);

        let bins = reliability(&[0.1, 0.3, 0.8, 1.0], &[false, false, true, false], 2);
        assert_eq!(bins.len(), 2);
        assert_eq!((bins[0].came_true, bins[1].came_true), (0.0, 0.5));
        assert!((calibration_error(&bins) - (0.2 + 0.4) / 2.0).abs() < 1e-12);
        assert_eq!(calibration_error(&reliability(&[], &[], 15)), 0.0);
    }

    #[test]
    fn bins_hold_all_and_are_of_one_size() {
        let probabilities: Vec<f64> = (0..47).map(|i| f64::from((i * 13) % 47) / 47.0).collect();
        let truth: Vec<bool> = (0..47).map(|i| i % 3 == 0).collect();
        let bins = reliability(&probabilities, &truth, 15);
        assert_eq!(bins.iter().map(|b| b.count).sum::<usize>(), 47);
        assert!(bins.iter().all(|b| (3..=4).contains(&b.count)), "{bins:?}");
        assert!(bins.windows(2).all(|w| w[0].said <= w[1].said), "{bins:?}");
        assert_eq!(reliability(&probabilities[..2], &truth[..2], 15).len(), 2);
    }
}
