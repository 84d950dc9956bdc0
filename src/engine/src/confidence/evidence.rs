//! Given a query's scores over a library, which figures tell whether anything fits?

use ekphrasis_embed::dot;
use ekphrasis_models::{AnythingWeights, HitWeights, Judgement};

use super::background::Expected;

/// How many of the best are looked at.
pub(crate) const LOOKED_AT: usize = 10;
/// How many of the best are compared with one another.
const COMPARED: usize = 5;

/// How much a library's scores lie above the background's for queries that mean
/// nothing in particular; what is judged lies above that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usual {
    pub(crate) excess: [f64; 3],
}

/// What a query's best hits are, as far as judging goes.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// The excess of the best, of the best three, and of the best ten.
    pub(crate) excess: [f64; 3],
    /// The mean cosine of the best five with one another.
    pub(crate) agreement: f64,
    /// The largest share of the query's words that one of the hits has, in 0..=1.
    pub(crate) words: f64,
    /// The share of the hits of which any words are known.
    pub(crate) told: f64,
    /// The best cosine.
    pub(crate) cosine: f64,
    /// The deviation of the background's scores.
    pub(crate) spread: f64,
}

/// Which means are compared.
const MEANS: [usize; 3] = [1, 3, LOOKED_AT];

/// How far the means of the best scores (the highest first) of a library of `size` lie
/// above those of as many background pictures, in deviations of the background.
pub(crate) fn excess(best: &[f32], size: usize, expected: &Expected) -> [f64; 3] {
    MEANS.map(|count| {
        let count = count.min(best.len());
        if count == 0 {
            return 0.0;
        }
        let mean = best[..count].iter().map(|&s| f64::from(s)).sum::<f64>() / count as f64;
        (mean - expected.best(count, size)) / expected.deviation
    })
}

/// The mean cosine of the first five with one another; 0 for fewer than two.
pub(crate) fn agreement(best: &[&[f32]]) -> f64 {
    let best = &best[..best.len().min(COMPARED)];
    let pairs = best.len() * best.len().saturating_sub(1) / 2;
    if pairs == 0 {
        return 0.0;
    }
    let mut sum = 0.0;
    for (i, a) in best.iter().enumerate() {
        sum += best[i + 1..].iter().map(|b| f64::from(dot(a, b))).sum::<f64>();
    }
    sum / pairs as f64
}

impl Evidence {
    pub(crate) fn less(mut self, usual: &Usual) -> Self {
        self.excess.iter_mut().zip(usual.excess).for_each(|(e, u)| *e -= u);
        self
    }

    /// In the order of [`anything_weights`].
    pub(crate) fn figures(&self) -> Vec<f64> {
        let [best, three, ten] = self.excess;
        let words = [self.words, self.told];
        [&[best, three, ten, self.agreement][..], &words, &[self.cosine, self.spread]].concat()
    }

    /// The logarithm of the odds that anything fits.
    pub(crate) fn logit(&self, w: &AnythingWeights) -> f64 {
        let weights = [w.best, w.three, w.ten, w.agreement, w.words, w.told, w.cosine, w.spread];
        w.bias + self.figures().iter().zip(weights).map(|(f, w)| f * w).sum::<f64>()
    }
}

/// The weights of a fit over [`Evidence::figures`].
pub(crate) fn anything_weights(bias: f64, w: &[f64]) -> AnythingWeights {
    AnythingWeights {
        bias,
        best: w[0],
        three: w[1],
        ten: w[2],
        agreement: w[3],
        words: w[4],
        told: w[5],
        cosine: w[6],
        spread: w[7],
    }
}

/// What tells whether one hit fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HitEvidence {
    score: f64,
    rare: f64,
    rank: f64,
    anything: f64,
    words: f64,
    told: f64,
}

