//! Given a file or uploaded bytes, how does it become an embedding? One path
//! for indexing, searching, labelling and evaluating.

use std::path::Path;

use ekphrasis_embed::{Embedding, ImageEncoder, ImageTensor};
use ekphrasis_models::{Decoded, decode};

use crate::{EngineError, Source};

/// What an uploaded picture is called in messages.
const UPLOAD: &str = "the uploaded picture";

/// Reads and decodes a picture.
pub(crate) fn open(source: &Source) -> Result<Decoded, EngineError> {
    match source {
        Source::Bytes(bytes) => decode_named(UPLOAD.into(), bytes),
        Source::Path(path) => {
            let bytes = read(path)?;
            decode_named(path.display().to_string(), &bytes)
        }
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

fn decode_named(what: String, bytes: &[u8]) -> Result<Decoded, EngineError> {
    decode(bytes).map_err(|source| EngineError::Decode { what, source })
}

/// A decoded picture as the model's input.
pub(crate) fn tensor(
    encoder: &dyn ImageEncoder,
    source: &Source,
) -> Result<ImageTensor, EngineError> {
    let decoded = open(source)?;
    encoder.preprocess().tensor(&decoded.pixels).map_err(|e| EngineError::Preprocess {
        what: match source {
            Source::Path(path) => path.display().to_string(),
            Source::Bytes(_) => UPLOAD.into(),
        },
        source: e,
    })
}

/// A picture's embedding.
pub(crate) fn embed(encoder: &dyn ImageEncoder, source: &Source) -> Result<Embedding, EngineError> {
    let tensor = tensor(encoder, source)?;
    let mut embeddings = encoder.embed_images(std::slice::from_ref(&tensor))?;
    // The trait's contract: one embedding a tensor.
    Ok(embeddings.swap_remove(0))
}
