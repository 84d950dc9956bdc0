//! Given what became of each file, how does the store learn of it? In small
//! atomic batches: what a crash can lose is the batch in flight.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{
    Facts, Failure, FileFacts, Item, ItemId, Judged, Record, StoreRead, StoreWrite,
};

use super::captions::{Captions, Words};
use super::contents::{COPIES, Content};
use super::read::Seen;
use crate::{Engine, EngineError, Progress, facts};

/// Records a commit; each commit syncs the disk, so not too few.
const BATCH: usize = 64;
/// A slow disk or model should not hold back what is done already.
const PATIENCE: Duration = Duration::from_secs(2);
/// A file that is younger is not judged for good, in nanoseconds.
const UNSETTLED_NS: i64 = 3_000_000_000;
/// Texts embedded at once.
const TEXT_BATCH: usize = 32;

/// What became of a file (or of the walk).
pub(super) enum Outcome {
    /// Embedded.
    Ready { path: PathBuf, file: FileFacts, facts: Box<Facts>, embedding: Embedding },
    /// What is in it was embedded before, under this name or another.
    Reused {
        path: PathBuf,
        file: FileFacts,
        facts: Box<Facts>,
        embedding: Embedding,
        moved_from: Option<Box<Item>>,
    },
    /// What is in it is what is in another file that this run embeds.
    Twin { path: PathBuf, seen: Seen, content: Content },
    /// Nothing changed.
    Unchanged { path: PathBuf },
    /// Nothing changed, but its caption may have, or there are facts to be added.
    Recaption { path: PathBuf, id: ItemId, facts: Option<Box<Facts>> },
    /// Not indexed. What is known of an older version stays: the file may be
    /// half written just now, and its captions would be lost with it.
    Failed {
        path: PathBuf,
        reason: String,
        /// What is in it, if that could be read.
        content: Option<Content>,
        /// How it was, if it will fail as long as it stays so.
        judged: Option<Seen>,
    },
    /// It could not be indexed before, and has not changed.
    StillFailing { failure: Failure },
    /// The walk is through; these items' files are not there any more.
    Walked { gone: Vec<ItemId> },
    /// The model cannot be had at all, or the store not be read: no use going on.
    Hopeless(EngineError),
}

impl Outcome {
    /// A failure that the next run may not meet.
    pub(super) fn failed(path: PathBuf, reason: String) -> Self {
        Self::Failed { path, reason, content: None, judged: None }
    }
}

/// Told the counts and the file they are about.
type Tell<'a> = &'a mut dyn FnMut(&mut Progress, &Path);

pub(super) struct Committer<'a> {
    engine: &'a Engine,
    captions: &'a Captions,
    /// Whether nothing was in the store when the run began.
    blank: bool,
    ready: Vec<Record>,
    new_failures: Vec<Failure>,
    new_judged: Vec<Judged>,
    failures: Vec<Failure>,
    /// Files with a content that is being embedded for another file.
    twins: HashMap<Content, Vec<(PathBuf, Seen)>>,
    /// Contents that could not be embedded, each with the reason, and whether that
    /// lies in them.
    hopeless: HashMap<Content, (String, bool)>,
    /// Items whose files are not there any more.
    gone: Vec<ItemId>,
    last_commit: Instant,
}

