//! Given two stores of one space, how does one get what the other has?
//!
//! Items are compared in the order of ids, and those that differ are written. So a copy that
//! was stopped, killed or refused goes on by being asked for again, and a second one writes
//! only what changed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "milvus")]
use std::time::Duration;
use std::time::Instant;

use ekphrasis_embed::Space;
use ekphrasis_index::{
    Access, Filter, Holder, Item, ItemId, LocalStore, Record, StoreError, StoreRead, StoreWrite,
};
#[cfg(feature = "milvus")]
use ekphrasis_milvus::{Address, Consistency, MilvusStore, Open, Options};

use crate::generations::place;
use crate::probes::Probes;
use crate::{EngineError, RECALL_TARGET};

/// Items compared and written at once.
const BATCH: usize = 500;

/// Where a store is.
#[derive(Clone, Debug)]
pub enum StoreAt {
    /// In a data folder.
    Folder(PathBuf),
    /// On a Milvus server.
    #[cfg(feature = "milvus")]
    Milvus(Address, Options),
}

impl StoreAt {
    /// The space of the store there; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn space(&self) -> Result<Option<Space>, EngineError> {
        Ok(match self {
            Self::Folder(data) => LocalStore::space_of(&place::serving(data)?.1)?,
            #[cfg(feature = "milvus")]
            Self::Milvus(address, options) => MilvusStore::space_of(address, options.clone())?,
        })
    }

    fn open_to_read(&self, space: &Space) -> Result<Box<dyn StoreRead>, EngineError> {
        Ok(match self {
            Self::Folder(data) => {
                Box::new(LocalStore::open(&place::serving(data)?.1, space, Access::Read)?)
            }
            #[cfg(feature = "milvus")]
            Self::Milvus(address, options) => {
                // An item that is listed must not lack its vector for being new.
                let options = Options { consistency: Consistency::Strong, ..options.clone() };
                Box::new(MilvusStore::open(address, space, Open::Existing, options)?)
            }
        })
    }

    /// Copies all that is in the store here to another place, where a store is made if there
    /// is none, and checks what came of it. `on_progress` hears how many items were looked at, of
    /// how many.
    ///
    /// # Errors
    /// If there is nothing to copy, the other store is of another space, or one of them cannot
    /// be read or written.
    pub fn copy_to(
        &self,
        to: &Self,
        options: &CopyOptions,
        on_progress: &dyn Fn(u64, u64),
        stop: &AtomicBool,
    ) -> Result<CopyReport, EngineError> {
        let space = self.space()?.ok_or_else(|| {
            EngineError::NotFound(format!("there is no store to copy at {}", self.name()))
        })?;
        let from = self.open_to_read(&space)?;
        match to {
            Self::Folder(data) => {
                let holder = Holder { command: "ek copy".into(), address: None };
                let dir = place::serving(data)?.1;
                let to = LocalStore::open(&dir, &space, Access::Write(holder))?;
                let settle = || {
                    to.settle();
                    to.flush()
                };
                Copier::new(&*from, &to, options, &settle).run(on_progress, stop)
            }
            #[cfg(feature = "milvus")]
            Self::Milvus(address, how) => {
                let to = MilvusStore::open(address, &space, Open::OrCreate, how.clone())?;
                Copier::new(&*from, &to, options, &|| Ok(())).run(on_progress, stop)
            }
        }
    }

    /// The same, whose searches and counts go through items one by one for so long at most; those in a
    /// folder have no need of that.
    #[cfg(feature = "milvus")]
    #[must_use]
    pub fn walking_at_most(self, longest: Duration) -> Self {
        match self {
            Self::Folder(data) => Self::Folder(data),
            Self::Milvus(address, options) => {
                Self::Milvus(address, Options { walking: longest, ..options })
            }
        }
    }

    /// How it is written.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(data) => data.display().to_string(),
            #[cfg(feature = "milvus")]
            Self::Milvus(address, _) => address.to_string(),
        }
    }
}

/// How to copy.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// How many searches of the copy are compared with the true nearest; 0: none.
    pub queries: usize,
}

