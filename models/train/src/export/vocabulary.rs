//! Given words and the text encoder just made, which vectors does the model ship?

use ekphrasis_embed::TextEncoder;
use ekphrasis_models::pack_vectors;
use rayon::prelude::*;

use super::error::ExportError;

/// Texts that are embedded together. Fixed, so that the same words always have
/// the same neighbours and rounding does not depend on the machine.
const CHUNK: usize = 64;

/// `words × dim` signed bytes, in half the room of half floats.
pub(super) fn vectors(texts: &dyn TextEncoder, words: &[String]) -> Result<Vec<u8>, ExportError> {
    let parts = words.par_chunks(CHUNK).map(|chunk| {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let rows = texts.embed_texts(&chunk)?;
        Ok(pack_vectors(rows.iter().map(|e| e.values())))
    });
    Ok(parts.collect::<Result<Vec<_>, ExportError>>()?.concat())
}

/// The words once each, in their first order, without empty ones.
pub(super) fn tidy(words: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let words = words.iter().map(|w| w.split_whitespace().collect::<Vec<_>>().join(" "));
    words.filter(|w| !w.is_empty() && seen.insert(w.clone())).collect()
}
