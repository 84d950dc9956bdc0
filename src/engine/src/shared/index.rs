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
use std::time::Instant;

use ekphrasis_embed::{Embedding, ImageEncoder, ImageTensor};
use ekphrasis_index::{Expr, Facts, FileFacts, Filter, Item, ItemId, Kind, Pattern, Record, Term};
use ekphrasis_models::decode_scaled;

use super::SharedEngine;
use crate::facts::{self, Beside};
use crate::ingest::{Captions, IndexOptions, IndexReport, Listed, list_pictures, read_captions};
use crate::{EngineError, Progress};

/// Files that are looked up in the store at once.
const LOOKED_UP: usize = 500;
/// Pictures embedded at once.
const TOGETHER: usize = 4;
/// Records sent at once: what a worker that dies has encoded for nothing.
const SENT: usize = 64;
/// Items looked at at once for those whose files are gone.
const SCANNED: usize = 1000;

/// Which of how many workers one is. Each has the files whose ids lie in its stretch of all; ids
/// are hashes, so the parts are about equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    number: u32,
    of: u32,
}

/// Everything.
impl Default for Part {
    fn default() -> Self {
        Self { number: 1, of: 1 }
    }
}

/// Not a part.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a part is written like 2/3, the second of three, of at most 65,536; got {0:?}")]
pub struct ParsePartError(String);

impl FromStr for Part {
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

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Part {
    /// Whether an item is this one's.
    pub fn has(self, id: ItemId) -> bool {
        let [a, b, c, d, ..] = id.to_bytes();
        let place = u64::from(u32::from_be_bytes([a, b, c, d])) * u64::from(self.of);
        place >> 32 == u64::from(self.number - 1)
    }
}

/// How to index into a shared store.
#[derive(Clone, Debug, Default)]
pub struct SharedIndexOptions {
    /// What to take in, as for a store in a folder; `memory` and `check_content` have no
    /// meaning here.
    pub files: IndexOptions,
    /// Which part of it.
    pub part: Part,
}

/// A picture on its way.
struct Prepared {
    path: PathBuf,
    file: FileFacts,
    facts: Facts,
    tensor: ImageTensor,
}

/// What became of a file.
type Outcome = Result<(Item, Embedding), (PathBuf, String)>;

/// A file that is new or changed, and what was known of it.
struct Task {
    path: PathBuf,
    size: u64,
    mtime_ns: i64,
    before: Option<Item>,
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
        let begun = Instant::now();
        let captions = read_captions(&options.files)?;
        let listed = list_pictures(roots, &options.files)?;
        let mut run = Run {
            engine: self,
            captions: &captions,
            options,
            begun,
            report: IndexReport { failures: listed.failures.clone(), ..IndexReport::default() },
            on_progress,
            stop,
        };
        run.report.progress.failed = listed.failures.len() as u64;
        let own: Vec<&(PathBuf, u64, i64)> =
            listed.files.iter().filter(|f| options.part.has(ItemId::for_path(&f.0))).collect();
        for some in own.chunks(LOOKED_UP) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let tasks = run.what_is_new(some)?;
            run.embed(tasks)?;
        }
        if !stop.load(Ordering::Relaxed) {
            run.standalone_texts()?;
            run.forget_the_gone(&listed)?;
        }
        run.report.stopped = stop.load(Ordering::Relaxed);
        run.report.progress.seconds = begun.elapsed().as_secs_f64();
        Ok(run.report)
    }
}