/// What a copy came to.
#[derive(Clone, Debug, Default)]
pub struct CopyReport {
    /// Items of the first store.
    pub seen: u64,
    /// Of them, written.
    pub copied: u64,
    /// Of them, there already as they are.
    pub unchanged: u64,
    /// Items that could not be copied, each with the reason.
    pub left_out: Vec<(ItemId, String)>,
    /// Items of the second store, afterwards.
    pub there: u64,
    /// Of some that were looked at once more, those that are not there as they were written.
    pub differing: Vec<ItemId>,
    /// Of the true ten nearest of a sample of queries, the share that the copy finds.
    pub recall: Option<f64>,
    /// How many queries that was measured with.
    pub queries: usize,
    /// It was asked to stop before the end; to ask again goes on.
    pub stopped: bool,
    /// How long it took.
    pub seconds: f64,
}

impl CopyReport {
    /// Items that only the second store has; they stay.
    pub fn others(&self) -> u64 {
        self.there.saturating_sub(self.copied + self.unchanged)
    }

    /// Whether all is there, and found. Without a recall that could be measured, whether all
    /// is there.
    pub fn is_whole(&self) -> bool {
        !self.stopped
            && self.left_out.is_empty()
            && self.differing.is_empty()
            && self.there >= self.seen
            && self.recall.is_none_or(|recall| recall >= RECALL_TARGET)
    }
}

struct Copier<'a> {
    from: &'a dyn StoreRead,
    to: &'a dyn StoreWrite,
    options: &'a CopyOptions,
    /// Has the second store ready to be searched.
    settle: &'a dyn Fn() -> Result<(), StoreError>,
    report: CopyReport,
    probes: Probes,
    /// Records to be looked at once more.
    witnesses: Vec<Record>,
}

impl<'a> Copier<'a> {
    fn new(
        from: &'a dyn StoreRead,
        to: &'a dyn StoreWrite,
        options: &'a CopyOptions,
        settle: &'a dyn Fn() -> Result<(), StoreError>,
    ) -> Self {
        let report = CopyReport::default();
        Self { from, to, options, settle, report, probes: Probes::default(), witnesses: vec![] }
    }

    fn run(
        mut self,
        on_progress: &dyn Fn(u64, u64),
        stop: &AtomicBool,
    ) -> Result<CopyReport, EngineError> {
        let begun = Instant::now();
        let all = self.from.count(&Filter::default())?;
        self.probes = Probes::of(self.from, self.options.queries)?;
        let mut after = None;
        loop {
            if stop.load(Ordering::Relaxed) {
                self.report.stopped = true;
                break;
            }
            let items = self.from.scan(after, BATCH, &Filter::default())?;
            let Some(last) = items.last() else { break };
            after = Some(last.id);
            self.batch(items)?;
            on_progress(self.report.seen, all.max(self.report.seen));
        }
        (self.settle)()?;
        self.report.there = self.to.count(&Filter::default())?;
        if !self.report.stopped {
            self.look_again()?;
            self.measure()?;
        }
        self.report.seconds = begun.elapsed().as_secs_f64();
        Ok(self.report)
    }

    fn batch(&mut self, items: Vec<Item>) -> Result<(), EngineError> {
        let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
        self.report.seen += ids.len() as u64;
        let vectors = self.from.embeddings(&ids)?;
        let known = self.to.items(&ids)?;
        let mut fresh: Vec<Record> = vec![];
        let mut whole: Vec<Record> = vec![];
        for ((item, embedding), known) in items.into_iter().zip(vectors).zip(known) {
            let Some(embedding) = embedding else {
                let why = "its vector cannot be read; index its file again".into();
                self.report.left_out.push((item.id, why));
                continue;
            };
            let record = Record { item, embedding };
            if known.as_ref() == Some(&record.item) {
                self.report.unchanged += 1;
            } else {
                fresh.push(record.clone());
            }
            whole.push(record);
        }
        let refused = self.write(&fresh)?;
        whole.retain(|record| !refused.contains(&record.item.id));
        self.report.copied += (fresh.len() - refused.len()) as u64;
        self.remember(whole);
        Ok(())
    }

    /// Writes records, and says which were refused.
    fn write(&mut self, records: &[Record]) -> Result<Vec<ItemId>, EngineError> {
        let refused = upsert_what_can_be(self.to, records)?;
        let ids = refused.iter().map(|(id, _)| *id).collect();
        self.report.left_out.extend(refused);
        Ok(ids)
    }

