//! Given the bytes of a file, what does the model see of it? Runs on several
//! threads at once; nothing here touches the store.

use std::path::{Path, PathBuf};

use ekphrasis_embed::{ImageTensor, Preprocess};
use ekphrasis_index::{Facts, FileFacts};
use ekphrasis_models::{DecodeError, decode_scaled};

use super::Stop;
use super::clock::Clock;
use super::commit::Outcome;
use super::contents::Content;
use super::memory::Held;
use super::queue::{Giver, Taker};
use super::read::Seen;
use crate::{Towers, facts};

/// A file that was read.
pub(super) struct Loaded<'a> {
    pub(super) path: PathBuf,
    pub(super) seen: Seen,
    pub(super) content: Content,
    pub(super) bytes: Vec<u8>,
    /// The memory for them.
    pub(super) held: Held<'a>,
}

/// A picture as the model takes it.
pub(super) struct Prepared {
    pub(super) path: PathBuf,
    pub(super) file: FileFacts,
    pub(super) facts: Box<Facts>,
    pub(super) tensor: ImageTensor,
}

/// What those who prepare work with.
pub(super) struct Preparer<'a> {
    pub(super) towers: &'a dyn Towers,
    pub(super) clock: &'a Clock,
    pub(super) stop: &'a Stop<'a>,
}

impl Preparer<'_> {
    /// Takes files until there are no more.
    pub(super) fn work(
        &self,
        loaded: &Taker<'_, Loaded<'_>>,
        prepared: &Giver<'_, Prepared>,
        done: &Giver<'_, Outcome>,
    ) {
        while let Some(file) = loaded.take() {
            if self.stop.is_raised() {
                continue;
            }
            // A run that finds nothing to do must not pay for a model; the first file loads it.
            let given = match self.towers.image() {
                Ok(encoder) => match self.prepare(file, encoder.preprocess()) {
                    Ok(picture) => {
                        let weight = 4 * picture.tensor.data().len() as u64;
                        prepared.give(picture, weight)
                    }
                    Err(outcome) => done.give(*outcome, 0),
                },
                Err(error) => done.give(Outcome::Hopeless(error), 0),
            };
            if !given {
                return;
            }
        }
    }

    fn prepare(&self, file: Loaded<'_>, preprocess: &Preprocess) -> Result<Prepared, Box<Outcome>> {
        let Loaded { path, seen, content, bytes, held: _held } = file;
        picture(&path, seen, content, &bytes, preprocess, self.clock).map_err(|unfit| {
            let judged = unfit.forever.then_some(seen);
            Box::new(Outcome::Failed { path, reason: unfit.reason, content: Some(content), judged })
        })
    }
}

/// Why a file's bytes are nothing that a model takes.
pub(super) struct Unfit {
    pub(super) reason: String,
    /// It will be so until the file changes.
    forever: bool,
}

/// A file's bytes as the model takes them.
pub(super) fn picture(
    path: &Path,
    seen: Seen,
    content: Content,
    bytes: &[u8],
    preprocess: &Preprocess,
    clock: &Clock,
) -> Result<Prepared, Unfit> {
    let spare = |width, height| preprocess.spare(width, height).min(facts::spare(width, height));
    let decoded = clock.decode.busy(|| decode_scaled(bytes, spare));
    let decoded = decoded
        .map_err(|error| Unfit { reason: error.to_string(), forever: lies_in_content(&error) })?;
    let (width, height) = (decoded.view.width, decoded.view.height);
    let format = decoded.format.to_ascii_lowercase();
    let tensor = clock.resize.busy(|| preprocess.tensor_of(&decoded.pixels, &decoded.view));
    let tensor = tensor.map_err(|error| Unfit { reason: error.to_string(), forever: true })?;
    let looks = facts::Seen::of(&decoded.pixels);
    // The picture's share of the decoding memory goes back before the long part.
    drop(decoded);
    let facts = Box::new(facts::of_bytes(path, bytes, looks));
    let Seen { size, mtime_ns } = seen;
    let file = FileFacts { size, mtime_ns, content, width, height, format };
    Ok(Prepared { path: path.into(), file, facts, tensor })
}

/// Whether a file will fail in the same way until it changes. A codec may be
/// installed, and memory allowed.
fn lies_in_content(error: &DecodeError) -> bool {
    matches!(
        error,
        DecodeError::Empty
            | DecodeError::NotAPicture { .. }
            | DecodeError::Unknown { .. }
            | DecodeError::Size(_)
            | DecodeError::Truncated { .. }
            | DecodeError::Broken { .. }
    )
}
