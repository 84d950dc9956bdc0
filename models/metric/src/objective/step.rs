//! One step: a batch in, loss and gradients out.

use ndarray::{Array2, ArrayView2, concatenate};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{Loss, MagnetIndex, ObjectiveOptions};
use crate::loss::{
    InfoNce, MAX_LOG_SCALE, Margin, Outcome, classification, contrastive, info_nce, magnet, margin,
    quadruplet, smooth_max, triplet,
};
use crate::memory::Memory;
use crate::real::{add_transposed, cosines, pull_back, transposed};
use crate::select::{Curriculum, Selection, Selector};
use crate::stats::modality_gap;
use crate::{LossError, Near, Real, Relations, Side, Stats};

/// What a step is given. Rows belong together by place.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, T> {
    /// n × d, of unit length.
    pub images: ArrayView2<'a, T>,
    /// n × d, of unit length; none when pictures are compared with pictures only.
    pub texts: Option<ArrayView2<'a, T>>,
    /// The concept of each row: rows of one group are never each other's negatives.
    pub groups: &'a [u32],
    /// The class of each row, for classifiers and the Magnet loss (which takes groups
    /// where there are no classes).
    pub classes: Option<&'a [u32]>,
    /// Which rows are too alike to be negatives, of each other and of the memory's; but
    /// for the Magnet loss and classifiers, which go by class.
    pub near: Option<Near<'a>>,
    /// An id for each row that lasts over the training, for the Magnet index; none: its place.
    pub rows: Option<&'a [u32]>,
    /// n: how long each image vector was before it was scaled to 1, for the N-pair
    /// loss, which looks at `images[i] · image_lengths[i]`.
    pub image_lengths: Option<&'a [T]>,
    /// The same for texts.
    pub text_lengths: Option<&'a [T]>,
}

/// What a step gives.
#[derive(Clone, Debug)]
pub struct Step<T> {
    /// The loss, all parts weighted and added.
    pub loss: f64,
    /// ∂L/∂images.
    pub images: Array2<T>,
    /// ∂L/∂texts.
    pub texts: Option<Array2<T>>,
    /// ∂L/∂image_lengths, with the unit vectors held; none for losses that do not look
    /// at lengths.
    pub image_lengths: Option<Vec<T>>,
    /// ∂L/∂text_lengths.
    pub text_lengths: Option<Vec<T>>,
    /// ∂L/∂parameters, in the order of [`Objective::parameters`].
    pub parameters: Vec<Vec<f32>>,
    /// Figures of the batch.
    pub stats: Stats,
}

/// A loss with its memory and its own parameters.
#[derive(Clone, Debug)]
pub struct Objective {
    pub(super) options: ObjectiveOptions,
    pub(super) seed: u64,
    /// θ = ln scale, or β; empty if nothing is learned.
    pub(super) scalar: Vec<f32>,
    /// Class directions, classes × width each: images' (or both), texts'.
    pub(super) classifiers: Vec<Vec<f32>>,
    pub(super) images: Memory,
    pub(super) texts: Memory,
    pub(super) index: MagnetIndex,
}

impl Objective {
    /// Puts the parts together; `dim` is the width of the embeddings.
    ///
    /// # Errors
    /// `Option` for a value out of its range or parts that exclude each other.
    pub fn new(options: ObjectiveOptions, dim: usize, seed: u64) -> Result<Self, LossError> {
        options.check()?;
        let scalar = match &options.loss {
            Loss::InfoNce { options, learned: true } => vec![options.scale.ln() as f32],
            Loss::Margin { options, learned: true } => vec![options.beta as f32],
            _ => Vec::new(),
        };
        let mut rng = Pcg64::seed_from_u64(seed);
        let classifiers = options.classifier.map_or(Vec::new(), |c| {
            let one = |rng: &mut Pcg64| {
                (0..c.classes * dim).map(|_| rng.random_range(-1.0..1.0)).collect()
            };
            let count = if c.shared || c.images == 0.0 || c.texts == 0.0 { 1 } else { 2 };
            (0..count).map(|_| one(&mut rng)).collect()
        });
        let size = options.memory.map_or(0, |m| m.size);
        let (images, texts, index) = (Memory::new(size), Memory::new(size), MagnetIndex::default());
        Ok(Self { options, seed, scalar, classifiers, images, texts, index })
    }

