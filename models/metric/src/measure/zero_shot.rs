//! Given pictures and one vector a class, how often is the right class first?

use ndarray::{ArrayView2, Axis};

use super::{class_means, rank};

/// Zero-shot accuracy, in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZeroShotScore {
    /// How many classes there were to choose from.
    pub classes: usize,
    /// Fraction of pictures whose class came first.
    pub top_1: f64,
    /// … among the first five.
    pub top_5: f64,
    /// `top_1` within each class, then the mean over classes that have pictures.
    pub class_mean_top_1: f64,
    /// The same for `top_5`.
    pub class_mean_top_5: f64,
}

/// Classifies each picture by the highest inner product with a class vector.
///
/// `None` without pictures.
///
/// # Shapes
/// `pictures`: n × d, `classes`: c × d, `truth`: n positions among the classes.
///
/// # Panics
/// If widths or lengths differ, or a position is not below c.
pub fn zero_shot(
    pictures: ArrayView2<'_, f32>,
    classes: ArrayView2<'_, f32>,
    truth: &[usize],
) -> Option<ZeroShotScore> {
    assert_eq!(pictures.nrows(), truth.len(), "one class a picture");
    assert!(truth.iter().all(|&t| t < classes.nrows()), "classes that are there");
    let mut ranks = Vec::with_capacity(truth.len());
    for (rows, own) in pictures.axis_chunks_iter(Axis(0), 512).zip(truth.chunks(512)) {
        for (row, &class) in rows.dot(&classes.t()).outer_iter().zip(own) {
            ranks.extend(rank(&row.to_vec(), |c| c == class));
        }
    }
    let hits = |k: usize| -> Vec<Option<f64>> {
        ranks.iter().map(|&r| Some(f64::from(u8::from(r < k)))).collect()
    };
    let mean = |of: &[Option<f64>]| of.iter().flatten().sum::<f64>() / of.len() as f64;
    let (one, five) = (hits(1), hits(5));
    Some(ZeroShotScore {
        classes: classes.nrows(),
        class_mean_top_1: class_means(&one, truth)?,
        class_mean_top_5: class_means(&five, truth)?,
        top_1: mean(&one),
        top_5: mean(&five),
    })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn a_hand_worked_example() {
        let classes = array![[1f32, 0.0], [0.0, 1.0]];
        let pictures = array![[0.9f32, 0.1], [0.8, 0.2], [0.7, 0.1], [0.6, 0.5]];
        let score = zero_shot(pictures.view(), classes.view(), &[0, 0, 0, 1]).expect("pictures");
        assert_eq!((score.top_1, score.class_mean_top_1), (0.75, 0.5));
        assert_eq!((score.top_5, score.classes), (1.0, 2));
    }

    #[test]
    fn a_constant_encoder_scores_nothing() {
        let same = Array2::<f32>::ones((8, 3));
        let truth: Vec<usize> = (0..8).collect();
        let score = zero_shot(same.view(), same.view(), &truth).expect("pictures");
        assert_eq!((score.top_1, score.top_5, score.class_mean_top_5), (0.0, 0.0, 0.0));
        assert_eq!(zero_shot(same.slice(ndarray::s![..0, ..]), same.view(), &[]), None);
    }
}
