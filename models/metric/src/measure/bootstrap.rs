//! Given one number a query, how far may their mean be from what other queries
//! would have given?

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// A percentile interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The percentile bootstrap interval of the mean: queries are drawn with
/// replacement, `resamples` times; the ends are the (1 ± level)/2 quantiles of
/// the means, interpolated. Equal seeds give equal intervals.
///
/// It says how much the *queries* vary, not the training runs.
///
/// `None` without values or resamples, or for a level outside 0..1.
pub fn bootstrap_mean(values: &[f64], resamples: usize, level: f64, seed: u64) -> Option<Interval> {
    if values.is_empty() || resamples == 0 || !(level > 0.0 && level < 1.0) {
        return None;
    }
    let mut rng = Pcg64::seed_from_u64(seed);
    let n = values.len();
    let mut means: Vec<f64> = (0..resamples)
        .map(|_| (0..n).map(|_| values[rng.random_range(0..n)]).sum::<f64>() / n as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        let at = q * (means.len() - 1) as f64;
        let (low, part) = (at.floor() as usize, at.fract());
        let high = (low + 1).min(means.len() - 1);
        means[low] * (1.0 - part) + means[high] * part
    };
    Some(Interval { low: quantile((1.0 - level) / 2.0), high: quantile((1.0 + level) / 2.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_share_is_near_that_of_the_normal_distribution() {
        // 481 queries, 17 % found: standard error √(p(1−p)/n) = 1.71 points.
        let values: Vec<f64> = (0..481).map(|i| if i < 82 { 1.0 } else { 0.0 }).collect();
        let p = 82.0 / 481.0;
        let error = (p * (1.0 - p) / 481f64).sqrt();
        let seen = bootstrap_mean(&values, 4000, 0.95, 1).expect("values");
        assert!((seen.low - (p - 1.96 * error)).abs() < 0.004, "{seen:?}");
        assert!((seen.high - (p + 1.96 * error)).abs() < 0.004, "{seen:?}");
        assert_eq!(bootstrap_mean(&values, 4000, 0.95, 1), Some(seen), "seeded");
        assert_ne!(bootstrap_mean(&values, 4000, 0.95, 2), Some(seen));
    }

    #[test]
    fn values_that_do_not_vary_have_a_point() {
        let seen = bootstrap_mean(&[0.25; 9], 100, 0.95, 0);
        assert_eq!(seen, Some(Interval { low: 0.25, high: 0.25 }));
        assert_eq!(bootstrap_mean(&[], 100, 0.95, 0), None);
        assert_eq!(bootstrap_mean(&[1.0], 100, 1.0, 0), None);
    }
}