    /// What it was made of.
    pub fn options(&self) -> &ObjectiveOptions {
        &self.options
    }

    /// The Magnet loss's clusters.
    pub fn index(&self) -> &MagnetIndex {
        &self.index
    }

    /// Whether the Magnet loss's clusters are to be made anew before the next step:
    /// there are none yet, or their time is over.
    pub fn refresh_due(&self) -> bool {
        match &self.options.loss {
            Loss::Magnet(options) => self.index.is_empty() || self.index.since >= options.refresh,
            _ => false,
        }
    }

    /// Makes the clusters anew from embeddings of the whole training set.
    ///
    /// # Shapes
    /// `rows` (ids as in [`Batch::rows`]) and `classes`: n, `embeddings`: n × d.
    ///
    /// # Errors
    /// `Shape`, `NotFinite`; `Option` for a loss without clusters.
    pub fn refresh<T: Real>(
        &mut self,
        rows: &[u32],
        classes: &[u32],
        embeddings: ArrayView2<'_, T>,
    ) -> Result<(), LossError> {
        let Loss::Magnet(options) = &self.options.loss else {
            let (expected, got) =
                ("Magnet, which has clusters", format!("{:?}", self.options.loss));
            return Err(LossError::Option { name: "loss", expected: expected.to_owned(), got });
        };
        let n = embeddings.nrows();
        if rows.len() != n || classes.len() != n {
            return Err(LossError::Shape {
                what: "row ids and classes of the training set",
                expected: format!("{n} each"),
                got: format!("{} and {}", rows.len(), classes.len()),
            });
        }
        self.index.refresh(rows, classes, embeddings, options.clusters, self.seed)
    }

    /// Learned numbers of its own: the scale or boundary, then class directions.
    pub fn parameters(&mut self) -> Vec<&mut [f32]> {
        let scalar = (!self.scalar.is_empty()).then_some(self.scalar.as_mut_slice());
        scalar.into_iter().chain(self.classifiers.iter_mut().map(Vec::as_mut_slice)).collect()
    }

    /// Brings a learned scale or boundary back into its range, after a step of the optimiser.
    pub fn constrain(&mut self) {
        let most = match self.options.loss {
            Loss::InfoNce { .. } => MAX_LOG_SCALE as f32,
            _ => 2.0,
        };
        self.scalar.iter_mut().for_each(|v| *v = v.clamp(0.0, most));
    }

    /// Loss, gradients and figures of a batch. `progress` is the share of training
    /// that is done.
    ///
    /// # Errors
    /// `NoNegatives`, `NoPositives`, `Shape`, `Missing`, `Class`, `NotFinite`.
    pub fn step<T: Real>(
        &mut self,
        batch: &Batch<'_, T>,
        progress: f64,
        rng: &mut Pcg64,
    ) -> Result<Step<T>, LossError> {
        check(batch)?;
        let mut out = Step {
            loss: 0.0,
            images: Array2::zeros(batch.images.dim()),
            texts: batch.texts.map(|t| Array2::zeros(t.dim())),
            image_lengths: None,
            text_lengths: None,
            parameters: std::iter::once(&self.scalar)
                .filter(|s| !s.is_empty())
                .chain(&self.classifiers)
                .map(|p| vec![0.0; p.len()])
                .collect(),
            stats: Stats::default(),
        };
        out.stats.modality_gap = batch.texts.map(|t| modality_gap(batch.images, t));
        match self.options.loss.clone() {
            Loss::Magnet(options) => self.magnet(batch, &options, &mut out)?,
            Loss::Prototypes(options) => self.prototypes(batch, &options, &mut out, rng)?,
            Loss::NPair(options) => self.n_pair(batch, &options, &mut out)?,
            _ => self.similarities(batch, progress, &mut out, rng)?,
        }
        if out.stats.spread < Stats::FLAT {
            out.stats.collapsed = self.collapsed(batch, progress, &out, rng)?;
        }
        let own = out.loss;
        self.classify(batch, &mut out)?;
        out.stats.collapsed = out.stats.collapsed.map(|flat| flat + out.loss - own);
        if let Some(memory) = self.options.memory
            && progress >= memory.after
        {
            let ids = batch.near.map(|near| near.ids);
            self.images.push(batch.images, batch.groups, ids);
            if let Some(texts) = batch.texts {
                self.texts.push(texts, batch.groups, ids);
            }
        }
        Ok(out)
    }

