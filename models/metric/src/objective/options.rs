//! What can an objective be put together from?

use crate::LossError;
use crate::loss::{
    Contrastive, InfoNce, Magnet, Margin, NPair, Prototypes, Quadruplet, Shape, SmoothMax, Triplet,
};
use crate::select::{Curriculum, Selection};

/// Which loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Pairs within and beyond a margin.
    Contrastive(Contrastive),
    /// Triplets in all their forms; with both cross-modal sides this is the
    /// bidirectional loss L = L1 + L2.
    Triplet(Triplet),
    /// The triplet loss with a smooth maximum over negatives.
    SmoothMax(SmoothMax),
    /// A softmax over candidates.
    InfoNce {
        /// Its options; the scale is where a learned one starts.
        options: InfoNce,
        /// Whether the scale is learned.
        learned: bool,
    },
    /// A softmax over dot products of vectors of any length, which a batch then has to
    /// give ([`Batch::image_lengths`](super::Batch::image_lengths)).
    NPair(NPair),
    /// Pairs nearer than any pair of different things.
    Quadruplet(Quadruplet),
    /// One boundary for all.
    Margin {
        /// Its options; β is where a learned one starts.
        options: Margin,
        /// Whether β is learned.
        learned: bool,
    },
    /// Classes in several clusters each. Over the images (and texts) of a batch
    /// together; weighs as `image_to_image`.
    Magnet(MagnetOptions),
    /// Nearest to the mean of one's own group. Image → text: texts are the support;
    /// text → image: images are; within a modality, a group's rows are split in two.
    Prototypes(Prototypes),
}

/// Options of the Magnet loss with its cluster index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MagnetOptions {
    /// Of the loss itself.
    pub loss: Magnet,
    /// Clusters a class; ≥ 1.
    pub clusters: usize,
    /// Steps between two refreshes of the index, each of which has the whole training
    /// set embedded; ≥ 1.
    pub refresh: u64,
}

/// λ1 to λ4: how much each side counts. 0 leaves a side out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sides {
    /// Image anchors, text candidates.
    pub image_to_text: f64,
    /// Text anchors, image candidates.
    pub text_to_image: f64,
    /// Image anchors, image candidates; needs two pictures of a group in a batch.
    pub image_to_image: f64,
    /// Text anchors, text candidates; needs two pairs of a group in a batch.
    pub text_to_text: f64,
}

impl Sides {
    /// Both cross-modal sides: L = L1 + L2.
    pub const BOTH_WAYS: Self =
        Self { image_to_text: 1.0, text_to_image: 1.0, image_to_image: 0.0, text_to_text: 0.0 };
    /// Pictures with pictures.
    pub const IMAGES: Self =
        Self { image_to_text: 0.0, text_to_image: 0.0, image_to_image: 1.0, text_to_text: 0.0 };

    pub(super) fn all(self) -> [(&'static str, f64); 4] {
        [
            ("sides.image_to_text", self.image_to_text),
            ("sides.text_to_image", self.text_to_image),
            ("sides.image_to_image", self.image_to_image),
            ("sides.text_to_text", self.text_to_text),
        ]
    }
}

/// Cross-batch memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryOptions {
    /// Embeddings a modality; 8192 in the paper.
    pub size: usize,
    /// How much the loss against the memory counts beside that in the batch.
    pub weight: f64,
    /// Progress (0..=1) before which nothing is taken in: embeddings drift too fast at first.
    pub after: f64,
}

/// λ5 and λ6: a classifier on top of the embeddings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Classifier {
    /// Classes of the whole training set.
    pub classes: usize,
    /// λ5, over images.
    pub images: f64,
    /// λ6, over texts.
    pub texts: f64,
    /// Whether both use the same weights (then images and texts of a class are
    /// drawn to one direction).
    pub shared: bool,
    /// γ of γ·cos; 64 in the paper, 16 is gentler.
    pub scale: f64,
}

/// All that makes an objective.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectiveOptions {
    /// Which loss.
    pub loss: Loss,
    /// Which negatives, for losses of triplets and pairs.
    pub selection: Selection,
    /// Easy first, then harder; none: the selection from the start.
    pub curriculum: Option<Curriculum>,
    /// Which sides.
    pub sides: Sides,
    /// Further negatives from earlier batches.
    pub memory: Option<MemoryOptions>,
    /// Classification beside the loss.
    pub classifier: Option<Classifier>,
}

impl ObjectiveOptions {
    /// `loss` over both cross-modal sides with all negatives, and nothing else.
    pub fn both_ways(loss: Loss) -> Self {
        let (selection, sides) = (Selection::All, Sides::BOTH_WAYS);
        Self { loss, selection, curriculum: None, sides, memory: None, classifier: None }
    }

