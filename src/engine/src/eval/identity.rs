//! Given pictures of which some show the same thing, can the model tell: two at
//! a time (verification), or from a few examples (episodes)?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use ekphrasis_metric::measure::{
    ClassWords, EpisodeError, EpisodeOptions, EpisodeScore, FoldedAccuracy, RocPoint,
    TooFewNegatives, Verification, VerificationError, few_shot, few_shot_with_words,
};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::EvalOptions;
use super::pictures::{self, Seen};
use crate::{EngineError, Towers, label_sets};

/// What makes two pictures pictures of the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameBy {
    /// The `class` column.
    Class,
    /// The `group` column.
    Group,
    /// The first caption.
    Caption,
}

impl fmt::Display for SameBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Class => "class",
            Self::Group => "group",
            Self::Caption => "caption",
        })
    }
}

/// Same thing or not.
#[derive(Clone, Debug)]
pub struct VerificationReport {
    /// What made two pictures the same.
    pub same_by: SameBy,
    /// Pictures that were paired with one another.
    pub pictures: usize,
    /// All their pairs; those of one group but of two classes or captions are neither.
    pub all: PairScores,
    /// Only pairs of two styles, if the pictures have styles; or why these tell
    /// nothing, such as a style that draws things of its own alone.
    pub across_styles: Option<Result<PairScores, VerificationError>>,
}

/// How well scores tell pairs apart.
#[derive(Clone, Debug)]
pub struct PairScores {
    /// Pairs of the same thing.
    pub positives: usize,
    /// Other pairs.
    pub negatives: usize,
    /// Area under the ROC.
    pub auc: f64,
    /// Equal error rate.
    pub eer: f64,
    /// From accepting nothing to accepting all, at most 50 points.
    pub roc: Vec<RocPoint>,
    /// True accept rate at false accept rates of 0.1, 0.01, 0.001, 0.0001.
    pub tar_at_far: Vec<(f64, Result<f64, TooFewNegatives>)>,
    /// With the threshold chosen on other identities, ten folds.
    pub folds: Result<FoldedAccuracy, VerificationError>,
}

/// A number of shots, and what was measured with it or why nothing could be.
pub type ShotsScore = (usize, Result<EpisodeScore, EpisodeError>);

/// More pictures than that are sampled: pairs grow with the square.
const MOST: usize = 3000;
const FARS: [f64; 4] = [0.1, 0.01, 0.001, 0.0001];
const FOLDS: usize = 10;
/// Points of a ROC that are told.
const MOST_POINTS: usize = 50;

