//! How do dead rows leave the vector file, with nobody waiting and nothing at risk?
//!
//! The living rows are copied to the file of the next generation while reading
//! and writing go on; the word index is made for their new numbers beside it.
//! Then, with the writer held, what was committed meanwhile is copied as well,
//! the new file is made durable, and one transaction of the catalogue gives every
//! item its new row and begins the new generation. A crash before it leaves the
//! old generation, after it the new one; what the other left is removed when the
//! store is next opened for writing.
//!
//! The old files are removed when nothing in this process uses them any more and
//! the new generation is in the database itself, not only in its log: the log is
//! the one file that damage can shorten. Readers in other processes keep the files
//! they have open and go over when they next look.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Generation, Inner, LocalStore, Snapshot, Writer, folder, lock, mark, texts};
use crate::StoreError;
use crate::catalogue::{Catalogue, State};
use crate::filter::Pass;
use crate::text::TextIndex;
use crate::vector::{Added, Rows, VectorFile};

/// Rows that are copied between two looks at the cancel flag.
const SLICE: u64 = 4096;
/// The number of a row that was not copied.
const GONE: u64 = u64::MAX;

/// The next generation before anyone knows of it.
struct Draft {
    generation: Generation,
    /// The state it was copied of.
    of: Arc<Snapshot>,
    /// The new number of every old row, or [`GONE`].
    numbers: Vec<u64>,
    rows: u64,
    /// `None` if it could not be made; it can be at any time.
    text: Option<TextIndex>,
}

impl LocalStore {
    /// Rewrites the vector file without the rows that no item uses any more, and
    /// says how many went. Happens by itself when they are many (see
    /// [`Options::compact_from`](crate::Options::compact_from)). Others read and
    /// write meanwhile. Needs the space of the living rows a second time.
    ///
    /// # Errors
    /// `ReadOnly`, `Io` if there is no space; the store then stays as it is.
    pub fn compact(&self) -> Result<u64, StoreError> {
        let Some(writer) = &self.writer else {
            return Err(StoreError::ReadOnly(self.inner.dir.clone()));
        };
        let gone = self.inner.compact(writer)?;
        self.build_graph_if_due();
        self.sweep();
        Ok(gone)
    }

    /// Starts in the background what is due: compaction, if there is enough to gain,
    /// and writing down whose the rows are.
    pub(super) fn tend(&self) {
        let Some(writer) = &self.writer else { return };
        if !self.inner.compaction_due() && !self.inner.heads_due() {
            return;
        }
        let mut compactor = lock(&self.compactor);
        if compactor.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let (inner, writer) = (Arc::clone(&self.inner), Arc::clone(writer));
        let spawned = std::thread::Builder::new().name("compaction".into()).spawn(move || {
            // What fails (for want of space, above all) is tried again after a later commit.
            if inner.compaction_due() && inner.compact(&writer).is_ok() {
                inner.sweep(&lock(&writer));
            }
            if inner.heads_due() {
                inner.save_heads();
            }
            // The old one names rows that are no more.
            inner.build_graph_here();
        });
        // Without a thread the rows stay, which costs no more than space.
        *compactor = spawned.ok();
    }

    /// Removes the files of former generations as far as that can be done now.
    pub(super) fn sweep(&self) {
        if let Some(writer) = &self.writer
            && self.inner.sweepable()
        {
            self.inner.sweep(&lock(writer));
        }
    }
}

impl Inner {
    fn compaction_due(&self) -> bool {
        let rows = &self.snapshot().rows;
        let dead = rows.len().saturating_sub(rows.count(&Pass::default()));
        dead > self.options.compact_from as u64
            && dead > rows.len() / 3
            && !self.cancel.load(Ordering::Relaxed)
    }

    fn compact(&self, writer: &Mutex<Writer>) -> Result<u64, StoreError> {
        let _one = lock(&self.compacting);
        let of = self.snapshot();
        if of.rows.len() == of.rows.count(&Pass::default()) {
            return Ok(0);
        }
        let next = of.generation.number + 1;
        let done = self.draft(of, next).and_then(|draft| match draft {
            Some(draft) => self.switch(&lock(writer), draft),
            None => Ok(None),
        });
        if !matches!(done, Ok(Some(_))) {
            let writer = lock(writer);
            // A commit that could not be synchronised may lie whole in the log, and come to
            // life after a crash. One that follows it lies over it; until one has, the files
            // that it names stay.
            let over = |c: &Catalogue| c.set_state(&c.state()?);
            if done.is_err() && writer.catalogue.transaction(over).is_err() {
                return done.map(|_| 0);
            }
            self.remove_others(&writer)?;
        }
        done.map(|gone| gone.unwrap_or(0))
    }

    /// Copies the living rows of a state; `None` if cancelled.
    fn draft(&self, of: Arc<Snapshot>, number: u32) -> Result<Option<Draft>, StoreError> {
        // What a crash left, if anything.
        folder::remove_generation(&*self.disk, &self.dir, number);
        VectorFile::create(&*self.disk, &self.dir, &self.space, number)?;
        let file = VectorFile::open(&*self.disk, &self.dir, &self.space, number, true)?;
        let generation = Generation { number, file };
        let mut draft = Draft { generation, of, numbers: vec![], rows: 0, text: None };
        let (of, mut from) = (Arc::clone(&draft.of), 0);
        while from < of.rows.len() {
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let to = of.rows.len().min(from + SLICE);
            draft.copy(&of, &of.rows, from..to)?;
            from = to;
        }
        // Most of the work of the disk, while nobody waits for it.
        draft.generation.file.sync()?;
        self.disk.sync_dir(&self.dir)?;
        draft.text = self.draft_words(&draft);
        Ok(Some(draft))
    }

