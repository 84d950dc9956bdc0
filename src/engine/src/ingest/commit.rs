//! Given what became of each file, how does the store learn of it? In small
//! atomic batches: what a crash can lose is the batch in flight.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ekphrasis_index::{Facts, Failure, Item, ItemId, Record, StoreRead, StoreWrite};

use super::captions::{Captions, Words};
use super::prepare::Outcome;
use crate::{Engine, EngineError, Progress};

/// Records a commit; each commit syncs the disk, so not too few.
const BATCH: usize = 64;
/// A slow disk or model should not hold back what is done already.
const PATIENCE: Duration = Duration::from_secs(2);
/// Texts embedded at once.
const TEXT_BATCH: usize = 32;

/// Told the counts and the file they are about.
type Tell<'a> = &'a mut dyn FnMut(&mut Progress, &Path);

pub(super) struct Committer<'a> {
    engine: &'a Engine,
    captions: &'a Captions,
    ready: Vec<Record>,
    new_failures: Vec<Failure>,
    failures: Vec<Failure>,
    last_commit: Instant,
}

impl<'a> Committer<'a> {
    pub(super) fn new(engine: &'a Engine, captions: &'a Captions) -> Self {
        Self {
            engine,
            captions,
            ready: Vec::with_capacity(BATCH),
            new_failures: Vec::new(),
            failures: Vec::new(),
            last_commit: Instant::now(),
        }
    }

    /// Takes in one outcome and commits when enough has come together.
    pub(super) fn take(
        &mut self,
        outcome: Outcome,
        progress: &mut Progress,
        tell: Tell<'_>,
    ) -> Result<(), EngineError> {
        let path = match outcome {
            Outcome::Hopeless(error) => return Err(error),
            Outcome::Walked { gone } => {
                progress.removed += self.engine.forget(&gone)?;
                return Ok(());
            }
            Outcome::Unchanged { path } => {
                progress.unchanged += 1;
                path
            }
            Outcome::Recaption { path, id, facts } => {
                match self.recaption(&path, id, facts)? {
                    Some(record) => self.ready.push(record),
                    None => progress.unchanged += 1,
                }
                path
            }
            Outcome::Ready { path, file, facts, embedding } => {
                let id = ItemId::for_path(&path);
                let words = self.words(&path, id)?;
                let item = Item {
                    text: joined(&words.texts),
                    tags: words.tags,
                    labels: words.labels,
                    facts: Some(facts),
                    ..Item::of_picture(path.clone(), file)
                };
                self.ready.push(Record { item, embedding });
                path
            }
            Outcome::Failed { path, reason } => {
                progress.failed += 1;
                self.new_failures.push(Failure { path: path.clone(), reason, at: now() });
                path
            }
        };
        progress.seen += 1;
        let due = self.ready.len() >= BATCH || self.new_failures.len() >= BATCH;
        if due || self.last_commit.elapsed() > PATIENCE {
            self.commit(progress)?;
        }
        tell(progress, &path);
        Ok(())
    }

    /// Commits the rest, adds the texts that stand alone, and drops from the
    /// ledger what this run did not find failing any more.
    pub(super) fn finish(
        mut self,
        roots: &[PathBuf],
        progress: &mut Progress,
        stopped: bool,
    ) -> Result<Vec<Failure>, EngineError> {
        self.commit(progress)?;
        if stopped {
            self.engine.store.flush()?;
            return Ok(self.failures);
        }
        self.add_standalone(progress)?;
        // Other processes find the new words from here on.
        self.engine.store.flush()?;
        let failing: HashSet<&Path> = self.failures.iter().map(|f| f.path.as_path()).collect();
        let healed: Vec<PathBuf> = self
            .engine
            .store
            .failures()?
            .into_iter()
            .map(|f| f.path)
            .filter(|p| roots.iter().any(|r| p.starts_with(r)) && !failing.contains(p.as_path()))
            .collect();
        self.engine.store.clear_failures(&healed)?;
        Ok(self.failures)
    }

    fn commit(&mut self, progress: &mut Progress) -> Result<(), EngineError> {
        let store = &self.engine.store;
        self.last_commit = Instant::now();
        if !self.ready.is_empty() {
            let images = std::mem::take(&mut self.ready);
            let captions = self.caption_records(&images)?;
            let indexed: Vec<PathBuf> = images.iter().filter_map(|r| r.item.path.clone()).collect();
            progress.indexed += images.len() as u64;
            store.upsert_captioned(&images, &captions)?;
            store.clear_failures(&indexed)?;
        }
        if !self.new_failures.is_empty() {
            store.record_failures(&self.new_failures)?;
            self.failures.append(&mut self.new_failures);
        }
        Ok(())
    }