    /// The loss of one side's similarities.
    fn judge<T: Real>(
        &self,
        s: ArrayView2<'_, T>,
        relations: &Relations,
        progress: f64,
        dim: usize,
        rng: &mut Pcg64,
    ) -> Result<Outcome<T>, LossError> {
        let selection = self.selection(progress, s.ncols());
        let mut selector = Selector { selection, dim, rng };
        let learned = self.scalar.first().copied().map(f64::from);
        match &self.options.loss {
            Loss::Contrastive(o) => contrastive(s, relations, o, &mut selector),
            Loss::Triplet(o) => triplet(s, relations, o, &mut selector),
            Loss::SmoothMax(o) => smooth_max(s, relations, o),
            Loss::InfoNce { options, .. } => {
                let scale = learned.map_or(options.scale, f64::exp);
                info_nce(s, relations, &InfoNce { scale, ..*options })
            }
            Loss::Quadruplet(o) => quadruplet(s, relations, o, &mut selector),
            Loss::Margin { options, .. } => {
                let beta = learned.unwrap_or(options.beta);
                margin(s, relations, &Margin { beta, ..*options }, &mut selector)
            }
            Loss::Magnet(_) | Loss::Prototypes(_) | Loss::NPair(_) => {
                unreachable!("these do not take cosines")
            }
        }
    }

    /// Which of `candidates` (the positive among them) are negatives at this progress.
    fn selection(&self, progress: f64, candidates: usize) -> Selection {
        let target = self.options.selection;
        let at = |c: Curriculum| c.at(progress, target, candidates.saturating_sub(1));
        self.options.curriculum.map_or(target, at)
    }

