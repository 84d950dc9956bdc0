//! Given the store that is searched and one of another model, what is to be done until they
//! say the same? Everything is compared, and only what differs is done: so whoever was
//! killed goes on, whoever goes back has little to do, and what changed meanwhile is taken
//! in by looking once more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{
    Entry, Failure, Filter, Item, ItemId, Kind, LocalStore, Record, StoreRead, StoreWrite,
};

use super::UseOptions;
use super::encode::{self, Pace};
use crate::ingest::OnProgress;
use crate::{EngineError, Progress, Towers};

/// Entries that are read at once.
const PAGE: usize = 512;
/// Items that are embedded and committed at once.
const BATCH: usize = 64;

/// Who brings one store to what another says.
pub(super) struct Mover<'a> {
    pub(super) to: &'a LocalStore,
    pub(super) towers: &'a dyn Towers,
    pub(super) options: &'a UseOptions,
    pub(super) on_progress: OnProgress<'a>,
    pub(super) stop: &'a AtomicBool,
    /// Over all passes, but for what is counted anew by each: seen, unchanged, failed.
    pub(super) progress: Progress,
    /// What has no vector of the new model, and why; as of the last pass.
    pub(super) missing: BTreeMap<ItemId, Failure>,
    /// How many were there already when the first pass ended.
    there: Option<u64>,
    pace: Pace,
    start: Instant,
}

/// An entry that needs a vector.
struct Wanted {
    entry: Entry,
    /// One is there, but not like this: it has to go first.
    replaces: bool,
}

