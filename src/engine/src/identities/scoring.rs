//! Given several examples of one thing, how much does another picture resemble it?

use ekphrasis_embed::dot;

/// How several examples make one score. With one example all are its cosine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// The mean of the cosines to each example.
    MeanCosine,
    /// The cosine to the mean of the examples, scaled to unit length.
    Prototype,
    /// The largest cosine.
    Best,
}

impl Scoring {
    /// The one that `verify` and `identify` use.
    pub const USED: Self = Self::MeanCosine;

    /// All of them.
    pub const ALL: [Self; 3] = [Self::MeanCosine, Self::Prototype, Self::Best];

    /// What it is called in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MeanCosine => "mean of cosines",
            Self::Prototype => "cosine to the mean",
            Self::Best => "best of the examples",
        }
    }

    /// How much `picture` resembles the examples, all of unit length.
    ///
    /// # Panics
    /// Without examples.
    pub(crate) fn score(self, examples: &[&[f32]], picture: &[f32]) -> f32 {
        assert!(!examples.is_empty(), "an identity has examples");
        let cosines = examples.iter().map(|example| dot(example, picture));
        let score = match self {
            Self::Best => cosines.fold(f32::NEG_INFINITY, f32::max),
            Self::MeanCosine => cosines.sum::<f32>() / examples.len() as f32,
            Self::Prototype => {
                let mut mean = vec![0f32; picture.len()];
                for example in examples {
                    mean.iter_mut().zip(*example).for_each(|(m, e)| *m += e);
                }
                dot(&mean, picture) / dot(&mean, &mean).sqrt().max(f32::MIN_POSITIVE)
            }
        };
        score.clamp(-1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_what_its_name_says() {
        let (x, y, p) = ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8]);
        let of = |s: Scoring, examples: &[&[f32]]| s.score(examples, &p);
        for scoring in Scoring::ALL {
            assert!((of(scoring, &[&x]) - 0.6).abs() < 1e-6, "{scoring:?}");
        }
        assert!((of(Scoring::MeanCosine, &[&x, &y]) - 0.7).abs() < 1e-6);
        assert!((of(Scoring::Best, &[&x, &y]) - 0.8).abs() < 1e-6);
        assert!((of(Scoring::Prototype, &[&x, &y]) - 1.4 / 2f32.sqrt()).abs() < 1e-6);
    }
}
