//! Given pictures, what does the picture tower say of each, and of views of it?

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use ekphrasis_embed::{ImageEncoder, ImageTensor, Pixels};
use ekphrasis_models::{Model, OrtImageEncoder, Runtime, decode};

use super::error::FeatureError;
use super::progress::{Progress, Teller};
use super::store::{FeatureStore, Key};
use super::table::{FeatureTable, Precision};
use crate::data::{Augment, ContentHash};

/// What is asked of the tower.
#[derive(Clone, Copy, Debug)]
pub struct ImageJob<'a> {
    /// The model whose picture tower is asked.
    pub model: &'a Model,
    /// What runs it.
    pub runtime: &'a Runtime,
    /// Names of the graph's outputs, such as `pooled` or `logits`. Each gives
    /// one row a picture; what a row of maps has is flattened.
    pub outputs: &'a [&'a str],
    /// Augmented views beside the picture itself, 0: none.
    pub views: u32,
    /// How views are made.
    pub augment: Augment,
    /// For the views.
    pub seed: u64,
    /// How many pictures are worked on at a time, each on one thread.
    pub sessions: usize,
    /// How features are kept, on disk and in memory.
    pub precision: Precision,
    /// The folder of the cache; made if it is not there.
    pub cache: &'a Path,
}

/// A picture that features are wanted of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its file.
    pub path: PathBuf,
    /// The content that was [seen](crate::data::look) there.
    pub content: ContentHash,
    /// Whether views of it may be mirrored; see [`crate::data::may_mirror`].
    pub may_mirror: bool,
}

/// A picture without features, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in the list of pictures. Its rows are zeros.
    pub picture: usize,
    /// In plain words.
    pub why: String,
}

/// What the tower said.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFeatures {
    /// One table an output, in the order they were asked for. Row
    /// `picture × (1 + views) + view`; view 0 is the picture itself.
    pub tables: Vec<FeatureTable>,
    /// Augmented views beside each picture.
    pub views: u32,
    /// Pictures that could not be read.
    pub skipped: Vec<Skipped>,
    /// Rows that were computed by this call; the others were cached.
    pub computed: usize,
    /// Damaged entries that were found in the cache, and made anew.
    pub damaged: usize,
}

impl ImageFeatures {
    /// The row of a picture's view; view 0 is the picture itself.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn row(&self, picture: usize, view: u32) -> usize {
        assert!(view <= self.views, "view {view} of {}", self.views);
        picture * (1 + self.views as usize) + view as usize
    }
}

/// Pictures that a worker may be ahead of the writer, which bounds memory.
const AHEAD: usize = 4;

/// One picture's rows, by view and output.
type Rows = Vec<(u32, Vec<Vec<f32>>)>;

