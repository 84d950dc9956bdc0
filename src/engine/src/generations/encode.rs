//! Given items that are known, what are their vectors by another model? Pictures from
//! their files, by the same steps as when indexing; texts from what is stored.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ekphrasis_embed::{Embedding, ImageEncoder};
use ekphrasis_index::{FileFacts, Item};
use ekphrasis_models::decode_scaled;

use crate::{EngineError, Towers, facts};

/// Texts embedded at once.
pub(super) const TEXT_BATCH: usize = 32;
/// How soon a request to stop is noticed while waiting.
const TICK: Duration = Duration::from_millis(50);

/// At most so many items a second.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<f64>,
    start: Option<Instant>,
    done: u64,
}

impl Pace {
    pub(super) fn new(rate: Option<f64>) -> Self {
        Self { rate, start: None, done: 0 }
    }

    /// How many at once, so that nobody waits much longer than a second for the next.
    pub(super) fn at_once(&self, most: usize) -> usize {
        self.rate.map_or(most, |rate| (rate as usize).clamp(1, most))
    }

    /// Notes that so many were done, and waits until more may be.
    pub(super) fn note(&mut self, done: usize, stop: &AtomicBool) {
        let start = *self.start.get_or_insert_with(Instant::now);
        self.done += done as u64;
        let Some(rate) = self.rate else { return };
        let due = Duration::from_secs_f64((self.done as f64 / rate).min(1e9));
        while let Some(left) = due.checked_sub(start.elapsed()) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    /// The work begins now.
    pub(super) fn begin(&mut self) {
        self.start.get_or_insert_with(Instant::now);
    }

    /// How long one takes, waiting included; `None` before the first.
    pub(super) fn seconds_each(&self) -> Option<f64> {
        let start = self.start.filter(|_| self.done > 0)?;
        Some(start.elapsed().as_secs_f64() / self.done as f64)
    }
}

/// The vectors of pictures, in the order of `items`, or why there is none; `None` for those
/// that were not come to before `stop` was raised.
///
/// # Errors
/// If the model cannot be loaded.
pub(super) fn pictures(
    towers: &dyn Towers,
    items: &[&Item],
    threads: usize,
    stop: &AtomicBool,
) -> Result<Vec<Option<Result<Embedding, String>>>, EngineError> {
    if items.is_empty() {
        return Ok(vec![]);
    }
    let encoder = towers.image()?;
    let done = Mutex::new(vec![None; items.len()]);
    let next = AtomicUsize::new(0);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let one = picture(&*encoder, item);
            done.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(one);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len()) {
            scope.spawn(work);
        }
    });
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn picture(encoder: &dyn ImageEncoder, item: &Item) -> Result<Embedding, String> {
    let (Some(path), Some(file)) = (&item.path, &item.file) else {
        return Err("nothing is known of its file".into());
    };
    let bytes = as_indexed(path, file)?;
    let preprocess = encoder.preprocess();
    // As large as an indexing run decodes it, so that the vector is the same.
    let spare = |w, h| preprocess.spare(w, h).min(facts::spare(w, h));
    let decoded = decode_scaled(&bytes, spare).map_err(|e| e.to_string())?;
    let tensor = preprocess.tensor_of(&decoded.pixels, &decoded.view).map_err(|e| e.to_string())?;
    drop(decoded);
    let made = encoder.embed_images(std::slice::from_ref(&tensor)).map_err(|e| e.to_string())?;
    made.into_iter().next().ok_or_else(|| "the model gave no vector for it".into())
}

/// The file, if what is in it is what was indexed; its time may be another.
pub(super) fn as_indexed(path: &Path, file: &FileFacts) -> Result<Vec<u8>, String> {
    let plain = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "the file is not there".to_owned(),
        _ => e.to_string(),
    };
    let changed = || "it has changed since it was indexed; `ek index` takes that in".to_owned();
    let meta = fs_err::metadata(path).map_err(plain)?;
    // Also what is no file, such as a pipe, which might never end.
    if !meta.is_file() || meta.len() != file.size {
        return Err(changed());
    }
    let mut bytes = Vec::with_capacity(file.size as usize);
    let opened = fs_err::File::open(path).map_err(plain)?;
    opened.take(file.size + 1).read_to_end(&mut bytes).map_err(plain)?;
    if *blake3::hash(&bytes).as_bytes() != file.content {
        return Err(changed());
    }
    Ok(bytes)
}

/// The vectors of texts, in their order.
///
/// # Errors
/// If the model cannot be loaded, or fails.
pub(super) fn texts(towers: &dyn Towers, texts: &[&str]) -> Result<Vec<Embedding>, EngineError> {
    if texts.is_empty() {
        return Ok(vec![]);
    }
    let encoder = towers.text()?;
    let mut made = Vec::with_capacity(texts.len());
    for some in texts.chunks(TEXT_BATCH) {
        made.extend(encoder.embed_texts(some)?);
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_and_a_stop_is_heard_while_waiting() {
        let stop = AtomicBool::new(false);
        let mut pace = Pace::new(Some(100.0));
        assert_eq!(pace.at_once(64), 64);
        assert_eq!(Pace::new(Some(0.5)).at_once(64), 1);
        let start = Instant::now();
        pace.begin();
        for _ in 0..3 {
            pace.note(5, &stop);
        }
        assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
        assert!(pace.seconds_each().expect("some were done") >= 0.01);
        stop.store(true, Ordering::Relaxed);
        let mut slow = Pace::new(Some(0.001));
        slow.note(1, &stop);
        assert!(start.elapsed() < Duration::from_secs(30), "it did not wait for the next");
    }
}
