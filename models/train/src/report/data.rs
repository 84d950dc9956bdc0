//! What is a run, for someone who reads about it?

use super::similarity::Separation;
use super::thumbnail::Picture;

/// Everything the page shows. Parts that a run does not have stay empty or
/// `None`; their sections then say so or are left away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The heading: what the user calls the run.
    pub title: String,
    /// What was trained, as part of a sentence: "heads on lite's frozen encoders".
    pub model: String,
    /// The loss and how its negatives are chosen, as part of a sentence.
    pub loss: String,
    /// On what.
    pub data: DataSet,
    /// The configuration as the user wrote it (or as it was resolved).
    pub config: String,
    /// One an epoch, in order; the first may be epoch 0, before training.
    pub epochs: Vec<EpochLine>,
    /// The epoch whose weights were kept.
    pub best_epoch: Option<u64>,
    /// How training ended, one sentence.
    pub ending: String,
    /// Which pictures the scores are of and whether anything was chosen by them,
    /// as part of a sentence: "the test split, which nothing was chosen by".
    pub measured_on: String,
    /// How the intervals were made, one sentence; empty if there are none.
    pub intervals: String,
    /// Before and after, one a direction.
    pub scores: Vec<Direction>,
    /// Cosines on held-out pairs before and after.
    pub similarity: Option<(Separation, Separation)>,
    /// What the detectors found.
    pub findings: Vec<Finding>,
    /// Queries with their hits before and after. Those whose first hit is still
    /// wrong afterwards are shown apart.
    pub examples: Vec<Example>,
    /// How the examples were picked, one sentence ("at random, seed 7"); a reader
    /// has to know whether they are the best ones.
    pub examples_chosen: String,
    /// What was exported; none if nothing was.
    pub export: Option<Exported>,
    /// Wall time of the whole run in seconds.
    pub seconds: f64,
    /// The seed.
    pub seed: u64,
    /// Threads that were used.
    pub threads: usize,
}

/// The pairs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataSet {
    /// Where they came from: a path, a name.
    pub source: String,
    /// Pairs of a picture and a caption.
    pub pairs: usize,
    /// Distinct pictures.
    pub pictures: usize,
    /// Groups: pictures and captions of one thing, never each other's negatives.
    pub groups: usize,
    /// How they were divided.
    pub splits: Vec<Split>,
}

/// A part of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// "training", "validation", "test".
    pub name: String,
    /// Pairs in it.
    pub pairs: usize,
    /// Pictures in it.
    pub pictures: usize,
    /// Groups in it.
    pub groups: usize,
}

/// Who looks for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// A text finds its picture.
    TextToPicture,
    /// A picture finds its text.
    PictureToText,
    /// A picture finds another picture of the same thing.
    PictureToPicture,
}

impl Way {
    /// As a heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextToPicture => "Text → picture",
            Self::PictureToText => "Picture → text",
            Self::PictureToPicture => "Picture → picture",
        }
    }
}

/// One epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpochLine {
    /// From 1; 0 is before training.
    pub epoch: u64,
    /// Optimiser steps so far.
    pub step: u64,
    /// Mean training loss.
    pub loss: Option<f64>,
    /// Recall@1, @5, @10 in [0, 1] on the validation pictures.
    pub recalls: Vec<(Way, [f64; 3])>,
    /// Sum of all recalls in percent.
    pub rsum: Option<f64>,
    /// Learning rate in the last step.
    pub rate: Option<f64>,
    /// Share of loss terms over zero, in [0, 1].
    pub active: Option<f64>,
    /// Mean cosine of pairs that belong together.
    pub positive: Option<f64>,
    /// Mean cosine of pairs that do not.
    pub negative: Option<f64>,
    /// Wall time of the epoch.
    pub seconds: f64,
}

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The value.
    pub value: f64,
    /// 95 % interval, lower and upper end.
    pub interval: Option<[f64; 2]>,
}

impl Figure {
    /// A value alone.
    pub fn plain(value: f64) -> Self {
        Self { value, interval: None }
    }

    /// A share of `queries` with Wilson's 95 % interval. It takes queries to be
    /// independent; where one thing is asked about by several, a bootstrap over
    /// the things is wider and right. No interval without queries or for a value
    /// outside [0, 1].
    ///
    /// # Source
    /// Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    pub fn share(value: f64, queries: usize) -> Self {
        if queries == 0 || !(0.0..=1.0).contains(&value) {
            return Self::plain(value);
        }
        let (n, z) = (queries as f64, 1.959_963_984_540_054);
        let middle = (value + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half =
            z / (1.0 + z * z / n) * (value * (1.0 - value) / n + z * z / (4.0 * n * n)).sqrt();
        Self { value, interval: Some([(middle - half).max(0.0), (middle + half).min(1.0)]) }
    }
}

/// The same measure before and after training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// Before; none if there was no model to measure.
    pub before: Option<Figure>,
    /// After.
    pub after: Option<Figure>,
}

impl Change {
    /// Two shares of the same number of queries, by [`Figure::share`].
    pub fn shares(before: f64, after: f64, queries: usize) -> Self {
        Self {
            before: Some(Figure::share(before, queries)),
            after: Some(Figure::share(after, queries)),
        }
    }
}

/// How well one side finds the other, on pictures that were held out.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// Who looks for whom.
    pub way: Way,
    /// How many looked.
    pub queries: usize,
    /// Among how many.
    pub candidates: usize,
    /// Recall@1, @5, @10 in [0, 1].
    pub recall: [Change; 3],
    /// Rank of the first right hit, 1 is best.
    pub median_rank: Change,
}

/// What a detector found, in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub advice: String,
}

/// A thing on the page: a picture, words, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// A thumbnail.
    pub picture: Option<Picture>,
    /// The caption.
    pub caption: String,
}

/// A found thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// What was found.
    pub shown: Shown,
    /// Its cosine.
    pub score: f64,
    /// Whether it belongs to the query.
    pub right: bool,
}

/// A query with its best hits before and after training.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Who looks for whom.
    pub way: Way,
    /// A held-out text or picture.
    pub query: Shown,
    /// Hits, best first; about five fit.
    pub before: Vec<Hit>,
    /// Hits, best first.
    pub after: Vec<Hit>,
    /// Rank of the first right hit before, from 1.
    pub rank_before: Option<usize>,
    /// Rank of the first right hit after, from 1.
    pub rank_after: Option<usize>,
}

/// What left the trainer.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Where it lies.
    pub folder: String,
    /// Id of its space.
    pub space: String,
    /// What both files carry, so that mixed ones are refused.
    pub pair: String,
    /// Numbers in an embedding.
    pub dim: usize,
    /// The loss's margin.
    pub margin: Option<f64>,
    /// Greatest difference between trainer and runtime in any number of an embedding.
    pub parity: f64,
}
