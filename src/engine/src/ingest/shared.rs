//! Given folders and a shared store, how does one of several workers bring in its part?
//!
//! Nothing is kept but what lies in the store: which files are new is asked of it, in the order
//! of the walk. What a file becomes depends on the file alone, and one id is one row; so a
//! worker that died is replaced by starting the same one anew, and what it had encoded but not
//! sent is encoded twice and stored once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ekphrasis_embed::ImageEncoder;
use ekphrasis_index::{Expr, Facts, Failure, Filter, Item, ItemId, Kind, Pattern, Record, Term};

use super::captions::{Captions, Words};
use super::clock::Clock;
use super::commit::{Outcome, joined, lines};
use super::encode::{self, embed};
use super::prepare::picture;
use super::read::{Seen, read_whole};
use super::walk::{Listed, Walker};
use super::{IndexOptions, IndexReport, one_line_each, read_captions, resolve};
use crate::facts::Beside;
use crate::{EngineError, Progress, SharedEngine};

/// Files that are looked up in the store at once.
const LOOKED_UP: usize = 500;
/// Records sent at once: what a worker that dies has encoded for nothing.
const SENT: usize = 64;
/// Items looked at at once for those whose files are gone.
const SCANNED: usize = 1000;

/// Which of how many workers one is. Each has the files whose ids lie in its stretch of all; ids
/// are hashes, so the parts are about equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPart {
    number: u32,
    of: u32,
}

/// Not a part.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a part is written like 2/3, the second of three, of at most 65,536; got {0:?}")]
pub struct ParsePartError(String);

impl FromStr for IndexPart {
    type Err = ParsePartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').map(|(number, of)| (number.parse(), of.parse()));
        match numbers {
            Some((Ok(number), Ok(of)))
                if (1..=65_536).contains(&of) && (1..=of).contains(&number) =>
            {
                Ok(Self { number, of })
            }
            _ => Err(ParsePartError(text.into())),
        }
    }
}

impl fmt::Display for IndexPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl IndexPart {
    /// Whether an item is this one's.
    pub fn has(self, id: ItemId) -> bool {
        let [a, b, c, d, ..] = id.to_bytes();
        let place = u64::from(u32::from_be_bytes([a, b, c, d])) * u64::from(self.of);
        place >> 32 == u64::from(self.number - 1)
    }
}

/// How to index into a shared store.
#[derive(Clone, Debug)]
pub struct SharedIndexOptions {
    /// What to take in, as for a store in a folder; `memory` and `check_content` have no
    /// meaning here.
    pub files: IndexOptions,
    /// Which part of it.
    pub part: IndexPart,
}

/// A file that is new or changed.
struct Task {
    path: PathBuf,
    seen: Seen,
}

impl SharedEngine {
    /// Brings the store up to date with folders: embeds what is new or changed, and forgets what
    /// is gone from a folder that could be read and is not empty. Files that fail are in the
    /// report, and tried again by the next run.
    ///
    /// # Errors
    /// `NotFound` for a root that is not there, `Invalid` for a wrong glob or captions file, and
    /// where store or model fail.
    pub fn index(
        &self,
        roots: &[PathBuf],
        options: &SharedIndexOptions,
        on_progress: &dyn Fn(&Progress, &Path),
        stop: &AtomicBool,
    ) -> Result<IndexReport, EngineError> {
        let roots = resolve(roots)?;
        one_line_each(&options.files.exclude)?;
        let captions = read_captions(&options.files)?;
        let begun = Instant::now();
        let clock = Clock::default();
        // There is no store in a folder whose own files would have to be left out.
        let walker = Walker::new(&roots, &roots, vec![], &options.files, Path::new(""))?;
        let listed = clock.walk.elapsed(|| walker.list());
        let report = IndexReport::default();
        let (engine, clock) = (self, &clock);
        let mut run =
            Run { engine, captions: &captions, options, clock, begun, report, on_progress, stop };
        for (path, reason) in &listed.failures {
            run.fail(path.clone(), reason.clone());
        }
        let own: Vec<_> =
            listed.files.iter().filter(|f| options.part.has(ItemId::for_path(&f.0))).collect();
        for some in own.chunks(LOOKED_UP) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let (tasks, before) = run.what_is_new(some)?;
            run.embed(tasks, &before)?;
        }
        if !stop.load(Ordering::Relaxed) {
            run.standalone_texts()?;
            run.forget_the_gone(&listed)?;
        }
        let mut report = run.report;
        report.stopped = stop.load(Ordering::Relaxed);
        report.progress.seconds = begun.elapsed().as_secs_f64();
        report.stages = clock.stages();
        Ok(report)
    }
}

