//! Given which class each picture was taken for, how good is each class, and which are
//! taken for one another?

use ndarray::{ArrayView2, Axis};

use super::rank;

/// One class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassScore {
    /// Its number.
    pub class: usize,
    /// Pictures that are of it.
    pub support: usize,
    /// Pictures that were taken for it.
    pub predicted: usize,
    /// Of those taken for it, the share that is; 0 if none was.
    pub precision: f64,
    /// Of those that are, the share that was taken for it; 0 if none is.
    pub recall: f64,
    /// The harmonic mean of both; 0 if both are.
    pub f1: f64,
}

/// Pictures of one class that were taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// What they are.
    pub truth: usize,
    /// What they were taken for.
    pub taken_for: usize,
    /// How many.
    pub count: usize,
}

/// Each class by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PerClass {
    /// All that are, or that pictures were taken for, by number.
    pub classes: Vec<ClassScore>,
    /// The mean F1 of those that are.
    pub macro_f1: f64,
    /// Pairs that were confused, the most frequent first; equal ones by number.
    pub confused: Vec<Confusion>,
}

/// The class of each picture by cosine, one by one.
///
/// A picture is taken for the nearest class; for another one if that is as near as its own
/// (ties count against the model).
///
/// # Shapes
/// `pictures` \[n, d\], `classes` \[c, d\], unit rows; `truth` n numbers below c.
///
/// `None` without pictures, or if the numbers do not fit.
pub fn per_class(
    pictures: ArrayView2<'_, f32>,
    classes: ArrayView2<'_, f32>,
    truth: &[usize],
) -> Option<PerClass> {
    let (n, c) = (pictures.nrows(), classes.nrows());
    let fits = n > 0 && truth.len() == n && truth.iter().all(|&t| t < c);
    if !fits || pictures.ncols() != classes.ncols() {
        return None;
    }
    let mut taken = Vec::with_capacity(n);
    for (rows, own) in pictures.axis_chunks_iter(Axis(0), 512).zip(truth.chunks(512)) {
        for (row, &own) in rows.dot(&classes.t()).outer_iter().zip(own) {
            taken.push(taken_for(&row.to_vec(), own));
        }
    }
    Some(of(c, truth, &taken))
}

/// The class a picture is taken for.
fn taken_for(scores: &[f32], own: usize) -> usize {
    if rank(scores, |class| class == own) == Some(0) {
        return own;
    }
    let others = (0..scores.len()).filter(|&i| i != own);
    // NaN is as near as can be: it counts against the model, too.
    let near = |i: usize| if scores[i].is_nan() { f32::INFINITY } else { scores[i] };
    others.max_by(|&a, &b| near(a).total_cmp(&near(b)).then(b.cmp(&a))).unwrap_or(own)
}

fn of(classes: usize, truth: &[usize], taken: &[usize]) -> PerClass {
    let (mut support, mut predicted, mut right) =
        (vec![0; classes], vec![0; classes], vec![0; classes]);
    let mut confused = std::collections::BTreeMap::new();
    for (&own, &taken) in truth.iter().zip(taken) {
        support[own] += 1;
        predicted[taken] += 1;
        if own == taken {
            right[own] += 1;
        } else {
            *confused.entry((own, taken)).or_insert(0) += 1;
        }
    }
    let share = |part: usize, whole: usize| {
        if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
    };
    let score = |class: usize| {
        let (precision, recall) =
            (share(right[class], predicted[class]), share(right[class], support[class]));
        let sum = precision + recall;
        let f1 = if sum == 0.0 { 0.0 } else { 2.0 * precision * recall / sum };
        let (support, predicted) = (support[class], predicted[class]);
        ClassScore { class, support, predicted, precision, recall, f1 }
    };
    let all = (0..classes).map(score).filter(|s| s.support + s.predicted > 0);
    let classes: Vec<ClassScore> = all.collect();
    let own: Vec<f64> = classes.iter().filter(|s| s.support > 0).map(|s| s.f1).collect();
    let mut confused: Vec<Confusion> = confused
        .into_iter()
        .map(|((truth, taken_for), count)| Confusion { truth, taken_for, count })
        .collect();
    confused.sort_by_key(|c| std::cmp::Reverse(c.count));
    PerClass { macro_f1: own.iter().sum::<f64>() / own.len().max(1) as f64, classes, confused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn classes_are_scored_as_by_hand() {
        let classes = array![[1.0f32, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        // Right, right, taken for the second, between the first two, taken for the first.
        let pictures = array![[1.0f32, 0.0], [0.9, 0.1], [0.1, 0.9], [0.7, 0.7], [0.9, 0.1]];
        let found = per_class(pictures.view(), classes.view(), &[0, 0, 0, 1, 1]).expect("pictures");
        let [first, second] = found.classes[..] else { panic!("{found:?}") };
        assert_eq!((first.class, first.support, first.predicted), (0, 3, 4));
        assert_eq!((second.class, second.support, second.predicted), (1, 2, 1));
        assert!((first.precision - 0.5).abs() < 1e-12 && (first.recall - 2.0 / 3.0).abs() < 1e-12);
        assert!((first.f1 - 4.0 / 7.0).abs() < 1e-12, "{first:?}");
        assert_eq!((second.precision, second.recall, second.f1), (0.0, 0.0, 0.0));
        assert!((found.macro_f1 - 2.0 / 7.0).abs() < 1e-12);
        assert_eq!(
            found.confused,
            [
                Confusion { truth: 1, taken_for: 0, count: 2 },
                Confusion { truth: 0, taken_for: 1, count: 1 },
            ]
        );
        // Whoever says the same of everything is never right.
        let same = array![[1.0f32, 0.0], [1.0, 0.0]];
        let found = per_class(same.view(), same.view(), &[0, 1]).expect("pictures");
        assert!(found.classes.iter().all(|c| c.recall == 0.0), "{found:?}");
        assert_eq!(per_class(same.view(), same.view(), &[0, 2]), None);
    }
}
