//! Given pictures of which some show the same thing, from which score on do two, at
//! which rate of false accepts?
//!
//! The same thing is the same thing drawn by another hand: of pictures with styles, only
//! pairs of two styles count. Different things are of any styles, since whoever enrols a
//! photograph compares it with photographs: within a style they are taken for one another
//! more often, and a rate that leaves them out would promise too much.

use std::collections::{BTreeSet, HashMap};

use ekphrasis_embed::{Space, dot};
use ekphrasis_metric::measure::{Verification as Roc, operating_points};
use ekphrasis_models::{AcceptRate, Verification};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use crate::EngineError;
use crate::eval::Seen;

/// Rates that are wanted, the largest first.
const RATES: [f64; 9] = [0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0001];
/// More pictures than that are sampled: pairs grow with the square.
const MOST: usize = 2000;

/// Pairs of pictures that are surely of one thing, or surely of two.
pub(crate) struct Pairs {
    pub(crate) scores: Vec<f32>,
    pub(crate) same: Vec<bool>,
    /// What is drawn as a whole for intervals: what hangs together is one.
    things: Vec<(usize, usize)>,
    count: usize,
    pictures: usize,
    named: usize,
    styles: BTreeSet<String>,
}

impl Pairs {
    /// Two pictures show the same if they are of one class, or else have one first caption.
    /// Those of one group with different captions are neither.
    pub(crate) fn of(seen: &[Seen], seed: u64) -> Self {
        let mut used: Vec<&Seen> = seen.iter().filter(|s| !s.facts.label().is_empty()).collect();
        if used.len() > MOST {
            used.shuffle(&mut Pcg64::seed_from_u64(seed));
            used.truncate(MOST);
        }
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut groups: HashMap<&str, usize> = HashMap::new();
        let numbered: Vec<(usize, usize)> = used
            .iter()
            .map(|s| {
                let next = names.len();
                let name = *names.entry(s.facts.label()).or_insert(next);
                let group = s.facts.group.as_deref().unwrap_or(s.facts.label());
                let next = groups.len();
                (name, *groups.entry(group).or_insert(next))
            })
            .collect();
        let styles: BTreeSet<String> = used.iter().filter_map(|s| s.facts.style.clone()).collect();
        let mut pairs = Self {
            scores: vec![],
            same: vec![],
            things: vec![],
            count: groups.len(),
            pictures: used.len(),
            named: names.len(),
            styles,
        };
        for (i, a) in used.iter().enumerate() {
            for (j, b) in used[..i].iter().enumerate() {
                let ((name, group), (other, others)) = (numbered[i], numbered[j]);
                let same = name == other;
                let one_hand = pairs.styles.len() > 1 && a.facts.style == b.facts.style;
                let unclear = if same { one_hand } else { group == others };
                if unclear {
                    continue;
                }
                pairs.scores.push(dot(a.embedding.values(), b.embedding.values()));
                pairs.same.push(same);
                pairs.things.push((group, others));
            }
        }
        pairs
    }

    /// Pairs of the same and of different things.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let same = self.same.iter().filter(|&&s| s).count();
        (same, self.same.len() - same)
    }

    /// Their ROC.
    pub(crate) fn roc(&self) -> Result<Roc, EngineError> {
        Roc::new(&self.scores, &self.same).map_err(|e| EngineError::Invalid(e.to_string()))
    }

    fn about(&self, seed: u64) -> String {
        let (same, different) = self.counts();
        let styles: Vec<&str> = self.styles.iter().map(String::as_str).collect();
        let (by, of) = match styles.len() {
            0 | 1 => ("", String::new()),
            _ => (" in another style", format!(" (styles {})", styles.join(", "))),
        };
        format!(
            "{same} pairs of the same thing{by} and {different} pairs of different things, of {} \
             pictures of {} things held out from training{of}; seed {seed}",
            self.pictures, self.named
        )
    }
}

/// The thresholds at the rates that these pictures allow to state.
///
/// # Errors
/// `Invalid` if no two pictures show the same thing, or all do.
pub(crate) fn measure(
    seen: &[Seen],
    space: &Space,
    seed: u64,
) -> Result<Verification, EngineError> {
    let pairs = Pairs::of(seen, seed);
    let points =
        operating_points(&pairs.scores, &pairs.same, &pairs.things, pairs.count, &RATES, seed)
            .map_err(|e| EngineError::Invalid(e.to_string()))?;
    let (mut rates, mut refused) = (Vec::new(), Vec::new());
    for (far, point) in points {
        match point {
            Ok(point) => rates.push(AcceptRate {
                false_accept: far,
                low: point.interval.low,
                high: point.interval.high,
                threshold: point.threshold.clamp(-1.0, 1.0),
                true_accept: point.tar,
            }),
            Err(why) => refused.push(why.to_string()),
        }
    }
    let space = space.id().to_owned();
    Ok(Verification { space, about: pairs.about(seed), refused, rates })
}