struct Run<'a> {
    engine: &'a SharedEngine,
    captions: &'a Captions,
    options: &'a SharedIndexOptions,
    begun: Instant,
    report: IndexReport,
    on_progress: &'a dyn Fn(&Progress, &Path),
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// The files that are not in the store as they are now. Those of which only the words
    /// changed are dealt with.
    fn what_is_new(&mut self, files: &[&(PathBuf, u64, i64)]) -> Result<Vec<Task>, EngineError> {
        let ids: Vec<ItemId> = files.iter().map(|file| ItemId::for_path(&file.0)).collect();
        let known = self.engine.store.items(&ids)?;
        let (mut tasks, mut reworded, mut beside) = (vec![], vec![], Beside::default());
        for ((path, size, mtime_ns), before) in files.iter().zip(known) {
            let same = before.as_ref().is_some_and(|item| {
                let file = item.file.as_ref();
                let facts = item.facts.as_ref();
                file.is_some_and(|f| (f.size, f.mtime_ns) == (*size, *mtime_ns))
                    && facts.is_some_and(|f| f.version >= Facts::VERSION)
                    && facts.and_then(|f| f.beside) == beside.stamp(path)
            });
            match before {
                Some(item) if same => {
                    let new = self.worded(path, item.clone(), Some(&item));
                    if new == item {
                        self.report.progress.unchanged += 1;
                        self.tell(path);
                    } else {
                        reworded.push(new);
                    }
                }
                before => tasks.push(Task {
                    path: path.clone(),
                    size: *size,
                    mtime_ns: *mtime_ns,
                    before,
                }),
            }
        }
        let ids: Vec<ItemId> = reworded.iter().map(|item| item.id).collect();
        let vectors = self.engine.store.embeddings(&ids)?;
        let records = reworded.into_iter().zip(vectors);
        let records = records.filter_map(|(item, own)| Some(Record { item, embedding: own? }));
        self.send(records.collect())?;
        Ok(tasks)
    }

    /// An item with the words of the captions file, or else those that it had.
    fn worded(&self, path: &Path, mut item: Item, before: Option<&Item>) -> Item {
        match (self.captions.words_of(path), before) {
            (Some((texts, tags, labels)), _) => {
                let lines: Vec<String> =
                    texts.iter().map(|text| text.replace(['\n', '\r'], " ")).collect();
                item.text = (!lines.is_empty()).then(|| lines.join("\n"));
                item.tags = tags.to_vec();
                item.labels = labels.to_vec();
            }
            (None, Some(before)) => {
                item.text.clone_from(&before.text);
                item.tags.clone_from(&before.tags);
                item.labels.clone_from(&before.labels);
            }
            (None, None) => {}
        }
        item
    }

    /// Embeds files on all cores, and sends them as they are ready.
    fn embed(&mut self, tasks: Vec<Task>) -> Result<(), EngineError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let encoder = self.engine.towers.image()?;
        let workers = match self.options.files.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let before: HashMap<PathBuf, Item> =
            tasks.iter().filter_map(|t| Some((t.path.clone(), t.before.clone()?))).collect();
        let queue = Mutex::new(tasks.into_iter());
        // So that whoever encodes waits for whoever sends.
        let (give, take) = mpsc::sync_channel::<Outcome>(SENT);
        let stop = self.stop;
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let (give, queue, encoder) = (give.clone(), &queue, &*encoder);
                scope.spawn(move || work(queue, encoder, &give, stop));
            }
            drop(give);
            let mut ready = vec![];
            for outcome in take {
                match outcome {
                    Ok((item, embedding)) => {
                        let path = item.path.clone().unwrap_or_default();
                        let item = self.worded(&path, item, before.get(&path));
                        ready.push(Record { item, embedding });
                    }
                    Err((path, reason)) => self.fail(path, reason),
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
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let at = at.map_or(0, |since| since.as_secs() as i64);
        self.report.failures.push(ekphrasis_index::Failure { path, reason, at });
    }

    /// Stores pictures, and their captions as texts of their own, before them: a picture that is
    /// there has its captions there.
    fn send(&mut self, pictures: Vec<Record>) -> Result<(), EngineError> {
        if pictures.is_empty() {
            return Ok(());
        }
        let lines = pictures.iter().filter_map(|record| record.item.text.as_deref());
        let texts: HashSet<&str> = lines.flat_map(str::lines).filter(|l| !l.is_empty()).collect();
        let items = texts.into_iter().map(Item::of_text).collect();
        self.send_texts(items, false)?;
        self.engine.store.upsert(&pictures)?;
        for record in &pictures {
            self.report.progress.indexed += 1;
            self.tell(record.item.path.as_deref().unwrap_or(Path::new("")));
        }
        Ok(())
    }

    /// Stores texts; those that are there need not be encoded again, and are only written anew
    /// if they are to `replace` what differs.
    fn send_texts(&self, items: Vec<Item>, replace: bool) -> Result<(u64, u64), EngineError> {
        let store = &self.engine.store;
        let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
        let known = store.items(&ids)?;
        let fresh: Vec<Item> = items
            .into_iter()
            .zip(known)
            .filter(|(item, known)| known.as_ref().is_none_or(|k| replace && k != item))
            .map(|(item, _)| item)
            .collect();
        let unchanged = (ids.len() - fresh.len()) as u64;
        let mut records = vec![];
        for item in fresh {
            let text = item.text.clone().unwrap_or_default();
            let embedding = self.engine.embed_text(&text)?;
            records.push(Record { item, embedding });
        }
        store.upsert(&records)?;
        Ok((records.len() as u64, unchanged))
    }

    fn standalone_texts(&mut self) -> Result<(), EngineError> {
        let mut items = vec![];
        for (texts, tags, labels) in self.captions.texts_alone() {
            let joined = texts.join(" ").replace(['\n', '\r'], " ");
            let item =
                Item { tags: tags.to_vec(), labels: labels.to_vec(), ..Item::of_text(&joined) };
            if !joined.trim().is_empty() && self.options.part.has(item.id) {
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
        let store = &self.engine.store;
        for root in &listed.complete {
            // What the server can check by itself; the rest is checked here.
            let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
            let folder = name.as_deref().and_then(Pattern::new).map(Term::Folder);
            let filter = Filter { kind: Some(Kind::Image), expr: folder.map(Expr::from) };
            let (mut after, mut gone) = (None, vec![]);
            loop {
                let items = store.scan(after, SCANNED, &filter)?;
                let Some(last) = items.last() else { break };
                after = Some(last.id);
                let below = |item: &Item| {
                    let path = item.path.as_deref();
                    path.is_some_and(|p| {
                        p.starts_with(root) && !listed.unsure.iter().any(|u| p.starts_with(u))
                    })
                };
                let own = items.iter().filter(|i| self.options.part.has(i.id) && below(i));
                gone.extend(own.map(|item| item.id).filter(|id| !there.contains(id)));
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
    give: &mpsc::SyncSender<Outcome>,
    stop: &AtomicBool,
) {
    loop {
        let tasks: Vec<Task> = {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.by_ref().take(TOGETHER).collect()
        };
        if tasks.is_empty() || stop.load(Ordering::Relaxed) {
            return;
        }
        let mut pictures = vec![];
        for task in tasks {
            match prepare(&task, encoder) {
                Ok(picture) => pictures.push(picture),
                Err(reason) => {
                    if give.send(Err((task.path, reason))).is_err() {
                        return;
                    }
                }
            }
        }
        for outcome in encode(pictures, encoder) {
            // Nobody listens any more: sending failed.
            if give.send(outcome).is_err() {
                return;
            }
        }
    }
}

fn prepare(task: &Task, encoder: &dyn ImageEncoder) -> Result<Prepared, String> {
    let preprocess = encoder.preprocess();
    let bytes = fs_err::read(&task.path).map_err(|e| e.to_string())?;
    let spare = |width, height| preprocess.spare(width, height).min(facts::spare(width, height));
    let decoded = decode_scaled(&bytes, spare).map_err(|e| e.to_string())?;
    let (width, height) = (decoded.view.width, decoded.view.height);
    let format = decoded.format.to_ascii_lowercase();
    let tensor = preprocess.tensor_of(&decoded.pixels, &decoded.view).map_err(|e| e.to_string())?;
    let looks = facts::Seen::of(&decoded.pixels);
    drop(decoded);
    let file = FileFacts {
        size: task.size,
        mtime_ns: task.mtime_ns,
        content: *blake3::hash(&bytes).as_bytes(),
        width,
        height,
        format,
    };
    let facts = facts::of_bytes(&task.path, &bytes, looks);
    Ok(Prepared { path: task.path.clone(), file, facts, tensor })
}

fn encode(pictures: Vec<Prepared>, encoder: &dyn ImageEncoder) -> Vec<Outcome> {
    let (mut items, mut tensors) = (vec![], vec![]);
    for Prepared { path, file, facts, tensor } in pictures {
        items.push(Item { facts: Some(facts), ..Item::of_picture(path, file) });
        tensors.push(tensor);
    }
    if let Ok(all) = encoder.embed_images(&tensors)
        && all.len() == items.len()
    {
        return items.into_iter().zip(all).map(Ok).collect();
    }
    // If they fail together, one may be to blame and the others are not.
    let alone = |(item, tensor): (Item, &ImageTensor)| {
        let path = item.path.clone().unwrap_or_default();
        match encoder.embed_images(std::slice::from_ref(tensor)).map(|mut one| one.pop()) {
            Ok(Some(embedding)) => Ok((item, embedding)),
            Ok(None) => Err((path, "the model gave no vector for it".to_owned())),
            Err(error) => Err((path, error.to_string())),
        }
    };
    items.into_iter().zip(&tensors).map(alone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_divide_everything_about_equally() {
        for of in [1, 2, 3, 7] {
            let parts: Vec<Part> =
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
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
