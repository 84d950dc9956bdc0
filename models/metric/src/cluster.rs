//! Given vectors, which groups do they fall into? k-means with k-means++ starts,
//! and the silhouette to compare numbers of groups. Seeded.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// How groups are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KMeansOptions {
    /// How many groups.
    pub k: usize,
    /// Starts; the one with the least inertia is kept.
    pub restarts: usize,
    /// Rounds of a start, at most.
    pub max_iterations: usize,
    /// Whether vectors and centroids are scaled to unit length (spherical
    /// k-means: by cosine). Otherwise distances are Euclidean.
    pub spherical: bool,
    /// Equal seeds give equal groups.
    pub seed: u64,
}

impl KMeansOptions {
    /// `k` groups by Euclidean distance, best of 10 starts.
    pub fn new(k: usize, seed: u64) -> Self {
        Self { k, restarts: 10, max_iterations: 100, spherical: false, seed }
    }
}

/// Groups of vectors. Every group has a member.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// k × d: the mean of each group's members (scaled to unit length if spherical).
    pub centroids: Array2<f32>,
    /// For each vector its group, in 0..k.
    pub assignment: Vec<usize>,
    /// Sum of squared distances to the own centroid (2 − 2·cosine if spherical).
    pub inertia: f64,
    /// Rounds of the start that was kept.
    pub iterations: usize,
}

/// Why there are no groups.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No groups, or more than there are vectors.
    #[error("{k} groups of {vectors} vectors cannot be made; ask for 1 to {vectors}")]
    K {
        /// Groups asked for.
        k: usize,
        /// Vectors there are.
        vectors: usize,
    },
    /// NaN or infinite.
    #[error("a number of vector {row} (counted from 0) is not finite")]
    NotFinite {
        /// Its position.
        row: usize,
    },
}

/// Groups the rows of `x`.
///
/// k-means++ draws each first centroid with probability proportional to the
/// squared distance to those before. A group that loses all members takes the
/// vector that is farthest from its centroid.
///
/// # Shapes
/// `x`: n × d.
///
/// # Errors
/// `K` unless 1 ≤ k ≤ n, `NotFinite`.
///
/// # Source
/// Arthur, Vassilvitskii 2007, "k-means++: the advantages of careful seeding";
/// Dhillon, Modha 2001 for the spherical form.
pub fn k_means(x: ArrayView2<'_, f32>, options: &KMeansOptions) -> Result<KMeans, ClusterError> {
    let (vectors, k) = (x.nrows(), options.k);
    if k == 0 || k > vectors {
        return Err(ClusterError::K { k, vectors });
    }
    if let Some(row) = x.outer_iter().position(|r| r.iter().any(|v| !v.is_finite())) {
        return Err(ClusterError::NotFinite { row });
    }
    let mut x = x.to_owned();
    if options.spherical {
        x.outer_iter_mut().for_each(|mut row| {
            let length = norm(row.view());
            row.mapv_inplace(|v| v / length);
        });
    }
    let mut rng = Pcg64::seed_from_u64(options.seed);
    let mut best: Option<KMeans> = None;
    for _ in 0..options.restarts.max(1) {
        let start = seeds(&x, k, &mut rng);
        let found = lloyd(&x, start, options);
        if best.as_ref().is_none_or(|b| found.inertia < b.inertia) {
            best = Some(found);
        }
    }
    best.ok_or(ClusterError::K { k, vectors })
}

fn norm(row: ArrayView1<'_, f32>) -> f32 {
    row.dot(&row).sqrt().max(f32::MIN_POSITIVE)
}

/// Squared distances of all rows to all centroids, n × k.
fn squares(x: &Array2<f32>, centroids: &Array2<f32>) -> Array2<f32> {
    let own = |a: &Array2<f32>| -> Array1<f32> { a.outer_iter().map(|r| r.dot(&r)).collect() };
    let mut d = x.dot(&centroids.t()) * -2.0;
    d += &own(x).insert_axis(Axis(1));
    d += &own(centroids);
    // Rounding may leave a little less than nothing.
    d.mapv_inplace(|v| v.max(0.0));
    d
}

