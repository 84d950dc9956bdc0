//! Given pictures of which some show the same thing, from which score on do two, at
//! which rate of false accepts?
//!
//! The same thing is the same thing drawn by another hand: of pictures with styles, only
//! pairs of two styles count. Different things are of any styles, since whoever enrols a
//! photograph compares it with photographs: within a style they are taken for one another
//! more often, and a rate that leaves them out would promise too much.
//!
//! For intervals, what has a class or a group in common is drawn as a whole.

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
    /// What is drawn as a whole for intervals: see [`units`].
    things: Vec<(usize, usize)>,
    /// Such wholes.
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
        let hanging: Vec<(Option<&str>, usize)> = used
            .iter()
            .zip(&numbered)
            .map(|(s, &(_, group))| (s.facts.class.as_deref(), group))
            .collect();
        let (units, count) = units(&hanging, groups.len());
        let styles: BTreeSet<String> = used.iter().filter_map(|s| s.facts.style.clone()).collect();
        let mut pairs = Self {
            scores: vec![],
            same: vec![],
            things: vec![],
            count,
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
                pairs.things.push((units[i], units[j]));
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

    fn about(&self, held: &str, seed: u64) -> String {
        let (same, different) = self.counts();
        let styles: Vec<&str> = self.styles.iter().map(String::as_str).collect();
        let (by, of) = match styles.len() {
            0 | 1 => ("", String::new()),
            _ => (" in another style", format!(" (styles {})", styles.join(", "))),
        };
        format!(
            "{same} pairs of the same thing{by} and {different} pairs of different things, of {} \
             pictures of {} things ({} that have no class or group in common) {held}{of}; seed \
             {seed}",
            self.pictures, self.named, self.count
        )
    }
}

/// Of each picture the number of what it hangs together with over classes and groups, in
/// the order of first appearance, and how many there are. Where no picture has a class,
/// that is the group.
fn units(pictures: &[(Option<&str>, usize)], groups: usize) -> (Vec<usize>, usize) {
    let mut parent: Vec<usize> = (0..groups).collect();
    let mut of_class: HashMap<&str, usize> = HashMap::new();
    for &(class, group) in pictures {
        let Some(class) = class else { continue };
        // The first group of a class stands for it.
        let first = *of_class.entry(class).or_insert(group);
        let (a, b) = (root(&parent, first), root(&parent, group));
        parent[a.max(b)] = a.min(b);
    }
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let units = pictures
        .iter()
        .map(|&(_, group)| {
            let next = numbers.len();
            *numbers.entry(root(&parent, group)).or_insert(next)
        })
        .collect();
    (units, numbers.len())
}

fn root(parent: &[usize], mut of: usize) -> usize {
    while parent[of] != of {
        of = parent[of];
    }
    of
}

/// The thresholds at the rates that these pictures allow to state. `held` says in a few
/// words what the pictures have to do with training.
///
/// # Errors
/// `Invalid` if no two pictures show the same thing, or all do.
pub(crate) fn measure(
    seen: &[Seen],
    space: &Space,
    held: &str,
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
    Ok(Verification { space, about: pairs.about(held, seed), refused, rates })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_class_or_a_group_in_common_is_one_whole() {
        let without = [(None, 0), (None, 1), (None, 0), (None, 2)];
        assert_eq!(units(&without, 3), (vec![0, 1, 0, 2], 3), "without classes it is the group");
        // Class a joins groups 1 and 3, class b groups 3 and 0; group 2 stands alone.
        let joined =
            [(None, 0), (Some("a"), 1), (None, 2), (Some("a"), 3), (Some("b"), 3), (Some("b"), 0)];
        assert_eq!(units(&joined, 4), (vec![0, 0, 1, 0, 0, 0], 2));
        // One class over many groups is one whole, however many pictures there are.
        let one: Vec<_> = (0..50).map(|group| (Some("a"), group)).collect();
        assert_eq!(units(&one, 50).1, 1);
    }
}