impl HitEvidence {
    /// Of a hit with this cosine and rank (from 1) by cosine, in a library of `size`.
    pub(crate) fn new(
        cosine: f32,
        rank: usize,
        size: usize,
        expected: &Expected,
        anything: f64,
        (words, told): (f64, bool),
    ) -> Self {
        Self {
            score: (f64::from(cosine) - expected.mean) / expected.deviation,
            rare: -expected.at_least(cosine, size).ln(),
            rank: (rank.clamp(1, LOOKED_AT + 1) as f64).ln(),
            anything,
            words,
            told: f64::from(u8::from(told)),
        }
    }

    /// In the order of [`hit_weights`].
    pub(crate) fn figures(&self) -> Vec<f64> {
        vec![self.score, self.rare, self.rank, self.anything, self.words, self.told]
    }

    /// The probability that the hit fits.
    pub(crate) fn probability(&self, w: &HitWeights) -> f64 {
        let weights = [w.score, w.rare, w.rank, w.anything, w.words, w.told];
        let sum = self.figures().iter().zip(weights).map(|(f, w)| f * w).sum::<f64>();
        sigmoid(w.bias + sum)
    }
}

/// The weights of a fit over [`HitEvidence::figures`].
pub(crate) fn hit_weights(bias: f64, w: &[f64]) -> HitWeights {
    HitWeights {
        bias,
        score: w[0],
        rare: w[1],
        rank: w[2],
        anything: w[3],
        words: w[4],
        told: w[5],
    }
}

pub(crate) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The probability that anything fits.
pub(crate) fn probability(evidence: &Evidence, judgement: &Judgement) -> f64 {
    sigmoid(evidence.logit(&judgement.anything))
}

/// Words that say nothing of what is looked for, in the singular.
const EMPTY_WORDS: &[&str] = &[
    "a", "an", "and", "are", "at", "by", "for", "from", "i", "in", "is", "it", "its", "my", "of",
    "on", "or", "our", "the", "their", "this", "that", "to", "with", "photo", "picture", "image",
];

fn is_empty(word: &str) -> bool {
    EMPTY_WORDS.contains(&word)
}

/// The different words of a query that say something, in lower case; a plural `s` does
/// not count.
pub(crate) fn telling_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_lowercase)
        // `this` is empty as it stands, `photos` without its plural.
        .filter(|w| !is_empty(w))
        .map(|w| match w.strip_suffix('s') {
            Some(one) if one.len() >= 3 && !one.ends_with('s') => one.to_owned(),
            _ => w,
        })
        .filter(|w| !is_empty(w))
        .collect();
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_like_the_backgrounds_have_no_excess() {
        let scores: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
        let expected = Expected::of(scores.clone());
        let best: Vec<f32> = scores.iter().rev().take(LOOKED_AT).copied().collect();
        for e in excess(&best, 100, &expected) {
            assert!(e.abs() < 1e-6, "{e}");
        }
        let better: Vec<f32> = best.iter().map(|s| s + 0.1).collect();
        assert!(excess(&better, 100, &expected).iter().all(|&e| e > 0.3));
        // In a larger library the same scores are less.
        assert!(excess(&best, 1_000, &expected).iter().all(|&e| e < 0.0));
        assert_eq!(excess(&[], 0, &expected), [0.0; 3]);
    }

    #[test]
    fn agreement_is_the_mean_cosine_of_the_best() {
        let (x, y) = ([1.0, 0.0], [0.0, 1.0]);
        assert_eq!(agreement(&[&x[..]]), 0.0);
        assert!((agreement(&[&x[..], &x[..], &y[..]]) - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn words_that_say_something() {
        assert_eq!(telling_words("A photo of the Two red BIKES, red"), ["bike", "red", "two"]);
        assert_eq!(telling_words("glass bus"), ["bus", "glass"]);
        assert!(telling_words("the of, -").is_empty());
        assert_eq!(telling_words("photos of dogs"), ["dog"]);
        assert!(telling_words("Pictures, images: this is its").is_empty());
    }
}
