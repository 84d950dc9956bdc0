//! Given features, pixels and words in memory, what goes into a step?

use std::collections::HashMap;
use std::ops::Range;

use ekphrasis_embed::{Pixels, Preprocess};
use ndarray::{Array2, Array4, s};
use rayon::prelude::*;

use crate::config::Batches;
use crate::data::{
    self, Augment, ContentHash, FeatureTable, NearTexts, TextShares, TextTable, by_group, shuffled,
};
use crate::nn::{Fed, TokenBatch};
use crate::run::{HeldOut, Learnt, Supplied, Supply};

/// What the image side reads.
#[derive(Debug)]
pub(super) enum ImageInputs {
    /// Outputs of the frozen base; row `picture × (1 + views) + view`.
    Features {
        /// What is added to.
        base: Option<FeatureTable>,
        /// What is read, joined in this order.
        features: Vec<FeatureTable>,
        /// Altered views beside each picture.
        views: u32,
    },
    /// Pictures at a size from which views are made.
    Pixels {
        /// One a picture.
        pictures: Vec<Pixels>,
        /// For the views.
        contents: Vec<ContentHash>,
        /// Whether they may be mirrored.
        may_mirror: Vec<bool>,
        /// From a picture to numbers.
        preprocess: Preprocess,
        /// None: no altered views.
        augment: Option<Augment>,
    },
}

/// What the text side reads, a row a text of the table.
#[derive(Debug)]
pub(super) enum TextInputs {
    /// The frozen base's embeddings.
    Features {
        /// Whether it is added to.
        base: bool,
        /// Whether it is read.
        layers: bool,
        /// The rows.
        rows: FeatureTable,
    },
    /// Token ids.
    Tokens(Vec<Vec<i64>>),
    /// No texts.
    None,
}

/// What the base says of the held-out pictures and captions, where a start made
/// something else of it for training.
#[derive(Debug)]
pub(super) struct Raw {
    /// pictures × base width.
    base: Option<Array2<f32>>,
    /// pictures × features.
    features: Option<Array2<f32>>,
    /// captions × base width.
    captions: Array2<f32>,
}

impl Raw {
    /// Of what is held out; none where the inputs are not what a base says.
    pub(super) fn of(images: &ImageInputs, texts: &TextInputs, held: &HeldOut) -> Option<Self> {
        let (ImageInputs::Features { base, features, views }, TextInputs::Features { rows, .. }) =
            (images, texts)
        else {
            return None;
        };
        let plain: Vec<usize> = held.pictures.iter().map(|p| p * (1 + *views as usize)).collect();
        Some(Self {
            base: base.as_ref().map(|table| table.gather(&plain)),
            features: joined(features, &plain),
            captions: rows.gather(&held.captions),
        })
    }
}

/// [`Supply`] over pairs in memory.
#[derive(Debug)]
pub struct DataSupply {
    pub(super) seed: u64,
    pub(super) images: ImageInputs,
    pub(super) texts: TextInputs,
    pub(super) table: TextTable,
    pub(super) words: TextShares,
    pub(super) near: Option<NearTexts>,
    pub(super) groups: Vec<u32>,
    pub(super) classes: Option<Vec<u32>>,
    pub(super) train: Vec<usize>,
    pub(super) held_out: HeldOut,
    pub(super) raw: Option<Raw>,
    pub(super) batches: Batches,
    pub(super) batch: usize,
    pub(super) per_group: usize,
}

impl DataSupply {
    /// Pictures that are learnt from.
    pub fn train(&self) -> &[usize] {
        &self.train
    }

    /// The texts, each once.
    pub fn texts(&self) -> &[String] {
        self.table.texts()
    }

    /// How many classes there are; 0 without classes.
    pub fn classes(&self) -> usize {
        let most = self.classes.iter().flatten().max();
        most.map_or(0, |&most| most as usize + 1)
    }

    /// The group of each picture.
    pub(super) fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// What to call each group in a message: its first example's words.
    pub(super) fn group_names(&self, examples: &[data::Example]) -> Vec<String> {
        let count = self.groups.iter().max().map_or(0, |&most| most as usize + 1);
        let mut names = vec![String::new(); count];
        for (example, &group) in examples.iter().zip(&self.groups) {
            let name = &mut names[group as usize];
            if name.is_empty() {
                let words = example.captions.first().or(example.class.as_ref());
                *name = words.cloned().unwrap_or_else(|| example.path.display().to_string());
            }
        }
        names
    }

