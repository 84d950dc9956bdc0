//! Given pictures of classes the model was trained on and of others, how does it
//! do when it has to choose among all of them?
//!
//! Choosing among unseen classes only flatters: a model may put every picture
//! into a class it knows (ConSE on ImageNet: 0.1 % at the first rank).

use ndarray::{ArrayView2, Axis};

/// Accuracies with γ subtracted from the scores of seen classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtGamma {
    /// What is subtracted, in units of the score (cosine).
    pub gamma: f64,
    /// S: mean over seen classes of the share of their pictures that are right.
    pub seen: f64,
    /// U: the same over unseen classes.
    pub unseen: f64,
}

impl AtGamma {
    /// H = 2·S·U / (S + U); 0 if both are 0.
    pub fn harmonic(&self) -> f64 {
        let sum = self.seen + self.unseen;
        if sum == 0.0 { 0.0 } else { 2.0 * self.seen * self.unseen / sum }
    }
}

/// Generalised zero-shot accuracy: per-class means over the union of labels.
///
/// # Source
/// Chao et al. 2016, "An empirical study and analysis of generalized zero-shot
/// learning for object recognition in the wild" (calibrated stacking, AUSUC).
#[derive(Clone, Debug, PartialEq)]
pub struct Generalised {
    /// Classes the model was trained on, and others.
    pub classes: (usize, usize),
    /// Pictures of seen classes, and of others.
    pub pictures: (usize, usize),
    /// S→S: seen pictures with the seen classes alone to choose from.
    pub seen_alone: f64,
    /// U→U: unseen pictures with the unseen classes alone to choose from.
    pub unseen_alone: f64,
    /// Scores as they are (γ = 0).
    pub plain: AtGamma,
    /// With the γ that was given (chosen on other data).
    pub given: Option<AtGamma>,
    /// With the γ that makes H largest *on these pictures*: an upper bound, and
    /// on validation data the γ to give elsewhere.
    pub best: AtGamma,
    /// Area under the curve of S over U while γ goes from −∞ to ∞.
    pub ausuc: f64,
}

/// Why there is no such figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeneralisedError {
    /// One of the two sides has no picture.
    #[error(
        "generalised zero-shot compares pictures of seen and of unseen classes; there are {seen} \
         and {unseen}; name a split with classes of its own as seen"
    )]
    OneSided {
        /// Pictures of seen classes.
        seen: usize,
        /// Pictures of the other classes.
        unseen: usize,
    },
}

/// What decides over one picture at any γ.
struct Choice {
    /// Best score of a seen class minus best of an unseen one.
    gap: f64,
    /// Its class beats all others of its side; a tie does not.
    right: bool,
    seen: bool,
    /// Its share of the mean over classes.
    weight: f64,
}

/// Classifies each picture by the highest inner product, among all classes. Ties
/// count against the model.
///
/// # Shapes
/// `pictures`: n × d, `classes`: c × d, `truth`: n positions among the classes,
/// `seen`: c flags.
///
/// # Errors
/// `OneSided` if there are no pictures of seen, or none of unseen classes.
///
/// # Panics
/// If widths or lengths differ, or a position is not below c.
pub fn generalised_zero_shot(
    pictures: ArrayView2<'_, f32>,
    classes: ArrayView2<'_, f32>,
    truth: &[usize],
    seen: &[bool],
    gamma: Option<f64>,
) -> Result<Generalised, GeneralisedError> {
    assert_eq!(pictures.nrows(), truth.len(), "one class a picture");
    assert_eq!(classes.nrows(), seen.len(), "one flag a class");
    let of_seen = truth.iter().filter(|&&t| seen[t]).count();
    let counts = (of_seen, truth.len() - of_seen);
    if counts.0 == 0 || counts.1 == 0 {
        return Err(GeneralisedError::OneSided { seen: counts.0, unseen: counts.1 });
    }
    let mut choices = choices(pictures, classes, truth, seen);
    choices.sort_by(|a, b| a.gap.total_cmp(&b.gap));

    let at = |gamma: f64| {
        let sum = |side: bool| {
            let right = |c: &&Choice| {
                c.right && c.seen == side && if side { c.gap > gamma } else { c.gap < gamma }
            };
            choices.iter().filter(right).map(|c| c.weight).sum()
        };
        AtGamma { gamma, seen: sum(true), unseen: sum(false) }
    };
    let curve = curve(&choices);
    let ausuc = curve
        .windows(2)
        .map(|w| (w[1].unseen - w[0].unseen) * f64::midpoint(w[0].seen, w[1].seen))
        .sum();
    let best = curve
        .iter()
        .copied()
        .max_by(|a, b| {
            let nearer = b.gamma.abs().total_cmp(&a.gamma.abs());
            a.harmonic().total_cmp(&b.harmonic()).then(nearer)
        })
        .unwrap_or_else(|| at(0.0));
    let ends = (at(f64::NEG_INFINITY), at(f64::INFINITY));
    let known = seen.iter().filter(|&&s| s).count();
    Ok(Generalised {
        classes: (known, seen.len() - known),
        pictures: counts,
        seen_alone: ends.0.seen,
        unseen_alone: ends.1.unseen,
        plain: at(0.0),
        given: gamma.map(at),
        best: at(best.gamma),
        ausuc,
    })
}

