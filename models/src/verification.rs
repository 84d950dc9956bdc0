//! Given a model, from which score on do two pictures show the same thing, and how often
//! is that wrong? A section of the manifest; `ek model calibrate` makes it.

use serde::{Deserialize, Serialize};

/// How often a model takes one thing for another, as the manifest's `[verification]` has
/// it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// The space that was measured in: the scores of another mean something else.
    pub space: String,
    /// On which pictures this was measured, in a sentence: others may differ.
    pub about: String,
    /// Rates that were wanted and cannot be stated, with the reason, in a sentence each.
    pub refused: Vec<String>,
    /// Rates that can be stated, the largest first.
    pub rates: Vec<AcceptRate>,
}

/// A threshold and what it does to pairs of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptRate {
    /// The share of pairs of different things that are taken for the same, at most.
    pub false_accept: f64,
    /// Where that lies on other things of the kind, with 95 %: the lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// From this cosine on, two pictures are taken for the same thing.
    pub threshold: f64,
    /// The share of pairs of the same thing that are taken for the same.
    pub true_accept: f64,
}

impl Verification {
    /// What is wrong with it in a model of this space, if anything.
    pub(crate) fn problem(&self, space: &str) -> Option<String> {
        if self.space != space {
            return Some(format!("rates of {}", self.space));
        }
        if self.about.trim().is_empty() {
            return Some("nothing about what they were measured on".into());
        }
        let share = |v: f64| (0.0..=1.0).contains(&v);
        for rate in &self.rates {
            let AcceptRate { false_accept, low, high, threshold, true_accept } = *rate;
            if !(share(false_accept) && false_accept > 0.0) {
                return Some(format!("a rate of {false_accept}"));
            }
            if !(share(low) && share(high) && low <= high && share(true_accept)) {
                return Some(format!("figures that are no shares at the rate {false_accept}"));
            }
            if !(-1.0..=1.0).contains(&threshold) {
                return Some(format!("the threshold {threshold}, which is no cosine"));
            }
        }
        let in_order = |w: &[AcceptRate]| {
            w[0].false_accept > w[1].false_accept && w[0].threshold <= w[1].threshold
        };
        (!self.rates.windows(2).all(in_order)).then(|| "rates that do not fall".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_have_been_measured_is_named() {
        let rate = |false_accept, threshold| AcceptRate {
            false_accept,
            low: false_accept / 2.0,
            high: false_accept * 1.5,
            threshold,
            true_accept: 0.9,
        };
        let good = Verification {
            space: "a-1".into(),
            about: "some pictures".into(),
            refused: vec![],
            rates: vec![rate(0.1, 0.3), rate(0.01, 0.5)],
        };
        assert_eq!(good.problem("a-1"), None);
        let with = |rates: &[AcceptRate]| Verification { rates: rates.to_vec(), ..good.clone() };
        for (bad, word) in [
            (Verification { about: " ".into(), ..good.clone() }, "nothing about"),
            (Verification { space: "a-2".into(), ..good.clone() }, "rates of a-2"),
            (with(&[rate(0.0, 0.5)]), "a rate of 0"),
            (with(&[rate(f64::NAN, 0.5)]), "a rate of NaN"),
            (with(&[rate(0.1, 1.5)]), "1.5, which is no cosine"),
            (with(&[AcceptRate { low: 0.3, ..rate(0.1, 0.5) }]), "no shares"),
            (with(&[rate(0.1, 0.5), rate(0.2, 0.6)]), "do not fall"),
            (with(&[rate(0.1, 0.5), rate(0.01, 0.4)]), "do not fall"),
        ] {
            let problem = bad.problem("a-1").expect("refused");
            assert!(problem.contains(word), "{word}: {problem}");
        }
    }
}