    /// Compares records with all queries, and keeps a sample of all that came by.
    fn remember(&mut self, records: Vec<Record>) {
        self.probes.see(&records);
        self.witnesses.extend(records);
        // Ids are hashes, and their last bytes have nothing to do with the order they come in.
        let by_chance = |record: &Record| u128::from_le_bytes(record.item.id.to_bytes());
        if self.witnesses.len() > BATCH {
            self.witnesses.select_nth_unstable_by_key(BATCH - 1, by_chance);
            self.witnesses.truncate(BATCH);
        }
    }

    /// Whether what was written is what is read.
    fn look_again(&mut self) -> Result<(), EngineError> {
        let ids: Vec<ItemId> = self.witnesses.iter().map(|record| record.item.id).collect();
        let (items, vectors) = (self.to.items(&ids)?, self.to.embeddings(&ids)?);
        for ((record, item), vector) in self.witnesses.iter().zip(items).zip(vectors) {
            let same = item.as_ref() == Some(&record.item);
            if !same || vector.as_ref() != Some(&record.embedding) {
                self.report.differing.push(record.item.id);
            }
        }
        Ok(())
    }

    /// How much of the true nearest the copy finds. With items of its own it may find others.
    fn measure(&mut self) -> Result<(), EngineError> {
        if self.report.others() > 0 {
            return Ok(());
        }
        let (recall, took) = self.probes.ask(self.to)?;
        (self.report.queries, self.report.recall) = (took.len(), recall);
        Ok(())
    }
}

