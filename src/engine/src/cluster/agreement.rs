//! Given labelled pictures of a store, how far do groups agree with the labels, by
//! the plain distance and by one that is learned from half of them?

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use ekphrasis_index::Item;
use ekphrasis_metric::cluster::{KMeansOptions, k_means};
use ekphrasis_metric::mahalanobis::{
    GroupingOptions, Mahalanobis, MahalanobisOptions, SHARES, learn_for_grouping,
};
use ekphrasis_metric::measure::{adjusted_rand_index, normalised_mutual_information};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::{Agreement, AgreementReport, ClusterOptions, LearnedReport};
use crate::{EngineError, pairs};

/// The labelled pictures of the store, in the order of the file: what is learned
/// from them depends on the labels, not on where the pictures lie.
pub(super) struct Labels {
    /// Positions among the store's pictures.
    places: Vec<usize>,
    /// The class of each, as a number.
    classes: Vec<usize>,
    count: usize,
    missing: usize,
}

impl Labels {
    pub(super) fn read(file: &Path, items: &[Item]) -> Result<Self, EngineError> {
        let lines = pairs::read(file).map_err(|e| EngineError::Invalid(e.to_string()))?;
        let at: HashMap<&Path, usize> = items
            .iter()
            .zip(0..)
            .filter_map(|(item, i)| Some((item.path.as_deref()?, i)))
            .collect();
        let mut labelled: Vec<(usize, String)> = Vec::new();
        let mut seen = HashSet::new();
        let mut missing = HashSet::new();
        for line in lines {
            let (Some(path), Some(label)) = (line.path, line.class.or(line.group)) else {
                continue;
            };
            // The store knows real paths, so links and `..` are resolved here too.
            let path = fs_err::canonicalize(&path).unwrap_or(path);
            match at.get(path.as_path()) {
                Some(&place) => {
                    if seen.insert(place) {
                        labelled.push((place, label));
                    }
                }
                None => {
                    missing.insert(path);
                }
            }
        }
        let mut numbers: BTreeMap<&String, usize> = BTreeMap::new();
        for (_, label) in &labelled {
            let next = numbers.len();
            numbers.entry(label).or_insert(next);
        }
        let classes: Vec<usize> = labelled.iter().map(|(_, l)| numbers[l]).collect();
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
        let places = labelled.into_iter().map(|(place, _)| place).collect();
        Ok(Self { places, classes, count, missing: missing.len() })
    }
}

/// Groups the labelled pictures by the plain and, if asked for, a learned distance.
pub(super) fn compare(
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
    let how = GroupingOptions {
        learn: MahalanobisOptions { form, ..MahalanobisOptions::default() },
        seed: options.seed,
        ..GroupingOptions::default()
    };
    let shrunk = learn_for_grouping(own.view(), &from, &half, &how).map_err(|e| invalid(&e))?;
    let groups = grouped(&shrunk.metric.apply(own.view()))?;
    report.learned = Some(LearnedReport {
        form,
        share: shrunk.share,
        tried: shrunk.tried.iter().flat_map(|kappas| SHARES.into_iter().zip(*kappas)).collect(),
        from: from.len(),
        pairs: shrunk.pairs,
        objective: (shrunk.learned.before, shrunk.learned.after),
        others: (agreement(&plain, &others), agreement(&groups, &others)),
        all: agreement(&groups, &everyone),
    });
    Ok((report, Some(shrunk.metric)))
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
