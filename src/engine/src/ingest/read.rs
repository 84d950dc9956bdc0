//! Given one file, what is in it, and is that known? Runs on several threads at
//! once, ahead of those that decode, so that a slow disk keeps no core waiting.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use ekphrasis_index::{FileFacts, ItemId};

use super::Stop;
use super::captions::Captions;
use super::clock::Clock;
use super::commit::Outcome;
use super::contents::{Content, Contents, Standing};
use super::memory::Room;
use super::prepare::Loaded;
use super::queue::{Giver, Taker};
use super::walk::{self, Found};
use crate::facts;

/// A file larger than this is no picture one would search.
const MAX_FILE: u64 = 1 << 30;

/// How a file was when the walk met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// In bytes.
    pub(super) size: u64,
    /// Nanoseconds since 1970.
    pub(super) mtime_ns: i64,
}

/// What is to be done with a file.
pub(super) enum Task {
    /// It is new, or has changed.
    Embed { path: PathBuf, seen: Seen },
    /// It seems not to have changed; is what is in it still this?
    Check { path: PathBuf, seen: Seen, id: ItemId, content: Content },
    /// It is known and has not changed, but what it tells is not known, or what lies
    /// beside it changed.
    Look { path: PathBuf, id: ItemId },
}

/// What readers work with.
pub(super) struct Reader<'a> {
    pub(super) contents: &'a Contents<'a>,
    pub(super) captions: &'a Captions,
    pub(super) found: &'a Found,
    pub(super) clock: &'a Clock,
    pub(super) stop: &'a Stop<'a>,
    /// No file may be larger, in bytes.
    pub(super) limit: u64,
    /// For files until they are decoded.
    pub(super) room: &'a Room,
}

impl<'a> Reader<'a> {
    /// Takes tasks until there are no more.
    pub(super) fn work(
        &self,
        tasks: &Taker<'_, Task>,
        loaded: &Giver<'_, Loaded<'a>>,
        done: &Giver<'_, Outcome>,
    ) {
        while let Some(task) = tasks.take() {
            // When stopping, the rest is taken without doing it, so that the walker can end.
            if self.stop.is_raised() {
                continue;
            }
            let given = match self.open(task) {
                Ok(load) => loaded.give(load, 0),
                Err(outcome) => {
                    if !matches!(*outcome, Outcome::Reused { .. } | Outcome::Twin { .. }) {
                        self.found.skipped.fetch_add(1, Ordering::Relaxed);
                    }
                    done.give(*outcome, 0)
                }
            };
            if !given {
                return;
            }
        }
    }

    /// A file to be decoded, or what became of it without that.
    fn open(&self, task: Task) -> Result<Loaded<'a>, Box<Outcome>> {
        let (path, seen, expected) = match task {
            Task::Look { path, id } => {
                let seen = fs_err::metadata(&path)
                    .map(|m| Seen { size: m.len(), mtime_ns: walk::mtime_ns(&m) });
                let _held = seen.as_ref().ok().map(|seen| self.room.take(seen.size));
                let read = seen.map_err(|e| e.to_string()).and_then(|seen| {
                    self.clock.read.elapsed(|| read_whole(&path, seen, self.limit))
                });
                // What cannot be read now is asked by a later run, and keeps what it told before.
                return Err(Box::new(match read {
                    Ok(bytes) => {
                        let known = self.contents.facts(id);
                        let facts = facts::of_copy(&path, &bytes, known.as_ref());
                        let facts = Some(Box::new(facts));
                        Outcome::Recaption { path, id, facts }
                    }
                    Err(_) => Outcome::Unchanged { path },
                }));
            }
            Task::Embed { path, seen } => (path, seen, None),
            Task::Check { path, seen, id, content } => (path, seen, Some((id, content))),
        };
        let held = self.room.take(seen.size.min(MAX_FILE));
        let bytes = match self.clock.read.elapsed(|| read_whole(&path, seen, self.limit)) {
            Ok(bytes) => bytes,
            Err(reason) => return Err(Outcome::failed(path, reason).into()),
        };
        let content = self.clock.hash.busy(|| *blake3::hash(&bytes).as_bytes());
        if let Some((id, before)) = expected
            && before == content
        {
            return Err(Box::new(match self.captions.of(&path) {
                Some(_) => Outcome::Recaption { path, id, facts: None },
                None => Outcome::Unchanged { path },
            }));
        }
        match self.contents.look_up(&path, &content) {
            Ok(Standing::New) => Ok(Loaded { path, seen, content, bytes, held }),
            Ok(Standing::Met) => Err(Outcome::Twin { path, seen, content }.into()),
            Ok(Standing::Known(known)) => {
                let Some(of) = &known.item.file else {
                    return Ok(Loaded { path, seen, content, bytes, held });
                };
                let Seen { size, mtime_ns } = seen;
                let file = FileFacts { size, mtime_ns, ..of.clone() };
                let facts = facts::of_copy(&path, &bytes, known.item.facts.as_ref());
                let (facts, embedding) = (Box::new(facts), known.embedding);
                let moved_from = known.moved_from.map(Box::new);
                Err(Outcome::Reused { path, file, facts, embedding, moved_from }.into())
            }
            Err(error) => Err(Outcome::Hopeless(error.into()).into()),
        }
    }
}

/// The whole file as it was when it was looked at, or why not.
pub(super) fn read_whole(path: &Path, seen: Seen, limit: u64) -> Result<Vec<u8>, String> {
    let Seen { size, mtime_ns } = seen;
    if size > MAX_FILE {
        return Err(format!("{size} bytes, over the limit of {MAX_FILE} for a picture file"));
    }
    if size > limit {
        return Err(format!(
            "{size} bytes, more than memory may be taken for it ({limit}); `--memory` allows more"
        ));
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