/// Writes records. Says which the store does not keep, and why: those must not hold up the others.
pub(crate) fn upsert_what_can_be(
    store: &dyn StoreWrite,
    records: &[Record],
) -> Result<Vec<(ItemId, String)>, StoreError> {
    match store.upsert(records) {
        Ok(_) => return Ok(vec![]),
        Err(StoreError::Unsupported { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut refused = vec![];
    for record in records {
        match store.upsert(std::slice::from_ref(record)) {
            Ok(_) => {}
            Err(StoreError::Unsupported { what, .. }) => refused.push((record.item.id, what)),
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::NEAREST;
    use ekphrasis_embed::Embedding;
    use ekphrasis_index::{Hit, MemoryStore, Query, Seq};

    fn space() -> Space {
        Space::new("copy", 8).expect("valid")
    }

    fn records(count: usize) -> Vec<Record> {
        let space = space();
        let one = |n: usize| {
            let values = (0..8).map(|i| ((n * 31 + i * 7) % 17) as f32 - 8.0 + 0.1).collect();
            let embedding = Embedding::new(&space, values).expect("a direction");
            Record { item: Item::of_text(&format!("text {n}")), embedding }
        };
        (0..count).map(one).collect()
    }

    fn copy(from: &dyn StoreRead, to: &dyn StoreWrite) -> CopyReport {
        let options = CopyOptions { queries: 20 };
        let copier = Copier::new(from, to, &options, &|| Ok(()));
        copier.run(&|_, _| {}, &AtomicBool::new(false)).expect("copied")
    }

    #[test]
    fn a_second_copy_writes_what_changed() {
        let (from, to) = (MemoryStore::new(&space()), MemoryStore::new(&space()));
        let mut records = records(1200);
        from.upsert(&records).expect("written");
        let report = copy(&from, &to);
        assert_eq!((report.seen, report.copied, report.unchanged), (1200, 1200, 0));
        assert_eq!((report.there, report.recall, report.queries), (1200, Some(1.0), 20));
        assert!(report.is_whole(), "{report:?}");
        records[7].item.tags = vec!["new".into()];
        from.upsert(&records[7..8]).expect("written");
        let report = copy(&from, &to);
        assert_eq!((report.copied, report.unchanged), (1, 1199));
        assert!(report.is_whole(), "{report:?}");
        // What only the other has stays, and then nothing is said of what it finds.
        from.delete(&[records[3].item.id]).expect("deleted");
        let report = copy(&from, &to);
        assert_eq!((report.others(), report.recall), (1, None));
        assert!(report.is_whole(), "{report:?}");
    }

    /// Refuses long texts, keeps nothing else than it was told, or finds badly.
    struct Poor {
        inner: MemoryStore,
        finds: usize,
        swaps: bool,
    }

    impl StoreRead for Poor {
        fn space(&self) -> &Space {
            self.inner.space()
        }
        fn seq(&self) -> Seq {
            self.inner.seq()
        }
        fn items(&self, ids: &[ItemId]) -> Result<Vec<Option<Item>>, StoreError> {
            self.inner.items(ids)
        }
        fn embeddings(&self, ids: &[ItemId]) -> Result<Vec<Option<Embedding>>, StoreError> {
            let mut vectors = self.inner.embeddings(ids)?;
            if self.swaps && vectors.len() > 1 {
                vectors.swap(0, 1);
            }
            Ok(vectors)
        }
        fn search(&self, query: &Query) -> Result<Vec<Hit>, StoreError> {
            let mut hits = self.inner.search(query)?;
            hits.truncate(self.finds);
            Ok(hits)
        }
        fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
            self.inner.count(filter)
        }
        fn scan(
            &self,
            after: Option<ItemId>,
            limit: usize,
            filter: &Filter,
        ) -> Result<Vec<Item>, StoreError> {
            self.inner.scan(after, limit, filter)
        }
    }

    impl StoreWrite for Poor {
        fn upsert(&self, records: &[Record]) -> Result<Seq, StoreError> {
            let long = |record: &Record| record.item.text.as_ref().is_some_and(|t| t.len() > 50);
            if let Some(long) = records.iter().find(|record| long(record)) {
                let what = format!("item {} is too long", long.item.id);
                return Err(StoreError::Unsupported { at: "here".into(), what });
            }
            self.inner.upsert(records)
        }
        fn delete(&self, ids: &[ItemId]) -> Result<u64, StoreError> {
            self.inner.delete(ids)
        }
    }

    #[test]
    fn what_is_refused_holds_up_nobody_and_is_named() {
        let from = MemoryStore::new(&space());
        let mut records = records(30);
        records[4].item.text = Some("long ".repeat(20));
        from.upsert(&records).expect("written");
        let to = Poor { inner: MemoryStore::new(&space()), finds: NEAREST, swaps: false };
        let report = copy(&from, &to);
        assert_eq!((report.copied, report.there), (29, 29));
        assert_eq!(report.left_out.len(), 1);
        assert_eq!(report.left_out[0].0, records[4].item.id);
        assert!(!report.is_whole());
    }

    #[test]
    fn a_copy_that_finds_badly_or_reads_back_otherwise_is_not_whole() {
        let from = MemoryStore::new(&space());
        from.upsert(&records(100)).expect("written");
        let to = Poor { inner: MemoryStore::new(&space()), finds: 5, swaps: false };
        let report = copy(&from, &to);
        assert_eq!(report.recall, Some(0.5));
        assert!(!report.is_whole());
        let to = Poor { inner: MemoryStore::new(&space()), finds: NEAREST, swaps: true };
        let report = copy(&from, &to);
        assert_eq!(report.differing.len(), 2);
        assert!(!report.is_whole());
    }

    /// What is looked at once more is of all that was written.
    #[test]
    fn witnesses_are_from_all_over() {
        let (from, to) = (MemoryStore::new(&space()), MemoryStore::new(&space()));
        from.upsert(&records(3000)).expect("written");
        let options = CopyOptions { queries: 0 };
        let settled = || Ok(());
        let mut copier = Copier::new(&from, &to, &options, &settled);
        let mut after = None;
        loop {
            let items = from.scan(after, BATCH, &Filter::default()).expect("read");
            let Some(last) = items.last() else { break };
            after = Some(last.id);
            copier.batch(items).expect("copied");
        }
        let mut firsts: Vec<u8> =
            copier.witnesses.iter().map(|record| record.item.id.to_bytes()[0]).collect();
        firsts.sort_unstable();
        assert_eq!(firsts.len(), BATCH);
        // About half of them, since ids are hashes.
        let half = firsts.partition_point(|first| *first < 128);
        assert!((150..350).contains(&half), "{half}");
        firsts.dedup();
        assert!(firsts.len() > 150, "{firsts:?}");
    }

    #[test]
    fn stopped_and_asked_again_it_goes_on() {
        let (from, to) = (MemoryStore::new(&space()), MemoryStore::new(&space()));
        from.upsert(&records(1200)).expect("written");
        let options = CopyOptions { queries: 20 };
        let stop = AtomicBool::new(false);
        let copier = Copier::new(&from, &to, &options, &|| Ok(()));
        let report = copier.run(&|_, _| stop.store(true, Ordering::Relaxed), &stop);
        let report = report.expect("stopped");
        assert!(report.stopped && !report.is_whole());
        assert_eq!((report.copied, report.there), (500, 500));
        let report = copy(&from, &to);
        assert_eq!((report.copied, report.unchanged), (700, 500));
        assert!(report.is_whole());
    }
}