fn choices(
    pictures: ArrayView2<'_, f32>,
    classes: ArrayView2<'_, f32>,
    truth: &[usize],
    seen: &[bool],
) -> Vec<Choice> {
    let mut size = vec![0usize; seen.len()];
    truth.iter().for_each(|&t| size[t] += 1);
    let with_pictures =
        |side: bool| size.iter().zip(seen).filter(|(n, s)| **n > 0 && **s == side).count() as f64;
    let sides = [with_pictures(false), with_pictures(true)];
    let mut choices = Vec::with_capacity(truth.len());
    for (rows, own) in pictures.axis_chunks_iter(Axis(0), 512).zip(truth.chunks(512)) {
        for (row, &class) in rows.dot(&classes.t()).outer_iter().zip(own) {
            let mut best = [f32::NEG_INFINITY; 2];
            let mut right = row[class].is_finite();
            for (c, &score) in row.iter().enumerate() {
                let side = usize::from(seen[c]);
                best[side] = best[side].max(score);
                let beaten = score < row[class];
                right &= beaten || c == class || seen[c] != seen[class];
            }
            let side = usize::from(seen[class]);
            choices.push(Choice {
                gap: f64::from(best[1]) - f64::from(best[0]),
                right,
                seen: seen[class],
                weight: 1.0 / (sides[side] * size[class] as f64),
            });
        }
    }
    choices
}

