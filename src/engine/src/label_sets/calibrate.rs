//! Given pictures of held-out things, how much do words count beside pictures, how sharp
//! are deviations, when does no label fit, and when does one fit whatever others do?
//!
//! Sets of 3 to 100 labels (half of the things at most) are drawn, known by words, by one
//! picture each, by both, or some by each; as many things again are left out of the set. So
//! half of the pictures that are shown have a label that fits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ekphrasis_embed::{Embedding, dot};
use ekphrasis_metric::logistic::Logistic;
use ekphrasis_models::{EachLabel, LabelCalibration};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::classify::{
    AnyEvidence, EachEvidence, FEWEST_LEARNED, deviations, each_weights, mixed, weights,
};
use crate::confidence::{Confidence, Expected};
use crate::eval::Seen;
use crate::{EngineError, Towers, labels};

/// Weights of words that are tried.
const WEIGHTS: [f64; 7] = [0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8];
/// Multiples of deviations that are tried.
const SHARPNESS: [f64; 7] = [0.7, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0];
/// Labels of a set, if there are twice as many things.
const WAYS: [usize; 6] = [FEWEST_LEARNED, 5, 10, 20, 50, MOST_WAYS];
const MOST_WAYS: usize = 100;
/// Labels among which weights of words are tried.
const WEIGHED_AMONG: usize = 20;
/// Each size by each way of being known, many times.
const DRAWS: u64 = 480;
/// Pictures that are shown of each thing.
const SHOWN: usize = 3;
/// The penalty on weights, in examples.
const PENALTY: f64 = 300.0;
/// The fewest things of which anything can be learned.
const FEWEST: usize = 20;

/// A thing with words and pictures.
struct Thing<'a> {
    group: &'a str,
    words: Embedding,
    pictures: Vec<&'a Embedding>,
}

/// By what the labels of a drawn set are known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Words,
    Picture,
    Both,
}

/// A drawn set, and what is shown: each with its label's place, if it has one.
struct Drawn<'a> {
    known: Vec<Known>,
    words: Vec<&'a Embedding>,
    pictures: Vec<&'a Embedding>,
    shown: Vec<(&'a Embedding, Option<usize>)>,
}

/// Fits all three. `held` says in a few words what the pictures have to do with training.
///
/// # Errors
/// `Invalid` for fewer than 20 things with two pictures; otherwise as the model fails.
pub(crate) fn fit(
    towers: &dyn Towers,
    seen: &[Seen],
    confidence: &Confidence,
    held: &str,
    seed: u64,
) -> Result<LabelCalibration, EngineError> {
    let things = things(towers, seen)?;
    if things.len() < FEWEST {
        return Err(EngineError::Invalid(format!(
            "how labels are compared is learned from at least {FEWEST} things of two pictures or \
             more, got {}",
            things.len()
        )));
    }
    let words_weight = best_weight(&things, seed)?;
    let (mut rows, mut truth) = ([vec![], vec![]], [vec![], vec![]]);
    let (mut each_rows, mut each_truth) = ([vec![], vec![]], [vec![], vec![]]);
    let mut losses = [0.0; SHARPNESS.len()];
    for draw in 0..DRAWS {
        let drawn = draw_set(&things, draw, seed);
        let by_pictures = drawn.known.iter().any(|&k| k != Known::Words);
        drawn.judged(words_weight, confidence, |judged| {
            rows[usize::from(judged.by_picture[judged.best])].push(judged.evidence.figures());
            truth[usize::from(judged.by_picture[judged.best])].push(judged.own.is_some());
            for (i, (&cosine, expected)) in judged.cosines.iter().zip(judged.expected).enumerate() {
                let kind = usize::from(judged.by_picture[i]);
                let evidence = EachEvidence::of(cosine, expected, judged.cosines.len());
                each_rows[kind].push(evidence.figures());
                each_truth[kind].push(judged.own == Some(i));
            }
            if let (Some(own), true) = (judged.own, by_pictures) {
                let strength = deviations(judged.cosines, judged.expected);
                for (loss, sharpness) in losses.iter_mut().zip(SHARPNESS) {
                    *loss += surprise(&strength, sharpness, own);
                }
            }
        })?;
    }
    let fit = |rows: &[Vec<f64>], truth: &[bool]| {
        Logistic::fit(rows, truth, PENALTY)
            .map_err(|e| EngineError::Invalid(format!("nothing to learn from: {e}")))
    };
    let fitted = |kind: usize| {
        fit(&rows[kind], &truth[kind]).map(|fitted| weights(fitted.bias, &fitted.weights))
    };
    let each = |kind: usize| {
        let fitted = fit(&each_rows[kind], &each_truth[kind])?;
        Ok::<_, EngineError>(each_weights(fitted.bias, &fitted.weights))
    };
    let sharpest = (0..SHARPNESS.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b]));
    Ok(LabelCalibration {
        about: format!(
            "{DRAWS} drawn sets of {} to {} labels out of {} things {held}, half of the pictures \
             without a label that fits; seed {seed}",
            WAYS[0],
            ways_of(MOST_WAYS, things.len()),
            things.len()
        ),
        words_weight,
        sharpness: SHARPNESS[sharpest.unwrap_or(0)],
        words: fitted(0)?,
        pictures: fitted(1)?,
        each: Some(EachLabel { words: each(0)?, pictures: each(1)? }),
    })
}

