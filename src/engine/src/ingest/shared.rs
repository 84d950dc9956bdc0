//! Given folders and a shared store, how does one of several workers bring in its part?
//!
//! Nothing is kept but what lies in the store: which files are new is asked of it, a piece of the
//! list at a time, just before that piece is encoded. Each worker takes the pieces in an order of
//! its own, so that several which do the same work seldom meet, and what one of them leaves undone
//! the others come to. What a file becomes depends on the file alone, and one id is one row; so
//! what two encode, or one encoded and did not send before it died, is stored once.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ekphrasis_embed::ImageEncoder;
use ekphrasis_index::{
    Expr, Facts, Failure, Filter, Item, ItemId, Kind, Pattern, Record, StoreRead, StoreWrite, Term,
};
use ekphrasis_milvus::MilvusStore;

use super::captions::{Captions, Words};
use super::clock::Clock;
use super::commit::{Outcome, joined, lines};
use super::encode::{self, embed};
use super::part::IndexPart;
use super::prepare::picture;
use super::read::{Seen, read_whole};
use super::walk::{Listed, Walker};
use super::{IndexOptions, IndexReport, check_exclude, read_captions, resolve};
use crate::copy::upsert_what_can_be;
use crate::facts::Beside;
use crate::{BlobKind, BlobName, Blobs, EngineError, Fault, Progress, SharedEngine, thumbnails};

/// The most files that are looked up in the store at once.
const LOOKED_UP: usize = 500;
/// The fewest, if there are so many.
const FEWEST: usize = 16;
/// Into about how many pieces the files are divided: the more, the less is encoded twice at
/// the end, when all workers come to the same pieces.
const PIECES: usize = 64;
/// Records sent at once: what a worker that dies has encoded for nothing.
const SENT: usize = 64;
/// Items looked at at once for those whose files are gone.
const SCANNED: usize = 1000;

/// How to index into a shared store.
#[derive(Clone, Debug)]
pub struct SharedIndexOptions {
    /// What to take in, as for a store in a folder; `memory` and `check_content` have no
    /// meaning here.
    pub files: IndexOptions,
    /// Which part of it.
    pub part: IndexPart,
    /// Whether files are kept beside their thumbnails, where the engine has a place for these.
    pub keep_files: bool,
}

/// A file that is new or changed.
struct Task {
    path: PathBuf,
    seen: Seen,
}

/// What became of texts.
struct SentTexts {
    written: u64,
    unchanged: u64,
    /// Those that the store does not keep, and why.
    refused: Vec<(String, String)>,
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
        check_exclude(&options.files.exclude)?;
        let captions = read_captions(&options.files)?;
        let begun = Instant::now();
        let clock = Clock::default();
        // There is no store in a folder whose own files would have to be left out.
        let list = || -> Result<Listed, EngineError> {
            let walker = Walker::new(&roots, &roots, vec![], &options.files, Path::new(""))?;
            Ok(clock.walk.elapsed(|| walker.list()))
        };
        let listed = list()?;
        loop {
            let store = self.store()?;
            let run = Run {
                engine: self,
                store: Arc::clone(&store),
                captions: &captions,
                options,
                clock: &clock,
                begun,
                report: IndexReport::default(),
                on_progress,
                stop,
            };
            match run.over(&listed, &list) {
                Ok(Some(mut report)) => {
                    report.stopped = stop.load(Ordering::Relaxed);
                    report.progress.seconds = begun.elapsed().as_secs_f64();
                    report.stages = clock.stages();
                    return Ok(report);
                }
                Ok(None) => {}
                Err(error) if Arc::ptr_eq(&store, &self.store()?) => return Err(error),
                // The generation that was switched away is gone by now.
                Err(_) => {}
            }
        }
    }
}

