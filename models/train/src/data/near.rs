//! Given embedded texts, which say nearly the same? Such a text is not a
//! negative: "man frowning" does not describe a frowning person wrongly.

use ndarray::{ArrayView2, Axis, Slice};
use rayon::prelude::*;

/// Pairs of texts whose cosine is over a threshold. Found once for a whole
/// table of texts; what is near in a batch is then looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct NearTexts {
    /// For each text the others that are near, ascending.
    lists: Vec<Vec<u32>>,
}

/// Texts compared at a time: a block of similarities takes 4 MB.
const BLOCK: usize = 1024;

impl NearTexts {
    /// Finds all pairs with a cosine over `threshold`; rows are unit vectors.
    /// Takes n²/2 dot products, on all threads.
    pub fn find(rows: ArrayView2<'_, f32>, threshold: f32) -> Self {
        let count = rows.nrows();
        let starts: Vec<usize> = (0..count).step_by(BLOCK).collect();
        let block =
            |start: usize| rows.slice_axis(Axis(0), Slice::from(start..(start + BLOCK).min(count)));
        // Each pair once: from the diagonal block to the right.
        let pairs: Vec<(u32, u32)> = starts
            .par_iter()
            .flat_map_iter(|&a| {
                let left = block(a);
                let mut pairs = Vec::new();
                for &b in starts.iter().filter(|&&b| b >= a) {
                    let similar = left.dot(&block(b).t());
                    for ((i, j), &s) in similar.indexed_iter() {
                        if s > threshold && a + i < b + j {
                            pairs.push(((a + i) as u32, (b + j) as u32));
                        }
                    }
                }
                pairs
            })
            .collect();
        let mut lists = vec![Vec::new(); count];
        for (i, j) in pairs {
            lists[i as usize].push(j);
            lists[j as usize].push(i);
        }
        lists.iter_mut().for_each(|list: &mut Vec<u32>| list.sort_unstable());
        Self { lists }
    }

    /// Whether two rows are near; a row is near itself.
    pub fn near(&self, a: u32, b: u32) -> bool {
        a == b || self.lists[a as usize].binary_search(&b).is_ok()
    }

    /// For each text the others that are near, ascending.
    pub fn lists(&self) -> &[Vec<u32>] {
        &self.lists
    }

    /// How many pairs are near, each counted once.
    pub fn pairs(&self) -> usize {
        self.lists.iter().map(Vec::len).sum::<usize>() / 2
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::RngExt;

    use super::super::seeded::generator;
    use super::*;

    #[test]
    fn agrees_with_looking_at_each_pair() {
        let seed = 3;
        let mut rng = generator(seed, "test", &[]);
        // More than a block; few dimensions, so that there are near pairs.
        let (count, dim) = (BLOCK + 300, 4);
        let mut rows = Array2::from_shape_fn((count, dim), |_| rng.random::<f32>() - 0.5);
        for mut row in rows.rows_mut() {
            let norm = row.dot(&row).sqrt();
            row /= norm;
        }
        let near = NearTexts::find(rows.view(), 0.95);
        let mut pairs = 0;
        for i in 0..count {
            for j in 0..count {
                let cosine = rows.row(i).dot(&rows.row(j));
                // Sums in another order may differ by rounding.
                if i != j && (cosine - 0.95).abs() > 1e-5 {
                    assert_eq!(
                        near.near(i as u32, j as u32),
                        cosine > 0.95,
                        "seed {seed}: {i} {j}"
                    );
                    pairs += usize::from(cosine > 0.95 && i < j);
                }
            }
        }
        assert!(pairs > 100 && near.pairs().abs_diff(pairs) < 5, "{pairs} {}", near.pairs());
        assert!(near.near(5, 5) && !near.lists()[5].contains(&5), "a text is near itself");
        assert!(near.lists().iter().all(|list| list.is_sorted()));
    }
}