/// Gives the outputs of the picture tower for all pictures and their views,
/// from the cache where they are there, else computed on `sessions` threads and
/// kept. What is done outlives a `kill -9`: a second call goes on from there.
///
/// The cache has a file an output, named by model file, preparation and output;
/// entries are by the picture's content, the view's number, the seed and the
/// way views are made, so that one file serves all of these.
///
/// # Errors
/// If the model, the runtime or the cache fails. A picture that cannot be read
/// is no error: see [`ImageFeatures::skipped`].
pub fn image_features(
    job: &ImageJob<'_>,
    pictures: &[Picture],
    tell: &mut dyn FnMut(Progress),
) -> Result<ImageFeatures, FeatureError> {
    let encoder = job.model.ort_image_encoder(job.runtime, job.sessions.max(1))?;
    let mut stores = open_stores(job, &encoder)?;
    let stride = 1 + job.views as usize;
    let keys: Vec<Vec<Key>> = pictures
        .iter()
        .map(|p| (0..=job.views).map(|view| entry_key(job, p, view)).collect())
        .collect();
    let whole = |stores: &[FeatureStore], key: &Key| stores.iter().all(|s| s.contains(key));
    // A content that is there twice is computed once.
    let mut planned = HashSet::new();
    let missing: Vec<(usize, Vec<u32>)> = keys
        .iter()
        .enumerate()
        .map(|(i, keys)| {
            let lacking = keys.iter().zip(0u32..).filter(|(k, _)| !whole(&stores, k));
            (i, lacking.filter(|(k, _)| planned.insert(**k)).map(|(_, view)| view).collect())
        })
        .filter(|(_, views): &(usize, Vec<u32>)| !views.is_empty())
        .collect();

    let total = missing.iter().map(|(_, views)| views.len()).sum();
    let mut teller = Teller::new(total, pictures.len() * stride - total, tell);
    let mut skipped = Vec::new();
    let mut computed = 0;
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (sender, results) = mpsc::sync_channel(AHEAD * job.sessions.max(1));
    std::thread::scope(|scope| -> Result<(), FeatureError> {
        for _ in 0..job.sessions.max(1) {
            let (sender, encoder, missing) = (sender.clone(), &encoder, &missing);
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some((i, views)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    let rows = embed(job, encoder, &pictures[*i], views);
                    // The writer has gone only if it failed.
                    if sender.send((*i, views.len(), rows)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Owned by this scope, so that workers wake up should the writer fail.
        let results = results;
        for (i, count, rows) in &results {
            let kept = rows.and_then(|rows| match rows {
                Ok(rows) => keep(job, &mut stores, &keys[i], &pictures[i], &rows).map(Ok),
                Err(why) => Ok(Err(why)),
            });
            match kept {
                Ok(Ok(())) => computed += count,
                Ok(Err(why)) => skipped.push(Skipped { picture: i, why }),
                Err(e) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(e);
                }
            }
            teller.step(count);
        }
        Ok(())
    })?;
    stores.iter().try_for_each(FeatureStore::sync)?;

    let mut tables: Vec<FeatureTable> = stores
        .iter()
        .map(|s| FeatureTable::zeros(pictures.len() * stride, s.width(), job.precision))
        .collect();
    for (store, table) in stores.iter_mut().zip(&mut tables) {
        let mut row = vec![0.0; store.width()];
        for (i, key) in keys.iter().flatten().enumerate() {
            if store.read(key, &mut row)? {
                table.set(i, &row);
            }
        }
    }
    // Copies of a picture that was skipped have no rows either.
    let bad: HashMap<ContentHash, String> =
        skipped.iter().map(|s| (pictures[s.picture].content, s.why.clone())).collect();
    let skipped = pictures
        .iter()
        .enumerate()
        .filter_map(|(picture, p)| {
            bad.get(&p.content).map(|why| Skipped { picture, why: why.clone() })
        })
        .collect();
    let damaged = stores.iter().map(FeatureStore::damaged).sum();
    Ok(ImageFeatures { tables, views: job.views, skipped, computed, damaged })
}

/// Tells of a content whether the cache has all of a picture's own outputs
/// (views aside): such a picture was decoded before, and need not be to be
/// [looked at](crate::data::look).
///
/// # Errors
/// If the model, the runtime or the cache fails.
pub fn cached_pictures(
    job: &ImageJob<'_>,
) -> Result<impl Fn(&ContentHash) -> bool + Sync + use<>, FeatureError> {
    let encoder = job.model.ort_image_encoder(job.runtime, 1)?;
    let stores = open_stores(job, &encoder)?;
    let mut sets = stores.iter().map(FeatureStore::keys);
    let first: HashSet<Key> = sets.next().unwrap_or_default();
    let all = sets.fold(first, |all, keys| all.intersection(&keys).copied().collect());
    Ok(move |content: &ContentHash| all.contains(&Key::of(&[content.as_bytes()])))
}

/// One file an output. Its width is asked of the tower itself.
fn open_stores(
    job: &ImageJob<'_>,
    encoder: &OrtImageEncoder,
) -> Result<Vec<FeatureStore>, FeatureError> {
    let size = encoder.preprocess().size();
    let grey = Pixels::new(size, size, vec![128; (size * size * 3) as usize])
        .expect("a square of the model's input size");
    let tensor = encoder.preprocess().tensor(&grey).expect("no resizing to be done");
    let sample = encoder.outputs(&[tensor], job.outputs)?;
    let tower = job.model.manifest().image();
    let entry = &job.model.manifest().files()[&tower.file];
    let preparation = format!("{:?}", tower.preprocess);
    job.outputs
        .iter()
        .zip(sample)
        .map(|(output, row)| {
            let parts = [entry.sha256.as_bytes(), preparation.as_bytes(), output.as_bytes()];
            let subject = Key::of(&parts);
            let name = format!("image-{}.feat", subject.short(job.precision));
            FeatureStore::open(&job.cache.join(name), subject, row.len(), job.precision)
        })
        .collect()
}

fn entry_key(job: &ImageJob<'_>, picture: &Picture, view: u32) -> Key {
    let content = picture.content.as_bytes();
    if view == 0 {
        return Key::of(&[content]);
    }
    // A seed, a limit or a word that changes a view changes its key.
    let made = format!("{} {} {}", job.augment.key(), job.seed, picture.may_mirror);
    Key::of(&[content, &view.to_le_bytes(), made.as_bytes()])
}

/// The rows of one picture's views. The outer error ends the run, the inner one
/// skips the picture.
fn embed(
    job: &ImageJob<'_>,
    encoder: &OrtImageEncoder,
    picture: &Picture,
    views: &[u32],
) -> Result<Result<Rows, String>, FeatureError> {
    let tensors = match tensors(job, encoder, picture, views) {
        Ok(tensors) => tensors,
        Err(why) => return Ok(Err(why)),
    };
    let outputs = encoder.outputs(&tensors, job.outputs)?;
    let row = |k: usize| -> Vec<Vec<f32>> {
        outputs
            .iter()
            .map(|all| {
                let width = all.len() / views.len();
                all[k * width..(k + 1) * width].to_vec()
            })
            .collect()
    };
    Ok(Ok(views.iter().enumerate().map(|(k, &view)| (view, row(k))).collect()))
}

fn tensors(
    job: &ImageJob<'_>,
    encoder: &OrtImageEncoder,
    picture: &Picture,
    views: &[u32],
) -> Result<Vec<ImageTensor>, String> {
    let bytes = fs_err::read(&picture.path).map_err(|e| e.to_string())?;
    if ContentHash::of(&bytes) != picture.content {
        return Err(format!("{}: changed since it was looked at", picture.path.display()));
    }
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", picture.path.display());
    let decoded = decode(&bytes).map_err(|e| named(&e))?;
    let preprocess = encoder.preprocess();
    views
        .iter()
        .map(|&view| {
            let pixels = &decoded.pixels;
            let tensor = if view == 0 {
                preprocess.tensor(pixels)
            } else {
                let (content, mirror) = (&picture.content, picture.may_mirror);
                let side = preprocess.size();
                preprocess.tensor(&job.augment.view(pixels, side, content, view, job.seed, mirror))
            };
            tensor.map_err(|e| named(&e))
        })
        .collect()
}

/// Appends rows to the stores that lack them.
fn keep(
    job: &ImageJob<'_>,
    stores: &mut [FeatureStore],
    keys: &[Key],
    picture: &Picture,
    rows: &Rows,
) -> Result<(), FeatureError> {
    for (view, outputs) in rows {
        let key = &keys[*view as usize];
        for ((store, row), output) in stores.iter_mut().zip(outputs).zip(job.outputs) {
            let input = || picture.path.display().to_string();
            check_row(row, job.precision, output, input)?;
            if !store.contains(key) {
                store.append(key, row)?;
            }
        }
    }
    Ok(())
}

/// Refuses what cannot be learnt from, or not be kept in 16 bits.
pub(super) fn check_row(
    row: &[f32],
    precision: Precision,
    output: &str,
    input: impl Fn() -> String,
) -> Result<(), FeatureError> {
    let most = match precision {
        Precision::Half => half::f16::MAX.to_f32(),
        Precision::Single => f32::MAX,
    };
    match row.iter().find(|v| !v.is_finite() || v.abs() > most) {
        None => Ok(()),
        Some(v) => Err(FeatureError::Output {
            output: output.to_owned(),
            what: format!("{v}"),
            input: input(),
        }),
    }
}
