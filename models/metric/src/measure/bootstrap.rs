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
    let own: Vec<usize> = (0..values.len()).collect();
    bootstrap_mean_by(values, &own, resamples, level, seed)
}

/// The same for values that hang together: whole groups are drawn instead of single values,
/// as many as there are, and the mean is that of all values drawn.
///
/// # Shapes
/// `groups`: one entry a value, the number of its group; any numbers.
///
/// `None` as for [`bootstrap_mean`], and if the two are not of one length.
pub fn bootstrap_mean_by(
    values: &[f64],
    groups: &[usize],
    resamples: usize,
    level: f64,
    seed: u64,
) -> Option<Interval> {
    let wrong = values.is_empty() || values.len() != groups.len() || resamples == 0;
    if wrong || !(level > 0.0 && level < 1.0) {
        return None;
    }
    // Sum and number of values of each group, in the order of first appearance.
    let mut places = std::collections::HashMap::new();
    let mut sums: Vec<(f64, usize)> = vec![];
    for (&value, group) in values.iter().zip(groups) {
        let place = *places.entry(group).or_insert_with(|| {
            sums.push((0.0, 0));
            sums.len() - 1
        });
        sums[place].0 += value;
        sums[place].1 += 1;
    }
    let mut rng = Pcg64::seed_from_u64(seed);
    let n = sums.len();
    let mut means: Vec<f64> = (0..resamples)
        .map(|_| {
            let drawn = (0..n).map(|_| sums[rng.random_range(0..n)]);
            let (sum, count) = drawn.fold((0.0, 0), |(s, c), (sum, count)| (s + sum, c + count));
            sum / count as f64
        })
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
    fn values_that_hang_together_are_fewer_than_they_seem() {
        // 20 groups of 24 equal values: as if there were 20 values, by the same draws.
        let few: Vec<f64> = (0..20).map(|i| f64::from(i % 4 == 0)).collect();
        let many: Vec<f64> = few.iter().flat_map(|v| [*v; 24]).collect();
        let groups: Vec<usize> = (0..480).map(|i| 7 * (i / 24)).collect();
        let seen = bootstrap_mean_by(&many, &groups, 500, 0.95, 3).expect("values");
        assert_eq!(bootstrap_mean(&few, 500, 0.95, 3), Some(seen));
        let apart = bootstrap_mean(&many, 500, 0.95, 3).expect("values");
        assert!(apart.high - apart.low < (seen.high - seen.low) / 3.0, "{apart:?} {seen:?}");
        assert_eq!(bootstrap_mean_by(&[1.0], &[], 100, 0.95, 0), None);
    }

    #[test]
    fn values_that_do_not_vary_have_a_point() {
        let seen = bootstrap_mean(&[0.25; 9], 100, 0.95, 0);
        assert_eq!(seen, Some(Interval { low: 0.25, high: 0.25 }));
        assert_eq!(bootstrap_mean(&[], 100, 0.95, 0), None);
        assert_eq!(bootstrap_mean(&[1.0], 100, 1.0, 0), None);
    }
}
