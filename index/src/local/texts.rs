//! How does the word index keep up with the catalogue?
//!
//! The writer notes every change at once and commits the index when someone
//! searches words, now and then while it writes on, and on closing.
//! What was noted since is found in a small index in memory beside it, so that
//! searching while much is written does not wait for the disk each time. A reader
//! takes what is on disk when words are first searched, and has an index in memory,
//! too, for what was committed to the catalogue since; so everyone answers as of
//! one state. If what is on disk is damaged or missing, the reader's has everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Inner, LocalStore, Snapshot, lock as locked};
use crate::catalogue::{Catalogue, State, StoredItem};
use crate::disk::Disk;
use crate::text::{TextError, TextIndex, TextSearcher};
use crate::{Item, Seq, StoreError};

/// How often a word index is opened that cannot be.
const TRIES: usize = 3;

/// While writing, the index is committed after so many changes, or so long (searching commits,
/// too). A commit takes some 13 ms of the processor for a few words as for many, and leaves
/// segments that have to be merged; what is not committed is read again by whoever opens the store.
const CHANGES: usize = 1024;
const COMMIT_AFTER: Duration = Duration::from_secs(10);
/// It is never committed more often than this, however many changes there are.
const COMMIT_NOT_BEFORE: Duration = Duration::from_secs(1);

pub(super) struct TextState {
    /// What is on disk: `None` if it is not open yet, or of no use.
    index: Option<TextIndex>,
    /// In memory: what a reader's `index` lacks, or what a writer has noted since
    /// `index` was last committed (if words were searched since; else nothing).
    newer: Option<TextIndex>,
    /// Whether a reader has looked for the index of this generation.
    looked: bool,
    /// Whether it found one of another version of this program.
    outdated: bool,
    disk: Arc<dyn Disk>,
    /// The store's.
    dir: PathBuf,
    generation: u32,
    write: bool,
    /// Up to which commit the index said it went when the store was opened.
    claims: Seq,
    committed: Instant,
}