impl<'a> Committer<'a> {
    pub(super) fn new(engine: &'a Engine, captions: &'a Captions, blank: bool) -> Self {
        Self {
            engine,
            captions,
            blank,
            ready: Vec::with_capacity(BATCH),
            new_failures: Vec::new(),
            new_judged: Vec::new(),
            failures: Vec::new(),
            twins: HashMap::new(),
            hopeless: HashMap::new(),
            gone: Vec::new(),
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
                // Files that were found may still wait to be read, and be these under other
                // names: what is known of them is needed until then.
                self.gone = gone;
                return Ok(());
            }
            Outcome::Unchanged { path } => {
                progress.unchanged += 1;
                path
            }
            Outcome::Recaption { path, id, facts } => {
                match self.recaption(&path, id, facts.map(|facts| *facts))? {
                    Some(record) => self.ready.push(record),
                    None => progress.unchanged += 1,
                }
                path
            }
            Outcome::Ready { path, file, facts, embedding } => {
                let content = file.content;
                self.add(&path, file, *facts, embedding, None)?;
                for (twin, seen) in self.twins.remove(&content).unwrap_or_default() {
                    self.twin(twin, seen, content, progress, tell)?;
                }
                path
            }
            Outcome::Reused { path, file, facts, embedding, moved_from } => {
                progress.reused += 1;
                progress.moved += u64::from(moved_from.is_some());
                self.add(&path, file, *facts, embedding, moved_from.map(|item| *item))?;
                path
            }
            Outcome::Twin { path, seen, content } => {
                return self.twin(path, seen, content, progress, tell);
            }
            Outcome::Failed { path, reason, content, judged } => {
                self.fail(path.clone(), reason.clone(), judged, progress);
                if let Some(content) = content {
                    let twins = self.twins.remove(&content).unwrap_or_default();
                    self.hopeless.insert(content, (reason, judged.is_some()));
                    for (twin, seen) in twins {
                        self.twin(twin, seen, content, progress, tell)?;
                    }
                }
                path
            }
            Outcome::StillFailing { failure } => {
                progress.failed += 1;
                progress.still_failing += 1;
                let path = failure.path.clone();
                self.failures.push(failure);
                path
            }
        };
        self.took(&path, progress, tell)
    }

    /// Counts a file that was dealt with.
    fn took(
        &mut self,
        path: &Path,
        progress: &mut Progress,
        tell: Tell<'_>,
    ) -> Result<(), EngineError> {
        progress.seen += 1;
        let waiting = self.new_failures.len() + self.new_judged.len();
        let due = self.ready.len() >= BATCH || waiting >= BATCH;
        if due || self.last_commit.elapsed() > PATIENCE {
            self.commit(progress)?;
        }
        tell(progress, path);
        Ok(())
    }

    fn add(
        &mut self,
        path: &Path,
        file: FileFacts,
        facts: Facts,
        embedding: Embedding,
        moved_from: Option<Item>,
    ) -> Result<(), EngineError> {
        let words = self.words(path, ItemId::for_path(path), moved_from)?;
        let item = Item {
            text: joined(&words.texts),
            tags: words.tags,
            labels: words.labels,
            facts: Some(facts),
            ..Item::of_picture(path.into(), file)
        };
        self.ready.push(Record { item, embedding });
        Ok(())
    }

    fn fail(
        &mut self,
        path: PathBuf,
        reason: String,
        judged: Option<Seen>,
        progress: &mut Progress,
    ) {
        progress.failed += 1;
        let failure = Failure { path, reason, at: now() };
        // What changed a moment ago may change once more without its time showing it: on
        // memory cards times are in steps of two seconds.
        let settled = |seen: &Seen| now_ns().saturating_sub(seen.mtime_ns) > UNSETTLED_NS;
        match judged.filter(settled) {
            Some(Seen { size, mtime_ns }) => {
                self.new_judged.push(Judged { failure, size, mtime_ns });
            }
            None => self.new_failures.push(failure),
        }
    }

    /// A file with the content of one that was given to be embedded before it.
    fn twin(
        &mut self,
        path: PathBuf,
        seen: Seen,
        content: Content,
        progress: &mut Progress,
        tell: Tell<'_>,
    ) -> Result<(), EngineError> {
        let same = |item: &Item| item.file.as_ref().is_some_and(|file| file.content == content);
        let mut first = self.ready.iter().rev().find(|record| same(&record.item)).cloned();
        if first.is_none() {
            let store = &self.engine.store;
            let items = store.same_content(&content, COPIES)?;
            let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
            let vectors = store.embeddings(&ids)?;
            first = items
                .into_iter()
                .zip(vectors)
                .find_map(|(item, vector)| Some(Record { item, embedding: vector? }));
        }
        if let Some(Record { item, embedding }) = first
            && let Some(of) = &item.file
        {
            progress.reused += 1;
            let Seen { size, mtime_ns } = seen;
            let file = FileFacts { size, mtime_ns, ..of.clone() };
            // It was read a moment ago; what lies beside it was not.
            let facts = match fs_err::read(&path) {
                Ok(bytes) => facts::of_copy(&path, &bytes, item.facts.as_ref()),
                // A later run asks again.
                Err(_) => Facts { version: 0, ..item.facts.unwrap_or_default() },
            };
            self.add(&path, file, facts, embedding, None)?;
        } else if let Some((reason, lasting)) = self.hopeless.get(&content) {
            let (reason, judged) = (reason.clone(), lasting.then_some(seen));
            self.fail(path.clone(), reason, judged, progress);
        } else {
            self.twins.entry(content).or_default().push((path, seen));
            return Ok(());
        }
        self.took(&path, progress, tell)
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
        // Only if what is known of the first was damaged: the next run embeds it.
        for (path, _) in std::mem::take(&mut self.twins).into_values().flatten() {
            self.fail(
                path,
                "its copy could not be used; the next run takes it".into(),
                None,
                progress,
            );
        }
        self.commit(progress)?;
        progress.removed += self.engine.forget(&self.gone)?;
        self.add_standalone(progress)?;
        // Other processes find the new words from here on.
        self.engine.store.flush()?;
        let covered: HashSet<&Path> = roots.iter().map(PathBuf::as_path).collect();
        let failing: HashSet<&Path> = self.failures.iter().map(|f| f.path.as_path()).collect();
        let healed: Vec<PathBuf> = self
            .engine
            .store
            .failures()?
            .into_iter()
            .map(|f| f.path)
            .filter(|p| {
                p.ancestors().any(|a| covered.contains(a)) && !failing.contains(p.as_path())
            })
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
        if !self.new_judged.is_empty() {
            store.record_judged(&self.new_judged)?;
            self.failures.extend(self.new_judged.drain(..).map(|judged| judged.failure));
        }
        Ok(())
    }

    /// A file's words: those of the captions file, or those it had before, here or
    /// where it was moved from.
    fn words(
        &self,
        path: &Path,
        id: ItemId,
        moved_from: Option<Item>,
    ) -> Result<Words, EngineError> {
        if let Some(words) = self.captions.of(path) {
            return Ok(words.clone());
        }
        let before = match self.blank {
            true => None,
            false => self.engine.store.items(&[id])?.pop().flatten(),
        };
        // Words belong to the picture, also where it took the name of another.
        let has_words = |item: &Item| item.text.is_some() || !item.tags.is_empty();
        let moved_from = moved_from.filter(has_words);
        Ok(moved_from.or(before).map_or_else(Words::default, |item| Words {
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
        let words = self.words(path, id, None)?;
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
pub(super) fn joined(texts: &[String]) -> Option<String> {
    let lines: Vec<String> = texts.iter().map(|t| t.replace(['\n', '\r'], " ")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

pub(super) fn lines(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().lines().map(str::to_owned).filter(|l| !l.is_empty()).collect()
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
