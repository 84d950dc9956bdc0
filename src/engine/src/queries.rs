//! Given words that were asked for before, what is their vector? Pages ask for the
//! same words again and again (the next page of hits, another filter), so that the
//! newest are kept.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use ekphrasis_embed::Embedding;
use lru::LruCache;

use crate::{Engine, EngineError};

/// Texts whose vectors are kept: at 384 dimensions, 1.5 MiB.
const KEPT: NonZeroUsize = NonZeroUsize::new(1024).expect("more than zero");
/// Longer texts are not kept, in bytes: nobody asks for those twice.
const LONGEST: usize = 512;

/// The vectors of the texts that were asked for last.
pub(crate) struct KnownTexts(Mutex<LruCache<String, Embedding>>);

impl Default for KnownTexts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl KnownTexts {
    pub(crate) fn get(&self, text: &str) -> Option<Embedding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned()
    }

    pub(crate) fn keep(&self, text: &str, embedding: &Embedding) {
        if text.len() <= LONGEST {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.put(text.to_owned(), embedding.clone());
        }
    }
}

impl Engine {
    /// The embedding of a text. Those of the last 1,024 short texts are kept.
    ///
    /// # Errors
    /// If the text tower cannot be loaded or fails.
    pub fn embed_text(&self, text: &str) -> Result<Embedding, EngineError> {
        if let Some(embedding) = self.known_texts.get(text) {
            self.meters.note_kept_text();
            return Ok(embedding);
        }
        let encoder = self.towers.text()?;
        let encode = |texts: &[&str]| {
            self.meters.note_encoded_texts(texts.len());
            self.meters.encode_text.time(|| encoder.embed_texts(texts))
        };
        let embedding = self.together.embed(text, &encode)?;
        self.known_texts.keep(text, &embedding);
        Ok(embedding)
    }

    /// The embedding of a text by another model, through its bridge into this space. Not
    /// kept: such a search is for a while.
    ///
    /// # Errors
    /// As [`crate::Towers::through`], and if the tower fails.
    pub fn embed_text_through(&self, bridge: &str, text: &str) -> Result<Embedding, EngineError> {
        let through = self.towers.through(bridge)?;
        self.meters.note_encoded_texts(1);
        let made = self.meters.encode_text.time(|| through.text.embed_texts(&[text]))?;
        made.into_iter()
            .next()
            .ok_or_else(|| EngineError::Invalid("the model gave no vector for the text".into()))
    }
}