struct Run<'a> {
    engine: &'a SharedEngine,
    captions: &'a Captions,
    options: &'a SharedIndexOptions,
    clock: &'a Clock,
    begun: Instant,
    report: IndexReport,
    on_progress: &'a dyn Fn(&Progress, &Path),
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// The files that are not in the store as they are now, and the items that they were. Those
    /// of which only the words changed are dealt with.
    fn what_is_new(
        &mut self,
        files: &[&(PathBuf, Seen)],
    ) -> Result<(Vec<Task>, HashMap<PathBuf, Item>), EngineError> {
        let ids: Vec<ItemId> = files.iter().map(|file| ItemId::for_path(&file.0)).collect();
        let known = self.engine.store.items(&ids)?;
        let (mut tasks, mut before) = (vec![], HashMap::new());
        let (mut reworded, mut beside) = (vec![], Beside::default());
        for ((path, seen), item) in files.iter().zip(known) {
            let mut is_same = |item: &Item| {
                let (file, facts) = (item.file.as_ref(), item.facts.as_ref());
                file.is_some_and(|f| *seen == Seen { size: f.size, mtime_ns: f.mtime_ns })
                    && facts.is_some_and(|f| {
                        f.version >= Facts::VERSION && f.beside == beside.stamp(path)
                    })
            };
            match item {
                Some(item) if is_same(&item) => {
                    let new = self.worded(item.clone(), Some(&item));
                    if new == item {
                        self.report.progress.unchanged += 1;
                        self.tell(path);
                    } else {
                        reworded.push(new);
                    }
                }
                item => {
                    tasks.push(Task { path: path.clone(), seen: *seen });
                    before.extend(item.map(|item| (path.clone(), item)));
                }
            }
        }
        let ids: Vec<ItemId> = reworded.iter().map(|item| item.id).collect();
        let vectors = self.engine.store.embeddings(&ids)?;
        let records = reworded.into_iter().zip(vectors);
        let records = records.filter_map(|(item, own)| Some(Record { item, embedding: own? }));
        self.send(records.collect())?;
        Ok((tasks, before))
    }

    /// An item with the words of the captions file, or else those that it had.
    fn worded(&self, mut item: Item, before: Option<&Item>) -> Item {
        let path = item.path.as_deref().unwrap_or(Path::new(""));
        if let Some(Words { texts, tags, labels }) = self.captions.of(path) {
            item.text = joined(texts);
            item.tags.clone_from(tags);
            item.labels.clone_from(labels);
        } else if let Some(before) = before {
            item.text.clone_from(&before.text);
            item.tags.clone_from(&before.tags);
            item.labels.clone_from(&before.labels);
        }
        item
    }

    /// Embeds files on all cores, and sends them as they are ready.
    fn embed(
        &mut self,
        tasks: Vec<Task>,
        before: &HashMap<PathBuf, Item>,
    ) -> Result<(), EngineError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let encoder = self.engine.towers.image()?;
        let workers = match self.options.files.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let queue = Mutex::new(tasks.into_iter());
        // So that whoever encodes waits for whoever sends.
        let (give, take) = mpsc::sync_channel::<Outcome>(SENT);
        let (stop, clock) = (self.stop, self.clock);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let (give, queue, encoder) = (give.clone(), &queue, &*encoder);
                scope.spawn(move || work(queue, encoder, clock, &give, stop));
            }
            drop(give);
            let mut ready = vec![];
            for outcome in take {
                match outcome {
                    Outcome::Ready { path, file, facts, embedding } => {
                        let old = before.get(&path);
                        let item = Item { facts: Some(*facts), ..Item::of_picture(path, file) };
                        ready.push(Record { item: self.worded(item, old), embedding });
                    }
                    Outcome::Failed { path, reason, .. } => self.fail(path, reason),
                    Outcome::Hopeless(error) => return Err(error),
                    // None of these comes of reading and embedding alone.
                    Outcome::Reused { .. }
                    | Outcome::Twin { .. }
                    | Outcome::Unchanged { .. }
                    | Outcome::Recaption { .. }
                    | Outcome::StillFailing { .. }
                    | Outcome::Walked { .. } => {}
                }
                if ready.len() >= SENT {
                    self.send(std::mem::take(&mut ready))?;
                }
            }
            self.send(ready)
        })
    }

    fn fail(&mut self, path: PathBuf, reason: String) {
        self.report.progress.failed += 1;
        self.tell(&path);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        self.report.failures.push(Failure { path, reason, at });
    }

    /// Stores pictures, and their captions as texts of their own, before them: a picture that is
    /// there has its captions there.
    fn send(&mut self, pictures: Vec<Record>) -> Result<(), EngineError> {
        if pictures.is_empty() {
            return Ok(());
        }
        let texts: HashSet<String> =
            pictures.iter().flat_map(|record| lines(record.item.text.as_deref())).collect();
        let items = texts.iter().map(|text| Item::of_text(text)).collect();
        self.send_texts(items, false)?;
        let clock = self.clock;
        clock.commit.elapsed(|| self.engine.store.upsert(&pictures))?;
        for record in &pictures {
            self.report.progress.indexed += 1;
            self.tell(record.item.path.as_deref().unwrap_or(Path::new("")));
        }
        Ok(())
    }

    /// Stores texts; those that are there need not be encoded again, and are only written anew
    /// if they are to `replace` what differs. Says how many were written, and how many were not.
    fn send_texts(&self, items: Vec<Item>, replace: bool) -> Result<(u64, u64), EngineError> {
        let store = &self.engine.store;
        let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
        let known = store.items(&ids)?;
        let is_due = |item: &Item, known: &Option<Item>| {
            known.as_ref().is_none_or(|known| replace && known != item)
        };
        let all = items.into_iter().zip(known);
        let due = all.filter(|(item, known)| is_due(item, known)).map(|(item, _)| item);
        let mut records = vec![];
        for item in due {
            let text = item.text.clone().unwrap_or_default();
            let embedding = self.engine.embed_text(&text)?;
            records.push(Record { item, embedding });
        }
        self.clock.commit.elapsed(|| store.upsert(&records))?;
        Ok((records.len() as u64, (ids.len() - records.len()) as u64))
    }

    fn standalone_texts(&mut self) -> Result<(), EngineError> {
        let mut items = vec![];
        for Words { texts, tags, labels } in self.captions.standalone() {
            let Some(text) = joined(texts) else { continue };
            let item = Item { tags: tags.clone(), labels: labels.clone(), ..Item::of_text(&text) };
            if self.options.part.has(item.id) {
                items.push(item);
            }
        }
        let (indexed, unchanged) = self.send_texts(items, true)?;
        self.report.progress.indexed += indexed;
        self.report.progress.unchanged += unchanged;
        self.report.progress.seen += indexed + unchanged;
        Ok(())
    }

    /// Forgets the own items below the roots whose files were not listed.
    fn forget_the_gone(&mut self, listed: &Listed) -> Result<(), EngineError> {
        let there: HashSet<ItemId> =
            listed.files.iter().map(|file| ItemId::for_path(&file.0)).collect();
        let is_unsure = |path: &Path| listed.failures.iter().any(|(at, _)| path.starts_with(at));
        let store = &self.engine.store;
        for root in &listed.whole {
            // What the server can check by itself; the rest is checked here.
            let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
            let folder = name.as_deref().and_then(Pattern::new).map(Term::Folder);
            let filter = Filter { kind: Some(Kind::Image), expr: folder.map(Expr::from) };
            let (mut after, mut gone) = (None, vec![]);
            loop {
                let items = store.scan(after, SCANNED, &filter)?;
                let Some(last) = items.last() else { break };
                after = Some(last.id);
                let is_gone = |item: &&Item| {
                    let path = item.path.as_deref();
                    path.is_some_and(|p| p.starts_with(root) && !is_unsure(p))
                        && self.options.part.has(item.id)
                        && !there.contains(&item.id)
                };
                gone.extend(items.iter().filter(is_gone).map(|item| item.id));
            }
            self.report.progress.removed += store.delete(&gone)?;
        }
        Ok(())
    }

    fn tell(&mut self, path: &Path) {
        self.report.progress.seen += 1;
        self.report.progress.seconds = self.begun.elapsed().as_secs_f64();
        (self.on_progress)(&self.report.progress, path);
    }
}

