//! Given a file or uploaded bytes, how does it become an embedding? One path
//! for indexing, searching, labelling and evaluating.

use std::borrow::Cow;
use std::path::Path;

use ekphrasis_embed::{Embedding, ImageEncoder, ImageTensor, PreprocessError};
use ekphrasis_models::{DecodeError, Decoded, decode, decode_scaled};

use crate::{EngineError, Source};

/// Decodes a picture's file that was read from `path`.
pub(crate) fn open_bytes(path: &Path, bytes: &[u8]) -> Result<Decoded, EngineError> {
    decode(bytes).map_err(|error| cannot_decode(&Source::Path(path.into()), error))
}

/// The picture's file.
fn bytes(source: &Source) -> Result<Cow<'_, [u8]>, EngineError> {
    match source {
        Source::Sent { bytes, .. } => Ok(Cow::Borrowed(bytes)),
        Source::Path(path) => Ok(Cow::Owned(read(path)?)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    // A FIFO or device would block for ever or never end.
    let meta = fs_err::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            EngineError::NotFound(format!("there is no file {}", path.display()))
        }
        _ => e.into(),
    })?;
    if !meta.is_file() {
        let what = if meta.is_dir() { "a folder" } else { "not a regular file" };
        return Err(EngineError::Invalid(format!("{} is {what}, not a picture", path.display())));
    }
    Ok(fs_err::read(path)?)
}

/// The BLAKE3 of a picture's file, as its item has it if it was indexed as it is now.
///
/// # Errors
/// If it is no plain file, or cannot be read.
pub fn content_of_file(path: &Path) -> Result<[u8; 32], EngineError> {
    Ok(*blake3::hash(&read(path)?).as_bytes())
}

/// What it is called in messages.
fn name(source: &Source) -> String {
    match source {
        Source::Path(path) => path.display().to_string(),
        Source::Sent { .. } => "the uploaded picture".into(),
    }
}

fn sent_as(source: &Source) -> Option<String> {
    match source {
        Source::Path(_) => None,
        Source::Sent { field, .. } => Some(field.clone()),
    }
}

pub(crate) fn cannot_decode(source: &Source, error: DecodeError) -> EngineError {
    EngineError::Decode { what: name(source), sent_as: sent_as(source), source: error }
}

pub(crate) fn cannot_prepare(source: &Source, error: PreprocessError) -> EngineError {
    EngineError::Preprocess { what: name(source), sent_as: sent_as(source), source: error }
}

/// A decoded picture as the model's input, by the same way as when indexing.
pub(crate) fn tensor(
    encoder: &dyn ImageEncoder,
    source: &Source,
) -> Result<ImageTensor, EngineError> {
    tensor_of(encoder, source, &bytes(source)?)
}

fn tensor_of(
    encoder: &dyn ImageEncoder,
    source: &Source,
    bytes: &[u8],
) -> Result<ImageTensor, EngineError> {
    let preprocess = encoder.preprocess();
    let decoded = decode_scaled(bytes, |w, h| preprocess.spare(w, h))
        .map_err(|error| cannot_decode(source, error))?;
    preprocess.tensor_of(&decoded.pixels, &decoded.view).map_err(|e| cannot_prepare(source, e))
}

/// A picture's embedding.
pub(crate) fn embed(encoder: &dyn ImageEncoder, source: &Source) -> Result<Embedding, EngineError> {
    let tensor = tensor(encoder, source)?;
    let mut embeddings = encoder.embed_images(std::slice::from_ref(&tensor))?;
    // The trait's contract: one embedding a tensor.
    Ok(embeddings.swap_remove(0))
}

/// A picture's embedding, and the BLAKE3 of its file.
pub(crate) fn embed_with_content(
    encoder: &dyn ImageEncoder,
    source: &Source,
) -> Result<(Embedding, [u8; 32]), EngineError> {
    let bytes = bytes(source)?;
    let tensor = tensor_of(encoder, source, &bytes)?;
    let mut embeddings = encoder.embed_images(std::slice::from_ref(&tensor))?;
    Ok((embeddings.swap_remove(0), *blake3::hash(&bytes).as_bytes()))
}
