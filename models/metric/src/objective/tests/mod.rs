//! Every loss against finite differences, and what must hold for all of them.

mod gradients;
mod properties;

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{
    Batch, Classifier, Loss, MagnetOptions, MemoryOptions, Objective, ObjectiveOptions, Sides, Step,
};
use crate::loss::{
    Contrastive, Distance, Form, InfoNce, Magnet, Margin, NPair, Prototypes, Quadruplet, Reduction,
    Shape, SmoothMax, Triplet,
};
use crate::select::Selection;
use crate::{LossError, Near, Normalised, normalise};

/// A batch of raw vectors, not of unit length.
struct Raw {
    images: Array2<f64>,
    texts: Option<Array2<f64>>,
    groups: Vec<u32>,
    classes: Vec<u32>,
    /// Ids of texts, and which of them are near.
    near: Option<(Vec<u32>, Vec<Vec<u32>>)>,
}

impl Raw {
    fn new(seed: u64, groups: &[u32], width: usize) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let n = groups.len();
        let mut matrix = || Array2::from_shape_fn((n, width), |_| rng.random_range(-1.0..1.0));
        let (images, texts) = (matrix(), Some(matrix()));
        let classes = groups.iter().map(|g| g % 3).collect();
        Self { images, texts, groups: groups.to_vec(), classes, near: None }
    }

    /// One step on the unit vectors, with the gradients pulled back to the raw ones.
    fn step(&self, objective: &mut Objective, progress: f64) -> Result<Step<f64>, LossError> {
        let images = normalise(self.images.view());
        let texts = self.texts.as_ref().map(|t| normalise(t.view()));
        let batch = Batch {
            images: images.rows.view(),
            texts: texts.as_ref().map(|t| t.rows.view()),
            groups: &self.groups,
            classes: Some(&self.classes),
            near: self.near.as_ref().map(|(ids, lists)| Near { ids, lists }),
            rows: None,
            image_lengths: Some(&images.lengths),
            text_lengths: texts.as_ref().map(|t| t.lengths.as_slice()),
        };
        let mut step = objective.step(&batch, progress, &mut Pcg64::seed_from_u64(7))?;
        // The slope of a length by its vector is the unit vector.
        let back = |unit: &Normalised<f64>, g: &Array2<f64>, lengths: Option<&Vec<f64>>| {
            let mut raw = unit.backward(g.view());
            for (i, slope) in lengths.into_iter().flatten().enumerate() {
                raw.row_mut(i).scaled_add(*slope, &unit.rows.row(i));
            }
            raw
        };
        step.images = back(&images, &step.images, step.image_lengths.as_ref());
        if let (Some(texts), Some(g)) = (texts, step.texts.as_mut()) {
            *g = back(&texts, g, step.text_lengths.as_ref());
        }
        Ok(step)
    }
}

/// For each of `count` ids those that these pairs make near.
fn lists(count: usize, pairs: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut lists = vec![Vec::new(); count];
    for &(a, b) in pairs {
        lists[a as usize].push(b);
        lists[b as usize].push(a);
    }
    lists
}

/// Several captions of a picture, several pictures of a thing.
const GROUPS: [u32; 10] = [0, 1, 2, 1, 3, 0, 4, 5, 1, 2];

fn triplet(distance: Distance, shape: Shape, margin: f64, reduction: Reduction) -> Loss {
    Loss::Triplet(Triplet { distance, shape, margin, reduction })
}

/// Every loss, with every selection and on every side that makes sense for it.
fn all() -> Vec<(String, ObjectiveOptions)> {
    let soft = Shape::Soft { temperature: 0.1 };
    let mut losses = vec![
        Loss::Contrastive(Contrastive::hadsell(1.3)),
        Loss::Contrastive(Contrastive {
            distance: Distance::Cosine,
            form: Form::Linear,
            margin: 1.1,
            balanced: false,
        }),
        Loss::Quadruplet(Quadruplet { margin: 1.0, other_margin: 0.5 }),
        Loss::Margin { options: Margin { beta: 1.2, alpha: 0.2 }, learned: true },
    ];
    for distance in [Distance::Cosine, Distance::SquaredEuclidean, Distance::Euclidean] {
        for shape in [Shape::Hinge, soft] {
            for reduction in [Reduction::Sum, Reduction::Mean, Reduction::NonZero] {
                if shape == Shape::Hinge || reduction != Reduction::NonZero {
                    losses.push(triplet(distance, shape, 0.3, reduction));
                }
            }
        }
    }
    let within =
        Sides { image_to_text: 0.7, text_to_image: 1.1, image_to_image: 0.4, text_to_text: 0.3 };
    let mut out = Vec::new();
    for loss in losses {
        for selection in [
            Selection::All,
            Selection::Random,
            Selection::SemiHard,
            Selection::Hard,
            Selection::KHardest(3),
            Selection::DistanceWeighted,
        ] {
            for sides in [Sides::BOTH_WAYS, Sides::IMAGES, within] {
                let name = format!("{loss:?} {selection:?} {sides:?}");
                let options = ObjectiveOptions {
                    selection,
                    sides,
                    ..ObjectiveOptions::both_ways(loss.clone())
                };
                out.push((name, options));
            }
        }
    }
    for loss in [
        Loss::SmoothMax(SmoothMax { margin: 0.1, temperature: 0.05 }),
        Loss::InfoNce { options: InfoNce { scale: 8.0, all_positives: false }, learned: true },
        Loss::InfoNce { options: InfoNce { scale: 8.0, all_positives: true }, learned: true },
        Loss::NPair(NPair { penalty: 0.05 }),
        Loss::Prototypes(Prototypes { scale: 3.0 }),
        Loss::Magnet(MagnetOptions { loss: Magnet { alpha: 1.0 }, clusters: 2, refresh: 1000 }),
    ] {
        for sides in [Sides::BOTH_WAYS, Sides::IMAGES, within] {
            let magnet = matches!(loss, Loss::Magnet(_));
            if !magnet || sides.image_to_image > 0.0 {
                let name = format!("{loss:?} {sides:?}");
                out.push((
                    name,
                    ObjectiveOptions { sides, ..ObjectiveOptions::both_ways(loss.clone()) },
                ));
            }
        }
    }
    let plain =
        ObjectiveOptions::both_ways(Loss::SmoothMax(SmoothMax { margin: 0.1, temperature: 0.1 }));
    for shared in [true, false] {
        let classifier =
            Some(Classifier { classes: 3, images: 0.6, texts: 0.9, shared, scale: 4.0 });
        out.push((
            format!("classifier, shared {shared}"),
            ObjectiveOptions { classifier, ..plain.clone() },
        ));
    }
    let memory = Some(MemoryOptions { size: 15, weight: 0.5, after: 0.0 });
    for sides in [Sides::BOTH_WAYS, Sides::IMAGES, within] {
        out.push((
            format!("memory {sides:?}"),
            ObjectiveOptions { memory, sides, ..plain.clone() },
        ));
    }
    out
}