/// Takes files until there are no more.
fn work(
    queue: &Mutex<std::vec::IntoIter<Task>>,
    encoder: &dyn ImageEncoder,
    clock: &Clock,
    give: &mpsc::SyncSender<Outcome>,
    stop: &AtomicBool,
) {
    loop {
        let tasks: Vec<Task> = {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.by_ref().take(encode::BATCH).collect()
        };
        if tasks.is_empty() || stop.load(Ordering::Relaxed) {
            return;
        }
        let (mut pictures, mut outcomes) = (vec![], vec![]);
        for Task { path, seen } in tasks {
            let bytes = clock.read.elapsed(|| read_whole(&path, seen, u64::MAX));
            let picture = bytes.and_then(|bytes| {
                let content = clock.hash.busy(|| *blake3::hash(&bytes).as_bytes());
                let taken = picture(&path, seen, content, &bytes, encoder.preprocess(), clock);
                taken.map_err(|unfit| unfit.reason)
            });
            match picture {
                Ok(picture) => pictures.push(picture),
                Err(reason) => outcomes.push(Outcome::failed(path, reason)),
            }
        }
        if !pictures.is_empty() {
            outcomes.extend(clock.encode.busy(|| embed(pictures, encoder)));
        }
        for outcome in outcomes {
            // Nobody listens any more: sending failed.
            if give.send(outcome).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_divide_everything_about_equally() {
        for of in [1, 2, 3, 7] {
            let parts: Vec<IndexPart> =
                (1..=of).map(|n| format!("{n}/{of}").parse().expect("a part")).collect();
            let mut counts = vec![0; of];
            for n in 0..3000 {
                let id = ItemId::for_text(&n.to_string());
                let whose: Vec<_> = (0..of).filter(|&i| parts[i].has(id)).collect();
                assert_eq!(whose.len(), 1, "each is one's");
                counts[whose[0]] += 1;
            }
            let fair = 3000 / of;
            assert!(counts.iter().all(|&n| n > fair * 8 / 10 && n < fair * 12 / 10), "{counts:?}");
        }
        for wrong in ["", "0/3", "4/3", "1", "1/0", "-1/3", "a/b", "1/70000"] {
            assert!(wrong.parse::<IndexPart>().is_err(), "{wrong}");
        }
    }
}