fn seeds(x: &Array2<f32>, k: usize, rng: &mut Pcg64) -> Array2<f32> {
    let n = x.nrows();
    let mut chosen = vec![rng.random_range(0..n)];
    let to = |i: usize| squares(x, &x.select(Axis(0), &[i])).column(0).mapv(f64::from);
    let mut nearest = to(chosen[0]);
    while chosen.len() < k {
        let sum = nearest.sum();
        let next = if sum > 0.0 {
            let mut left = rng.random_range(0.0..sum);
            let hit = nearest.iter().position(|&d| {
                left -= d;
                left < 0.0
            });
            // Rounding may leave a rest behind the last.
            hit.unwrap_or(n - 1)
        } else {
            // Fewer different vectors than groups.
            (0..n).find(|i| !chosen.contains(i)).unwrap_or(0)
        };
        chosen.push(next);
        nearest.zip_mut_with(&to(next), |a, &b| *a = a.min(b));
    }
    x.select(Axis(0), &chosen)
}

fn lloyd(x: &Array2<f32>, mut centroids: Array2<f32>, options: &KMeansOptions) -> KMeans {
    let (n, k) = (x.nrows(), options.k);
    let mut assignment = vec![usize::MAX; n];
    let mut iterations = 0;
    let mut inertia;
    loop {
        let distances = squares(x, &centroids);
        let mut next = Vec::with_capacity(n);
        let mut cost = Vec::with_capacity(n);
        for row in distances.outer_iter() {
            let (group, square) = nearest(row);
            next.push(group);
            cost.push(f64::from(square));
        }
        fill_empty(&mut next, &mut cost, k);
        inertia = cost.iter().sum();
        let settled = next == assignment;
        assignment = next;
        if settled || iterations >= options.max_iterations {
            break;
        }
        iterations += 1;
        centroids = means(x, &assignment, k, options.spherical);
    }
    KMeans { centroids, assignment, inertia, iterations }
}