/// The identity of each picture as a number; `None` where the column is empty.
pub(super) fn identities(
    seen: &[Seen],
    asked: Option<SameBy>,
) -> Result<(SameBy, Vec<Option<usize>>), EngineError> {
    let of = |by: SameBy, s: &Seen| match by {
        SameBy::Class => s.facts.class.clone(),
        SameBy::Group => s.facts.group.clone(),
        SameBy::Caption => s.facts.captions.first().cloned(),
    };
    let has = |by: SameBy| seen.iter().any(|s| of(by, s).is_some());
    let by = asked.unwrap_or_else(|| {
        [SameBy::Class, SameBy::Group].into_iter().find(|&by| has(by)).unwrap_or(SameBy::Caption)
    });
    if !has(by) {
        return Err(EngineError::Invalid(format!(
            "no picture of these has a {by}, so none is known to show the same thing; add a column \
             {by}, or name another with --same-by"
        )));
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let numbered = seen.iter().map(|s| {
        let next = numbers.len();
        of(by, s).map(|name| *numbers.entry(name).or_insert(next))
    });
    Ok((by, numbered.collect()))
}

pub(super) fn verify(
    seen: &[Seen],
    options: &EvalOptions,
) -> Result<VerificationReport, EngineError> {
    let (same_by, identity) = identities(seen, options.same_by)?;
    let mut used: Vec<usize> = (0..seen.len()).filter(|&i| identity[i].is_some()).collect();
    if used.len() > MOST {
        used.shuffle(&mut Pcg64::seed_from_u64(options.seed));
        used.truncate(MOST);
        used.sort_unstable();
    }
    let vectors = pictures::rows(used.iter().map(|&i| &seen[i].embedding));
    let scores = vectors.dot(&vectors.t());
    let mut pairs = Pairs::default();
    for (p, &a) in used.iter().enumerate() {
        for (q, &b) in used.iter().enumerate().take(p) {
            let same = identity[a] == identity[b];
            let (left, right) = (&seen[a].facts, &seen[b].facts);
            // Of one concept, but named otherwise: neither the same nor different.
            let unclear = !same && left.group.is_some() && left.group == right.group;
            if let (Some(one), Some(other), false) = (identity[a], identity[b], unclear) {
                pairs.scores.push(scores[[p, q]]);
                pairs.same.push(same);
                pairs.identities.push((one, other));
                let styles = left.style.as_ref().zip(right.style.as_ref());
                pairs.across.push(styles.is_some_and(|(l, r)| l != r));
            }
        }
    }
    let all = pairs
        .judge(options.seed)
        .map_err(|e| EngineError::Invalid(format!("{e} (by {same_by})")))?;
    let styles: BTreeSet<&String> =
        used.iter().filter_map(|&i| seen[i].facts.style.as_ref()).collect();
    let across_styles = match styles.len() {
        0 | 1 => None,
        _ => Some(pairs.across_styles().judge(options.seed)),
    };
    Ok(VerificationReport { same_by, pictures: used.len(), all, across_styles })
}

/// Pairs of pictures, column by column.
#[derive(Default)]
struct Pairs {
    scores: Vec<f32>,
    same: Vec<bool>,
    identities: Vec<(usize, usize)>,
    across: Vec<bool>,
}

impl Pairs {
    fn across_styles(&self) -> Self {
        let kept: Vec<usize> = (0..self.across.len()).filter(|&p| self.across[p]).collect();
        Self {
            scores: kept.iter().map(|&p| self.scores[p]).collect(),
            same: kept.iter().map(|&p| self.same[p]).collect(),
            identities: kept.iter().map(|&p| self.identities[p]).collect(),
            across: vec![true; kept.len()],
        }
    }

    fn judge(&self, seed: u64) -> Result<PairScores, VerificationError> {
        let verification = Verification::new(&self.scores, &self.same)?;
        Ok(PairScores {
            positives: verification.positives(),
            negatives: verification.negatives(),
            auc: verification.auc(),
            eer: verification.eer(),
            roc: thinned(verification.roc(), MOST_POINTS),
            tar_at_far: FARS.map(|far| (far, verification.tar_at(far))).to_vec(),
            folds: Verification::by_folds(&self.scores, &self.same, &self.identities, FOLDS, seed),
        })
    }
}

/// At most `most` (2 or more) of a curve's points, both ends among them: those that follow one
/// another in equal steps along it, so that neither its rise nor its end is lost.
fn thinned(roc: &[RocPoint], most: usize) -> Vec<RocPoint> {
    if roc.len() <= most {
        return roc.to_vec();
    }
    // Neither rate ever falls, so their sum goes from 0 to 2.
    let at = |step: usize| {
        let way = 2.0 * step as f64 / (most - 1) as f64;
        roc.partition_point(|p| p.far + p.tar < way).min(roc.len() - 1)
    };
    let mut kept: Vec<usize> = (0..most - 1).map(at).chain([roc.len() - 1]).collect();
    kept.dedup();
    kept.into_iter().map(|i| roc[i]).collect()
}

/// Episodes, with pictures alone or with words beside them.
#[derive(Clone, Debug)]
pub struct WithWords {
    /// How much words count beside pictures: what label sets of this model use.
    pub weight: f64,
    /// Words alone, for the same draws as one of the numbers of shots.
    pub words: Vec<ShotsScore>,
    /// Words and pictures.
    pub both: Vec<ShotsScore>,
}

/// What few-shot episodes gave: by pictures, and with words if that was asked for.
pub(super) type Episodes = (Vec<ShotsScore>, Option<WithWords>);

pub(super) fn episodes(
    towers: &dyn Towers,
    seen: &[Seen],
    options: &EvalOptions,
) -> Result<Episodes, EngineError> {
    if options.shots.is_empty() {
        return Ok((Vec::new(), None));
    }
    let (_, identity) = identities(seen, options.same_by)?;
    let used: Vec<usize> = (0..seen.len()).filter(|&i| identity[i].is_some()).collect();
    let labels: Vec<usize> = used.iter().filter_map(|&i| identity[i]).collect();
    let vectors = pictures::rows(used.iter().map(|&i| &seen[i].embedding));
    let of = |shots: usize, words: Option<ClassWords<'_>>| {
        let options = EpisodeOptions {
            ways: options.ways,
            shots,
            episodes: options.episodes,
            seed: options.seed,
            ..EpisodeOptions::default()
        };
        let score = match words {
            None => few_shot(vectors.view(), &labels, &options),
            Some(words) => few_shot_with_words(vectors.view(), &labels, words, &options),
        };
        match score {
            // What cannot be asked for at all is the request's fault.
            Err(e @ EpisodeError::Options(_)) => Err(EngineError::Invalid(e.to_string())),
            other => Ok((shots, other)),
        }
    };
    let all = |words: Option<ClassWords<'_>>| -> Result<Vec<ShotsScore>, EngineError> {
        options.shots.iter().map(|&shots| of(shots, words)).collect()
    };
    let alone = all(None)?;
    if !options.with_words {
        return Ok((alone, None));
    }
    let names = names(seen, &used, &labels);
    let words = crate::labels::prompt_vectors(towers, &names, &options.templates)?;
    let words = pictures::rows(words.iter());
    let weight = label_sets::words_weight(towers);
    let at = |weight: f64| Some(ClassWords { vectors: words.view(), weight: weight as f32 });
    let with = WithWords { weight, words: all(at(1.0))?, both: all(at(weight))? };
    Ok((alone, Some(with)))
}

