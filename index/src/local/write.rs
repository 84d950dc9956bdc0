//! How is a batch written, all or nothing, and durable before anyone is told?
//!
//! Vectors are appended and synchronised first; then one transaction of the
//! catalogue, begun before, names them; then the new state is published. So even
//! a second writer, should someone delete the lock file, appends behind. Rows that a crash left
//! unnamed are overwritten by the next append.
//!
//! A caption is a text item of its own, so that pictures find it. One that came
//! in only as a caption lives as long as some picture owns it; one that was also
//! written in its own right (through [`StoreWrite::upsert`]) stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Inner, LocalStore, Snapshot, Writer, lock, mark};
use crate::catalogue::{Catalogue, State, StoredItem};
use crate::vector::Added;
use crate::{ItemId, Record, Seq, StoreError, StoreWrite};

/// Everything one commit changes.
#[derive(Default)]
struct Change<'a> {
    /// Records, and whether they stand alone.
    records: Vec<(&'a Record, bool)>,
    /// Owners with all their captions from now on.
    captions: Vec<(ItemId, Vec<ItemId>)>,
    delete: Vec<ItemId>,
}

/// What a commit did to the rows.
struct Effect<'a> {
    state: State,
    added: HashMap<ItemId, (u64, &'a Record)>,
    dead: Vec<u64>,
    /// Texts that lost an owner.
    loose: Vec<ItemId>,
    deleted: u64,
    changed: bool,
}

impl StoreWrite for LocalStore {
    fn upsert(&self, records: &[Record]) -> Result<Seq, StoreError> {
        let records = records.iter().map(|r| (r, true)).collect();
        self.commit(&Change { records, ..Change::default() }).map(|done| done.0)
    }

    fn delete(&self, ids: &[ItemId]) -> Result<u64, StoreError> {
        self.commit(&Change { delete: ids.to_vec(), ..Change::default() }).map(|done| done.1)
    }
}

impl LocalStore {
    /// Writes records together with their captions, in one commit: `captions`
    /// names owners and the text records that are all their captions from now on.
    /// An owner that is not named keeps the captions it has.
    ///
    /// Texts without any owner left are forgotten, unless they were also
    /// written by [`StoreWrite::upsert`].
    ///
    /// # Errors
    /// As [`StoreWrite::upsert`].
    pub fn upsert_captioned(
        &self,
        records: &[Record],
        captions: &[(ItemId, Vec<Record>)],
    ) -> Result<Seq, StoreError> {
        let own = records.iter().map(|r| (r, true));
        let texts = captions.iter().flat_map(|(_, texts)| texts.iter().map(|r| (r, false)));
        let links = captions
            .iter()
            .map(|(owner, texts)| (*owner, texts.iter().map(|record| record.item.id).collect()));
        let change = Change {
            records: own.chain(texts).collect(),
            captions: links.collect(),
            delete: vec![],
        };
        self.commit(&change).map(|done| done.0)
    }

    /// Says which text items (known ones) are all the captions of `owner` from
    /// now on. Texts that lose their last owner go, as in [`LocalStore::upsert_captioned`].
    ///
    /// # Errors
    /// As [`StoreWrite::upsert`].
    pub fn set_captions(&self, owner: ItemId, texts: &[ItemId]) -> Result<Seq, StoreError> {
        let captions = vec![(owner, texts.to_vec())];
        self.commit(&Change { captions, ..Change::default() }).map(|done| done.0)
    }

    /// Writes records of another store, each with whether it stands alone. Texts that
    /// are someone's captions wait for [`LocalStore::link`].
    pub(crate) fn restore(&self, records: &[(Record, bool)]) -> Result<(), StoreError> {
        let records = records.iter().map(|(record, standalone)| (record, *standalone)).collect();
        self.commit(&Change { records, ..Change::default() }).map(|_| ())
    }

    /// Says of several owners at once which texts (known ones) are all their captions from
    /// now on, in one commit. Texts that lose their last owner go, as in
    /// [`LocalStore::upsert_captioned`].
    ///
    /// # Errors
    /// As [`StoreWrite::upsert`].
    pub fn link(&self, captions: Vec<(ItemId, Vec<ItemId>)>) -> Result<(), StoreError> {
        self.commit(&Change { captions, ..Change::default() }).map(|_| ())
    }

    /// The captions of `owner`, by ascending id.
    ///
    /// # Errors
    /// As the store's reading fails.
    pub fn captions(&self, owner: ItemId) -> Result<Vec<ItemId>, StoreError> {
        let query = "SELECT text FROM captions WHERE owner = ? ORDER BY text";
        self.inner.read(|c| c.ids(query, [owner.to_bytes()]))
    }

    /// The pictures that `text` is a caption of, by ascending id.
    ///
    /// # Errors
    /// As the store's reading fails.
    pub fn caption_owners(&self, text: ItemId) -> Result<Vec<ItemId>, StoreError> {
        let query = "SELECT owner FROM captions WHERE text = ? ORDER BY owner";
        self.inner.read(|c| c.ids(query, [text.to_bytes()]))
    }

    fn commit(&self, change: &Change<'_>) -> Result<(Seq, u64), StoreError> {
        for (record, _) in &change.records {
            crate::store::same_space(&self.inner.space, record.embedding.space())?;
        }
        let writer = self.writer()?;
        let done = self.inner.commit(&writer, change)?;
        drop(writer);
        self.tend();
        self.build_graph_if_due();
        self.sweep();
        Ok(done)
    }
}

