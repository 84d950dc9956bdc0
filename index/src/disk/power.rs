//! Given the log of a disk, what may a power failure leave?
//!
//! Only what was synchronised is sure. Of everything else any part may be there,
//! in any order: of a file's content each sector of 512 bytes by itself, and each
//! change of its length; of a folder each name that came, went or changed. A
//! rename is one change. Sectors are whole, and nothing writes to another place
//! than it was told (SQLite assumes as much); what lies in a sector is what was
//! there before the write or after it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::recording::{FileNo, Step};
use crate::conformance::Random;

const SECTOR: u64 = 512;

/// What of the unsynchronised changes is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    Nothing,
    Everything,
    /// Each by chance; the seed.
    Some(u64),
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Dir,
    File(FileNo),
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    SetLen(u64),
}

#[derive(Clone, Debug)]
enum Entry {
    Put(OsString, Node),
    Gone(OsString),
    Moved(OsString, OsString, FileNo),
}

#[derive(Debug, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Default)]
struct Names {
    durable: BTreeMap<OsString, Node>,
    pending: Vec<Entry>,
}

/// A folder for much writing: in memory, where there is such a place.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("tempdir")
}

/// The disk as of some point of a log.
#[derive(Debug, Default)]
pub(crate) struct Model {
    files: HashMap<FileNo, Content>,
    dirs: HashMap<PathBuf, Names>,
}

impl Content {
    fn apply(durable: &mut Vec<u8>, change: &Change) {
        match change {
            Change::SetLen(len) => durable.resize(*len as usize, 0),
            Change::Write { at, bytes } => {
                let (start, end) = (*at as usize, *at as usize + bytes.len());
                if durable.len() < end {
                    durable.resize(end, 0);
                }
                durable[start..end].copy_from_slice(bytes);
            }
        }
    }

    fn left(&self, keep: &mut impl FnMut() -> bool) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::SetLen(_) => {
                    if keep() {
                        Self::apply(&mut content, change);
                    }
                }
                Change::Write { at, bytes } => {
                    let (mut at, mut rest) = (*at, &bytes[..]);
                    while !rest.is_empty() {
                        let len = rest.len().min((SECTOR - at % SECTOR) as usize);
                        let (sector, more) = rest.split_at(len);
                        if keep() {
                            let bytes = sector.to_vec();
                            Self::apply(&mut content, &Change::Write { at, bytes });
                        }
                        (at, rest) = (at + len as u64, more);
                    }
                }
            }
        }
        content
    }
}

impl Names {
    fn apply(durable: &mut BTreeMap<OsString, Node>, entry: &Entry) {
        match entry {
            Entry::Put(name, node) => _ = durable.insert(name.clone(), *node),
            Entry::Gone(name) => _ = durable.remove(name),
            Entry::Moved(from, to, file) => {
                durable.remove(from);
                durable.insert(to.clone(), Node::File(*file));
            }
        }
    }
}

impl Model {
    /// Takes in the next step of the log.
    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::MakeDir(path) => self.entry(path, |name| Entry::Put(name, Node::Dir)),
            Step::RemoveDir(path) | Step::Remove(path) => self.entry(path, Entry::Gone),
            Step::Create { path, file } => {
                self.files.insert(*file, Content::default());
                self.entry(path, |name| Entry::Put(name, Node::File(*file)));
            }
            Step::Write { file, at, bytes } => {
                let change = Change::Write { at: *at, bytes: bytes.clone() };
                self.files.entry(*file).or_default().pending.push(change);
            }
            Step::SetLen { file, len } => {
                self.files.entry(*file).or_default().pending.push(Change::SetLen(*len));
            }
            Step::Sync(file) => {
                let content = self.files.entry(*file).or_default();
                for change in std::mem::take(&mut content.pending) {
                    Content::apply(&mut content.durable, &change);
                }
            }
            Step::Rename { from, to, file } => {
                assert_eq!(from.parent(), to.parent(), "within one folder");
                let target = to.file_name().expect("has a name").to_owned();
                self.entry(from, |name| Entry::Moved(name, target, *file));
            }
            Step::SyncDir(dir) => {
                let names = self.dirs.entry(dir.clone()).or_default();
                for entry in std::mem::take(&mut names.pending) {
                    Names::apply(&mut names.durable, &entry);
                }
            }
            Step::Note(_) => {}
        }
    }

    fn entry(&mut self, path: &Path, make: impl FnOnce(OsString) -> Entry) {
        let (dir, name) = (path.parent().expect("has one"), path.file_name().expect("has a name"));
        self.dirs.entry(dir.into()).or_default().pending.push(make(name.to_owned()));
    }

    /// Writes what is left of the folder `dir` to `target`, which is there.
    pub(crate) fn leave(&self, dir: &Path, kept: Kept, target: &Path) {
        let mut random = Random(if let Kept::Some(seed) = kept { seed } else { 0 });
        // Much, half or little of what is pending.
        let share = 1 + random.below(3);
        let mut keep = || match kept {
            Kept::Nothing => false,
            Kept::Everything => true,
            Kept::Some(_) => random.below(4) < share,
        };
        self.leave_dir(dir, target, &mut keep);
    }

    fn leave_dir(&self, dir: &Path, target: &Path, keep: &mut impl FnMut() -> bool) {
        let Some(names) = self.dirs.get(dir) else { return };
        let mut left = names.durable.clone();
        for entry in &names.pending {
            if keep() {
                Names::apply(&mut left, entry);
            }
        }
        for (name, node) in left {
            let path = target.join(&name);
            match node {
                Node::Dir => {
                    fs_err::create_dir(&path).expect("made");
                    self.leave_dir(&dir.join(&name), &path, keep);
                }
                Node::File(file) => {
                    let content = self.files.get(&file).map(|c| c.left(keep)).unwrap_or_default();
                    fs_err::write(path, content).expect("written");
                }
            }
        }
    }
}
