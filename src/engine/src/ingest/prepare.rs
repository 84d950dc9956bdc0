//! Given one file, what becomes of it? A record, or a reason why not. Runs on
//! several threads at once; nothing here touches the store.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use ekphrasis_embed::{Embedding, ImageEncoder};
use ekphrasis_index::{Facts, FileFacts, ItemId};
use ekphrasis_models::decode;

use super::{Stop, walk};
use crate::facts::{self, Seen};
use crate::{EngineError, Towers};

/// A file larger than this is no picture one would search; reading it whole
/// would take the memory of everything else.
const MAX_FILE: u64 = 1 << 30;

/// What is to be done with a file.
pub(super) enum Task {
    /// It is new, or has changed.
    Embed { path: PathBuf, size: u64, mtime_ns: i64 },
    /// It is known and has not changed, but nobody looked for what it tells.
    Look { path: PathBuf, id: ItemId },
}

/// What became of a file (or of the walk).
pub(super) enum Outcome {
    /// Embedded.
    Ready { path: PathBuf, file: FileFacts, facts: Facts, embedding: Embedding },
    /// Nothing changed.
    Unchanged { path: PathBuf },
    /// Nothing changed, but its caption may have, or there are facts to be added.
    Recaption { path: PathBuf, id: ItemId, facts: Option<Facts> },
    /// Not indexed. What is known of an older version stays: the file may be
    /// half written just now, and its captions would be lost with it.
    Failed { path: PathBuf, reason: String },
    /// The walk is through; these items' files are not there any more.
    Walked { gone: Vec<ItemId> },
    /// The model cannot be had at all: no use going on.
    Hopeless(EngineError),
}

/// Takes tasks until there are no more.
pub(super) fn work(
    tasks: Arc<Mutex<Receiver<Task>>>,
    done: &SyncSender<Outcome>,
    towers: &dyn Towers,
    stop: &Stop<'_>,
) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        if stop.is_raised() {
            continue; // Take the rest without doing it, so that the walker can end.
        }
        let outcome = match task {
            Task::Look { path, id } => {
                let facts = Some(facts::of_file(&path));
                Outcome::Recaption { path, id, facts }
            }
            Task::Embed { path, size, mtime_ns } => match towers.image() {
                Ok(encoder) => prepare(path, size, mtime_ns, &*encoder),
                Err(error) => Outcome::Hopeless(error),
            },
        };
        if done.send(outcome).is_err() {
            return;
        }
    }
}

fn prepare(path: PathBuf, size: u64, mtime_ns: i64, encoder: &dyn ImageEncoder) -> Outcome {
    let done = read_whole(&path, size, mtime_ns).and_then(|bytes| {
        let (embedding, width, height, format, seen) = embed(&bytes, encoder)?;
        let content = *blake3::hash(&bytes).as_bytes();
        let file = FileFacts { size, mtime_ns, content, width, height, format };
        Ok((file, facts::of_bytes(&path, &bytes, seen), embedding))
    });
    match done {
        Ok((file, facts, embedding)) => Outcome::Ready { path, file, facts, embedding },
        Err(reason) => Outcome::Failed { path, reason },
    }
}

fn embed(
    bytes: &[u8],
    encoder: &dyn ImageEncoder,
) -> Result<(Embedding, u32, u32, String, Seen), String> {
    let decoded = decode(bytes).map_err(|e| e.to_string())?;
    let (width, height) = (decoded.pixels.width(), decoded.pixels.height());
    let seen = Seen::of(&decoded.pixels);
    let tensor = encoder.preprocess().tensor(&decoded.pixels).map_err(|e| e.to_string())?;
    let format = decoded.format.to_ascii_lowercase();
    // The picture's share of the decoding memory goes back before the long part.
    drop(decoded);
    let mut embeddings =
        encoder.embed_images(std::slice::from_ref(&tensor)).map_err(|e| e.to_string())?;
    Ok((embeddings.swap_remove(0), width, height, format, seen))
}

/// The whole file as it was when it was looked at, or why not.
fn read_whole(path: &Path, size: u64, mtime_ns: i64) -> Result<Vec<u8>, String> {
    if size > MAX_FILE {
        return Err(format!("{size} bytes, over the limit of {MAX_FILE} for a picture file"));
    }
    let plain = |e: std::io::Error| e.to_string();
    let mut file = fs_err::File::open(path).map_err(plain)?;
    let mut bytes = Vec::with_capacity(size as usize);
    // One byte more than expected, to notice a file that grows.
    file.by_ref().take(size + 1).read_to_end(&mut bytes).map_err(plain)?;
    let now = file.metadata().map_err(plain)?;
    if (bytes.len() as u64, walk::mtime_ns(&now)) != (size, mtime_ns) {
        return Err("changed while it was being read; the next run takes it".into());
    }
    Ok(bytes)
}
