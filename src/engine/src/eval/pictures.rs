//! Given the lines of a pairs file, which pictures are there, and where do they
//! lie in the model's space?

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ekphrasis_embed::Embedding;
use ndarray::Array2;

use crate::pairs::Pair;
use crate::{EngineError, Source, Towers, pictures};

/// What is told of a picture; its lines put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) captions: Vec<String>,
    pub(crate) tags: Vec<String>,
    /// The `class` column.
    pub(crate) class: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) style: Option<String>,
    pub(crate) subset: Option<String>,
}

impl Facts {
    /// What zero-shot classification is to find: the class, or else the first caption.
    pub(crate) fn label(&self) -> &str {
        self.class.as_deref().or(self.captions.first().map(String::as_str)).unwrap_or_default()
    }
}

/// A picture that could be read.
pub(crate) struct Seen {
    pub(crate) facts: Facts,
    pub(crate) embedding: Embedding,
}

/// One entry a captioned picture of the split, in the order of paths.
pub(crate) fn of_split(lines: &[Pair], split: Option<&str>) -> Vec<(PathBuf, Facts)> {
    let mut merged: BTreeMap<&PathBuf, Facts> = BTreeMap::new();
    for line in lines {
        let in_split = split.is_none_or(|s| line.split.as_deref() == Some(s));
        if let (true, Some(path)) = (in_split, &line.path) {
            let facts = merged.entry(path).or_default();
            facts.captions.extend(line.texts.iter().cloned());
            facts.tags.extend(line.tags.iter().cloned());
            let first = |known: &mut Option<String>, new: &Option<String>| {
                if known.is_none() {
                    known.clone_from(new);
                }
            };
            first(&mut facts.class, &line.class);
            first(&mut facts.group, &line.group);
            first(&mut facts.style, &line.style);
            first(&mut facts.subset, &line.subset);
        }
    }
    let captioned = merged.into_iter().filter(|(_, facts)| !facts.captions.is_empty());
    captioned.map(|(path, facts)| (path.clone(), facts)).collect()
}

/// Pictures that could not be read, with the reason.
pub(crate) type Failed = Vec<(PathBuf, String)>;

/// Embeds on all cores; the order stays.
pub(crate) fn embed_all(
    towers: &dyn Towers,
    wanted: Vec<(PathBuf, Facts)>,
    on_progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Vec<Seen>, Failed), EngineError> {
    let encoder = towers.image()?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, total) = (AtomicUsize::new(0), wanted.len());
    let embedded = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some((path, _)) = wanted.get(i) else { return };
                    let result = pictures::embed(&*encoder, &Source::Path(path.clone()));
                    let mut embedded = embedded.lock().unwrap_or_else(PoisonError::into_inner);
                    embedded.insert(i, result);
                    on_progress(embedded.len(), total);
                }
            });
        }
    });
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    let results = embedded.into_inner().unwrap_or_else(PoisonError::into_inner).into_values();
    for ((path, facts), result) in wanted.into_iter().zip(results) {
        match result {
            Ok(embedding) => seen.push(Seen { facts, embedding }),
            Err(e) => failed.push((path, e.to_string())),
        }
    }
    Ok((seen, failed))
}

/// Texts encoded at once.
const TEXT_BATCH: usize = 64;

/// Embeds texts on all cores; the order stays. Those of about one length are encoded
/// together, since a batch is padded to its longest.
pub(crate) fn embed_texts(
    towers: &dyn Towers,
    texts: &[&str],
) -> Result<Vec<Embedding>, EngineError> {
    let encoder = towers.text()?;
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&i| texts[i].len());
    let batches: Vec<&[usize]> = order.chunks(TEXT_BATCH).collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let embedded = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..workers.min(batches.len()) {
            scope.spawn(|| {
                loop {
                    let b = next.fetch_add(1, Ordering::Relaxed);
                    let Some(batch) = batches.get(b) else { return };
                    let batch: Vec<&str> = batch.iter().map(|&i| texts[i]).collect();
                    let result = encoder.embed_texts(&batch);
                    if result.is_err() {
                        // The whole fails, so the rest need not be tried.
                        next.store(batches.len(), Ordering::Relaxed);
                    }
                    embedded.lock().unwrap_or_else(PoisonError::into_inner).insert(b, result);
                }
            });
        }
    });
    let mut placed = BTreeMap::new();
    for (b, result) in embedded.into_inner().unwrap_or_else(PoisonError::into_inner) {
        placed.extend(batches[b].iter().copied().zip(result?));
    }
    Ok(placed.into_values().collect())
}

/// Embeddings as rows.
pub(crate) fn rows<'a>(embeddings: impl ExactSizeIterator<Item = &'a Embedding>) -> Array2<f32> {
    let mut embeddings = embeddings.peekable();
    let dim = embeddings.peek().map_or(0, |e| e.space().dim());
    let mut matrix = Array2::zeros((embeddings.len(), dim));
    for (mut row, embedding) in matrix.outer_iter_mut().zip(embeddings) {
        row.iter_mut().zip(embedding.values()).for_each(|(to, from)| *to = *from);
    }
    matrix
}

/// The rows of pictures.
pub(crate) fn image_rows(seen: &[Seen]) -> Array2<f32> {
    rows(seen.iter().map(|s| &s.embedding))
}
