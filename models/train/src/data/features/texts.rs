//! Given texts, what does the text tower say of each?

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use ekphrasis_embed::TextEncoder;
use ekphrasis_models::{Model, Runtime};

use super::error::FeatureError;
use super::images::check_row;
use super::progress::{Progress, Teller};
use super::store::{FeatureStore, Key};
use super::table::{FeatureTable, Precision};

/// What is asked of the tower: its output as a unit vector.
#[derive(Clone, Copy, Debug)]
pub struct TextJob<'a> {
    /// The model whose text tower is asked.
    pub model: &'a Model,
    /// What runs it.
    pub runtime: &'a Runtime,
    /// How many batches are worked on at a time, each on one thread.
    pub sessions: usize,
    /// How features are kept, on disk and in memory.
    pub precision: Precision,
    /// The folder of the cache; made if it is not there.
    pub cache: &'a Path,
}

/// Texts that are embedded together.
const BATCH: usize = 64;

/// The text tower's embedding of each text, a row each, in their order; from
/// the cache where it is there, else computed and kept, as with
/// [`image_features`](super::image_features). Entries are by the text's bytes.
///
/// # Errors
/// If the model, the runtime or the cache fails.
pub fn text_features(
    job: &TextJob<'_>,
    texts: &[String],
    tell: &mut dyn FnMut(Progress),
) -> Result<FeatureTable, FeatureError> {
    let encoder = job.model.ort_text_encoder(job.runtime, job.sessions.max(1))?;
    let manifest = job.model.manifest();
    let tower = manifest.text();
    let hash = |file: &String| manifest.files()[file].sha256.as_str();
    let preparation = format!("{tower:?}");
    let parts = [hash(&tower.file), hash(&tower.tokenizer), preparation.as_str()];
    let subject = Key::of(&parts.map(str::as_bytes));
    let width = encoder.space().dim();
    let path = job.cache.join(format!("text-{}.feat", subject.short(job.precision)));
    let mut store = FeatureStore::open(&path, subject, width, job.precision)?;

    let keys: Vec<Key> = texts.iter().map(|t| Key::of(&[t.as_bytes()])).collect();
    let mut planned = HashSet::new();
    let mut missing: Vec<usize> = (0..texts.len())
        .filter(|&i| !store.contains(&keys[i]) && planned.insert(keys[i]))
        .collect();
    // Short with short, so that little is padded.
    missing.sort_by_key(|&i| texts[i].len());
    let batches: Vec<&[usize]> = missing.chunks(BATCH).collect();
    let mut teller = Teller::new(missing.len(), texts.len() - missing.len(), tell);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (sender, results) = mpsc::sync_channel(2 * job.sessions.max(1));
    std::thread::scope(|scope| -> Result<(), FeatureError> {
        for _ in 0..job.sessions.max(1) {
            let (sender, encoder, batches) = (sender.clone(), &encoder, &batches);
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    let words: Vec<&str> = batch.iter().map(|&i| texts[i].as_str()).collect();
                    if sender.send((*batch, encoder.embed_texts(&words))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let results = results;
        for (batch, embedded) in &results {
            let kept = embedded.map_err(FeatureError::from).and_then(|rows| {
                batch.iter().zip(rows).try_for_each(|(&i, row)| {
                    check_row(row.values(), job.precision, &tower.output, || texts[i].clone())?;
                    store.append(&keys[i], row.values())
                })
            });
            if kept.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            kept?;
            teller.step(batch.len());
        }
        Ok(())
    })?;
    store.sync()?;
    let mut table = FeatureTable::zeros(texts.len(), width, job.precision);
    let mut row = vec![0.0; width];
    for (i, key) in keys.iter().enumerate() {
        if store.read(key, &mut row)? {
            table.set(i, &row);
        }
    }
    Ok(table)
}