impl Inner {
    fn commit(&self, writer: &Writer, change: &Change<'_>) -> Result<(Seq, u64), StoreError> {
        let records = last_wins(&change.records);
        let (effect, next) = writer.catalogue.transaction(|c| {
            let state = c.state()?;
            let mut old = self.snapshot();
            if old.seq != state.seq {
                // A commit that was reported as failed had succeeded after all.
                let mut text = lock(&self.text);
                text.forget(&state);
                self.publish(Snapshot::load(self.generation(&state, true)?, c, &state)?);
                old = self.snapshot();
            }
            if !records.is_empty() {
                let vectors = records.iter().map(|(r, _)| (r.item.id, r.embedding.values()));
                old.generation.file.append(state.rows, vectors)?;
            }
            let mut effect = Effect {
                state,
                added: HashMap::new(),
                dead: vec![],
                loose: vec![],
                deleted: 0,
                changed: false,
            };
            effect.state.seq += 1;
            effect.write(c, &records, change)?;
            if !effect.changed {
                effect.state.seq -= 1;
                return Ok((effect, None));
            }
            c.set_state(&effect.state)?;
            let added: Vec<Added> = effect
                .added
                .iter()
                .map(|(id, (row, r))| Added { row: *row, id: *id, kind: r.item.kind })
                .collect();
            let file = &old.generation.file;
            let rows = Arc::new(old.rows.next(file, effect.state.rows, &added, &effect.dead)?);
            let (seq, generation) = (effect.state.seq, Arc::clone(&old.generation));
            Ok((effect, Some(Snapshot { seq, generation, rows })))
        })?;
        let seq = effect.state.seq;
        let Some(next) = next else { return Ok((seq, 0)) };
        mark::write(&*self.disk, &self.dir, seq);
        let mut text = lock(&self.text);
        text.note(seq, effect.added.values().map(|(row, r)| (*row, &r.item)), &effect.dead);
        self.publish(next);
        Ok((seq, effect.deleted))
    }
}

/// Each id once, with its last record, standing alone if any of its records does.
fn last_wins<'a>(records: &[(&'a Record, bool)]) -> Vec<(&'a Record, bool)> {
    let mut places: HashMap<ItemId, usize> = HashMap::new();
    let mut unique: Vec<(&Record, bool)> = Vec::with_capacity(records.len());
    for &(record, standalone) in records {
        match places.get(&record.item.id) {
            Some(&place) => {
                let entry = &mut unique[place];
                *entry = (record, entry.1 || standalone);
            }
            None => {
                places.insert(record.item.id, unique.len());
                unique.push((record, standalone));
            }
        }
    }
    unique
}

impl<'a> Effect<'a> {
    fn write(
        &mut self,
        c: &Catalogue,
        records: &[(&'a Record, bool)],
        change: &Change<'_>,
    ) -> Result<(), StoreError> {
        for &(record, standalone) in records {
            self.put(c, record, standalone)?;
        }
        let mut seen = HashSet::new();
        for &id in change.delete.iter().filter(|id| seen.insert(**id)) {
            self.deleted += u64::from(self.remove(c, id)?);
        }
        for (owner, texts) in &change.captions {
            self.link(c, *owner, texts)?;
        }
        while let Some(text) = self.loose.pop() {
            let owned = "SELECT owner FROM captions WHERE text = ? LIMIT 1";
            if let Some((_, false)) = c.head(text)?
                && c.ids(owned, [text.to_bytes()])?.is_empty()
            {
                self.remove(c, text)?;
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        c: &Catalogue,
        record: &'a Record,
        standalone: bool,
    ) -> Result<(), StoreError> {
        let id = record.item.id;
        let old = c.head(id)?;
        if let Some((head, _)) = &old {
            self.state.digest ^= head.head;
            self.bury(c, head.row)?;
        } else {
            self.state.items += 1;
        }
        let row = self.state.rows;
        self.state.rows += 1;
        let standalone = standalone || old.is_some_and(|o| o.1);
        let stored = StoredItem { item: record.item.clone(), row, seq: self.state.seq, standalone };
        self.state.digest ^= c.put(&stored)?;
        self.added.insert(id, (row, record));
        self.changed = true;
        Ok(())
    }

    fn bury(&mut self, c: &Catalogue, row: u64) -> Result<(), StoreError> {
        self.dead.push(row);
        c.bury(row, self.state.seq)
    }

    fn remove(&mut self, c: &Catalogue, id: ItemId) -> Result<bool, StoreError> {
        let Some((head, _)) = c.head(id)? else { return Ok(false) };
        self.state.digest ^= head.head;
        self.state.items -= 1;
        self.bury(c, head.row)?;
        self.added.remove(&id);
        let key = id.to_bytes();
        self.loose.extend(c.ids("SELECT text FROM captions WHERE owner = ?", [key])?);
        c.execute("DELETE FROM captions WHERE owner = ?1 OR text = ?1", [key])?;
        c.remove(id)?;
        self.changed = true;
        Ok(true)
    }

    fn link(&mut self, c: &Catalogue, owner: ItemId, texts: &[ItemId]) -> Result<(), StoreError> {
        let key = owner.to_bytes();
        let old = c.ids("SELECT text FROM captions WHERE owner = ?", [key])?;
        c.execute("DELETE FROM captions WHERE owner = ?", [key])?;
        if c.head(owner)?.is_some() {
            for text in texts {
                if c.head(*text)?.is_some() {
                    let link = "INSERT OR IGNORE INTO captions VALUES (?, ?)";
                    c.execute(link, [key, text.to_bytes()])?;
                }
            }
        }
        let new = c.ids("SELECT text FROM captions WHERE owner = ?", [key])?;
        self.changed |= new.iter().collect::<HashSet<_>>() != old.iter().collect();
        // Also those named now: without an owner, a new caption is nobody's.
        self.loose.extend(old);
        self.loose.extend(texts);
        Ok(())
    }
}
