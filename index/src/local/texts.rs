//! How does the word index keep up with the catalogue?
//!
//! The writer notes every change at once and commits the index when someone
//! searches words, at most a second later while it writes on, and on closing. A
//! reader takes what is on disk; if that is damaged or missing, or lags and
//! nobody writes, it makes an index in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Inner, LocalStore, Snapshot, lock as locked};
use crate::catalogue::{Catalogue, State, StoredItem};
use crate::disk::Disk;
use crate::lock;
use crate::text::{TextError, TextIndex, TextSearcher};
use crate::{Item, Seq, StoreError};

/// While writing, the index is committed this often (searching commits, too).
const COMMIT_AFTER: Duration = Duration::from_secs(1);

pub(super) struct TextState {
    /// `None` after damage, until it is needed.
    index: Option<TextIndex>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    write: bool,
    /// Made in memory by a reader.
    own: bool,
    /// Up to which commit the index said it went when it was opened.
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
            disk: Arc::clone(disk),
            dir: dir.join(TextIndex::name(state.generation)),
            write,
            own: false,
            claims: 0,
            committed: Instant::now(),
        };
        let sound = |index: &TextIndex| {
            index.covered() <= state.seq
                && (index.covered() < state.seq || index.documents() == state.items)
        };
        let stored = TextIndex::open(disk, &this.dir, write).ok();
        this.claims = stored.as_ref().map_or(0, TextIndex::covered);
        this.index = stored.filter(sound);
        if !write && this.index.as_ref().is_some_and(|index| index.covered() < state.seq) {
            // What lags behind a writer follows soon; behind one that was killed, never.
            let writing = lock::holder(dir).is_ok_and(|holder| holder.is_some());
            this.index = this.index.filter(|_| writing);
        }
        if write {
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

    /// Makes the index anew from the catalogue.
    fn rebuild(&mut self, catalogue: &Catalogue, state: &State) -> Result<(), StoreError> {
        self.index = None;
        let mut index = if self.write {
            self.disk.make_dir(&self.dir)?;
            clear(&*self.disk, &self.dir)?;
            TextIndex::create(&self.disk, &self.dir)?
        } else {
            self.own = true;
            TextIndex::in_memory()?
        };
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
        let due = self.committed.elapsed() > COMMIT_AFTER;
        let Some(index) = &mut self.index else { return };
        let noted = || -> Result<(), TextError> {
            dead.iter().for_each(|&row| index.remove(row));
            for (row, item) in added {
                index.add(row, item)?;
            }
            if due {
                index.commit(seq)?;
            }
            Ok(())
        };
        if noted().is_err() {
            // The catalogue has it all: the next search makes the index anew.
            self.index = None;
        } else if due {
            self.committed = Instant::now();
        }
    }

    /// Follows a commit of another process.
    pub(super) fn follow(&mut self, catalogue: &Catalogue, state: &State) {
        let followed = match &mut self.index {
            Some(index) if self.own => catch_up(index, catalogue, state),
            Some(index) => index.reload().map_err(StoreError::from),
            None => Ok(()),
        };
        if followed.is_err() {
            self.index = None;
        }
    }

    /// Up to which commit the index said it went when it was opened.
    pub(super) fn claims(&self) -> Seq {
        self.claims
    }

    /// Leaves making the index anew to the next search of words.
    pub(super) fn forget(&mut self) {
        self.index = None;
    }

    pub(super) fn index(&self) -> Option<&TextIndex> {
        self.index.as_ref()
    }
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
            text.committed = Instant::now();
        }
        Ok(())
    }
}

impl Inner {
    /// A state of the store, and the word index as of that state (of a reader: or an older one).
    pub(super) fn words(&self) -> Result<(Arc<Snapshot>, TextSearcher), StoreError> {
        let mut text = locked(&self.text);
        // Noting and publishing happen under this lock, so both are of one commit.
        let snapshot = self.snapshot();
        if let (true, Some(index)) = (text.write, &mut text.index)
            && (index.pending() > 0 || index.covered() < snapshot.seq)
            && index.commit(snapshot.seq).is_err()
        {
            text.index = None;
        }
        if text.index.is_none() {
            self.read(|catalogue| text.rebuild(catalogue, &catalogue.state()?))?;
        }
        let searcher = text.index.as_ref().map(TextIndex::searcher);
        let damaged = || TextError::Damaged("they could not be made anew".into());
        Ok((snapshot, searcher.ok_or_else(damaged)?))
    }
}