    /// A file's words: those of the captions file, or those it had before.
    fn words(&self, path: &Path, id: ItemId) -> Result<Words, EngineError> {
        if let Some(words) = self.captions.of(path) {
            return Ok(words.clone());
        }
        let before = self.engine.store.items(&[id])?.pop().flatten();
        Ok(before.map_or_else(Words::default, |item| Words {
            texts: lines(item.text.as_deref()),
            tags: item.tags,
            labels: item.labels,
        }))
    }

    /// The stored record with new words and with facts that it did not have, if there are any.
    fn recaption(
        &self,
        path: &Path,
        id: ItemId,
        facts: Option<Facts>,
    ) -> Result<Option<Record>, EngineError> {
        let store = &self.engine.store;
        let words = self.words(path, id)?;
        let item = store.items(&[id])?.pop().flatten();
        let embedding = store.embeddings(&[id])?.pop().flatten();
        let (Some(item), Some(embedding)) = (item, embedding) else { return Ok(None) };
        let facts = facts.or_else(|| item.facts.clone());
        let Words { texts, tags, labels } = words;
        let new = Item { text: joined(&texts), tags, labels, facts, ..item.clone() };
        Ok((new != item).then_some(Record { item: new, embedding }))
    }

    /// Each image's captions as text items, so that a picture can find its words.
    fn caption_records(
        &self,
        images: &[Record],
    ) -> Result<Vec<(ItemId, Vec<Record>)>, EngineError> {
        let mut wanted: Vec<String> = Vec::new();
        let mut known = HashSet::new();
        for image in images {
            for line in lines(image.item.text.as_deref()) {
                if known.insert(line.clone()) {
                    wanted.push(line);
                }
            }
        }
        let records: HashMap<String, Record> =
            self.text_records(&wanted)?.into_iter().zip(wanted).map(|(r, t)| (t, r)).collect();
        Ok(images
            .iter()
            .map(|image| {
                let texts = lines(image.item.text.as_deref());
                (image.item.id, texts.iter().map(|t| records[t].clone()).collect())
            })
            .collect())
    }

    /// Text items with their vectors; those in the store already are not encoded again.
    fn text_records(&self, texts: &[String]) -> Result<Vec<Record>, EngineError> {
        let store = &self.engine.store;
        let ids: Vec<ItemId> = texts.iter().map(|t| ItemId::for_text(t)).collect();
        let mut embeddings = store.embeddings(&ids)?;
        let missing: Vec<usize> = (0..texts.len()).filter(|&i| embeddings[i].is_none()).collect();
        for chunk in missing.chunks(TEXT_BATCH) {
            let batch: Vec<&str> = chunk.iter().map(|&i| texts[i].as_str()).collect();
            let encoded = self.engine.towers.text()?.embed_texts(&batch)?;
            for (&i, embedding) in chunk.iter().zip(encoded) {
                embeddings[i] = Some(embedding);
            }
        }
        Ok(texts
            .iter()
            .zip(embeddings)
            .filter_map(|(text, embedding)| {
                Some(Record { item: Item::of_text(text), embedding: embedding? })
            })
            .collect())
    }

    fn add_standalone(&self, progress: &mut Progress) -> Result<(), EngineError> {
        let store = &self.engine.store;
        for chunk in self.captions.standalone().chunks(BATCH) {
            let texts: Vec<String> = chunk.iter().filter_map(|w| joined(&w.texts)).collect();
            let mut records = self.text_records(&texts)?;
            for (record, words) in records.iter_mut().zip(chunk) {
                record.item.tags.clone_from(&words.tags);
                record.item.labels.clone_from(&words.labels);
            }
            let ids: Vec<ItemId> = records.iter().map(|r| r.item.id).collect();
            let before = store.items(&ids)?;
            let (mut fresh, mut same) = (Vec::new(), 0);
            for (record, old) in records.into_iter().zip(before) {
                if old.as_ref() == Some(&record.item) { same += 1 } else { fresh.push(record) }
            }
            store.upsert(&fresh)?;
            progress.indexed += fresh.len() as u64;
            progress.unchanged += same;
            progress.seen += chunk.len() as u64;
        }
        Ok(())
    }
}

/// Captions are kept one a line, so a line break inside one becomes a space.
fn joined(texts: &[String]) -> Option<String> {
    let lines: Vec<String> = texts.iter().map(|t| t.replace(['\n', '\r'], " ")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn lines(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().lines().map(str::to_owned).filter(|l| !l.is_empty()).collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
