//! Given a model that came without nouns to describe pictures with, where does it get them?
//! Those of the default model are embedded by its own text tower, in the background, and
//! kept beside the store.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ekphrasis_models::{Lexicon, NOUNS, nouns, pack_lexicon};

use crate::{Engine, EngineError};

/// Nouns that are embedded at once: a search that comes waits no longer than for these.
const BATCH: usize = 16;
/// How soon a request to stop is noticed while waiting.
const TICK: Duration = Duration::from_millis(50);
/// Bytes of the checksum at the end of the file.
const CHECK: usize = 32;

impl Engine {
    /// The nouns that `describe` answers with: those that came with the model, or those
    /// that were embedded for it; `None` as long as there are none.
    pub(crate) fn lexicon(&self) -> Result<Option<Arc<Lexicon>>, EngineError> {
        if let Some(lexicon) = self.towers.lexicon()? {
            return Ok(Some(lexicon));
        }
        let mut known = self.lexicon.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = self.kept_lexicon();
        }
        Ok(known.clone())
    }

    /// Embeds the default model's nouns, if the model came without any and that was not done
    /// before; on half of a core, so that nobody waits for it. They are English: whether a model
    /// of other languages knows them is up to it. Raising `stop` ends it; what was done by then is lost. Says whether there are nouns
    /// now.
    ///
    /// # Errors
    /// If the model cannot be loaded or fails, or they cannot be kept.
    pub fn learn_nouns(&self, stop: &AtomicBool) -> Result<bool, EngineError> {
        if self.lexicon()?.is_some() {
            return Ok(true);
        }
        let (encoder, words) = (self.towers.text()?, nouns().collect::<Vec<_>>());
        let mut packed = Vec::new();
        for words in words.chunks(BATCH) {
            let begun = Instant::now();
            let embedded = encoder.embed_texts(words)?;
            packed.extend(pack_lexicon(embedded.iter().map(|e| e.values())));
            // As long a rest as the work took.
            let rest = Instant::now() + begun.elapsed();
            while !stop.load(Ordering::Relaxed) && Instant::now() < rest {
                std::thread::sleep(TICK.min(rest.saturating_duration_since(Instant::now())));
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
        let check = blake3::hash(&packed);
        packed.extend_from_slice(check.as_bytes());
        let path = self.lexicon_file();
        let number = std::process::id();
        let beside = path.with_extension(format!("{number}.new"));
        let written = fs_err::write(&beside, &packed).and_then(|()| fs_err::rename(&beside, &path));
        if let Err(error) = written {
            // What is left of it is of no use to anybody.
            let _ = fs_err::remove_file(&beside);
            return Err(error.into());
        }
        Ok(self.lexicon()?.is_some())
    }

    /// What was embedded before, if it is there, whole, and of these nouns.
    fn kept_lexicon(&self) -> Option<Arc<Lexicon>> {
        let bytes = fs_err::read(self.lexicon_file()).ok()?;
        let (packed, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
        let sound = blake3::hash(packed).as_bytes() == check;
        let lexicon = || Lexicon::of_nouns(self.towers.space(), packed).ok();
        sound.then(lexicon).flatten().map(Arc::new)
    }

    /// Named by the space and by the nouns.
    fn lexicon_file(&self) -> PathBuf {
        let of = blake3::hash(NOUNS.as_bytes()).to_hex();
        self.data.join(format!("nouns-{}-{}.i4", self.towers.space().id(), &of[..8]))
    }
}
