//! Given a store's pictures, which groups do they fall into, and what are those
//! called? With some pictures labelled, the distance itself is learned first.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Filter, Item, Kind, Query, StoreRead};
use ekphrasis_metric::cluster::{KMeansOptions, choose_k, k_means};
use ekphrasis_metric::mahalanobis::{self, MahalanobisOptions, PairSets, pairs_from_labels};
use ekphrasis_metric::measure::{adjusted_rand_index, normalised_mutual_information};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

pub use ekphrasis_metric::mahalanobis::{Form, Mahalanobis};

use crate::eval::rows;
use crate::{Engine, EngineError, pairs};

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
    /// The nearest word that is nearer to no other group; else the nearest.
    pub name: String,
    /// The nearest words of the vocabulary and captions of the store, with cosines
    /// to the mean of the group's vectors.
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
    /// Pictures it was learned from, half of each class.
    pub from: usize,
    /// Pairs of like and of unlike pictures among those.
    pub pairs: (usize, usize),
    /// Mean squared distance of like pairs, at mean distance 1 of unlike ones,
    /// before and after.
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

/// Pairs of each kind a distance is learned from, at most.
const MOST_PAIRS: usize = 4000;
/// Words told for a group.
const WORDS: usize = 3;

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
        let names = self.names(&members, &embeddings)?;
        let groups = members
            .into_iter()
            .zip(names)
            .map(|(members, (name, words))| Group {
                name,
                words,
                members: members.into_iter().map(|(i, _)| items[i].clone()).collect(),
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

    /// For each group its name and nearest words.
    #[expect(clippy::type_complexity, reason = "a name and scored words a group")]
    fn names(
        &self,
        members: &[Vec<(usize, f32)>],
        embeddings: &[Embedding],
    ) -> Result<Vec<(String, Vec<(String, f32)>)>, EngineError> {
        let space = self.towers.space();
        let mut centres = Vec::with_capacity(members.len());
        for group in members {
            let parts: Vec<_> = group.iter().map(|&(i, _)| (&embeddings[i], 1.0)).collect();
            // Vectors that cancel out have no middle; the most central one stands for them.
            let central = || embeddings[group[0].0].clone();
            centres.push(Embedding::combine(space, &parts).unwrap_or_else(|_| central()));
        }
        let candidates = self.candidates(&centres)?;
        let scores: Vec<Vec<f32>> = candidates
            .values()
            .map(|word| centres.iter().map(|c| c.cosine(word)).collect())
            .collect::<Result<_, _>>()?;
        let texts: Vec<&String> = candidates.keys().collect();
        Ok((0..centres.len())
            .map(|group| {
                let mut order: Vec<usize> = (0..texts.len()).collect();
                order.sort_by(|&a, &b| {
                    scores[b][group].total_cmp(&scores[a][group]).then(texts[a].cmp(texts[b]))
                });
                let is_ours = |w: &&usize| scores[**w].iter().all(|s| *s <= scores[**w][group]);
                let name = order.iter().find(is_ours).or(order.first());
                let name =
                    name.map_or_else(|| format!("group {}", group + 1), |&w| texts[w].clone());
                let words = order.iter().take(WORDS);
                (name, words.map(|&w| (texts[w].clone(), scores[w][group])).collect())
            })
            .collect())
    }

    /// The words and captions near any of the centres.
    fn candidates(
        &self,
        centres: &[Embedding],
    ) -> Result<BTreeMap<String, Embedding>, EngineError> {
        const NEAR: usize = 8;
        let mut found = BTreeMap::new();
        let store = self.fresh()?;
        let vocabulary = self.towers.vocabulary()?;
        let places: HashMap<&str, usize> = vocabulary
            .iter()
            .flat_map(|v| v.words().iter().enumerate().map(|(i, w)| (w.as_str(), i)))
            .collect();
        for centre in centres {
            let query = Query {
                vector: Some(centre.clone()),
                k: NEAR,
                filter: Filter::of_kind(Kind::Text),
                ..Query::default()
            };
            let ids: Vec<_> = store.search(&query)?.iter().map(|hit| hit.id).collect();
            for (item, embedding) in store.items(&ids)?.into_iter().zip(store.embeddings(&ids)?) {
                if let (Some(text), Some(embedding)) = (item.and_then(|i| i.text), embedding) {
                    found.insert(text, embedding);
                }
            }
            if let Some(vocabulary) = &vocabulary {
                for (word, _) in vocabulary.nearest(centre, NEAR)? {
                    let embedding = || vocabulary.embedding(places[word]);
                    found.entry(word.to_owned()).or_insert_with(embedding);
                }
            }
        }
        Ok(found)
    }
}

/// The labelled pictures of the store.
struct Labels {
    /// Positions among the store's pictures.
    places: Vec<usize>,
    /// The class of each, as a number.
    classes: Vec<usize>,
    count: usize,
    missing: usize,
}

impl Labels {
    fn read(file: &Path, items: &[Item]) -> Result<Self, EngineError> {
        let lines = pairs::read(file).map_err(|e| EngineError::Invalid(e.to_string()))?;
        let at: HashMap<&Path, usize> = items
            .iter()
            .zip(0..)
            .filter_map(|(item, i)| Some((item.path.as_deref()?, i)))
            .collect();
        let mut labelled: BTreeMap<usize, String> = BTreeMap::new();
        let mut missing = std::collections::BTreeSet::new();
        for line in lines {
            let (Some(path), Some(label)) = (line.path, line.class.or(line.group)) else {
                continue;
            };
            // The store knows real paths, so links and `..` are resolved here too.
            let path = fs_err::canonicalize(&path).unwrap_or(path);
            match at.get(path.as_path()) {
                Some(&place) => {
                    labelled.entry(place).or_insert(label);
                }
                None => {
                    missing.insert(path);
                }
            }
        }
        let mut numbers: BTreeMap<&String, usize> = BTreeMap::new();
        for label in labelled.values() {
            let next = numbers.len();
            numbers.entry(label).or_insert(next);
        }
        let classes: Vec<usize> = labelled.values().map(|l| numbers[l]).collect();
        let count = numbers.len();
        if count < 2 || classes.len() < 4 {
            return Err(EngineError::Invalid(format!(
                "{}: expected at least four pictures of the store in two classes or groups, got {} \
                 in {count} ({} pictures of the file are not in the store); index their folder \
                 first, and give each line a class or a group",
                file.display(),
                classes.len(),
                missing.len()
            )));
        }
        Ok(Self { places: labelled.into_keys().collect(), classes, count, missing: missing.len() })
    }
}

/// Groups the labelled pictures by the plain and, if asked for, a learned distance.
fn compare(
    x: &Array2<f32>,
    labels: &Labels,
    options: &ClusterOptions,
) -> Result<(AgreementReport, Option<Mahalanobis>), EngineError> {
    let invalid = |e: &dyn std::fmt::Display| EngineError::Invalid(e.to_string());
    let own = x.select(Axis(0), &labels.places);
    let grouped = |x: &Array2<f32>| {
        let how = KMeansOptions::new(labels.count, options.seed);
        k_means(x.view(), &how).map(|found| found.assignment).map_err(|e| invalid(&e))
    };
    let agreement = |groups: &[usize], kept: &[usize]| {
        let of = |values: &[usize]| kept.iter().map(|&i| values[i]).collect::<Vec<_>>();
        let (groups, classes) = (of(groups), of(&labels.classes));
        Agreement {
            nmi: normalised_mutual_information(&groups, &classes),
            ari: adjusted_rand_index(&groups, &classes),
        }
    };
    let everyone: Vec<usize> = (0..labels.classes.len()).collect();
    let plain = grouped(&own)?;
    let mut report = AgreementReport {
        labelled: labels.classes.len(),
        missing: labels.missing,
        classes: labels.count,
        plain: agreement(&plain, &everyone),
        learned: None,
    };
    let Some(form) = options.learn else { return Ok((report, None)) };

    let (from, others) = halves(&labels.classes, options.seed);
    let half: Vec<usize> = from.iter().map(|&i| labels.classes[i]).collect();
    let PairSets { similar, dissimilar } = pairs_from_labels(&half, MOST_PAIRS, options.seed);
    let how = MahalanobisOptions { form, ..MahalanobisOptions::default() };
    let half = own.select(Axis(0), &from);
    let learned =
        mahalanobis::learn(half.view(), &similar, &dissimilar, &how).map_err(|e| invalid(&e))?;
    let groups = grouped(&learned.metric.apply(own.view()))?;
    report.learned = Some(LearnedReport {
        form,
        from: from.len(),
        pairs: (similar.len(), dissimilar.len()),
        objective: (learned.before, learned.after),
        others: (agreement(&plain, &others), agreement(&groups, &others)),
        all: agreement(&groups, &everyone),
    });
    Ok((report, Some(learned.metric)))
}

/// Half of each class, the larger one first; what is left.
fn halves(classes: &[usize], seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    classes.iter().enumerate().for_each(|(i, &c)| members.entry(c).or_default().push(i));
    let mut rng = Pcg64::seed_from_u64(seed);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for mut class in members.into_values() {
        class.shuffle(&mut rng);
        let rest = class.split_off(class.len().div_ceil(2));
        first.extend(class);
        second.extend(rest);
    }
    first.sort_unstable();
    second.sort_unstable();
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_halved() {
        let classes = [0, 0, 0, 0, 1, 1, 1, 2];
        let (from, others) = halves(&classes, 3);
        let count = |half: &[usize], class| half.iter().filter(|&&i| classes[i] == class).count();
        assert_eq!([0, 1, 2].map(|c| count(&from, c)), [2, 2, 1]);
        assert_eq!([0, 1, 2].map(|c| count(&others, c)), [2, 1, 0]);
        assert_eq!(halves(&classes, 3), (from, others), "seeded");
    }
}