    /// Whether the loss makes use of a selection of negatives.
    pub fn selects(&self) -> bool {
        matches!(
            self.loss,
            Loss::Contrastive(_) | Loss::Triplet(_) | Loss::Quadruplet(_) | Loss::Margin { .. }
        )
    }

    /// Whether a term of the loss may be exactly zero, so that nothing is learned from
    /// it. The other losses draw on as long as anything can be nearer.
    pub fn hinges(&self) -> bool {
        match &self.loss {
            Loss::Triplet(t) => t.shape == Shape::Hinge,
            Loss::Contrastive(_) | Loss::Quadruplet(_) | Loss::Margin { .. } | Loss::Magnet(_) => {
                true
            }
            Loss::SmoothMax(_) | Loss::InfoNce { .. } | Loss::NPair(_) | Loss::Prototypes(_) => {
                false
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), LossError> {
        let wrong = |name, expected: &str, got: f64| {
            Err(LossError::Option { name, expected: expected.to_owned(), got: got.to_string() })
        };
        let above = |name, value: f64| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                wrong(name, "a number over 0", value)
            }
        };
        let least = |name, value: f64| {
            if value >= 0.0 && value.is_finite() { Ok(()) } else { wrong(name, "0 or more", value) }
        };
        match &self.loss {
            Loss::Contrastive(c) => above("margin", c.margin)?,
            Loss::Triplet(t) => {
                least("margin", t.margin)?;
                if let Shape::Soft { temperature } = t.shape {
                    above("temperature", temperature)?;
                }
            }
            Loss::SmoothMax(s) => {
                least("margin", s.margin)?;
                above("temperature", s.temperature)?;
            }
            Loss::InfoNce { options, .. } => {
                if !(1.0..=100.0 + 1e-9).contains(&options.scale) {
                    return wrong("scale", "1 to 100", options.scale);
                }
            }
            Loss::NPair(n) => least("penalty", n.penalty)?,
            Loss::Quadruplet(q) => {
                above("margin", q.margin)?;
                least("other_margin", q.other_margin)?;
            }
            Loss::Margin { options, .. } => {
                above("beta", options.beta)?;
                least("alpha", options.alpha)?;
            }
            Loss::Magnet(m) => {
                least("alpha", m.loss.alpha)?;
                above("clusters", m.clusters as f64)?;
                above("refresh", m.refresh as f64)?;
            }
            Loss::Prototypes(p) => above("scale", p.scale)?,
        }
        for (name, weight) in self.sides.all() {
            least(name, weight)?;
        }
        let classifies = self.classifier.is_some_and(|c| c.images > 0.0 || c.texts > 0.0);
        if self.sides.all().iter().all(|(_, w)| *w == 0.0) && !classifies {
            return wrong("sides", "a weight over 0 for one side at least", 0.0);
        }
        if matches!(self.loss, Loss::Magnet(_)) && self.sides.image_to_image <= 0.0 {
            return wrong(
                "sides.image_to_image",
                "a weight over 0: the Magnet loss takes all rows of a batch together and weighs as this side",
                self.sides.image_to_image,
            );
        }
        if !self.selects() && (self.selection != Selection::All || self.curriculum.is_some()) {
            let (expected, got) = (
                "all negatives and no curriculum: this loss weighs all of them itself".to_owned(),
                format!("{:?}, {:?}", self.selection, self.curriculum),
            );
            return Err(LossError::Option { name: "selection", expected, got });
        }
        if self.selection == Selection::KHardest(0) {
            return wrong("selection.k", "1 or more", 0.0);
        }
        if let Some(c) = self.curriculum {
            if !(0.0..=1.0).contains(&c.warm_up) {
                return wrong("curriculum.warm_up", "0 to 1", c.warm_up);
            }
            if let crate::select::Ramp::Shrink { until } = c.ramp
                && (until <= c.warm_up || until > 1.0)
            {
                return wrong("curriculum.until", "after the warm-up, at most 1", until);
            }
        }
        if let Some(m) = self.memory {
            above("memory.size", m.size as f64)?;
            above("memory.weight", m.weight)?;
            if !(0.0..=1.0).contains(&m.after) {
                return wrong("memory.after", "0 to 1", m.after);
            }
            if matches!(
                self.loss,
                Loss::NPair(_) | Loss::Quadruplet(_) | Loss::Magnet(_) | Loss::Prototypes(_)
            ) {
                return wrong(
                    "memory",
                    "none for the N-pair, quadruplet, Magnet and prototypical losses",
                    m.size as f64,
                );
            }
        }
        if let Some(c) = self.classifier {
            above("classifier.scale", c.scale)?;
            least("classifier.images", c.images)?;
            least("classifier.texts", c.texts)?;
            if c.classes < 2 {
                return wrong("classifier.classes", "2 or more", c.classes as f64);
            }
        }
        Ok(())
    }
}
