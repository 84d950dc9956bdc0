//! Which cluster of its class does each row lie in? Refreshed every so many steps.

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView2, Axis};
use rand::RngExt;
use rand_pcg::Pcg64;

use crate::cluster::{ClusterError, KMeansOptions, k_means};
use crate::{LossError, Real};

/// The cluster of every row of the training set as of the last refresh, and how much
/// each row cost when it last took part in a step.
///
/// Who trains embeds the whole training set anew when it is
/// [due](super::Objective::refresh_due), and hands it to
/// [`Objective::refresh`](super::Objective::refresh).
///
/// # Source
/// Rippel et al. 2016, section 3.2.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MagnetIndex {
    /// By row id.
    pub(super) rows: BTreeMap<u32, Seen>,
    /// By cluster id.
    pub(super) clusters: BTreeMap<u32, Cluster>,
    /// Steps since the last refresh.
    pub(super) since: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) class: u32,
    pub(super) cluster: u32,
    /// None before the row's first step.
    pub(super) loss: Option<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cluster {
    pub(super) class: u32,
    pub(super) centre: Vec<f32>,
}

impl MagnetIndex {
    /// Rows with a cluster.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there was no refresh yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// k-means++ in each class, fewer than `per_class` clusters where it has fewer
    /// rows. Rows that are not given are forgotten; the others keep their losses.
    pub(super) fn refresh<T: Real>(
        &mut self,
        rows: &[u32],
        classes: &[u32],
        embeddings: ArrayView2<'_, T>,
        per_class: usize,
        seed: u64,
    ) -> Result<(), LossError> {
        let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (place, &class) in classes.iter().enumerate() {
            members.entry(class).or_default().push(place);
        }
        let (mut clusters, mut seen) = (BTreeMap::new(), BTreeMap::new());
        for (class, members) in members {
            let x = embeddings.select(Axis(0), &members).mapv(|v| v.wide() as f32);
            let options = KMeansOptions {
                restarts: 1,
                ..KMeansOptions::new(per_class.min(members.len()), seed ^ u64::from(class))
            };
            let found = k_means(x.view(), &options).map_err(|e| match e {
                ClusterError::NotFinite { row } => {
                    LossError::NotFinite { what: "images", row: members[row] }
                }
                ClusterError::K { k, vectors } => LossError::Option {
                    name: "clusters",
                    expected: format!("1 to {vectors}"),
                    got: k.to_string(),
                },
            })?;
            let first = clusters.len() as u32;
            for centre in found.centroids.outer_iter() {
                let cluster = Cluster { class, centre: centre.to_vec() };
                clusters.insert(clusters.len() as u32, cluster);
            }
            for (&place, group) in members.iter().zip(found.assignment) {
                let row = rows[place];
                let loss = self.rows.get(&row).and_then(|seen| seen.loss);
                seen.insert(row, Seen { class, cluster: first + group as u32, loss });
            }
        }
        (self.rows, self.clusters, self.since) = (seen, clusters, 0);
        Ok(())
    }

    /// Takes in what each row of a step cost.
    pub(super) fn observe(&mut self, rows: &[u32], losses: &[f64]) {
        for (row, &loss) in rows.iter().zip(losses) {
            if let Some(seen) = self.rows.get_mut(row) {
                seen.loss = Some(loss as f32);
            }
        }
        self.since += 1;
    }

    /// The cluster of each row. The rows of a class that the index does not know are
    /// one cluster more.
    pub(super) fn assign(&self, rows: &[u32], classes: &[u32]) -> Vec<u32> {
        let of = |(row, &class): (&u32, &u32)| match self.rows.get(row) {
            Some(seen) if seen.class == class => seen.cluster,
            // Ids above all clusters', one a class.
            _ => u32::MAX - class,
        };
        rows.iter().zip(classes).map(of).collect()
    }

    /// The rows of a batch: a seed cluster drawn in proportion to the mean loss of its
    /// rows, the `clusters` − 1 nearest clusters of other classes, and `each` rows of
    /// every one, again and again only where there are fewer. `None` before the first
    /// refresh or with one class.
    pub fn plan(&self, clusters: usize, each: usize, rng: &mut Pcg64) -> Option<Vec<u32>> {
        let mut members: BTreeMap<u32, Vec<(u32, Option<f32>)>> = BTreeMap::new();
        for (&row, seen) in &self.rows {
            members.entry(seen.cluster).or_default().push((row, seen.loss));
        }
        let mean = |losses: &mut dyn Iterator<Item = f32>| {
            let (sum, count) =
                losses.fold((0.0, 0u32), |(sum, count), v| (sum + f64::from(v), count + 1));
            (count > 0).then(|| sum / f64::from(count))
        };
        // Clusters that never took part cost what the others do on average.
        let usual = mean(&mut self.rows.values().filter_map(|r| r.loss)).unwrap_or(1.0);
        // A little more than nothing, so that solved clusters still come.
        let weight = |rows: &[(u32, Option<f32>)]| {
            mean(&mut rows.iter().filter_map(|r| r.1)).unwrap_or(usual) + 1e-3
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