impl TextState {
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        catalogue: &Catalogue,
        state: &State,
        write: bool,
    ) -> Result<Self, StoreError> {
        let mut this = Self {
            index: None,
            newer: None,
            looked: false,
            outdated: false,
            disk: Arc::clone(disk),
            dir: dir.into(),
            generation: state.generation,
            write,
            claims: TextIndex::peek(&dir.join(TextIndex::name(state.generation))),
            committed: Instant::now(),
        };
        if write {
            this.fetch();
            this.judge(state);
            let caught_up =
                this.index.as_mut().is_some_and(|index| catch_up(index, catalogue, state).is_ok());
            if !caught_up {
                match this.rebuild(catalogue, state) {
                    // Words can wait until they are searched; the catalogue has them all.
                    Err(StoreError::Io(_) | StoreError::Text(_)) => this.index = None,
                    other => other?,
                }
            }
        }
        Ok(this)
    }

    fn folder(&self) -> PathBuf {
        self.dir.join(TextIndex::name(self.generation))
    }

    /// Opens what is on disk, or looks what is new there. What is committed there was
    /// committed to the catalogue before: a state that is read after this is as new.
    fn fetch(&mut self) {
        let Some(index) = &mut self.index else {
            if !self.looked {
                self.looked = true;
                // A writer may take files away between listing and opening them.
                for _ in 0..TRIES {
                    let opened = TextIndex::open(&self.disk, &self.folder(), self.write);
                    self.outdated = matches!(opened, Err(TextError::Outdated));
                    self.index = opened.ok();
                    if self.index.is_some() || self.outdated {
                        break;
                    }
                }
            }
            return;
        };
        let before = index.covered();
        if index.reload().is_err() {
            (self.index, self.newer) = (None, None);
        } else if index.covered() != before {
            self.newer = None;
        }
    }

    /// Lets go of what is on disk if it cannot be of `state` or one before it.
    fn judge(&mut self, state: &State) {
        let fits = |index: &TextIndex| {
            index.covered() < state.seq
                || (index.covered() == state.seq && index.documents() == state.items)
        };
        if self.index.as_ref().is_some_and(|index| !fits(index)) {
            // Of a past that was lost, or damaged where no checksum tells.
            (self.index, self.newer) = (None, None);
        }
    }

    /// Makes the index anew from the catalogue.
    fn rebuild(&mut self, catalogue: &Catalogue, state: &State) -> Result<(), StoreError> {
        self.index = None;
        self.generation = state.generation;
        let mut index = create(&self.disk, &self.folder())?;
        catch_up(&mut index, catalogue, state)?;
        self.index = Some(index);
        self.committed = Instant::now();
        Ok(())
    }

    /// Notes a commit of the catalogue by this process.
    pub(super) fn note<'a>(
        &mut self,
        seq: u64,
        added: impl Iterator<Item = (u64, &'a Item)>,
        dead: &[u64],
    ) {
        let since = self.committed.elapsed();
        let (Some(index), newer) = (&mut self.index, &mut self.newer) else { return };
        let many = index.pending() >= CHANGES && since > COMMIT_NOT_BEFORE;
        let due = many || since > COMMIT_AFTER;
        let noted = || -> Result<(), TextError> {
            dead.iter().for_each(|&row| index.remove(row));
            for (row, item) in added {
                index.add(row, item)?;
                if let Some(newer) = newer {
                    newer.add(row, item)?;
                }
            }
            if due {
                index.commit(seq)?;
            }
            Ok(())
        };
        if noted().is_err() {
            // The catalogue has it all: the next search makes the index anew.
            (self.index, self.newer) = (None, None);
        } else if due {
            (self.newer, self.committed) = (None, Instant::now());
        }
    }

    /// Makes what a writer has noted searchable, as of commit `seq`.
    fn show(&mut self, seq: Seq) -> Result<(), TextError> {
        let Some(index) = &mut self.index else { return Ok(()) };
        if index.pending() == 0 && index.covered() == seq {
            return Ok(());
        }
        match &mut self.newer {
            // In memory: many who search while much is written do not wait for the disk.
            Some(newer) if newer.pending() > 0 => newer.commit(seq),
            Some(_) => Ok(()),
            None => {
                index.commit(seq)?;
                self.newer = Some(TextIndex::in_memory()?);
                self.committed = Instant::now();
                Ok(())
            }
        }
    }

    /// Brings a reader's words to a state that was read after fetching; `false` if
    /// that is of another generation, which has to be fetched first.
    fn bring(&mut self, catalogue: &Catalogue, state: &State) -> Result<bool, StoreError> {
        if self.generation != state.generation {
            self.forget(state);
            return Ok(false);
        }
        self.judge(state);
        let base = self.index.as_ref().map_or(0, TextIndex::covered);
        if base < state.seq || self.index.is_none() {
            let newer = match &mut self.newer {
                Some(newer) => newer,
                none => none.insert(TextIndex::in_memory()?),
            };
            let from = newer.covered().max(base);
            if let Err(e) = bring_up(newer, from, catalogue, state) {
                self.newer = None;
                return Err(e);
            }
        }
        Ok(true)
    }

    /// Whether words of this very state can be searched.
    fn is_at(&self, snapshot: &Snapshot) -> bool {
        let covered = |index: &Option<TextIndex>| index.as_ref().map_or(0, TextIndex::covered);
        self.looked
            && self.generation == snapshot.generation.number
            && covered(&self.index).max(covered(&self.newer)) == snapshot.seq
    }

    fn searcher(&self) -> Result<TextSearcher, StoreError> {
        let mut parts = [&self.index, &self.newer].into_iter().flatten().map(TextIndex::searcher);
        let first = parts.next().ok_or_else(|| {
            StoreError::from(TextError::Damaged("they could not be made anew".into()))
        })?;
        Ok(parts.fold(first, TextSearcher::and))
    }

    /// Up to which commit the index said it went when it was opened.
    pub(super) fn claims(&self) -> Seq {
        self.claims
    }

    /// Leaves opening or making the index anew to the next search of words.
    pub(super) fn forget(&mut self, state: &State) {
        (self.index, self.newer, self.looked) = (None, None, false);
        self.generation = state.generation;
    }

    /// Goes over to the next generation, whose index has been made beside.
    pub(super) fn switch(&mut self, generation: u32, index: Option<TextIndex>) {
        (self.index, self.newer) = (index, None);
        self.generation = generation;
    }

    /// Checks what is on disk for damage.
    pub(super) fn verify(&mut self, state: &State) -> Result<(), StoreError> {
        self.fetch();
        if !self.write {
            self.judge(state);
        }
        match &self.index {
            Some(index) => Ok(index.verify()?),
            // Sound, if of no use: what is needed of it is made in memory.
            None if self.outdated => Ok(()),
            None => Err(TextError::Damaged("they are of no use".into()).into()),
        }
    }
}