/// What was said of drawn sets, and what was true.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelTrial {
    /// Things that sets were drawn of.
    pub(crate) things: usize,
    /// Over sets of all sizes.
    pub(crate) all: SetsSaid,
    /// Over those of so many labels.
    pub(crate) by_labels: BTreeMap<usize, SetsSaid>,
}

/// What was said of drawn sets of one size, or of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct SetsSaid {
    /// How probable it is that a picture has one of the labels.
    pub(crate) any: Said,
    /// How probable each label is by itself.
    pub(crate) each: Said,
    /// How probable that one is which is most probable by itself, of each picture.
    pub(crate) first: Said,
    /// How probable the best label is where one is to be chosen: its share of what none leaves.
    pub(crate) chosen: Said,
}

/// Probabilities, and whether they came true.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) said: Vec<f64>,
    pub(crate) truth: Vec<bool>,
}

impl Said {
    fn add(&mut self, said: f64, truth: bool) {
        self.said.push(said);
        self.truth.push(truth);
    }
}

/// What a calibration says of sets drawn as [`fit`] draws them, of things it did not see.
/// `None` if they are fewer than 20.
///
/// # Errors
/// As the model fails.
pub(crate) fn try_out(
    towers: &dyn Towers,
    seen: &[Seen],
    confidence: &Confidence,
    calibration: &LabelCalibration,
    seed: u64,
) -> Result<Option<LabelTrial>, EngineError> {
    let things = things(towers, seen)?;
    if things.len() < FEWEST {
        return Ok(None);
    }
    let mut trial = LabelTrial { things: things.len(), ..LabelTrial::default() };
    let logit_scale = f64::from(towers.labels().logit_scale);
    for draw in 0..DRAWS {
        let drawn = draw_set(&things, draw, seed);
        drawn.judged(calibration.words_weight, confidence, |judged| {
            let weights = match judged.by_picture[judged.best] {
                true => &calibration.pictures,
                false => &calibration.words,
            };
            let labels = judged.cosines.len();
            let LabelTrial { all, by_labels, .. } = &mut trial;
            let mut sets = [all, by_labels.entry(labels).or_default()];
            let any = judged.evidence.probability(weights);
            sets.iter_mut().for_each(|sets| sets.any.add(any, judged.own.is_some()));
            let (chosen, share) = judged.chosen(calibration.sharpness, logit_scale);
            let right = judged.own == Some(chosen);
            sets.iter_mut().for_each(|sets| sets.chosen.add(any * share, right));
            let Some(each) = &calibration.each else { return };
            let mut first = (0.0, false);
            for (i, (&cosine, expected)) in judged.cosines.iter().zip(judged.expected).enumerate() {
                let weights = if judged.by_picture[i] { &each.pictures } else { &each.words };
                let said = EachEvidence::of(cosine, expected, labels).probability(weights);
                let own = judged.own == Some(i);
                sets.iter_mut().for_each(|sets| sets.each.add(said, own));
                if said > first.0 {
                    first = (said, own);
                }
            }
            sets.iter_mut().for_each(|sets| sets.first.add(first.0, first.1));
        })?;
    }
    Ok(Some(trial))
}

