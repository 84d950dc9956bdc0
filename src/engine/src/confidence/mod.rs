//! Given a query and what it found, does anything fit, and does this hit?
//!
//! A cosine says nothing by itself: for some words everything scores high. So scores are
//! compared with those that pictures get which have nothing to do with the query (a
//! [`Background`] that the model carries), with what this library scores for any query
//! (its `Usual`), and with one another; weights that were learned on pictures with
//! captions make a probability of that. It holds for queries of which half have something
//! to find: who mostly asks for what is there may expect more, and the reverse.

mod background;
mod calibrate;
mod evidence;
mod judge;
mod protocol;
mod trial;

use std::sync::{Arc, OnceLock};

use ekphrasis_embed::Embedding;
use ekphrasis_models::{Calibration, Judgement};

pub use self::background::Background;
pub(crate) use self::background::Expected;
pub(crate) use self::calibrate::any_queries;
pub use self::calibrate::{Calibrated, calibrate};
use self::evidence::Usual;
pub(crate) use self::judge::LibraryUsual;
pub use self::protocol::{
    ConfidenceOptions, ConfidenceReport, LabelsBelieved, OddQueries, SetsBelieved, Signal,
    measure as measure_confidence,
};

/// A model's calibration with its background loaded.
pub struct Confidence {
    calibration: Calibration,
    background: Background,
    /// Queries that mean nothing in particular, with what the background scores for them.
    any: Vec<Embedding>,
    any_expected: OnceLock<Vec<Expected>>,
}

/// Queries that stand for any query: more tell no more.
const ANY_QUERIES: usize = 64;

impl Confidence {
    /// Puts together what a model carries. `any` are embeddings of texts that stand for
    /// any query, such as the model's vocabulary; some 64 of them are used.
    pub fn new(calibration: Calibration, background: Background, any: &[Embedding]) -> Self {
        let step = any.len().div_ceil(ANY_QUERIES).max(1);
        let any = any.iter().step_by(step).cloned().collect();
        Self { calibration, background, any, any_expected: OnceLock::new() }
    }

    /// On what it was fitted.
    pub fn about(&self) -> &str {
        &self.calibration.about
    }

    /// What the background scores for a query of unit length.
    pub(crate) fn expected(&self, query: &[f32]) -> Expected {
        self.background.expected(query)
    }

    fn judgement(&self, kind: Asked) -> &Judgement {
        match kind {
            Asked::Words => &self.calibration.words,
            Asked::Picture => &self.calibration.picture,
        }
    }

    /// What a library of these pictures scores for any query in words.
    fn usual_for_words(&self, sample: &[Embedding]) -> Usual {
        let expected = self.any_expected.get_or_init(|| {
            self.any.iter().map(|q| self.background.expected(q.values())).collect()
        });
        let queries = self.any.iter().zip(expected).map(|(q, e)| (q.values(), None, e));
        judge::usual(queries, &rows(sample))
    }

    /// What it scores for any picture: some of its own, each without itself.
    fn usual_for_pictures(&self, sample: &[Embedding]) -> Usual {
        let step = sample.len().div_ceil(ANY_QUERIES).max(1);
        let of = |i: usize| (i, self.background.expected(sample[i].values()));
        let expected: Vec<(usize, Expected)> = (0..sample.len()).step_by(step).map(of).collect();
        let queries = expected.iter().map(|(i, e)| (sample[*i].values(), Some(*i), e));
        judge::usual(queries, &rows(sample))
    }
}

fn rows(embeddings: &[Embedding]) -> Vec<&[f32]> {
    embeddings.iter().map(Embedding::values).collect()
}

/// What a query consists of: scores of words and of pictures lie differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    /// Words, perhaps with pictures.
    Words,
    /// Pictures only.
    Picture,
}

/// What can be said to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Perhaps nothing here matches.
    Nothing,
    /// Perhaps.
    Perhaps,
    /// A good match.
    Good,
}

impl Verdict {
    /// What a probability amounts to: a good match from 0.65 on, nothing below 0.35.
    pub fn of(probability: f64) -> Self {
        match probability {
            p if p >= 0.65 => Self::Good,
            p if p >= 0.35 => Self::Perhaps,
            _ => Self::Nothing,
        }
    }

    /// `good`, `perhaps` or `nothing`, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Perhaps => "perhaps",
            Self::Nothing => "nothing",
        }
    }

    /// In words for a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Good => "Good match",
            Self::Perhaps => "Perhaps",
            Self::Nothing => "Perhaps nothing here matches",
        }
    }
}

/// Whether anything fits a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anything {
    /// The calibrated probability; `None` if the model is not calibrated.
    pub probability: Option<f64>,
    /// What that amounts to. Without calibration: nothing, if the best score among all
    /// pictures is not over those of half of some everyday words there, else perhaps.
    pub verdict: Verdict,
}

/// A calibration, shared.
pub(crate) type Shared = Arc<Confidence>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_probabilities() {
        let of = |p| Verdict::of(p).as_str();
        assert_eq!(
            [of(0.0), of(0.349), of(0.35), of(0.649), of(0.65), of(1.0)],
            ["nothing", "nothing", "perhaps", "perhaps", "good", "good"]
        );
    }
}
