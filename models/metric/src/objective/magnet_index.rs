//! Which cluster of its class does each row lie in? Refreshed every so many steps.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView2};
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::cluster::{KMeansOptions, k_means};

/// The newest embedding of each row seen, its class, and the clusters of each class
/// as of the last refresh.
///
/// The paper embeds the whole training set anew at each refresh; here the embedding
/// from the row's last step is used, which is at most an epoch old and costs nothing.
///
/// # Source
/// Rippel et al. 2016, section 3.2.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MagnetIndex {
    /// By row id.
    pub(super) rows: BTreeMap<u32, Seen>,
    /// By cluster id.
    pub(super) clusters: BTreeMap<u32, Cluster>,
    pub(super) since: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) class: u32,
    pub(super) loss: f32,
    pub(super) embedding: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cluster {
    pub(super) class: u32,
    pub(super) centre: Vec<f32>,
}

impl MagnetIndex {
    /// Rows with a known embedding.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes in a step's embeddings and losses, and makes the clusters anew if
    /// `refresh` steps have passed since the last time (or never were any).
    pub(super) fn observe(
        &mut self,
        rows: &[u32],
        classes: &[u32],
        embeddings: ArrayView2<'_, f32>,
        losses: &[f64],
        (per_class, refresh): (usize, u64),
        seed: u64,
    ) {
        for (((&row, &class), x), &loss) in
            rows.iter().zip(classes).zip(embeddings.outer_iter()).zip(losses)
        {
            let seen = Seen { class, loss: loss as f32, embedding: x.to_vec() };
            self.rows.insert(row, seen);
        }
        self.since += 1;
        if self.since >= refresh || self.clusters.is_empty() {
            self.since = 0;
            self.refresh(per_class, seed);
        }
    }

    /// k-means++ in each class; fewer clusters where a class has fewer rows.
    fn refresh(&mut self, per_class: usize, seed: u64) {
        let mut members: BTreeMap<u32, Vec<&Vec<f32>>> = BTreeMap::new();
        for seen in self.rows.values() {
            members.entry(seen.class).or_default().push(&seen.embedding);
        }
        let mut clusters = BTreeMap::new();
        for (class, members) in members {
            let width = members[0].len();
            let x = Array2::from_shape_fn((members.len(), width), |(i, j)| members[i][j]);
            let options = KMeansOptions {
                restarts: 1,
                ..KMeansOptions::new(per_class.min(members.len()), seed ^ u64::from(class))
            };
            // Embeddings that are not finite leave the class as it was.
            let Ok(found) = k_means(x.view(), &options) else { continue };
            for centre in found.centroids.outer_iter() {
                let cluster = Cluster { class, centre: centre.to_vec() };
                clusters.insert(clusters.len() as u32, cluster);
            }
        }
        self.clusters = clusters;
    }

    /// The cluster of each row: the nearest of its class by its embedding. Classes
    /// that have none yet are one cluster each.
    pub(super) fn assign(&self, classes: &[u32], embeddings: ArrayView2<'_, f32>) -> Vec<u32> {
        classes
            .iter()
            .zip(embeddings.outer_iter())
            .map(|(&class, x)| {
                let own = self.clusters.iter().filter(|(_, c)| c.class == class);
                let nearest = own.min_by(|a, b| {
                    far(x.iter(), &a.1.centre).total_cmp(&far(x.iter(), &b.1.centre))
                });
                // Ids above all clusters', one a class.
                nearest.map_or(u32::MAX - class, |(id, _)| *id)
            })
            .collect()
    }

    /// The rows of a batch: a seed cluster drawn in proportion to the mean loss of its
    /// rows, the `clusters` − 1 nearest clusters of other classes, and `each` rows of
    /// every one, drawn with replacement only where there are fewer. `None` before
    /// the first refresh or with one class.
    pub fn plan(&self, clusters: usize, each: usize, rng: &mut Pcg64) -> Option<Vec<u32>> {
        let mut members: BTreeMap<u32, Vec<(u32, f32)>> = BTreeMap::new();
        for (&row, seen) in &self.rows {
            let x = ArrayView2::from_shape((1, seen.embedding.len()), &seen.embedding).ok()?;
            let cluster = self.assign(&[seen.class], x)[0];
            members.entry(cluster).or_default().push((row, seen.loss));
        }
        members.retain(|id, _| self.clusters.contains_key(id));
        // A little more than nothing, so that solved clusters still come.
        let weight = |rows: &[(u32, f32)]| {
            rows.iter().map(|r| f64::from(r.1)).sum::<f64>() / rows.len() as f64 + 1e-3
        };
        let total: f64 = members.values().map(|rows| weight(rows)).sum();
        let mut left = rng.random_range(0.0..1.0) * total;
        let seed = members
            .iter()
            .find(|(_, rows)| {
                left -= weight(rows);
                left <= 0.0
            })
            .or_else(|| members.iter().next_back())
            .map(|(id, _)| *id)?;
        let start = &self.clusters[&seed];
        let mut others: Vec<u32> =
            members.keys().copied().filter(|id| self.clusters[id].class != start.class).collect();
        if others.is_empty() {
            return None;
        }
        others.sort_by(|a, b| {
            let to = |id: &u32| far(start.centre.iter(), &self.clusters[id].centre);
            to(a).total_cmp(&to(b)).then(a.cmp(b))
        });
        others.truncate(clusters.saturating_sub(1).max(1));
        let mut rows = Vec::new();
        for id in std::iter::once(seed).chain(others) {
            let mut of: Vec<u32> = members[&id].iter().map(|r| r.0).collect();
            use rand::seq::SliceRandom;
            of.shuffle(rng);
            rows.extend(of.iter().cycle().take(each));
        }
        Some(rows)
    }

    /// Centres by cluster id, for a look at them.
    pub fn centres(&self) -> impl Iterator<Item = (u32, u32, Array1<f32>)> + '_ {
        self.clusters.iter().map(|(id, c)| (*id, c.class, Array1::from(c.centre.clone())))
    }
}

fn far<'a>(a: impl Iterator<Item = &'a f32>, b: &[f32]) -> f32 {
    a.zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