struct Run<'a> {
    engine: &'a SharedEngine,
    /// The generation that served when it began.
    store: Arc<MilvusStore>,
    captions: &'a Captions,
    options: &'a SharedIndexOptions,
    clock: &'a Clock,
    begun: Instant,
    report: IndexReport,
    on_progress: &'a dyn Fn(&Progress, &Path),
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// Does all of it. `None` if another generation came to serve meanwhile: what is brought in
    /// has to be looked up there from the start.
    fn over(
        mut self,
        listed: &Listed,
        list: &dyn Fn() -> Result<Listed, EngineError>,
    ) -> Result<Option<IndexReport>, EngineError> {
        for (path, reason) in &listed.failures {
            self.fail(path.clone(), reason.clone());
        }
        let part = self.options.part;
        let own: Vec<_> =
            listed.files.iter().filter(|f| part.has(ItemId::for_path(&f.0))).collect();
        let mut pieces: Vec<_> =
            own.chunks((own.len() / PIECES).clamp(FEWEST, LOOKED_UP)).collect();
        shuffle(&mut pieces);
        for some in pieces {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if !self.still_serves()? {
                return Ok(None);
            }
            let (tasks, before) = self.what_is_new(some)?;
            self.embed(tasks, &before)?;
        }
        for texts in self.standalone_texts().chunks(SENT) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if !self.still_serves()? {
                return Ok(None);
            }
            self.send_standalone(texts)?;
        }
        if !self.stop.load(Ordering::Relaxed) {
            if !self.still_serves()? {
                return Ok(None);
            }
            self.forget_the_gone(listed, list)?;
        }
        Ok(Some(self.report))
    }

    fn still_serves(&self) -> Result<bool, EngineError> {
        Ok(Arc::ptr_eq(&self.engine.store()?, &self.store))
    }

    /// The files that are not in the store as they are now, and the items that they were. Those
    /// of which only the words changed are dealt with.
    fn what_is_new(
        &mut self,
        files: &[&(PathBuf, Seen)],
    ) -> Result<(Vec<Task>, HashMap<PathBuf, Item>), EngineError> {
        let ids: Vec<ItemId> = files.iter().map(|file| ItemId::for_path(&file.0)).collect();
        let known = self.store.items(&ids)?;
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
        let vectors = self.store.embeddings(&ids)?;
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
        let keep = self.engine.blobs.as_deref();
        let keep = keep.map(|blobs| Keep { blobs, files: self.options.keep_files });
        let queue = Mutex::new(tasks.into_iter());
        // So that whoever encodes waits for whoever sends.
        let (give, take) = mpsc::sync_channel::<Outcome>(SENT);
        let (stop, clock) = (self.stop, self.clock);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let (give, queue, encoder) = (give.clone(), &queue, &*encoder);
                scope.spawn(move || work(queue, encoder, keep, clock, &give, stop));
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
        // A text that the store does not keep is one of a picture that it does not keep.
        self.send_texts(items, false)?;
        let clock = self.clock;
        let store = Arc::clone(&self.store);
        let refused = clock.commit.elapsed(|| upsert_what_can_be(&*store, &pictures))?;
        for record in pictures {
            let path = record.item.path.unwrap_or_default();
            match refused.iter().find(|(id, _)| *id == record.item.id) {
                Some((_, what)) => self.fail(path, format!("not supported by this store: {what}")),
                None => {
                    self.report.progress.indexed += 1;
                    self.tell(&path);
                }
            }
        }
        Ok(())
    }

    /// Stores texts; those that are there need not be encoded again, and are only written anew
    /// if they are to `replace` what differs.
    fn send_texts(&self, items: Vec<Item>, replace: bool) -> Result<SentTexts, EngineError> {
        let store = &*self.store;
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
        let refused = self.clock.commit.elapsed(|| upsert_what_can_be(store, &records))?;
        let text_of = |id| records.iter().find(|r| r.item.id == id)?.item.text.clone();
        let named = |(id, what)| (text_of(id).unwrap_or_default(), what);
        Ok(SentTexts {
            written: (records.len() - refused.len()) as u64,
            unchanged: (ids.len() - records.len()) as u64,
            refused: refused.into_iter().map(named).collect(),
        })
    }

    /// The own texts of the captions file that are of no picture.
    fn standalone_texts(&self) -> Vec<Item> {
        let mut items = vec![];
        for Words { texts, tags, labels } in self.captions.standalone() {
            let Some(text) = joined(texts) else { continue };
            let item = Item { tags: tags.clone(), labels: labels.clone(), ..Item::of_text(&text) };
            if self.options.part.has(item.id) {
                items.push(item);
            }
        }
        items
    }

    fn send_standalone(&mut self, items: &[Item]) -> Result<(), EngineError> {
        let captions = self.options.files.captions.clone().unwrap_or_default();
        let sent = self.send_texts(items.to_vec(), true)?;
        self.report.progress.indexed += sent.written;
        self.report.progress.unchanged += sent.unchanged;
        self.report.progress.seen += sent.written + sent.unchanged;
        for (text, what) in sent.refused {
            let begins: String = text.chars().take(60).collect();
            let reason = format!(
                "not supported by this store: {what} (the text that begins with {begins:?})"
            );
            self.fail(captions.clone(), reason);
        }
        self.report.progress.seconds = self.begun.elapsed().as_secs_f64();
        (self.on_progress)(&self.report.progress, &captions);
        Ok(())
    }

    /// Forgets the own items below the roots whose files are gone. Another worker may have
    /// brought in a file that was not there when this one listed them; so whoever is not listed
    /// is looked for once more, now that it is known to be in the store.
    fn forget_the_gone(
        &mut self,
        listed: &Listed,
        list: &dyn Fn() -> Result<Listed, EngineError>,
    ) -> Result<(), EngineError> {
        let missing = self.not_listed(&There::new(listed))?;
        if missing.is_empty() {
            return Ok(());
        }
        let again = list()?;
        let there = There::new(&again);
        let gone = missing.into_iter().filter(|(_, path)| there.lacks(path));
        let gone: Vec<ItemId> = gone.map(|(id, _)| id).collect();
        self.report.progress.removed += self.store.delete(&gone)?;
        Ok(())
    }

    /// The own items of the store whose files are not there.
    fn not_listed(&self, there: &There<'_>) -> Result<Vec<(ItemId, PathBuf)>, EngineError> {
        let mut missing = vec![];
        for root in &there.listed.whole {
            // What the server can check by itself; the rest is checked here.
            let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
            let folder = name.as_deref().and_then(Pattern::new).map(Term::Folder);
            let filter = Filter { kind: Some(Kind::Image), expr: folder.map(Expr::from) };
            let mut after = None;
            loop {
                let items = self.store.scan(after, SCANNED, &filter)?;
                let Some(last) = items.last() else { break };
                after = Some(last.id);
                let own = items.into_iter().filter(|item| self.options.part.has(item.id));
                let paths = own.filter_map(|item| Some((item.id, item.path?)));
                missing
                    .extend(paths.filter(|(_, path)| path.starts_with(root) && there.lacks(path)));
            }
        }
        Ok(missing)
    }

    fn tell(&mut self, path: &Path) {
        self.report.progress.seen += 1;
        self.report.progress.seconds = self.begun.elapsed().as_secs_f64();
        (self.on_progress)(&self.report.progress, path);
    }
}