/// Makes an empty word index in a folder, over whatever word index is there.
pub(super) fn create(disk: &Arc<dyn Disk>, folder: &Path) -> Result<TextIndex, StoreError> {
    disk.make_dir(folder)?;
    clear(&**disk, folder)?;
    Ok(TextIndex::create(disk, folder)?)
}

/// Deletes the files of a word index, and nothing else that may be beside them.
fn clear(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_str().is_some_and(TextIndex::is_own)
        {
            disk.remove(&entry.path())?;
        }
    }
    Ok(())
}

fn catch_up(index: &mut TextIndex, catalogue: &Catalogue, state: &State) -> Result<(), StoreError> {
    let from = index.covered();
    bring_up(index, from, catalogue, state)
}

/// Adds what was committed after `from`.
fn bring_up(
    index: &mut TextIndex,
    from: Seq,
    catalogue: &Catalogue,
    state: &State,
) -> Result<(), StoreError> {
    if from == state.seq && state.seq > 0 {
        return Ok(());
    }
    for row in catalogue.dead_after(from)? {
        index.remove(row);
    }
    let mut each = |stored: StoredItem| Ok(index.add(stored.row, &stored.item)?);
    catalogue.select("WHERE seq > ?", [from as i64], &mut each)?;
    index.commit(state.seq)?;
    Ok(())
}

impl LocalStore {
    /// Makes every change searchable by words for other processes, too.
    /// Changes themselves are durable without it.
    ///
    /// # Errors
    /// `Text` if the word index cannot be written.
    pub fn flush(&self) -> Result<(), StoreError> {
        if self.writer.is_none() {
            return Ok(());
        }
        let mut text = locked(&self.inner.text);
        let seq = self.inner.seq();
        if let Some(index) = &mut text.index
            && (index.pending() > 0 || index.covered() < seq)
        {
            index.commit(seq)?;
            (text.newer, text.committed) = (None, Instant::now());
        }
        Ok(())
    }
}

impl LocalStore {
    /// A state of the store, and the words of that state.
    pub(super) fn words(&self) -> Result<(Arc<Snapshot>, TextSearcher), StoreError> {
        let Some(watch) = &self.watch else { return self.inner.own_words() };
        let (mut watch, inner, mut changed) = (locked(watch), &self.inner, false);
        loop {
            let version = watch.catalogue.data_version()?;
            if version == watch.version {
                let (text, snapshot) = (locked(&inner.text), inner.snapshot());
                if text.is_at(&snapshot) {
                    return Ok((snapshot, text.searcher()?));
                }
            }
            locked(&inner.text).fetch();
            let old = inner.snapshot();
            let files = |state: &State| inner.generation(state, false);
            let done = watch.catalogue.on_state(files, |c, state, generation| {
                let next = if state.seq == old.seq {
                    None
                } else {
                    Some(inner.follow(&old, c, state, generation)?)
                };
                let mut text = locked(&inner.text);
                let there = text.bring(c, state)?;
                if let Some(next) = next {
                    inner.publish(next);
                    changed = true;
                }
                Ok(there.then(|| text.searcher().map(|found| (inner.snapshot(), found))))
            })?;
            watch.version = version;
            if let Some(done) = done {
                drop(watch);
                if changed {
                    self.load_newer_graph();
                }
                return done;
            }
        }
    }
}

impl Inner {
    /// As [`LocalStore::words`], for a writer.
    fn own_words(&self) -> Result<(Arc<Snapshot>, TextSearcher), StoreError> {
        loop {
            let mut text = locked(&self.text);
            // Noting and publishing happen under this lock, so both are of one commit.
            let snapshot = self.snapshot();
            if text.show(snapshot.seq).is_err() {
                (text.index, text.newer) = (None, None);
            }
            let there = text.index.is_some()
                || self.read(|catalogue| {
                    let state = catalogue.state()?;
                    // Else a commit is about to be noted and published.
                    let same = state.seq == snapshot.seq;
                    if same {
                        text.rebuild(catalogue, &state)?;
                    }
                    Ok(same)
                })?;
            if there {
                return Ok((snapshot, text.searcher()?));
            }
            drop(text);
            std::thread::yield_now();
        }
    }
}