    /// The word index for the new numbers of the rows that were copied.
    fn draft_words(&self, draft: &Draft) -> Option<TextIndex> {
        let folder = self.dir.join(TextIndex::name(draft.generation.number));
        let mut index = texts::create(&self.disk, &folder).ok()?;
        let added = self.read(|c| {
            c.select("", [], |stored| {
                // What is newer comes with what was committed meanwhile.
                match draft.number(stored.row) {
                    Some(row) => Ok(index.add(row, &stored.item)?),
                    None => Ok(()),
                }
            })
        });
        added.ok().map(|()| index)
    }

    /// Goes over to the next generation, if no one else has; says how many rows went.
    fn switch(&self, writer: &Writer, mut draft: Draft) -> Result<Option<u64>, StoreError> {
        let of = Arc::clone(&draft.of);
        let switched = writer.catalogue.transaction(|c| {
            let mut state = c.state()?;
            let now = self.snapshot();
            let path = self.dir.join(VectorFile::name(draft.generation.number));
            // Only a second writer, whom the lock should keep out, can have been here.
            let undisturbed = state.generation == of.generation.number
                && state.seq == now.seq
                && draft.generation.file.is_at(&path);
            if !undisturbed {
                return Ok(None);
            }
            let (before, newer) = (draft.rows, of.rows.len()..now.rows.len());
            draft.copy(&now, &now.rows, newer)?;
            if draft.rows > before {
                draft.generation.file.sync()?;
            }
            let old_rows = state.rows;
            c.renumber(&mut state, draft.rows, |row| {
                now.rows.live(row).and_then(|_| draft.number(row))
            })?;
            state.seq += 1;
            let (mut added, mut dead) = (vec![], vec![]);
            for (old, &row) in (0..).zip(&draft.numbers) {
                match now.rows.live(old) {
                    Some((id, kind)) => added.push(Added { row, id, kind }),
                    None if row == GONE => {}
                    // Died after it was copied.
                    None => dead.push(row),
                }
            }
            for &row in &dead {
                c.bury(row, state.seq)?;
            }
            c.set_state(&state)?;
            let rows = Rows::empty().next(&draft.generation.file, state.rows, &added, &[])?;
            let mut newest = vec![];
            if let Some(text) = &mut draft.text {
                dead.iter().for_each(|&row| text.remove(row));
                c.select("WHERE row >= ?", [before as i64], |stored| {
                    newest.push(stored);
                    Ok(())
                })?;
            }
            Ok(Some((state, old_rows, rows, newest)))
        })?;
        let Some((state, old_rows, rows, newest)) = switched else { return Ok(None) };
        mark::write(&*self.disk, &self.dir, state.seq);
        let Draft { generation, text, .. } = draft;
        let text = text.and_then(|mut index| {
            let all = newest.iter().try_for_each(|s| index.add(s.row, &s.item));
            all.ok().map(|()| index)
        });
        let number = generation.number;
        let next =
            Snapshot { seq: state.seq, generation: Arc::new(generation), rows: Arc::new(rows) };
        let mut words = lock(&self.text);
        words.switch(number, text);
        lock(&self.retired).push((of.generation.number, Arc::downgrade(&of.generation)));
        self.publish(next);
        *self.graph.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(Some(old_rows - state.rows))
    }

    fn sweepable(&self) -> bool {
        lock(&self.retired).iter().any(|(_, used)| used.strong_count() == 0)
    }

    /// Removes the files of former generations that nothing uses any more.
    fn sweep(&self, writer: &Writer) {
        if !self.sweepable() || !writer.catalogue.checkpoint().unwrap_or(false) {
            return;
        }
        lock(&self.retired).retain(|(number, used)| {
            let unused = used.strong_count() == 0;
            // What could not be removed is tried again with the next commit.
            !(unused && folder::remove_generation(&*self.disk, &self.dir, *number))
        });
    }

    /// Removes the files of all generations but the catalogue's and those still in use here.
    pub(super) fn remove_others(&self, writer: &Writer) -> Result<(), StoreError> {
        let used: Vec<u32> = lock(&self.retired).iter().map(|retired| retired.0).collect();
        let settled = writer.catalogue.checkpoint()?;
        // Within a transaction, so that no second writer switches meanwhile.
        writer.catalogue.transaction(|c| {
            let current: State = c.state()?;
            folder::others(&self.dir, current.generation, |number| {
                let former = number < current.generation;
                if !used.contains(&number) && (settled || !former) {
                    folder::remove_generation(&*self.disk, &self.dir, number);
                }
            })
        })
    }
}

impl Draft {
    /// Copies those of the rows that live.
    fn copy(&mut self, from: &Snapshot, rows: &Rows, range: Range<u64>) -> Result<(), StoreError> {
        let (first, count) = (range.start, (range.end - range.start) as usize);
        // Mapped and checked now: damage is neither copied as sound nor forgotten.
        let map = from.generation.file.map(first, count)?;
        let living: Vec<_> = range.filter_map(|row| Some((row, rows.live(row)?.0))).collect();
        let copies = living.iter().map(|&(row, id)| {
            let i = (row - first) as usize;
            (id, map.check(i, Some(id)).then(|| map.values(i)))
        });
        self.generation.file.write(self.rows, copies)?;
        self.numbers.resize(first as usize + count, GONE);
        for (row, _) in living {
            self.numbers[row as usize] = self.rows;
            self.rows += 1;
        }
        Ok(())
    }

    fn number(&self, row: u64) -> Option<u64> {
        self.numbers.get(row as usize).copied().filter(|&number| number != GONE)
    }
}
