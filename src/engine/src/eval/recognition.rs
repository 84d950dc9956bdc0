//! Given pictures of things in several styles, what happens when some are enrolled by one
//! or two pictures and the rest is shown: is the right one named, and nobody for a
//! stranger? By the very code that `ek verify` and `ek identify` run.
//!
//! Two pictures show the same if they are of one class, or else have one first caption.
//! Half of the groups are enrolled, the other half are strangers; a picture that is shown
//! is of another style than every example, if the pictures have styles.

use std::collections::BTreeMap;

use ekphrasis_metric::measure::{Asked, Identification, NobodyToIdentify, TooFewStrangers};
use ekphrasis_models::AcceptRate;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::pictures::Seen;
use crate::identities::{Accepting, Operating, Pairs, Scoring};
use crate::{EngineError, Towers};

/// How well things are known again.
#[derive(Clone, Debug)]
pub struct RecognitionReport {
    /// What the model states of itself, on these pictures; `None` if it states nothing.
    pub stated: Option<StatedRates>,
    /// Each number of examples with each way to make one score of them.
    pub enrolled: Vec<Enrolled>,
}

/// The model's thresholds, on pairs of these pictures.
#[derive(Clone, Debug)]
pub struct StatedRates {
    /// Pairs of the same thing, and of different things.
    pub pairs: (usize, usize),
    /// Area under the ROC, equal error rate.
    pub auc_eer: (f64, f64),
    /// Each threshold.
    pub rates: Vec<AtStated>,
}

/// One of the model's thresholds, on these pictures.
#[derive(Clone, Copy, Debug)]
pub struct AtStated {
    /// What the model states.
    pub stated: AcceptRate,
    /// The share of different pairs that was taken for the same here.
    pub far: f64,
    /// The share of the same pairs that was taken for the same here.
    pub tar: f64,
}

/// A mean over draws and its standard deviation over them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanAndSpread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub sd: f64,
}

/// Things enrolled by so many examples, half of the groups unknown.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Examples of each.
    pub examples: usize,
    /// How they make one score.
    pub scoring: Scoring,
    /// What was found, or why nothing could be.
    pub found: Result<Compared, NobodyToIdentify>,
}

/// Means over the draws.
#[derive(Clone, Debug)]
pub struct Compared {
    /// How often the groups were halved.
    pub draws: usize,
    /// Things enrolled, pictures of them that were shown, pictures of strangers.
    pub counts: (f64, f64, f64),
    /// The right one is the best: the closed set.
    pub rank_1: MeanAndSpread,
    /// TPIR at an FPIR that the threshold was chosen for on the same pictures.
    pub tpir_at: Vec<(f64, Result<MeanAndSpread, TooFewStrangers>)>,
    /// At the model's own threshold for as many enrolled, as `ek identify` uses it.
    pub at_rule: Option<AtRule>,
}

/// At the threshold that the model and the number of the enrolled give.
#[derive(Clone, Copy, Debug)]
pub struct AtRule {
    /// At most that share of strangers is named, it says; `None`: it cannot say.
    pub promised: Option<f64>,
    /// The share of strangers that was named.
    pub fpir: MeanAndSpread,
    /// The share of the known that was named rightly.
    pub tpir: MeanAndSpread,
}

const DRAWS: u64 = 20;
const EXAMPLES: [usize; 2] = [1, 2];
const FPIRS: [f64; 3] = [0.1, 0.05, 0.01];

pub(super) fn measure(
    towers: &dyn Towers,
    seen: &[Seen],
    seed: u64,
) -> Result<RecognitionReport, EngineError> {
    let stated = match towers.verification() {
        None => None,
        Some(known) => {
            let pairs = Pairs::of(seen, seed);
            let roc = pairs.roc()?;
            let at = |stated: &AcceptRate| {
                let points = roc.roc();
                let last = points.partition_point(|p| p.threshold >= stated.threshold) - 1;
                AtStated { stated: *stated, far: points[last].far, tar: points[last].tar }
            };
            Some(StatedRates {
                pairs: pairs.counts(),
                auc_eer: (roc.auc(), roc.eer()),
                rates: known.rates.iter().map(at).collect(),
            })
        }
    };
    let things = things(seen);
    let mut enrolled = Vec::new();
    for examples in EXAMPLES {
        for scoring in Scoring::ALL {
            // With one example they are all the same.
            if examples == 1 && scoring != Scoring::USED {
                continue;
            }
            let found = compare(towers, &things, examples, scoring, seed);
            enrolled.push(Enrolled { examples, scoring, found });
        }
    }
    Ok(RecognitionReport { stated, enrolled })
}