    pub(super) fn similarities<T: Real>(
        &self,
        batch: &Batch<'_, T>,
        progress: f64,
        out: &mut Step<T>,
        rng: &mut Pcg64,
    ) -> Result<(), LossError> {
        let sides = self.options.sides;
        let dim = batch.images.ncols();
        let near = alike(batch);
        let mut looked = false;
        if sides.image_to_text > 0.0 || sides.text_to_image > 0.0 {
            let texts = needs_texts(batch)?;
            let relations = Relations::paired(batch.groups, near.as_ref())?;
            let s = cosines(batch.images, texts);
            looked = true;
            out.stats.masked = relations.masked();
            let side = |s: ArrayView2<'_, T>, weight: f64, rng: &mut Pcg64| {
                let judged = (weight > 0.0).then(|| self.judge(s, &relations, progress, dim, rng));
                judged.transpose()
            };
            let stats = &mut out.stats;
            let mut there = |rng: &mut Pcg64| {
                stats.look(s.view(), &relations);
                side(s.view(), sides.image_to_text, rng)
            };
            let back = |rng: &mut Pcg64| {
                // Groups and near-duplicates are symmetric, so the relations are, too.
                side(transposed(&s).view(), sides.text_to_image, rng)
            };
            let (there, back) = if self.selection(progress, s.ncols()).draws() {
                let there = there(rng);
                (there, back(rng))
            } else {
                let mut unused = rng.clone();
                rayon::join(|| there(rng), || back(&mut unused))
            };
            let mut g = Array2::<T>::zeros(s.dim());
            if let Some(found) = there? {
                g.scaled_add(T::of(sides.image_to_text), &found.gradient);
                add(out, sides.image_to_text, &found);
            }
            if let Some(mut found) = back? {
                add(out, sides.text_to_image, &found);
                found.gradient.mapv_inplace(|v| v * T::of(sides.text_to_image));
                add_transposed(&mut g, &found.gradient);
            }
            let columns = out.texts.as_mut();
            pull_back(&g, T::one(), batch.images, texts, &mut out.images, columns);
        }
        for (side, weight) in
            [(Side::ImageToImage, sides.image_to_image), (Side::TextToText, sides.text_to_text)]
        {
            if weight <= 0.0 {
                continue;
            }
            let x = if side == Side::ImageToImage { batch.images } else { needs_texts(batch)? };
            let relations = Relations::within(batch.groups, near.as_ref())?;
            let s = cosines(x, x);
            let found = match self.judge(s.view(), &relations, progress, dim, rng) {
                // Chance may draw a batch without two of a group; another side may do.
                Err(LossError::NoPositives { .. }) if looked => {
                    out.stats.skipped.push(side);
                    continue;
                }
                found => found?,
            };
            if !looked {
                out.stats.look(s.view(), &relations);
                out.stats.masked = relations.masked();
                looked = true;
            }
            add(out, weight, &found);
            let to =
                if side == Side::ImageToImage { Some(&mut out.images) } else { out.texts.as_mut() };
            if let Some(to) = to {
                // x stands on both sides of S.
                let both = &found.gradient + &found.gradient.t();
                pull_back(&both.as_standard_layout().into_owned(), T::of(weight), x, x, to, None);
            }
        }
        self.remembered(batch, progress, out, rng)
    }

    /// The loss against the memory: its embeddings are constants.
    fn remembered<T: Real>(
        &self,
        batch: &Batch<'_, T>,
        progress: f64,
        out: &mut Step<T>,
        rng: &mut Pcg64,
    ) -> Result<(), LossError> {
        let Some(options) = self.options.memory else { return Ok(()) };
        let sides = self.options.sides;
        for (side, weight) in [
            (Side::ImageToText, sides.image_to_text),
            (Side::TextToImage, sides.text_to_image),
            (Side::ImageToImage, sides.image_to_image),
            (Side::TextToText, sides.text_to_text),
        ] {
            let weight = weight * options.weight;
            let from_images = matches!(side, Side::ImageToText | Side::ImageToImage);
            let to_images = matches!(side, Side::TextToImage | Side::ImageToImage);
            let memory = if to_images { &self.images } else { &self.texts };
            if weight <= 0.0 || memory.is_empty() {
                continue;
            }
            let texts = batch.texts.unwrap_or(batch.images);
            let a = if from_images { batch.images } else { texts };
            let c = if to_images { batch.images } else { texts };
            let held = memory.rows::<T>();
            let candidates = join(c, held.view())?;
            let paired = from_images != to_images;
            let near = batch.near.map(|near| near.mask(memory.texts()));
            let relations =
                Relations::memory(batch.groups, memory.groups(), near.as_ref(), paired)?;
            let s = cosines(a, candidates.view());
            let found = match self.judge(s.view(), &relations, progress, a.ncols(), rng) {
                // Everything in the memory may be of the batch's groups, or near.
                Err(LossError::NoNegatives { .. } | LossError::NoPositives { .. }) => continue,
                found => found?,
            };
            add(out, weight, &found);
            let mut rows = Array2::zeros(a.dim());
            let mut columns = Array2::zeros(candidates.dim());
            pull_back(
                &found.gradient,
                T::of(weight),
                a,
                candidates.view(),
                &mut rows,
                Some(&mut columns),
            );
            let n = c.nrows();
            let own = columns.slice(ndarray::s![..n, ..]);
            for (images, part) in [(from_images, rows.view()), (to_images, own)] {
                match (images, out.texts.as_mut()) {
                    (true, _) => out.images += &part,
                    (false, Some(texts)) => *texts += &part,
                    (false, None) => {}
                }
            }
        }
        Ok(())
    }

    fn magnet<T: Real>(
        &mut self,
        batch: &Batch<'_, T>,
        options: &super::MagnetOptions,
        out: &mut Step<T>,
    ) -> Result<(), LossError> {
        let weight = self.options.sides.image_to_image;
        let classes = batch.classes.unwrap_or(batch.groups);
        let n = batch.images.nrows();
        let places: Vec<u32>;
        let rows = match batch.rows {
            Some(rows) => rows,
            None => {
                places = (0..n as u32).collect();
                &places
            }
        };
        let clusters = self.index.assign(rows, classes);
        let found = match batch.texts {
            Some(texts) => {
                let all = join(batch.images, texts)?;
                let twice = |ids: &[u32]| [ids, ids].concat();
                magnet(all.view(), &twice(classes), &twice(&clusters), &options.loss)?
            }
            None => magnet(batch.images, classes, &clusters, &options.loss)?,
        };
        out.loss += weight * found.loss;
        out.stats.count(&found.tally);
        let relations = Relations::within(batch.groups, alike(batch).as_ref())?;
        out.stats.look(batch.images.dot(&batch.images.t()).view(), &relations);
        out.images.scaled_add(T::of(weight), &found.gradient.slice(ndarray::s![..n, ..]));
        if let Some(texts) = out.texts.as_mut() {
            texts.scaled_add(T::of(weight), &found.gradient.slice(ndarray::s![n.., ..]));
        }
        self.index.observe(rows, &found.rows[..n]);
        Ok(())
    }

    fn classify<T: Real>(&self, batch: &Batch<'_, T>, out: &mut Step<T>) -> Result<(), LossError> {
        let Some(options) = self.options.classifier else { return Ok(()) };
        let classes = batch.classes.ok_or(LossError::Missing {
            what: "the classifier".into(),
            needs: "classes",
            advice: "give the pairs a `class` column, or leave the classifier out",
        })?;
        let first = out.parameters.len() - self.classifiers.len();
        for (weight, images) in [(options.images, true), (options.texts, false)] {
            if weight <= 0.0 {
                continue;
            }
            let x = if images { batch.images } else { needs_texts(batch)? };
            let which = if images { 0 } else { self.classifiers.len() - 1 };
            let shape = (options.classes, x.ncols());
            let numbers = self.classifiers[which].iter().map(|&v| T::of(f64::from(v))).collect();
            let directions =
                Array2::from_shape_vec(shape, numbers).map_err(|_| LossError::Shape {
                    what: "embeddings of the classifier",
                    expected: format!("{} wide", self.classifiers[which].len() / options.classes),
                    got: x.ncols().to_string(),
                })?;
            let found = classification(x, classes, directions.view(), options.scale)?;
            out.loss += weight * found.loss;
            let to = if images { Some(&mut out.images) } else { out.texts.as_mut() };
            if let Some(to) = to {
                to.scaled_add(T::of(weight), &found.gradient);
            }
            for (to, g) in out.parameters[first + which].iter_mut().zip(&found.weights) {
                *to += (weight * g.wide()) as f32;
            }
        }
        Ok(())
    }
}