    /// Inputs of some of the held-out pictures, by their places among those, for
    /// towers as they are published: on what the base says, whatever training began with.
    pub(super) fn published_pictures(&self, places: Range<usize>) -> Fed {
        let Some(Raw { base, features, .. }) = &self.raw else {
            return self.image_inputs(&self.held_out.pictures[places], None);
        };
        let part = |all: &Array2<f32>| all.slice(s![places.clone(), ..]).to_owned();
        Fed::Rows { base: base.as_ref().map(part), features: features.as_ref().map(part) }
    }

    /// The same for held-out captions.
    pub(super) fn published_captions(&self, places: Range<usize>) -> Fed {
        let Some(Raw { captions, .. }) = &self.raw else {
            return self.captions(&self.held_out.captions[places]);
        };
        Fed::Rows { base: None, features: Some(captions.slice(s![places, ..]).to_owned()) }
    }

    fn image_inputs(&self, pictures: &[usize], step: Option<u64>) -> Fed {
        match &self.images {
            ImageInputs::Features { base, features, views } => {
                let stride = 1 + *views as usize;
                let rows: Vec<usize> = pictures
                    .iter()
                    .map(|&picture| {
                        let view = step.map_or(0, |step| {
                            let place = (picture as u64) << 32 ^ step;
                            data_draw(self.seed, place) % u64::from(1 + *views)
                        });
                        picture * stride + view as usize
                    })
                    .collect();
                Fed::Rows {
                    base: base.as_ref().map(|table| table.gather(&rows)),
                    features: joined(features, &rows),
                }
            }
            ImageInputs::Pixels { pictures: all, contents, may_mirror, preprocess, augment } => {
                let side = preprocess.size() as usize;
                let mut numbers = vec![0.0f32; pictures.len() * 3 * side * side];
                let places = numbers.par_chunks_mut(3 * side * side).zip(pictures);
                places.for_each(|(out, &picture)| {
                    let view = match (augment, step) {
                        (Some(augment), Some(step)) => Some(augment.view(
                            &all[picture],
                            side as u32,
                            &contents[picture],
                            step as u32,
                            self.seed,
                            may_mirror[picture],
                        )),
                        _ => None,
                    };
                    let pixels = view.as_ref().unwrap_or(&all[picture]);
                    let tensor = preprocess.tensor(pixels);
                    out.copy_from_slice(tensor.expect("pictures were prepared once").data());
                });
                let shape = (pictures.len(), 3, side, side);
                let pictures = Array4::from_shape_vec(shape, numbers);
                Fed::Pictures(pictures.expect("as many numbers as the shape says"))
            }
        }
    }

    fn text_inputs(&self, rows: &[usize]) -> Option<Fed> {
        Some(match &self.texts {
            TextInputs::None => return None,
            TextInputs::Features { base, layers, rows: table } => {
                let gathered = table.gather(rows);
                Fed::Rows {
                    features: layers.then(|| gathered.clone()),
                    base: base.then_some(gathered),
                }
            }
            TextInputs::Tokens(all) => {
                let longest = rows.iter().map(|&r| all[r].len()).max().unwrap_or(0).max(1);
                let mut ids = Array2::zeros((rows.len(), longest));
                let mut mask = Array2::zeros((rows.len(), longest));
                for (i, &row) in rows.iter().enumerate() {
                    for (j, &id) in all[row].iter().enumerate() {
                        ids[[i, j]] = id;
                        mask[[i, j]] = 1.0;
                    }
                }
                Fed::Tokens(TokenBatch { ids, mask })
            }
        })
    }
}

pub(super) fn joined(tables: &[FeatureTable], rows: &[usize]) -> Option<Array2<f32>> {
    match tables {
        [] => None,
        [one] => Some(one.gather(rows)),
        several => {
            let parts: Vec<_> = several.iter().map(|t| t.gather(rows)).collect();
            let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
            Some(ndarray::concatenate(ndarray::Axis(1), &views).expect("the same rows of each"))
        }
    }
}

