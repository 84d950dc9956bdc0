//! Given a query, how would pictures score that have nothing to do with it? Scores of
//! a fixed set of them, sorted, answer for a library of any size.

use ekphrasis_embed::dot;

/// Vectors of pictures that stand for any other library.
#[derive(Clone, Debug)]
pub struct Background {
    dim: usize,
    rows: Vec<f32>,
}

/// The scores of the background for one query, the highest first.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    sorted: Vec<f32>,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

/// The scores by which the tail beyond the background is judged.
const TAIL: usize = 20;

impl Background {
    /// Takes vectors of unit length, `dim` numbers each.
    ///
    /// # Panics
    /// If there are not whole rows, or fewer than 100.
    pub fn new(dim: usize, rows: Vec<f32>) -> Self {
        assert!(dim > 0 && rows.len().is_multiple_of(dim), "whole rows");
        assert!(rows.len() / dim >= 5 * TAIL, "enough for a tail");
        Self { dim, rows }
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.rows.len() / self.dim
    }

    /// Never: there are at least a hundred.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What the background scores for a query of unit length.
    pub(crate) fn expected(&self, query: &[f32]) -> Expected {
        let scores: Vec<f32> = self.rows.chunks_exact(self.dim).map(|r| dot(r, query)).collect();
        Expected::of(scores)
    }
}

impl Expected {
    pub(crate) fn of(mut sorted: Vec<f32>) -> Self {
        let n = sorted.len() as f64;
        let mean = sorted.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
        let square = sorted.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / n;
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        Self { sorted, mean, deviation: square.sqrt().max(1e-6) }
    }

    /// The mean of the best `count` scores of a library of `size` such pictures. Where
    /// that is less than one picture of the background, its tail is taken to fall
    /// exponentially.
    pub(crate) fn best(&self, count: usize, size: usize) -> f64 {
        let wanted = (count as f64 / size.max(1) as f64).min(1.0) * self.sorted.len() as f64;
        if wanted < 1.0 {
            let tail = self.sorted[..TAIL].iter().map(|&s| f64::from(s)).sum::<f64>() / TAIL as f64;
            let fall = tail - f64::from(self.sorted[TAIL - 1]);
            return f64::from(self.sorted[0]) - fall * wanted.ln();
        }
        let whole = wanted.floor() as usize;
        let sum: f64 = self.sorted[..whole].iter().map(|&s| f64::from(s)).sum();
        let part = self.sorted.get(whole).map_or(0.0, |&s| f64::from(s) * wanted.fract());
        (sum + part) / wanted
    }

    /// How many of a library of `size` such pictures would score at least `score`; over
    /// 0, since the background is only a sample.
    pub(crate) fn at_least(&self, score: f32, size: usize) -> f64 {
        let here = self.sorted.partition_point(|&s| s >= score);
        (here as f64 + 0.5) * size.max(1) as f64 / self.sorted.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hundred() -> Expected {
        // 0.99, 0.98, … 0.00
        Expected::of((0..100).map(|i| i as f32 / 100.0).collect())
    }

    #[test]
    fn the_best_of_a_library_follow_from_those_of_the_background() {
        let e = hundred();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} for {b}");
        // A library of the same size has the same best; of half the size every second.
        near(e.best(1, 100), 0.99);
        near(e.best(3, 100), 0.98);
        near(e.best(1, 50), 0.985);
        near(e.best(100, 100), 0.495);
        // All of a library smaller than was asked for: the mean.
        near(e.best(10, 4), 0.495);
        // Of a larger one the best are better, ever more slowly.
        let (one, ten, hundred) = (e.best(1, 100), e.best(1, 1_000), e.best(1, 10_000));
        assert!(one < ten && ten < hundred && (hundred - ten) - (ten - one) < 1e-9);
    }

    #[test]
    fn how_many_score_as_much_grows_with_the_library() {
        let e = hundred();
        assert!((e.at_least(0.895, 100) - 10.5).abs() < 1e-9);
        assert!((e.at_least(0.895, 1_000) - 105.0).abs() < 1e-9);
        assert!(e.at_least(2.0, 100) > 0.0);
        assert!(e.at_least(0.895, 0) > 0.0);
        assert!((e.mean - 0.495).abs() < 1e-6);
    }
}