/// What a walk found, to be asked for single files.
struct There<'a> {
    listed: &'a Listed,
    files: HashSet<&'a Path>,
}

impl<'a> There<'a> {
    fn new(listed: &'a Listed) -> Self {
        Self { listed, files: listed.files.iter().map(|file| file.0.as_path()).collect() }
    }

    /// Whether a file is known not to be there: the walk could have met it, and did not.
    fn lacks(&self, path: &Path) -> bool {
        self.listed.whole.iter().any(|root| path.starts_with(root))
            && !self.listed.failures.iter().any(|(at, _)| path.starts_with(at))
            && !self.files.contains(path)
    }
}

/// Another order in each process.
fn shuffle<T>(list: &mut [T]) {
    let random = RandomState::new();
    for at in (1..list.len()).rev() {
        let other = random.hash_one(at) % (at as u64 + 1);
        list.swap(at, other as usize);
    }
}

/// Where thumbnails go, and whether files go there too.
#[derive(Clone, Copy)]
struct Keep<'a> {
    blobs: &'a dyn Blobs,
    files: bool,
}

impl Keep<'_> {
    /// Keeps what is to be kept of a picture, before the store knows of it: whoever finds it can
    /// then be shown it.
    fn take(self, path: &Path, content: [u8; 32], bytes: &[u8]) -> Result<(), EngineError> {
        let name = |kind| BlobName { kind, content };
        let thumbnail = name(BlobKind::Thumbnail);
        if !self.blobs.has(&thumbnail)? {
            self.blobs.put(&thumbnail, &thumbnails::of_bytes(path, bytes)?)?;
        }
        if self.files {
            self.blobs.put(&name(BlobKind::File), bytes)?;
        }
        Ok(())
    }
}

/// Takes files until there are no more.
fn work(
    queue: &Mutex<std::vec::IntoIter<Task>>,
    encoder: &dyn ImageEncoder,
    keep: Option<Keep<'_>>,
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
                let taken = taken.map_err(|unfit| unfit.reason)?;
                Ok(keep.map_or(Ok(()), |keep| keep.take(&path, content, &bytes)).map(|()| taken))
            });
            match picture {
                Ok(Ok(picture)) => pictures.push(picture),
                Ok(Err(error)) if error.fault() == Fault::User => {
                    outcomes.push(Outcome::failed(path, error.to_string()));
                }
                // A place that takes nothing more is no fault of the picture.
                Ok(Err(error)) => outcomes.push(Outcome::Hopeless(error)),
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