/// Things by class, or else by first caption, that have at least two pictures; of other
/// styles if there are styles.
fn things<'a>(towers: &dyn Towers, seen: &'a [Seen]) -> Result<Vec<Thing<'a>>, EngineError> {
    type Known<'a> = (&'a str, Vec<&'a Embedding>, BTreeSet<&'a str>);
    let mut all: BTreeMap<&str, Known<'_>> = BTreeMap::new();
    for one in seen {
        let name = one.facts.label();
        if name.is_empty() {
            continue;
        }
        let group = one.facts.group.as_deref().unwrap_or(name);
        let (_, pictures, styles) =
            all.entry(name).or_insert_with(|| (group, vec![], BTreeSet::new()));
        if one.facts.style.as_deref().is_none_or(|style| styles.insert(style)) {
            pictures.push(&one.embedding);
        }
    }
    all.retain(|_, (_, pictures, _)| pictures.len() > 1);
    let names: Vec<String> = all.keys().map(|name| (*name).to_owned()).collect();
    let words = labels::prompt_vectors(towers, &names, &[])?;
    let things = all.into_values().zip(words);
    Ok(things.map(|((group, pictures, _), words)| Thing { group, words, pictures }).collect())
}

/// The weight with which one picture and words name most pictures rightly, among up to 20
/// labels.
fn best_weight(things: &[Thing<'_>], seed: u64) -> Result<f64, EngineError> {
    let mut right = [0usize; WEIGHTS.len()];
    for draw in 0..DRAWS {
        let drawn = draw_of(things, draw, seed, WEIGHED_AMONG, Some(Known::Both));
        for (right, weight) in right.iter_mut().zip(WEIGHTS) {
            let vectors = drawn.vectors(weight)?;
            for (picture, own) in &drawn.shown {
                let Some(own) = own else { continue };
                let score = |i: usize| dot(vectors[i].values(), picture.values());
                let better = (0..vectors.len()).any(|i| i != *own && score(i) >= score(*own));
                *right += usize::from(!better);
            }
        }
    }
    let best = (0..WEIGHTS.len()).max_by_key(|&i| (right[i], std::cmp::Reverse(i)));
    Ok(WEIGHTS[best.unwrap_or(0)])
}

fn draw_set<'a>(things: &'a [Thing<'a>], draw: u64, seed: u64) -> Drawn<'a> {
    let ways = WAYS[draw as usize % WAYS.len()];
    let known = [Some(Known::Words), Some(Known::Picture), Some(Known::Both), None];
    draw_of(things, draw, seed, ways, known[(draw as usize / WAYS.len()) % known.len()])
}

/// How many labels a set has: as many things again are left out of it.
fn ways_of(wanted: usize, things: usize) -> usize {
    wanted.min(things / 2)
}

/// A set of `ways` labels known so, or each its own way; and as many things without one.
fn draw_of<'a>(
    things: &'a [Thing<'a>],
    draw: u64,
    seed: u64,
    ways: usize,
    known: Option<Known>,
) -> Drawn<'a> {
    let mut rng = Pcg64::seed_from_u64(seed ^ (draw << 8));
    let mut order: Vec<&Thing<'_>> = things.iter().collect();
    order.shuffle(&mut rng);
    let ways = ways_of(ways, order.len());
    let groups: HashMap<&str, ()> = order[..ways].iter().map(|t| (t.group, ())).collect();
    let mut drawn = Drawn { known: vec![], words: vec![], pictures: vec![], shown: vec![] };
    let (mut inside, mut outside) = (0usize, 0usize);
    for (place, thing) in order.into_iter().enumerate() {
        let mut pictures = thing.pictures.clone();
        pictures.shuffle(&mut rng);
        if place < ways {
            let every = [Known::Words, Known::Picture, Known::Both];
            drawn.known.push(known.unwrap_or_else(|| every[rng.random_range(0..every.len())]));
            drawn.words.push(&thing.words);
            drawn.pictures.push(pictures[0]);
            let shown = pictures[1..].iter().take(SHOWN);
            drawn.shown.extend(shown.map(|p| (*p, Some(place))));
            inside = drawn.shown.len();
        } else if outside < inside && !groups.contains_key(thing.group) {
            // Of the group of a label that is there, it would be neither.
            let shown = pictures[1..].iter().take(SHOWN.min(inside - outside));
            drawn.shown.extend(shown.map(|p| (*p, None)));
            outside = drawn.shown.len() - inside;
        }
    }
    drawn
}