pub(super) fn add<T>(out: &mut Step<T>, weight: f64, found: &Outcome<T>) {
    out.loss += weight * found.loss;
    out.stats.count(&found.tally);
    if found.parameter != 0.0
        && let Some(first) = out.parameters.first_mut()
        && first.len() == 1
    {
        first[0] += (weight * found.parameter) as f32;
    }
}

/// n × n: rows of the batch that are too alike to be negatives.
pub(super) fn alike<T>(batch: &Batch<'_, T>) -> Option<Array2<bool>> {
    batch.near.map(|near| near.mask(near.ids))
}

pub(super) fn needs_texts<'a, T>(batch: &Batch<'a, T>) -> Result<ArrayView2<'a, T>, LossError> {
    batch.texts.ok_or(LossError::Missing {
        what: "a side with texts".into(),
        needs: "texts",
        advice: "train with captions, or give only image → image a weight",
    })
}

fn join<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Result<Array2<T>, LossError> {
    concatenate(ndarray::Axis(0), &[a, b]).map_err(|_| LossError::Shape {
        what: "embeddings",
        expected: format!("{} wide", a.ncols()),
        got: b.ncols().to_string(),
    })
}

fn check<T: Real>(batch: &Batch<'_, T>) -> Result<(), LossError> {
    let (n, width) = batch.images.dim();
    let shape = |what, expected: String, got: String| Err(LossError::Shape { what, expected, got });
    if batch.groups.len() != n {
        return shape("groups", n.to_string(), batch.groups.len().to_string());
    }
    if let Some(texts) = batch.texts
        && texts.dim() != (n, width)
    {
        return shape("texts", format!("{:?}", (n, width)), format!("{:?}", texts.dim()));
    }
    let ids = batch.near.map(|near| near.ids);
    for (what, given) in [("classes", batch.classes), ("row ids", batch.rows), ("text ids", ids)] {
        if let Some(given) = given
            && given.len() != n
        {
            return shape(what, n.to_string(), given.len().to_string());
        }
    }
    for (what, rows) in [("images", Some(batch.images)), ("texts", batch.texts)] {
        let Some(rows) = rows else { continue };
        if let Some(row) = rows.outer_iter().position(|r| r.iter().any(|v| !v.is_finite())) {
            return Err(LossError::NotFinite { what, row });
        }
    }
    for (what, given) in
        [("image lengths", batch.image_lengths), ("text lengths", batch.text_lengths)]
    {
        let Some(given) = given else { continue };
        if given.len() != n {
            return shape(what, n.to_string(), given.len().to_string());
        }
        if let Some(row) = given.iter().position(|v| !v.is_finite()) {
            return Err(LossError::NotFinite { what, row });
        }
    }
    Ok(())
}
