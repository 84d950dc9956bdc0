//! Given a label set and a library, which labels do its pictures have? From the vectors
//! that are there: nothing is encoded again.

use std::sync::atomic::{AtomicUsize, Ordering};

use ekphrasis_index::{
    Applied, GivenLabel, LabelAnswer, LabelAnswers, LabelRule, LocalStore, NameKind, Pictures,
    Written,
};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, s};

use super::classify::{LabelVectors, doubt_of_few_labels};
use crate::{Engine, EngineError, ItemId, naming};

/// Pictures that are compared with all labels at once: as many scores stay near the core.
const STRIP: usize = 256;
/// The probability from which on a label counts if nothing is said: more probable than not.
pub const LEAST_LABEL_PROBABILITY: f64 = 0.5;

/// Labels that a picture may have of one set.
const MOST_LABELS_EACH: usize = 20;

/// What applying a set came to.
#[derive(Clone, Debug, PartialEq)]
pub struct AppliedLabels {
    /// The set.
    pub set: String,
    /// When its labels count.
    pub rule: LabelRule,
    /// Pictures that were looked at.
    pub pictures: u64,
    /// Those that have a label of it.
    pub labelled: u64,
    /// How many pictures have each of its labels, in its order.
    pub labels: Vec<(String, u64)>,
    /// What is doubtful about that, in sentences.
    pub warnings: Vec<String>,
}

/// A label set that was applied, and could not be again by another model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unapplied {
    /// The set.
    pub set: String,
    /// Why not.
    pub reason: String,
}

impl Engine {
    /// Labels all pictures of the store by a set, by the vectors that are there, instead of
    /// what the set may have said before. Filters and facets know these labels from then
    /// on; pictures that come later get theirs as they are indexed, until the set is changed.
    ///
    /// Without `multi` a picture has the label that fits it best, if that has the least
    /// probability and no less than none of them; with it, every label that has the least
    /// probability by itself, at most the twenty most probable.
    ///
    /// # Errors
    /// `NotFound` if there is no such set; `Invalid` for a probability outside of 0..=1, a
    /// set that was made in another space or has but one label that is not judged by itself, or
    /// each label by itself by a model that is not calibrated for that; otherwise as model or store fail.
    pub fn apply_label_set(
        &self,
        name: &str,
        rule: LabelRule,
    ) -> Result<AppliedLabels, EngineError> {
        if !(0.0..=1.0).contains(&rule.minimum) {
            return Err(EngineError::of_field(
                "min_probability",
                format!("a probability is from 0 to 1, got {}", rule.minimum),
            ));
        }
        let name = name.trim();
        self.apply(name, rule, || self.store.pictures().map_err(EngineError::from))
    }

    /// Applies the sets that another store of the same items had applied, by the same rules,
    /// and no others. Says which could not be.
    pub(crate) fn apply_as(&self, other: &LocalStore) -> Result<Vec<Unapplied>, EngineError> {
        let wanted = other.applied()?;
        for there in self.store.applied()? {
            if wanted.iter().all(|applied| applied.set != there.set) {
                self.store.remove_applied(&there.set)?;
            }
        }
        let mut unapplied = vec![];
        for Applied { set, rule, .. } in wanted {
            match self.apply_label_set(&set, rule) {
                Ok(_) => {}
                Err(
                    EngineError::Invalid(reason)
                    | EngineError::InvalidField { message: reason, .. }
                    | EngineError::NotFound(reason),
                ) => {
                    self.store.remove_applied(&set)?;
                    unapplied.push(Unapplied { set, reason });
                }
                Err(e) => return Err(e),
            }
        }
        Ok(unapplied)
    }

    /// Labels the pictures that came since by the sets that were applied. Sets that cannot
    /// be used any more are left out; the state says so.
    pub(crate) fn label_new(&self) -> Result<(), EngineError> {
        for applied in self.store.applied()? {
            if applied.waiting > 0 && !applied.changed {
                let waiting = || Ok(self.store.pictures_waiting(&applied.set, applied.rule)?);
                self.apply(&applied.set, applied.rule, waiting)?;
            }
        }
        Ok(())
    }

    /// The sets that were applied, in order of names.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn applied_label_sets(&self) -> Result<Vec<Applied>, EngineError> {
        Ok(self.fresh()?.applied()?)
    }

    /// The labels that sets gave to items, in the order of `ids`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn given_labels(&self, ids: &[ItemId]) -> Result<Vec<Vec<GivenLabel>>, EngineError> {
        Ok(self.fresh()?.given_labels(ids)?)
    }

    fn apply(
        &self,
        name: &str,
        rule: LabelRule,
        pictures: impl Fn() -> Result<Pictures, EngineError>,
    ) -> Result<AppliedLabels, EngineError> {
        // Nobody changes the set meanwhile; the store may number its rows anew.
        let _names = self.hold_names();
        loop {
            let stamp = self.store.stamp(NameKind::LabelSet, name)?;
            let vectors = self.vectors_of_set(name)?;
            vectors.check_count(name, rule.multi)?;
            let pictures = pictures()?;
            let answers = answers(&vectors, &pictures, rule)?;
            let labels = vectors.names();
            let written = self.store.put_applied(
                &LabelAnswers {
                    set: name,
                    stamp: stamp.unwrap_or_default(),
                    rule,
                    labels: &labels,
                    answers: &answers,
                    at: naming::now(),
                },
                &pictures,
            )?;
            match written {
                Written::Outdated => {}
                Written::Yes => {
                    // Copies may have been looked for among those with a label.
                    *self.copies.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
                    let count = labels.len();
                    let mut applied = summary(name, rule, pictures.len(), labels, &answers);
                    if rule.multi || vectors.tells_none() {
                        applied.warnings.extend(doubt_of_few_labels(count, rule.multi));
                    } else {
                        applied.warnings.push(
                            "this model cannot tell when none of the labels fits, so a picture of \
                             something else is labelled as well; `ek model calibrate` lets it tell"
                                .into(),
                        );
                    }
                    return Ok(applied);
                }
            }
        }
    }
}