/// A picture beside a drawn set.
struct Beside<'a> {
    cosines: &'a [f32],
    expected: &'a [&'a Expected],
    /// Of each label, whether it is known by a picture.
    by_picture: &'a [bool],
    /// Whether labels are known by different things.
    differ: bool,
    /// The label that fits best, and what tells whether it does.
    best: usize,
    evidence: AnyEvidence,
    /// The label that the picture has.
    own: Option<usize>,
}

impl Beside<'_> {
    /// The label that is chosen, as a request's or a set's is, and its softmax among all.
    fn chosen(&self, sharpness: f64, logit_scale: f64) -> (usize, f64) {
        let strength: Vec<f64> = match self.differ {
            true => deviations(self.cosines, self.expected).iter().map(|d| d * sharpness).collect(),
            false => self.cosines.iter().map(|&c| f64::from(c) * logit_scale).collect(),
        };
        let best = (0..strength.len()).max_by(|&a, &b| strength[a].total_cmp(&strength[b]));
        let best = best.unwrap_or(0);
        let sum: f64 = strength.iter().map(|s| (s - strength[best]).exp()).sum();
        (best, 1.0 / sum)
    }
}

impl Drawn<'_> {
    /// Calls `each` with every picture that is shown.
    fn judged(
        &self,
        words_weight: f64,
        confidence: &Confidence,
        mut each: impl FnMut(&Beside<'_>),
    ) -> Result<(), EngineError> {
        let vectors = self.vectors(words_weight)?;
        let expected: Vec<Expected> =
            vectors.iter().map(|v| confidence.expected(v.values())).collect();
        let expected: Vec<&Expected> = expected.iter().collect();
        let differ = self.known.windows(2).any(|two| two[0] != two[1]);
        let by_picture: Vec<bool> = self.known.iter().map(|&k| k != Known::Words).collect();
        for &(picture, own) in &self.shown {
            let cosines: Vec<f32> =
                vectors.iter().map(|v| dot(v.values(), picture.values())).collect();
            let (best, evidence) = AnyEvidence::of(&cosines, &expected);
            each(&Beside {
                cosines: &cosines,
                expected: &expected,
                by_picture: &by_picture,
                differ,
                best,
                evidence,
                own,
            });
        }
        Ok(())
    }

    fn vectors(&self, words_weight: f64) -> Result<Vec<Embedding>, EngineError> {
        let of = |(i, known): (usize, &Known)| match known {
            Known::Words => Ok(self.words[i].clone()),
            Known::Picture => Ok(self.pictures[i].clone()),
            Known::Both => mixed(Some(self.words[i]), &[self.pictures[i]], words_weight),
        };
        self.known.iter().enumerate().map(of).collect()
    }
}

/// The negative log likelihood of the own label.
fn surprise(strength: &[f64], sharpness: f64, own: usize) -> f64 {
    let largest = strength.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = strength.iter().map(|s| ((s - largest) * sharpness).exp()).sum();
    sum.ln() - (strength[own] - largest) * sharpness
}