fn nearest(distances: ArrayView1<'_, f32>) -> (usize, f32) {
    let pairs = distances.iter().copied().enumerate();
    pairs.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

/// Gives every empty group the vector that costs most where it is.
fn fill_empty(assignment: &mut [usize], cost: &mut [f64], k: usize) {
    let mut sizes = vec![0usize; k];
    assignment.iter().for_each(|&g| sizes[g] += 1);
    for group in 0..k {
        if sizes[group] > 0 {
            continue;
        }
        let from = (0..assignment.len())
            .filter(|&i| sizes[assignment[i]] > 1)
            .max_by(|&a, &b| cost[a].total_cmp(&cost[b]).then(b.cmp(&a)));
        if let Some(i) = from {
            sizes[assignment[i]] -= 1;
            sizes[group] = 1;
            assignment[i] = group;
            cost[i] = 0.0;
        }
    }
}

fn means(x: &Array2<f32>, assignment: &[usize], k: usize, spherical: bool) -> Array2<f32> {
    let mut sums = Array2::<f32>::zeros((k, x.ncols()));
    let mut sizes = vec![0f32; k];
    for (row, &group) in x.outer_iter().zip(assignment) {
        sums.row_mut(group).scaled_add(1.0, &row);
        sizes[group] += 1.0;
    }
    for (mut sum, size) in sums.outer_iter_mut().zip(sizes) {
        let by = if spherical { norm(sum.view()) } else { size.max(1.0) };
        sum.mapv_inplace(|v| v / by);
    }
    sums
}

/// Mean silhouette by cosine distance, in −1..=1: (b − a) / max(a, b) with a the
/// mean distance to the others of the own group and b the least mean distance to
/// another group; 0 for a group of one. Costs n²·d.
///
/// `None` if there are not at least two groups.
///
/// # Shapes
/// `x`: n × d, `assignment`: n.
///
/// # Panics
/// If the lengths differ.
///
/// # Source
/// Rousseeuw 1987, "Silhouettes".
pub fn silhouette(x: ArrayView2<'_, f32>, assignment: &[usize]) -> Option<f64> {
    let groups = assignment.iter().max()? + 1;
    let unit = Array2::from_shape_fn(x.dim(), |(i, c)| x[[i, c]] / norm(x.row(i)));
    silhouette_of(&unit.dot(&unit.t()).mapv(|s| 1.0 - s), assignment, groups)
}

/// The same from distances, n × n.
pub(crate) fn silhouette_of(
    distances: &Array2<f32>,
    assignment: &[usize],
    groups: usize,
) -> Option<f64> {
    assert_eq!(distances.nrows(), assignment.len(), "one group a vector");
    let mut sizes = vec![0usize; groups];
    assignment.iter().for_each(|&g| sizes[g] += 1);
    if sizes.iter().filter(|&&s| s > 0).count() < 2 {
        return None;
    }
    let mut total = 0.0;
    for (i, row) in distances.outer_iter().enumerate() {
        let mut sums = vec![0f64; groups];
        for (j, &d) in row.iter().enumerate() {
            if i != j {
                sums[assignment[j]] += f64::from(d);
            }
        }
        let own = assignment[i];
        if sizes[own] < 2 {
            continue;
        }
        let a = sums[own] / (sizes[own] - 1) as f64;
        let b = (0..groups)
            .filter(|&g| g != own && sizes[g] > 0)
            .map(|g| sums[g] / sizes[g] as f64)
            .fold(f64::INFINITY, f64::min);
        let most = a.max(b);
        total += if most > 0.0 { (b - a) / most } else { 0.0 };
    }
    Some(total / assignment.len() as f64)
}

/// The number of groups with the largest [`silhouette`] by spherical k-means,
/// among 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64: those between √n / 2
/// and 2·√n, with at least three vectors a group; the smaller of equal ones.
/// (Without the bounds two coarse halves often win, which tell nobody anything.)
/// At most 1,000 vectors are looked at, drawn by the seed; n counts those. 1 for
/// fewer than six vectors.
///
/// # Errors
/// `NotFinite`.
pub fn choose_k(x: ArrayView2<'_, f32>, seed: u64) -> Result<usize, ClusterError> {
    const TRIED: [usize; 15] = [2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64];
    const MOST: usize = 1000;
    let mut rows: Vec<usize> = (0..x.nrows()).collect();
    if rows.len() > MOST {
        use rand::seq::SliceRandom;
        rows.shuffle(&mut Pcg64::seed_from_u64(seed));
        rows.truncate(MOST);
        rows.sort_unstable();
    }
    let x = x.select(Axis(0), &rows);
    let unit = Array2::from_shape_fn(x.dim(), |(i, c)| x[[i, c]] / norm(x.row(i)));
    let distances = unit.dot(&unit.t()).mapv(|s| 1.0 - s);
    let mut best = (1, f64::NEG_INFINITY);
    let n = rows.len();
    let fits = |&k: &usize| k * 3 <= n && 4 * k * k >= n && k * k <= 4 * n;
    for k in TRIED.into_iter().filter(fits) {
        let options = KMeansOptions { restarts: 3, spherical: true, ..KMeansOptions::new(k, seed) };
        let found = k_means(x.view(), &options)?;
        let score = silhouette_of(&distances, &found.assignment, k).unwrap_or(f64::NEG_INFINITY);
        if score > best.1 {
            best = (k, score);
        }
    }
    Ok(best.0)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::measure::adjusted_rand_index;

    /// `k` tight groups of ten around random directions.
    fn blobs(k: usize, noise: f32, seed: u64) -> (Array2<f32>, Vec<usize>) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let centres = Array2::from_shape_fn((k, 24), |_| rng.random_range(-1f32..1.0));
        let truth: Vec<usize> = (0..k * 10).map(|i| i % k).collect();
        let x = Array2::from_shape_fn((k * 10, 24), |(i, c)| {
            centres[[truth[i], c]] + noise * rng.random_range(-1f32..1.0)
        });
        (x, truth)
    }

    #[test]
    fn clear_groups_are_found_by_both_forms() {
        for seed in 0..5 {
            let (x, truth) = blobs(7, 0.2, seed);
            for spherical in [false, true] {
                let options = KMeansOptions { spherical, ..KMeansOptions::new(7, seed) };
                let found = k_means(x.view(), &options).expect("groups");
                let ari = adjusted_rand_index(&found.assignment, &truth);
                assert_eq!(ari, 1.0, "seed {seed}, spherical {spherical}");
                assert_eq!(k_means(x.view(), &options), Ok(found), "seeded");
            }
        }
    }

    /// Every way to part eight points into three groups.
    #[test]
    fn no_partition_is_better() {
        let mut rng = Pcg64::seed_from_u64(12);
        let x = Array2::from_shape_fn((8, 2), |_| rng.random_range(-1f32..1.0));
        let found = k_means(x.view(), &KMeansOptions { restarts: 50, ..KMeansOptions::new(3, 1) })
            .expect("groups");
        let inertia = |assignment: &[usize]| {
            let centroids = means(&x, assignment, 3, false);
            (0..8)
                .map(|i| {
                    let d = &x.row(i) - &centroids.row(assignment[i]);
                    f64::from(d.dot(&d))
                })
                .sum::<f64>()
        };
        let best = (0..3usize.pow(8))
            .map(|code| (0..8).map(|i| code / 3usize.pow(i) % 3).collect::<Vec<_>>())
            .filter(|a| (0..3).all(|g| a.contains(&g)))
            .map(|a| inertia(&a))
            .fold(f64::INFINITY, f64::min);
        assert!((found.inertia - best).abs() < 1e-5, "{} {best}", found.inertia);
        assert!((inertia(&found.assignment) - found.inertia).abs() < 1e-5);
    }

    #[test]
    fn length_does_not_matter_to_the_spherical_form() {
        let x = array![[1f32, 0.05], [90.0, 1.0], [0.0, 2.0], [0.03, 0.5]];
        let options = KMeansOptions { spherical: true, ..KMeansOptions::new(2, 0) };
        let found = k_means(x.view(), &options).expect("groups").assignment;
        assert!(found[0] == found[1] && found[2] == found[3] && found[0] != found[2]);
    }

    #[test]
    fn no_group_is_empty_even_among_equal_vectors() {
        let x = array![[1f32, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let found = k_means(x.view(), &KMeansOptions::new(3, 0)).expect("groups");
        let mut groups = found.assignment.clone();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups, [0, 1, 2]);
    }

    #[test]
    fn what_cannot_be_grouped_is_refused() {
        let x = array![[1f32], [2.0]];
        for k in [0, 3] {
            let error = k_means(x.view(), &KMeansOptions::new(k, 0));
            assert_eq!(error, Err(ClusterError::K { k, vectors: 2 }));
        }
        let error = k_means(array![[f32::NAN]].view(), &KMeansOptions::new(1, 0));
        assert_eq!(error, Err(ClusterError::NotFinite { row: 0 }));
    }

    /// ```python
    /// import numpy as np; from sklearn.metrics import silhouette_score
    /// x = np.array([[1,0],[.9,.1],[.8,.3],[0,1],[.1,.9],[.4,.6]])
    /// silhouette_score(x, [0,0,0,1,1,1], metric="cosine") # 0.8699431
    /// silhouette_score(x, [0,0,1,1,1,2], metric="cosine") # -0.0059174
    /// ```
    #[test]
    fn the_silhouette_is_that_of_scikit_learn() {
        let x = array![[1f32, 0.0], [0.9, 0.1], [0.8, 0.3], [0.0, 1.0], [0.1, 0.9], [0.4, 0.6]];
        for (groups, expected) in
            [([0, 0, 0, 1, 1, 1], 0.869_943_1), ([0, 0, 1, 1, 1, 2], -0.005_917_4)]
        {
            let seen = silhouette(x.view(), &groups).expect("two groups");
            assert!((seen - expected).abs() < 1e-5, "{seen} {expected}");
        }
        assert_eq!(silhouette(x.view(), &[0; 6]), None);
    }

    #[test]
    fn the_number_of_clear_groups_is_found() {
        for (k, seed) in [(3, 1), (6, 2), (12, 3)] {
            let (x, _) = blobs(k, 0.15, seed);
            assert_eq!(choose_k(x.view(), 0), Ok(k));
        }
        assert_eq!(choose_k(Array2::<f32>::eye(5).view(), 0), Ok(1), "too few to part");
    }
}