/// A number that depends on seed and place alone (SplitMix64's finaliser).
fn data_draw(seed: u64, place: u64) -> u64 {
    let mut z =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Supply for DataSupply {
    fn epoch(&self, epoch: u64) -> Result<Vec<Vec<usize>>, String> {
        let label = match self.batches {
            Batches::Shuffled => return Ok(shuffled(&self.train, self.batch, self.seed, epoch)),
            Batches::ByGroup => &self.groups,
            Batches::ByClass => self.classes.as_ref().ok_or(
                "data.batches = \"by-class\" needs a class on every line; add one, or use \"by-group\"",
            )?,
        };
        let labels: Vec<u32> = self.train.iter().map(|&i| label[i]).collect();
        let size = (self.batch / self.per_group, self.per_group);
        by_group(&self.train, &labels, size, self.seed, epoch).map_err(|e| e.to_string())
    }

    fn batch(&self, pictures: &[usize], step: u64) -> Supplied {
        let images = self.image_inputs(pictures, Some(step));
        let rows: Vec<u32> = match self.texts {
            TextInputs::None => Vec::new(),
            _ => pictures
                .iter()
                .map(|&picture| {
                    let picked = self.table.pick(picture, &self.words, self.seed, step);
                    let any = || self.table.pick(picture, &TextShares::default(), self.seed, step);
                    picked.or_else(any).expect("pictures without words are not trained on")
                })
                .collect(),
        };
        let places: Vec<usize> = rows.iter().map(|&r| r as usize).collect();
        let of = |all: &[u32]| pictures.iter().map(|&i| all[i]).collect::<Vec<u32>>();
        Supplied {
            images,
            texts: self.text_inputs(&places),
            groups: of(&self.groups),
            classes: self.classes.as_deref().map(of),
            words: (!rows.is_empty()).then_some(rows),
        }
    }

    fn learnt(&self) -> Learnt {
        let of = |all: &[u32]| self.train.iter().map(|&i| all[i]).collect();
        Learnt {
            pictures: self.train.clone(),
            groups: of(&self.groups),
            classes: self.classes.as_deref().map(of),
        }
    }

    fn near(&self) -> Option<&[Vec<u32>]> {
        self.near.as_ref().map(NearTexts::lists)
    }

    fn held_out(&self) -> &HeldOut {
        &self.held_out
    }

    fn pictures(&self, pictures: &[usize]) -> Fed {
        self.image_inputs(pictures, None)
    }

    fn captions(&self, captions: &[usize]) -> Fed {
        self.text_inputs(captions).expect("captions are held out only where there is a text side")
    }
}

/// What is measured on: pictures with the first caption of each, equal captions (case
/// and spaces aside, as for groups) joined: they would only tie with one another.
pub(super) fn held_out(
    pictures: &[usize],
    table: &TextTable,
    with_texts: bool,
    same: &[u32],
) -> HeldOut {
    let mut held = HeldOut {
        pictures: pictures.to_vec(),
        same: pictures.iter().map(|&i| same[i]).collect(),
        ..HeldOut::default()
    };
    if !with_texts {
        return held;
    }
    let mut places = HashMap::new();
    for &picture in pictures {
        let caption = table.caption(picture).map(|row| {
            let text = data::normal(&table.texts()[row as usize]);
            *places.entry(text).or_insert_with(|| {
                held.captions.push(row as usize);
                held.captions.len() - 1
            })
        });
        held.captions_of.push(caption.into_iter().collect());
    }
    held
}

/// Classes as numbers, in the order of their names; none unless every picture has one.
pub(super) fn class_numbers(examples: &[data::Example]) -> Option<Vec<u32>> {
    let names: Option<Vec<&str>> = examples.iter().map(|e| e.class.as_deref()).collect();
    let names = names?;
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let place = |name: &str| sorted.binary_search(&name).map_or(0, |p| p as u32);
    Some(names.into_iter().map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_that_differ_in_case_and_spaces_are_one() {
        let words = ["Dog", "dog", "a  cat", "A cat", "bird"];
        let example =
            |w: &&str| data::Example { captions: vec![(*w).into()], ..Default::default() };
        let examples: Vec<data::Example> = words.iter().map(example).collect();
        let table = TextTable::new(&examples, &[]);
        let held = held_out(&[0, 1, 2, 3, 4], &table, true, &[0, 0, 1, 1, 2]);
        assert_eq!(held.captions.len(), 3, "as groups are by the same words");
        assert_eq!(held.captions_of, [[0], [0], [1], [1], [2]]);
    }
}
