//! Given a store's pictures, which groups do they fall into, and what are those
//! called? With some pictures labelled, the distance itself is learned first.

mod agreement;
mod names;

use std::path::PathBuf;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Filter, Item, Kind, StoreRead};
use ekphrasis_metric::cluster::{KMeansOptions, choose_k, k_means};
use ndarray::Array2;

pub use ekphrasis_metric::mahalanobis::{Form, Mahalanobis};

use crate::eval::rows;
use crate::{Engine, EngineError};
use agreement::{Labels, compare};

/// What to group, and by which distance.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// How many groups. `None`: as many as there are classes in `pairs`, or else
    /// the number with the best silhouette (`ekphrasis_metric::cluster::choose_k`).
    pub k: Option<usize>,
    /// Of every draw.
    pub seed: u64,
    /// Labelled pictures: those of one class (or else group) are alike.
    pub pairs: Option<PathBuf>,
    /// The distance to learn from half of the labelled pictures.
    pub learn: Option<Form>,
    /// A distance that was learned before.
    pub metric: Option<Mahalanobis>,
}

/// Groups of pictures.
#[derive(Clone, Debug)]
pub struct ClusterReport {
    /// The largest first.
    pub groups: Vec<Group>,
    /// Pictures in all groups.
    pub pictures: usize,
    /// Whether the number of groups was chosen by silhouette.
    pub chosen: bool,
    /// How far groups agree with the labels, if there are labels.
    pub agreement: Option<AgreementReport>,
    /// The distance that was used, if it is not the cosine.
    pub metric: Option<Mahalanobis>,
}

/// Pictures that are alike.
#[derive(Clone, Debug)]
pub struct Group {
    /// The word that tells the group best from the rest and names no other group;
    /// `group N` if no word is left.
    pub name: String,
    /// The words that tell it best, with their correlations in 0..=1: over all
    /// pictures, between being in the group and fitting the word. Words are those of
    /// the vocabulary, of the store's texts, and of the members' captions, tags and
    /// folders. A single group has nothing to be told from; its words have the mean
    /// fit.
    pub words: Vec<(String, f32)>,
    /// The most central picture first.
    pub members: Vec<Item>,
}

/// How far groups agree with classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Normalised mutual information, in 0..=1.
    pub nmi: f64,
    /// Adjusted Rand index; 0 is chance, 1 the same.
    pub ari: f64,
}

/// Agreement of as many groups as there are classes, by the plain and by the
/// learned distance. All labelled pictures are grouped together by Euclidean
/// k-means; only the distance differs.
#[derive(Clone, Debug, PartialEq)]
pub struct AgreementReport {
    /// Labelled pictures that are in the store, and those of the file that are not.
    pub labelled: usize,
    /// Labelled pictures of the file that are not in the store.
    pub missing: usize,
    /// Their classes.
    pub classes: usize,
    /// Over all labelled pictures, by the plain distance.
    pub plain: Agreement,
    /// If a distance was learned.
    pub learned: Option<LearnedReport>,
}

/// What a learned distance did.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedReport {
    /// Its form.
    pub form: Form,
    /// How much of it the distance in use has, in 0..=1; the rest is the plain
    /// distance (`ekphrasis_metric::mahalanobis::learn_for_grouping`).
    pub share: f64,
    /// Agreement (Cohen's κ) of pairs with a held-out picture for every share that was
    /// tried; none if the labels were too few to hold one out.
    pub tried: Vec<(f64, f64)>,
    /// Pictures it was learned from, half of each class.
    pub from: usize,
    /// Pairs of like and of unlike pictures among those.
    pub pairs: (usize, usize),
    /// Mean squared distance of like pairs, at mean distance 1 of unlike ones,
    /// before, and as learned (share 1).
    pub objective: (f64, f64),
    /// Over the other labelled pictures: plain, then learned distance.
    pub others: (Agreement, Agreement),
    /// Over all labelled pictures: by the learned distance.
    pub all: Agreement,
}

/// A distance from the rows of its map, as a file holds them.
///
/// # Errors
/// `Invalid` for rows of several lengths, none, or numbers that are not finite.
pub fn metric_from_rows(rows: &[Vec<f64>]) -> Result<Mahalanobis, EngineError> {
    let dim = rows.first().map_or(0, Vec::len);
    if let Some(at) = rows.iter().position(|row| row.len() != dim) {
        return Err(EngineError::Invalid(format!(
            "the map's rows have different lengths: row 0 has {dim}, row {at} has {}",
            rows[at].len()
        )));
    }
    let map = Array2::from_shape_fn((rows.len(), dim), |(i, c)| rows[i][c]);
    Mahalanobis::new(map).map_err(|e| EngineError::Invalid(e.to_string()))
}