/// The words of each identity, by its number: the class or caption that most of its
/// pictures have, the first of several in the alphabet.
fn names(seen: &[Seen], used: &[usize], labels: &[usize]) -> Vec<String> {
    let count = labels.iter().max().map_or(0, |most| most + 1);
    let mut found: Vec<BTreeMap<&str, usize>> = vec![BTreeMap::new(); count];
    for (&i, &label) in used.iter().zip(labels) {
        *found[label].entry(seen[i].facts.label()).or_default() += 1;
    }
    let most = |names: &BTreeMap<&str, usize>| {
        let best = names.iter().max_by_key(|(name, count)| (**count, std::cmp::Reverse(**name)));
        best.map_or(String::new(), |(name, _)| (*name).to_owned())
    };
    found.iter().map(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_curve_has_both_ends_and_no_long_gaps() {
        let curve = |n: usize| -> Vec<RocPoint> {
            (0..=n)
                .map(|i| {
                    let far = i as f64 / n as f64;
                    RocPoint { threshold: -far, far, tar: far.powf(0.1) }
                })
                .collect()
        };
        for n in [1, 10, 49, 50, 1_000, 100_000] {
            let (all, kept) = (curve(n), thinned(&curve(n), 50));
            assert!(kept.len() <= 50 && kept.len() >= n.min(20), "{n}: {}", kept.len());
            assert_eq!((kept[0], kept[kept.len() - 1]), (all[0], all[n]));
            let way = |p: &RocPoint| p.far + p.tar;
            let longest = |of: &[RocPoint]| {
                of.windows(2).map(|w| way(&w[1]) - way(&w[0])).fold(0.0, f64::max)
            };
            assert!(kept.windows(2).all(|w| way(&w[0]) < way(&w[1])), "{n}");
            assert!(longest(&kept) <= longest(&all) + 2.0 / 49.0 + 1e-9, "{n}");
        }
    }
}