/// S and U between any two neighbouring gaps, and beyond the ends; γ ascending.
/// `choices` ascend by gap.
fn curve(choices: &[Choice]) -> Vec<AtGamma> {
    let gaps: Vec<f64> = choices.iter().map(|c| c.gap).collect();
    let mut seen: f64 = choices.iter().filter(|c| c.seen && c.right).map(|c| c.weight).sum();
    let mut unseen = 0.0;
    let mut points = vec![AtGamma { gamma: gaps[0] - 1.0, seen, unseen }];
    let mut i = 0;
    while i < choices.len() {
        let gap = gaps[i];
        while i < choices.len() && gaps[i] == gap {
            let c = &choices[i];
            match (c.right, c.seen) {
                (true, true) => seen -= c.weight,
                (true, false) => unseen += c.weight,
                (false, _) => {}
            }
            i += 1;
        }
        let gamma = if i < gaps.len() { f64::midpoint(gap, gaps[i]) } else { gap + 1.0 };
        points.push(AtGamma { gamma, seen: seen.max(0.0), unseen });
    }
    points
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    /// By the definition: the arg max over all classes after subtracting γ.
    fn brute(scores: &Array2<f32>, truth: &[usize], seen: &[bool], gamma: f64) -> (f64, f64) {
        let mut right = vec![(0.0, 0.0); seen.len()];
        for (row, &class) in scores.outer_iter().zip(truth) {
            let stacked = |c: usize| f64::from(row[c]) - if seen[c] { gamma } else { 0.0 };
            let first = (0..seen.len()).all(|c| c == class || stacked(c) < stacked(class));
            right[class].0 += f64::from(u8::from(first));
            right[class].1 += 1.0;
        }
        let mean = |side: bool| {
            let rates: Vec<f64> = (0..seen.len())
                .filter(|&c| seen[c] == side && right[c].1 > 0.0)
                .map(|c| right[c].0 / right[c].1)
                .collect();
            rates.iter().sum::<f64>() / rates.len() as f64
        };
        (mean(true), mean(false))
    }

    #[test]
    fn agrees_with_the_definition_at_any_gamma() {
        let mut rng = Pcg64::seed_from_u64(3);
        for round in 0..20 {
            let seen = [true, true, false, true, false, false];
            let mut truth: Vec<usize> = (0..40).map(|_| rng.random_range(0..5)).collect();
            truth[..2].copy_from_slice(&[0, 2]);
            // Whole numbers, so that there are ties.
            let scores = Array2::from_shape_fn((40, 6), |(i, c)| {
                rng.random_range(0..6) as f32 + if truth[i] == c { 2.0 } else { 0.0 }
            });
            // Classes are the axes, so that a picture's vector is its scores.
            let classes = Array2::<f32>::eye(6);
            for gamma in [-10.0, -1.5, 0.0, 0.5, 2.0, 10.0] {
                let g = generalised_zero_shot(
                    scores.view(),
                    classes.view(),
                    &truth,
                    &seen,
                    Some(gamma),
                )
                .expect("both sides");
                let given = g.given.expect("asked for");
                let expected = brute(&scores, &truth, &seen, gamma);
                assert!(
                    (given.seen - expected.0).abs() < 1e-9
                        && (given.unseen - expected.1).abs() < 1e-9,
                    "round {round}, γ {gamma}: {given:?}, expected {expected:?}"
                );
                // No γ on a fine grid is better than the best.
                let grid = (-80..80).map(|i| {
                    let (seen, unseen) = brute(&scores, &truth, &seen, f64::from(i) * 0.1 + 0.05);
                    AtGamma { gamma: 0.0, seen, unseen }.harmonic()
                });
                let top = grid.fold(0.0, f64::max);
                assert!((g.best.harmonic() - top).abs() < 1e-9, "{g:?}, grid {top}");
                assert!(g.ausuc <= g.seen_alone * g.unseen_alone + 1e-9);
            }
        }
    }

    #[test]
    fn a_bias_to_seen_classes_is_seen_and_stacking_cures_it() {
        // Everything leans to the seen class 0 by one half; the order within sides is right.
        let classes = Array2::<f32>::eye(3);
        let pictures = array![[1.0f32, 0.0, 0.0], [0.9, 0.0, 0.6], [0.9, 0.6, 0.0]];
        let g = generalised_zero_shot(
            pictures.view(),
            classes.view(),
            &[0, 2, 1],
            &[true, false, false],
            None,
        )
        .expect("both sides");
        assert_eq!((g.plain.seen, g.plain.unseen, g.plain.harmonic()), (1.0, 0.0, 0.0));
        assert_eq!((g.seen_alone, g.unseen_alone), (1.0, 1.0));
        assert_eq!((g.best.seen, g.best.unseen, g.best.harmonic()), (1.0, 1.0, 1.0));
        assert!(g.best.gamma > 0.3 && g.best.gamma < 1.0, "{g:?}");
        assert!((g.ausuc - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_constant_encoder_scores_nothing() {
        let same = Array2::<f32>::ones((4, 2));
        let seen = [true, true, false, false];
        let g = generalised_zero_shot(same.view(), same.view(), &[0, 1, 2, 3], &seen, None)
            .expect("both sides");
        assert_eq!((g.best.harmonic(), g.ausuc, g.seen_alone), (0.0, 0.0, 0.0));
    }

    #[test]
    fn one_side_alone_is_refused() {
        let same = Array2::<f32>::eye(2);
        let error = generalised_zero_shot(same.view(), same.view(), &[0, 0], &[true, false], None);
        assert_eq!(error, Err(GeneralisedError::OneSided { seen: 2, unseen: 0 }));
    }
}