/// A thing, with one picture for each style (or all its pictures, where there are none).
struct Thing<'a> {
    group: &'a str,
    pictures: Vec<&'a [f32]>,
}

/// Things with enough pictures for every number of examples and one to be shown.
fn things(seen: &[Seen]) -> Vec<Thing<'_>> {
    let mut all: BTreeMap<&str, (Thing<'_>, Vec<&str>)> = BTreeMap::new();
    for one in seen {
        let name = one.facts.label();
        if name.is_empty() {
            continue;
        }
        let group = one.facts.group.as_deref().unwrap_or(name);
        let (thing, styles) =
            all.entry(name).or_insert_with(|| (Thing { group, pictures: vec![] }, vec![]));
        if let Some(style) = one.facts.style.as_deref() {
            if styles.contains(&style) {
                continue;
            }
            styles.push(style);
        }
        thing.pictures.push(one.embedding.values());
    }
    let most = EXAMPLES.into_iter().max().unwrap_or(1);
    all.into_values().map(|(thing, _)| thing).filter(|t| t.pictures.len() > most).collect()
}

fn compare(
    towers: &dyn Towers,
    things: &[Thing<'_>],
    examples: usize,
    scoring: Scoring,
    seed: u64,
) -> Result<Compared, NobodyToIdentify> {
    let mut draws = Vec::new();
    let (mut enrolled, mut promised) = (0usize, None);
    let mut rule: Vec<(f64, f64)> = Vec::new();
    for draw in 0..DRAWS {
        let mut rng = Pcg64::seed_from_u64(seed ^ (draw << 8));
        let mut groups: Vec<&str> = things.iter().map(|t| t.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.shuffle(&mut rng);
        groups.truncate(groups.len() / 2);
        let (mut known, mut asked) = (Vec::new(), Vec::new());
        let mut shown: Vec<(&[f32], Option<usize>)> = Vec::new();
        for thing in things {
            let mut pictures = thing.pictures.clone();
            pictures.shuffle(&mut rng);
            if groups.contains(&thing.group) {
                shown.extend(pictures[examples..].iter().map(|p| (*p, Some(known.len()))));
                known.push(pictures[..examples].to_vec());
            } else {
                shown.extend(pictures.iter().map(|p| (*p, None)));
            }
        }
        for (picture, truth) in shown {
            let scores = known.iter().map(|known| scoring.score(known, picture)).collect();
            asked.push(Asked { scores, truth });
        }
        let found = Identification::new(&asked)?;
        enrolled += known.len();
        let operating =
            Operating::for_search(towers.verification(), Accepting::Usual, known.len()).ok();
        if let Some(operating) = operating {
            let at = found.at(operating.threshold);
            rule.push((at.fpir, at.tpir));
            promised = operating.strangers_named(known.len());
        }
        draws.push(found);
    }
    let mean =
        |of: &dyn Fn(&Identification) -> f64| draws.iter().map(of).sum::<f64>() / DRAWS as f64;
    let tpir_at = FPIRS.map(|fpir| {
        let at: Result<Vec<f64>, _> =
            draws.iter().map(|d| d.at_fpir(fpir).map(|at| at.tpir)).collect();
        (fpir, at.map(|values| MeanAndSpread::of(&values)))
    });
    let spread = |of: &dyn Fn(&(f64, f64)) -> f64| {
        MeanAndSpread::of(&rule.iter().map(of).collect::<Vec<_>>())
    };
    Ok(Compared {
        draws: draws.len(),
        counts: (
            enrolled as f64 / DRAWS as f64,
            mean(&|d| d.counts().0 as f64),
            mean(&|d| d.counts().1 as f64),
        ),
        rank_1: MeanAndSpread::of(&draws.iter().map(Identification::rank_1).collect::<Vec<_>>()),
        tpir_at: tpir_at.to_vec(),
        at_rule: (rule.len() == draws.len()).then(|| AtRule {
            promised,
            fpir: spread(&|r| r.0),
            tpir: spread(&|r| r.1),
        }),
    })
}

impl MeanAndSpread {
    fn of(values: &[f64]) -> Self {
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Self { mean, sd: square.sqrt() }
    }
}