impl<'a> Mover<'a> {
    pub(super) fn new(
        to: &'a LocalStore,
        towers: &'a dyn Towers,
        options: &'a UseOptions,
        on_progress: OnProgress<'a>,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            to,
            towers,
            options,
            on_progress,
            stop,
            progress: Progress::default(),
            missing: BTreeMap::new(),
            there: None,
            pace: Pace::new(options.rate),
            start: Instant::now(),
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Looks at everything once; says how much was done. Ends early when it is stopped.
    pub(super) fn pass(&mut self, from: &LocalStore) -> Result<u64, EngineError> {
        self.missing.clear();
        let total = from.count(&Filter::default())?;
        (self.progress.seen, self.progress.unchanged, self.progress.failed) = (0, 0, 0);
        self.progress.waiting = total;
        let mut changes = 0;
        let mut relink: Vec<ItemId> = Vec::new();
        let mut after = None;
        while !self.is_stopped() {
            let entries = from.entries(after, PAGE)?;
            let Some(last) = entries.last() else { break };
            after = Some(last.item.id);
            changes += self.page(entries, &mut relink)?;
        }
        self.there.get_or_insert(self.progress.unchanged);
        // Only when all texts are there that are someone's captions.
        for owners in relink.chunks(PAGE) {
            if self.is_stopped() {
                return Ok(changes);
            }
            changes += self.link(from, owners)?;
        }
        if !self.is_stopped() {
            changes += self.forget(from)?;
        }
        Ok(changes)
    }

    fn page(&mut self, entries: Vec<Entry>, relink: &mut Vec<ItemId>) -> Result<u64, EngineError> {
        let ids: Vec<ItemId> = entries.iter().map(|entry| entry.item.id).collect();
        let known = self.to.entries_of(&ids)?;
        let vectors = self.to.embeddings(&ids)?;
        let (mut ready, mut wanted) = (Vec::new(), Vec::new());
        for ((entry, known), vector) in entries.into_iter().zip(known).zip(vectors) {
            if known.as_ref().map_or(!entry.captions.is_empty(), |k| k.captions != entry.captions) {
                relink.push(entry.item.id);
            }
            let Some(known) = known else {
                wanted.push(Wanted { entry, replaces: false });
                continue;
            };
            let replaces = known.standalone && !entry.standalone;
            // A vector that is damaged is none.
            let Some(embedding) = vector.filter(|_| same_making(&known.item, &entry.item)) else {
                wanted.push(Wanted { entry, replaces });
                continue;
            };
            if known.item == entry.item && known.standalone == entry.standalone {
                self.progress.unchanged += 1;
                self.took(&entry.item);
            } else {
                if replaces {
                    self.to.delete(&[entry.item.id])?;
                    // Its owners lost it with that.
                    relink.extend(self.owners(entry.item.id)?);
                }
                let standalone = entry.standalone;
                ready.push((Record { item: entry.item, embedding }, standalone));
            }
        }
        let mut changes = ready.len() as u64;
        for some in ready.chunks(BATCH) {
            self.to.put_entries(some)?;
        }
        for (record, _) in &ready {
            self.took(&record.item);
        }
        while !wanted.is_empty() && !self.is_stopped() {
            let rest = wanted.split_off(wanted.len().min(self.pace.at_once(BATCH)));
            changes += self.embed(wanted, relink)?;
            wanted = rest;
        }
        Ok(changes)
    }

    /// Embeds and commits a batch; says how many came in.
    fn embed(&mut self, wanted: Vec<Wanted>, relink: &mut Vec<ItemId>) -> Result<u64, EngineError> {
        self.pace.begin();
        let mut vectors: Vec<Option<Result<Embedding, String>>> = vec![None; wanted.len()];
        let is_text = |one: &Wanted| one.entry.item.kind == Kind::Text;
        let texts: Vec<usize> = (0..wanted.len()).filter(|&at| is_text(&wanted[at])).collect();
        let words: Vec<&str> = texts
            .iter()
            .map(|&at| wanted[at].entry.item.text.as_deref().unwrap_or_default())
            .collect();
        for (&at, vector) in texts.iter().zip(encode::texts(self.towers, &words)?) {
            vectors[at] = Some(Ok(vector));
        }
        let mut encoded = words.len();

        // A content is embedded once, as when indexing.
        let mut first: HashMap<[u8; 32], usize> = HashMap::new();
        let (mut pictures, mut copies) = (Vec::new(), Vec::new());
        for (at, one) in wanted.iter().enumerate().filter(|(_, one)| !is_text(one)) {
            let content = one.entry.item.file.as_ref().map(|file| file.content);
            let there = content.map(|content| self.of_content(&content)).transpose()?.flatten();
            match (there, content.and_then(|content| first.get(&content).copied())) {
                (Some(vector), _) => {
                    self.progress.reused += 1;
                    vectors[at] = Some(Ok(vector));
                }
                (None, Some(of)) => copies.push((at, of)),
                (None, None) => {
                    first.extend(content.map(|content| (content, at)));
                    pictures.push(at);
                }
            }
        }
        let items: Vec<&Item> = pictures.iter().map(|&at| &wanted[at].entry.item).collect();
        encoded += items.len();
        let made = encode::pictures(self.towers, &items, self.options.threads, self.stop)?;
        for (&at, vector) in pictures.iter().zip(made) {
            vectors[at] = vector;
        }
        let mut left = Vec::new();
        for (at, of) in copies {
            match &vectors[of] {
                Some(Ok(vector)) => {
                    self.progress.reused += 1;
                    vectors[at] = Some(Ok(vector.clone()));
                }
                // The other file may be gone where this one is there.
                _ => left.push(at),
            }
        }
        let items: Vec<&Item> = left.iter().map(|&at| &wanted[at].entry.item).collect();
        let made = encode::pictures(self.towers, &items, self.options.threads, self.stop)?;
        for (&at, vector) in left.iter().zip(made) {
            vectors[at] = vector;
        }

        let (mut records, mut done) = (Vec::with_capacity(wanted.len()), Vec::new());
        for (Wanted { entry, replaces }, vector) in wanted.into_iter().zip(vectors) {
            let Entry { item, standalone, .. } = entry;
            match vector {
                // Stopped before it was come to.
                None => continue,
                Some(Ok(embedding)) => {
                    if replaces {
                        relink.extend(self.owners(item.id)?);
                        self.to.delete(&[item.id])?;
                    }
                    records.push((Record { item: item.clone(), embedding }, standalone));
                }
                Some(Err(reason)) => {
                    self.progress.failed += 1;
                    self.missing.insert(item.id, failure(&item, &reason));
                }
            }
            done.push(item);
        }
        self.to.put_entries(&records)?;
        self.progress.indexed += records.len() as u64;
        self.pace.note(encoded, self.stop);
        done.iter().for_each(|item| self.took(item));
        Ok(records.len() as u64)
    }

    fn owners(&self, text: ItemId) -> Result<Vec<ItemId>, EngineError> {
        Ok(self.to.caption_owners(text)?)
    }

    /// The vector of a picture's content, if the new store has it.
    pub(super) fn of_content(&self, content: &[u8; 32]) -> Result<Option<Embedding>, EngineError> {
        let known = self.to.same_content(content, 4)?;
        let ids: Vec<ItemId> = known.iter().map(|item| item.id).collect();
        Ok(self.to.embeddings(&ids)?.into_iter().flatten().next())
    }

    fn link(&mut self, from: &LocalStore, owners: &[ItemId]) -> Result<u64, EngineError> {
        let (wanted, there) = (from.entries_of(owners)?, self.to.entries_of(owners)?);
        let links: Vec<(ItemId, Vec<ItemId>)> = wanted
            .into_iter()
            .zip(there)
            .filter_map(|(wanted, there)| Some((wanted?, there?)))
            .filter(|(wanted, there)| wanted.captions != there.captions)
            .map(|(wanted, _)| (wanted.item.id, wanted.captions))
            .collect();
        let changes = links.len() as u64;
        for some in links.chunks(BATCH) {
            self.to.link(some.to_vec())?;
        }
        Ok(changes)
    }

    /// Forgets what the other store does not have. What its ledger names stays: it may have
    /// been lost there by a move to another model, when its file was not at hand.
    fn forget(&mut self, from: &LocalStore) -> Result<u64, EngineError> {
        let told: HashSet<PathBuf> = from.failures()?.into_iter().map(|f| f.path).collect();
        let (mut after, mut forgotten) = (None, 0);
        while !self.is_stopped() {
            let items = self.to.scan(after, PAGE, &Filter::default())?;
            let Some(last) = items.last() else { break };
            after = Some(last.id);
            let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
            let there = from.items(&ids)?;
            let gone: Vec<ItemId> = items
                .iter()
                .zip(there)
                .filter(|(item, there)| {
                    there.is_none() && !item.path.as_ref().is_some_and(|path| told.contains(path))
                })
                .map(|(item, _)| item.id)
                .collect();
            // Captions of what stays go with nobody but it.
            let gone = self.without_owners_that_stay(gone)?;
            if !gone.is_empty() {
                forgotten += self.to.delete(&gone)?;
            }
        }
        self.progress.removed += forgotten;
        Ok(forgotten)
    }

    /// Those of `gone` that are no captions of something else than what is in it.
    fn without_owners_that_stay(&self, gone: Vec<ItemId>) -> Result<Vec<ItemId>, EngineError> {
        let all: HashSet<ItemId> = gone.iter().copied().collect();
        let mut kept = Vec::with_capacity(gone.len());
        for id in gone {
            if self.owners(id)?.iter().all(|owner| all.contains(owner)) {
                kept.push(id);
            }
        }
        Ok(kept)
    }

    /// Forgets captions whose pictures are all missing: texts without an owner are nobody's.
    pub(super) fn drop_orphans(&mut self, from: &LocalStore) -> Result<(), EngineError> {
        let missing: Vec<ItemId> = self.missing.keys().copied().collect();
        for ids in missing.chunks(PAGE) {
            let captions: Vec<ItemId> =
                from.entries_of(ids)?.into_iter().flatten().flat_map(|e| e.captions).collect();
            let mut orphans = Vec::new();
            for entry in self.to.entries_of(&captions)?.into_iter().flatten() {
                if !entry.standalone && self.owners(entry.item.id)?.is_empty() {
                    orphans.push(entry.item.id);
                }
            }
            self.to.delete(&orphans)?;
        }
        Ok(())
    }

    /// Counts an item that was dealt with.
    fn took(&mut self, item: &Item) {
        let progress = &mut self.progress;
        progress.seen += 1;
        progress.waiting = progress.waiting.saturating_sub(1);
        progress.seconds = self.start.elapsed().as_secs_f64();
        progress.eta_seconds = self.pace.seconds_each().map(|each| each * progress.waiting as f64);
        (self.on_progress)(progress, item.path.as_deref().unwrap_or(Path::new("")));
    }

    /// From now on as fast as it goes: others wait.
    pub(super) fn hurry(&mut self) {
        self.pace = Pace::new(None);
    }

    /// The counts at the end.
    pub(super) fn ended(&mut self) -> Progress {
        self.progress.seconds = self.start.elapsed().as_secs_f64();
        self.progress.eta_seconds = None;
        // By the last pass, all are.
        let unchanged = self.there.unwrap_or_default();
        Progress { unchanged, ..self.progress.clone() }
    }
}

/// Whether the vectors of both are made of the same.
fn same_making(a: &Item, b: &Item) -> bool {
    let content = |item: &Item| item.file.as_ref().map(|file| file.content);
    a.kind == b.kind
        && match a.kind {
            Kind::Image => content(a) == content(b),
            Kind::Text => a.text == b.text,
        }
}

fn failure(item: &Item, reason: &str) -> Failure {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Failure {
        path: item.path.clone().unwrap_or_else(|| PathBuf::from(item.id.to_string())),
        reason: format!("it has no vector of the model that was switched to: {reason}"),
        at: i64::try_from(at).unwrap_or(i64::MAX),
    }
}
