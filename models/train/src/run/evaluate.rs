//! How good is the model on pictures that were held out? The exact ranks of
//! `ekphrasis-metric`, where ties count against the model.

use ekphrasis_metric::measure::{Relevance, RetrievalScore, retrieve};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::model::Model;
use super::supply::Supply;

/// Pictures (and captions) that are not learnt from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeldOut {
    /// Positions of pictures.
    pub pictures: Vec<usize>,
    /// Numbers of captions, each once; empty in training on pictures alone.
    pub captions: Vec<usize>,
    /// For each picture the places in `captions` that describe it.
    pub captions_of: Vec<Vec<usize>>,
    /// For each picture, what it shows: pictures of the same are to find each
    /// other. Used where there are no captions.
    pub same: Vec<u32>,
}

impl HeldOut {
    /// Whether there is nothing to measure.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// Whether anything can be ranked: there is a query with both a right and a wrong
    /// candidate. All of one caption, or one picture of each thing, say nothing about
    /// a model.
    pub fn can_be_ranked(&self) -> bool {
        if self.captions.is_empty() {
            let mut sorted = self.same.clone();
            sorted.sort_unstable();
            let groups = sorted.chunk_by(|a, b| a == b);
            return groups.map(<[u32]>::len).any(|n| n > 1 && n < sorted.len());
        }
        let mut owners = vec![0; self.captions.len()];
        self.captions_of.iter().flatten().for_each(|&caption| owners[caption] += 1);
        let some = |count: usize, of: usize| count > 0 && count < of;
        owners.iter().any(|&count| some(count, self.pictures.len()))
            || self.captions_of.iter().any(|own| some(own.len(), self.captions.len()))
    }
}

/// Recall in one direction, in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// Queries that have an answer.
    pub queries: usize,
    /// Candidates of each.
    pub candidates: usize,
    /// Share whose first hit is right.
    pub recall_at_1: f64,
    /// Share with a right hit among five.
    pub recall_at_5: f64,
    /// Share with a right hit among ten.
    pub recall_at_10: f64,
    /// 1 is best.
    pub median_rank: usize,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Captions that look for their pictures; none in training on pictures alone.
    pub text_to_image: Option<Direction>,
    /// Pictures that look for their captions.
    pub image_to_text: Option<Direction>,
    /// Pictures that look for others of the same.
    pub image_to_image: Option<Direction>,
    /// ‖mean of images − mean of texts‖: how far apart the two sides lie.
    pub gap: Option<f64>,
}

impl Score {
    /// The sum of all recalls in percent: of 600 with captions, of 300 without.
    pub fn rsum(&self) -> f64 {
        [self.text_to_image, self.image_to_text, self.image_to_image]
            .into_iter()
            .flatten()
            .map(|d| 100.0 * (d.recall_at_1 + d.recall_at_5 + d.recall_at_10))
            .sum()
    }
}

const CHUNK: usize = 512;

/// Measures on what `supply` holds out; none if that is nothing, or nothing that
/// [can be ranked](HeldOut::can_be_ranked).
pub fn evaluate(model: &Model, supply: &dyn Supply) -> Option<Score> {
    let held = supply.held_out();
    if !held.can_be_ranked() {
        return None;
    }
    let (images, texts) = embed(model, supply);
    Some(score(&images, texts.as_ref(), held))
}

/// Embeddings of the held-out pictures and captions, in their order; no texts where
/// there are no captions or no text side.
///
/// # Panics
/// If nothing is held out.
pub(crate) fn embed(model: &Model, supply: &dyn Supply) -> (Array2<f32>, Option<Array2<f32>>) {
    let held = supply.held_out();
    let images = in_chunks(&held.pictures, |part| model.images(supply.pictures(part)));
    let texts = (!held.captions.is_empty())
        .then(|| {
            let parts = held.captions.chunks(CHUNK).map(|c| model.texts(supply.captions(c)));
            parts.collect::<Option<Vec<_>>>().map(|parts| joined(parts.into_iter()))
        })
        .flatten();
    (images, texts)
}

/// Embeddings of these pictures, so many at a time.
pub(super) fn in_chunks(
    pictures: &[usize],
    embed: impl Fn(&[usize]) -> Array2<f32>,
) -> Array2<f32> {
    joined(pictures.chunks(CHUNK).map(embed))
}

fn joined(parts: impl Iterator<Item = Array2<f32>>) -> Array2<f32> {
    let parts: Vec<_> = parts.collect();
    let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
    ndarray::concatenate(ndarray::Axis(0), &views).expect("embeddings of one width")
}

/// The score of embeddings that are there already.
///
/// # Shapes
/// `images`: pictures × dim, `texts`: captions × dim, both as in `held`.
///
/// # Panics
/// If the rows are not those of `held`.
pub(crate) fn score(images: &Array2<f32>, texts: Option<&Array2<f32>>, held: &HeldOut) -> Score {
    assert_eq!(images.nrows(), held.pictures.len(), "one row a picture");
    let Some(texts) = texts else {
        let relevance = Relevance::within(&held.same);
        return Score {
            text_to_image: None,
            image_to_text: None,
            image_to_image: direction(images, images, &relevance),
            gap: None,
        };
    };
    let mut pictures_of = vec![Vec::new(); held.captions.len()];
    for (picture, captions) in held.captions_of.iter().enumerate() {
        captions.iter().for_each(|&c| pictures_of[c].push(picture));
    }
    let of = |sets: Vec<Vec<usize>>, candidates| {
        Relevance::new(sets, candidates).expect("places within the held-out ones")
    };
    let mean = |a: &Array2<f32>| a.mean_axis(ndarray::Axis(0)).expect("rows");
    let apart = mean(images) - mean(texts);
    Score {
        text_to_image: direction(texts, images, &of(pictures_of, images.nrows())),
        image_to_text: direction(images, texts, &of(held.captions_of.clone(), texts.nrows())),
        image_to_image: None,
        gap: Some(f64::from(apart.dot(&apart)).sqrt()),
    }
}

fn direction(
    queries: &Array2<f32>,
    candidates: &Array2<f32>,
    relevance: &Relevance,
) -> Option<Direction> {
    let scores = retrieve(queries.view(), candidates.view(), relevance);
    let score = RetrievalScore::new(&scores, relevance.ranked_over())?;
    Some(Direction {
        queries: score.queries,
        candidates: score.candidates,
        recall_at_1: score.recall_at_1,
        recall_at_5: score.recall_at_5,
        recall_at_10: score.recall_at_10,
        median_rank: score.median_rank,
    })
}