fn summary(
    set: &str,
    rule: LabelRule,
    pictures: u64,
    labels: Vec<String>,
    answers: &[LabelAnswer],
) -> AppliedLabels {
    let mut counts = vec![0; labels.len()];
    answers.iter().for_each(|answer| counts[answer.label as usize] += 1);
    let mut rows: Vec<u64> = answers.iter().map(|answer| answer.row).collect();
    rows.sort_unstable();
    rows.dedup();
    AppliedLabels {
        set: set.into(),
        rule,
        pictures,
        labelled: rows.len() as u64,
        labels: labels.into_iter().zip(counts).collect(),
        warnings: vec![],
    }
}

/// What a set says of pictures, by label and row. On all cores; holds a strip of scores for
/// each, and the answers.
fn answers(
    vectors: &LabelVectors,
    pictures: &Pictures,
    rule: LabelRule,
) -> Result<Vec<LabelAnswer>, EngineError> {
    let judge = Judge::new(vectors, rule)?;
    let (next, blocks) = (AtomicUsize::new(0), pictures.blocks());
    let worker = || {
        let mut strip = Strip::new(&judge);
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks {
                return strip.answers;
            }
            pictures.each_in(block, |_, row, values| strip.add(row, values));
            strip.flush();
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(blocks.max(1));
    let mut all: Vec<LabelAnswer> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        for other in others {
            match other.join() {
                Ok(answers) => all.extend(answers),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|answer| (answer.label, answer.row));
    Ok(all)
}

/// How the scores of a picture become answers.
struct Judge<'a> {
    vectors: &'a LabelVectors,
    rule: LabelRule,
    /// A row a label.
    labels: Array2<f32>,
    /// From where on a label may be probable enough by itself.
    least: Vec<f32>,
}

impl<'a> Judge<'a> {
    fn new(vectors: &'a LabelVectors, rule: LabelRule) -> Result<Self, EngineError> {
        let least = match rule.multi {
            true => vectors.least_cosines(vectors.check_multi()?, rule.minimum),
            false => vec![],
        };
        Ok(Self { vectors, rule, labels: vectors.matrix(), least })
    }

    fn judge(&self, row: u64, cosines: &[f32], answers: &mut Vec<LabelAnswer>) {
        let answer = |(label, probability): (usize, f32)| LabelAnswer {
            row,
            label: label as u32,
            probability,
        };
        let enough = |probability: f32| f64::from(probability) >= self.rule.minimum;
        if let (true, Ok(each)) = (self.rule.multi, self.vectors.check_multi()) {
            let near = cosines.iter().zip(&self.least).enumerate();
            let mut found: Vec<(usize, f32)> = near
                .filter(|(_, (cosine, least))| cosine >= least)
                .map(|(i, (&cosine, _))| (i, self.vectors.probability_of(i, cosine, each)))
                .filter(|&(_, probability)| enough(probability))
                .collect();
            found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            answers.extend(found.into_iter().take(MOST_LABELS_EACH).map(answer));
            return;
        }
        let (best, probability, none) = self.vectors.best(cosines);
        if enough(probability) && none.is_none_or(|none| probability >= none) {
            answers.push(answer((best, probability)));
        }
    }
}

/// Pictures on their way to being compared with all labels at once.
struct Strip<'a> {
    judge: &'a Judge<'a>,
    rows: Vec<u64>,
    values: Vec<f32>,
    scores: Array2<f32>,
    answers: Vec<LabelAnswer>,
}

impl<'a> Strip<'a> {
    fn new(judge: &'a Judge<'a>) -> Self {
        let scores = Array2::zeros((STRIP, judge.labels.nrows()));
        let values = Vec::with_capacity(STRIP * judge.labels.ncols());
        Self { judge, rows: Vec::with_capacity(STRIP), values, scores, answers: vec![] }
    }

    fn add(&mut self, row: u64, values: &[f32]) {
        self.rows.push(row);
        self.values.extend_from_slice(values);
        if self.rows.len() == STRIP {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let (count, labels) = (self.rows.len(), &self.judge.labels);
        if let Ok(pictures) = ArrayView2::from_shape((count, labels.ncols()), &self.values) {
            let mut scores = self.scores.slice_mut(s![..count, ..]);
            general_mat_mul(1.0, &pictures, &labels.t(), 0.0, &mut scores);
            for (&row, cosines) in self.rows.iter().zip(scores.outer_iter()) {
                if let Some(cosines) = cosines.as_slice() {
                    self.judge.judge(row, cosines, &mut self.answers);
                }
            }
        }
        self.rows.clear();
        self.values.clear();
    }
}