/// The rows of a distance's map.
pub fn metric_rows(metric: &Mahalanobis) -> Vec<Vec<f64>> {
    metric.map().outer_iter().map(|row| row.to_vec()).collect()
}

impl Engine {
    /// Groups the pictures of the store; an empty store has no groups.
    ///
    /// # Errors
    /// `Invalid` for more groups than pictures, a pairs file that is wrong or
    /// labels too few pictures, or a distance for vectors of another width;
    /// otherwise as the store or the model's vocabulary fails.
    pub fn cluster(&self, options: &ClusterOptions) -> Result<ClusterReport, EngineError> {
        let invalid = |e: &dyn std::fmt::Display| EngineError::Invalid(e.to_string());
        let (items, embeddings) = self.all_pictures()?;
        if items.is_empty() {
            return Ok(ClusterReport {
                groups: Vec::new(),
                pictures: 0,
                chosen: false,
                agreement: None,
                metric: None,
            });
        }
        let x = rows(embeddings.iter());
        let (mut agreement, mut metric) = (None, options.metric.clone());
        if let Some(file) = &options.pairs {
            let labels = Labels::read(file, &items)?;
            let (report, learned) = compare(&x, &labels, options)?;
            agreement = Some(report);
            metric = metric.or(learned);
        }
        if let Some(metric) = metric.as_ref().filter(|m| m.dim() != x.ncols()) {
            return Err(EngineError::Invalid(format!(
                "the distance is for vectors of {} numbers, those of the store have {}; learn it \
                 again with this model",
                metric.dim(),
                x.ncols()
            )));
        }
        let asked = options.k.or(agreement.as_ref().map(|a| a.classes.min(items.len())));
        let mapped = metric.as_ref().map_or_else(|| x.clone(), |m| m.apply(x.view()));
        let k = match asked {
            Some(k) => k,
            None => choose_k(mapped.view(), options.seed).map_err(|e| invalid(&e))?,
        };
        // Unit vectors are grouped by cosine; mapped ones by the learned distance.
        let how =
            KMeansOptions { spherical: metric.is_none(), ..KMeansOptions::new(k, options.seed) };
        let found = k_means(mapped.view(), &how).map_err(|e| invalid(&e))?;

        let mut members: Vec<Vec<(usize, f32)>> = vec![Vec::new(); k];
        for (i, &group) in found.assignment.iter().enumerate() {
            let difference = &mapped.row(i) - &found.centroids.row(group);
            members[group].push((i, difference.dot(&difference)));
        }
        for group in &mut members {
            group.sort_by(|a, b| a.1.total_cmp(&b.1).then(items[a.0].id.cmp(&items[b.0].id)));
        }
        members.sort_by(|a, b| b.len().cmp(&a.len()).then(a[0].0.cmp(&b[0].0)));
        let members: Vec<Vec<usize>> =
            members.into_iter().map(|group| group.into_iter().map(|(i, _)| i).collect()).collect();
        let names = self.names(&members, &items, x.view(), &embeddings)?;
        let groups = members
            .into_iter()
            .zip(names)
            .map(|(members, (name, words))| Group {
                name,
                words,
                members: members.into_iter().map(|i| items[i].clone()).collect(),
            })
            .collect();
        let pictures = items.len();
        Ok(ClusterReport { groups, pictures, chosen: asked.is_none(), agreement, metric })
    }

    /// Every picture with its vector, in the order of ids.
    fn all_pictures(&self) -> Result<(Vec<Item>, Vec<Embedding>), EngineError> {
        let store = self.fresh()?;
        let filter = Filter::of_kind(Kind::Image);
        let (mut items, mut embeddings) = (Vec::new(), Vec::new());
        let mut after = None;
        loop {
            let page = store.scan(after, 1000, &filter)?;
            let Some(last) = page.last() else { return Ok((items, embeddings)) };
            after = Some(last.id);
            let ids: Vec<_> = page.iter().map(|item| item.id).collect();
            for (item, embedding) in page.into_iter().zip(store.embeddings(&ids)?) {
                // Deleted between the two reads, or damaged: it has no place among the others.
                if let Some(embedding) = embedding {
                    items.push(item);
                    embeddings.push(embedding);
                }
            }
        }
    }
}
