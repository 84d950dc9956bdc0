//! What is known is not done again: moved, copied, touched and failing files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use ekphrasis_embed::testing::ColourEncoder;
use ekphrasis_embed::{Embedding, EncodeError, ImageEncoder, ImageTensor, Preprocess, Space};
use ekphrasis_engine::{
    Engine, Filter, GivenTowers, IndexOptions, IndexReport, Item, ItemId, Kind, Part, PartQuery,
    SearchRequest, Source,
};

use crate::{COLOURS, colours, index, open, picture, towers};

/// Counts the pictures that it is given.
struct Counting {
    inner: ColourEncoder,
    pictures: Arc<AtomicUsize>,
}

impl ImageEncoder for Counting {
    fn space(&self) -> &Space {
        ImageEncoder::space(&self.inner)
    }
    fn preprocess(&self) -> &Preprocess {
        self.inner.preprocess()
    }
    fn embed_images(&self, batch: &[ImageTensor]) -> Result<Vec<Embedding>, EncodeError> {
        self.pictures.fetch_add(batch.len(), Ordering::SeqCst);
        self.inner.embed_images(batch)
    }
}

/// An engine, and how many pictures it has encoded.
fn counted(data: &Path) -> (Engine, Arc<AtomicUsize>) {
    let pictures = Arc::new(AtomicUsize::new(0));
    let image = Counting { inner: ColourEncoder::default(), pictures: Arc::clone(&pictures) };
    let text = Arc::new(ColourEncoder::default());
    let towers = GivenTowers::new("counting", Arc::new(image), text).expect("one space");
    (open(data, Arc::new(towers)), pictures)
}

fn index_with(engine: &Engine, folder: &Path, options: &IndexOptions) -> IndexReport {
    let never = AtomicBool::new(false);
    engine.index(&[folder.to_path_buf()], options, &|_, _| {}, &never).expect("indexes")
}

fn pictures(engine: &Engine) -> Vec<Item> {
    let mut items = engine.items(None, 1000, &Filter::of_kind(Kind::Image)).expect("readable");
    items.sort_by(|a, b| a.path.cmp(&b.path));
    items
}

fn later(file: &Path, seconds: u64) {
    dated(file, SystemTime::now() + Duration::from_secs(seconds));
}

fn dated(file: &Path, time: SystemTime) {
    let file = fs_err::OpenOptions::new().append(true).open(file).expect("open");
    file.file().set_modified(time).expect("set");
}

#[test]
fn what_was_moved_keeps_its_words_and_is_not_encoded_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = fs_err::canonicalize(dir.path()).expect("there").join("pictures");
    colours(&root.join("a"));
    let lines = root.parent().expect("a parent").join("pairs.jsonl");
    let line = r#"{"path":"pictures/a/0.png","caption":"a red square","tags":["warm"]}"#;
    fs_err::write(&lines, line).expect("written");
    let (engine, encoded) = counted(&dir.path().join("data"));
    let options = IndexOptions { captions: Some(lines), ..IndexOptions::default() };
    assert_eq!(index_with(&engine, &root, &options).progress.indexed, 6);
    let before = pictures(&engine);
    assert_eq!(encoded.swap(0, Ordering::SeqCst), 6);

    fs_err::rename(root.join("a"), root.join("b")).expect("moved");
    let report = index(&engine, &root);
    let p = &report.progress;
    assert_eq!((p.indexed, p.reused, p.moved, p.removed), (6, 6, 6, 6), "{p:?}");
    assert_eq!(encoded.load(Ordering::SeqCst), 0);
    let after = pictures(&engine);
    for (old, new) in before.iter().zip(&after) {
        let expected = Item { id: new.id, path: new.path.clone(), ..old.clone() };
        assert_eq!(*new, expected);
        assert!(new.path.as_ref().expect("a file").starts_with(root.join("b")));
    }
    assert_eq!(after[0].tags, ["warm"]);
    // The vectors went along: each colour finds itself, and the caption its picture.
    for (i, (name, _)) in COLOURS.iter().enumerate() {
        let part = Part { what: PartQuery::Text((*name).into()), weight: 1.0 };
        // The caption is as near as the picture.
        let mut request = SearchRequest::new(vec![part]);
        request.kind = Some(Kind::Image);
        let hits = engine.search(&request).expect("found").hits;
        assert_eq!(hits[0].item.path, Some(root.join(format!("b/{i}.png"))), "{name}");
    }
    let source = Source::Path(root.join("b/0.png"));
    assert_eq!(engine.describe(&source, 1).expect("described")[0].text, "a red square");
    assert_eq!(index(&engine, &root).progress.unchanged, 6);
}

#[test]
fn copies_are_encoded_once_whether_they_come_together_or_later() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("pictures");
    fs_err::create_dir_all(&folder).expect("created");
    picture(&folder.join("0.png"), [255, 0, 0]);
    for i in 1..40 {
        fs_err::copy(folder.join("0.png"), folder.join(format!("{i}.png"))).expect("copied");
    }
    picture(&folder.join("x.png"), [0, 255, 0]);
    let broken = fs_err::read(folder.join("0.png")).expect("read");
    for i in 0..9 {
        fs_err::write(folder.join(format!("half{i}.png")), &broken[..40]).expect("written");
    }
    let (engine, encoded) = counted(&dir.path().join("data"));
    let report = index(&engine, &folder);
    let p = &report.progress;
    assert_eq!((p.seen, p.indexed, p.reused, p.moved, p.failed), (50, 41, 39, 0, 9), "{p:?}");
    assert_eq!(encoded.load(Ordering::SeqCst), 2);
    assert!(report.failures.windows(2).all(|w| w[0].reason == w[1].reason), "{report:?}");
    fs_err::copy(folder.join("x.png"), folder.join("y.png")).expect("copied");
    let report = index(&engine, &folder);
    assert_eq!((report.progress.indexed, report.progress.reused), (1, 1));
    assert_eq!(encoded.load(Ordering::SeqCst), 2);
    let items = pictures(&engine);
    assert_eq!(items.len(), 42);
    let content = |item: &Item| item.file.as_ref().expect("a file").content;
    assert_eq!(content(&items[40]), content(&items[41]), "x and y");
    assert!(items.iter().all(|item| item.facts.is_some()));
}

#[test]
fn what_was_only_touched_is_not_encoded_and_what_hides_a_change_is_found() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("pictures");
    colours(&folder);
    let (engine, encoded) = counted(&dir.path().join("data"));
    index(&engine, &folder);
    encoded.store(0, Ordering::SeqCst);
    later(&folder.join("0.png"), 5);
    let report = index(&engine, &folder);
    assert_eq!((report.progress.indexed, report.progress.reused), (1, 1));
    assert_eq!(index(&engine, &folder).progress.unchanged, 6, "and only once");
    assert_eq!(encoded.load(Ordering::SeqCst), 0);

    // The same size and time, another colour: bitmaps are as long as their pixels.
    let file = folder.join("1.bmp");
    picture(&file, [0, 255, 0]);
    assert_eq!(index(&engine, &folder).progress.indexed, 1);
    encoded.store(0, Ordering::SeqCst);
    let meta = fs_err::metadata(&file).expect("there");
    picture(&file, [0, 0, 254]);
    assert_eq!(fs_err::metadata(&file).expect("there").len(), meta.len());
    let time = meta.modified().expect("a time");
    let open = fs_err::OpenOptions::new().append(true).open(&file).expect("open");
    open.file().set_modified(time).expect("set");
    drop(open);
    assert_eq!(index(&engine, &folder).progress.unchanged, 7, "it looks unchanged");
    let options = IndexOptions { check_content: true, ..IndexOptions::default() };
    let report = index_with(&engine, &folder, &options);
    assert_eq!((report.progress.unchanged, report.progress.indexed), (6, 1));
    assert_eq!(encoded.load(Ordering::SeqCst), 1);
}

#[test]
fn what_failed_for_what_is_in_it_is_not_read_again_until_it_changes_or_is_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = fs_err::canonicalize(dir.path()).expect("there").join("pictures");
    colours(&folder);
    let file = folder.join("broken.png");
    let whole = fs_err::read(folder.join("0.png")).expect("read");
    fs_err::write(&file, &whole[..40]).expect("written");
    let engine = open(&dir.path().join("data"), towers());
    // Just written, so perhaps not to its end: it is not judged for good.
    for _ in 0..2 {
        let p = index(&engine, &folder).progress;
        assert_eq!((p.failed, p.still_failing), (1, 0), "{p:?}");
    }
    dated(&file, SystemTime::now() - Duration::from_secs(60));
    let first = index(&engine, &folder);
    assert_eq!((first.progress.failed, first.progress.still_failing), (1, 0));
    let again = index(&engine, &folder);
    assert_eq!((again.progress.failed, again.progress.still_failing), (1, 1));
    assert_eq!(again.failures, first.failures, "the line in the ledger is the same, time and all");

    let never = AtomicBool::new(false);
    let retry = || engine.retry(&[], None, &|_, _| {}, &never).expect("tries");
    let report = retry();
    let p = &report.progress;
    assert_eq!((p.seen, p.failed, p.still_failing, p.indexed), (1, 1, 0, 0), "{p:?}");
    let elsewhere = engine.retry(&[dir.path().join("other")], None, &|_, _| {}, &never);
    assert_eq!(elsewhere.expect("tries").progress.seen, 0);

    fs_err::write(&file, &whole).expect("written");
    let report = retry();
    let p = &report.progress;
    assert_eq!((p.seen, p.failed, p.indexed, p.reused), (1, 0, 1, 1), "{p:?}");
    assert_eq!(engine.failures().expect("readable"), []);
    assert_eq!(retry().progress.seen, 0);

    // One that is gone leaves the ledger; one whose folder is gone, too, does not.
    let inner = folder.join("inner");
    fs_err::create_dir(&inner).expect("created");
    for file in [&file, &inner.join("c.png")] {
        fs_err::write(file, &whole[..50]).expect("written");
        later(file, 20);
    }
    assert_eq!(index(&engine, &folder).progress.failed, 2);
    fs_err::remove_file(&file).expect("removed");
    fs_err::rename(&inner, dir.path().join("away")).expect("moved");
    let report = retry();
    assert_eq!((report.progress.seen, report.progress.still_failing), (1, 1));
    assert_eq!(engine.failures().expect("readable").len(), 1);
}

#[test]
fn folders_of_the_system_are_left_out_unless_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("pictures");
    colours(&folder);
    for name in ["$RECYCLE.BIN", "@eaDir/0.png", "lost+found", "System Volume Information"] {
        let inner = folder.join(name);
        fs_err::create_dir_all(&inner).expect("created");
        picture(&inner.join("SYNOPHOTO_THUMB.png"), [1, 2, 3]);
    }
    let engine = open(&dir.path().join("data"), towers());
    assert_eq!(index(&engine, &folder).progress.seen, 6);
    assert_eq!(index(&engine, &folder.join("lost+found")).progress.indexed, 1);
}

#[test]
fn a_run_that_did_not_end_is_remembered_until_one_does() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = fs_err::canonicalize(dir.path()).expect("there").join("pictures");
    colours(&folder);
    let engine = open(&dir.path().join("data"), towers());
    let stop = AtomicBool::new(false);
    let at_once = |_: &ekphrasis_engine::Progress, _: &Path| stop.store(true, Ordering::Relaxed);
    let options = IndexOptions { workers: 1, ..IndexOptions::default() };
    let report =
        engine.index(std::slice::from_ref(&folder), &options, &at_once, &stop).expect("stops");
    assert!(report.stopped);
    assert_eq!(engine.status().expect("readable").unfinished, std::slice::from_ref(&folder));
    index(&engine, &folder);
    assert_eq!(engine.status().expect("readable").unfinished, [""; 0].map(Path::new));
}

/// However many there are, and however long after the walk they are read.
#[test]
fn a_folder_of_many_that_was_renamed_keeps_its_words() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = fs_err::canonicalize(dir.path()).expect("there").join("pictures");
    let old = root.join("2019");
    fs_err::create_dir_all(&old).expect("created");
    let mut captions = String::new();
    for n in 0..300u32 {
        picture(&old.join(format!("{n}.png")), [(n % 250) as u8, (n / 250) as u8 * 90, 7]);
        captions += &format!("{{\"path\":\"2019/{n}.png\",\"caption\":\"number {n}\"}}\n");
    }
    let file = root.join("captions.jsonl");
    fs_err::write(&file, captions).expect("written");
    let (engine, encoded) = counted(&dir.path().join("data"));
    let options = IndexOptions { captions: Some(file), ..IndexOptions::default() };
    assert_eq!(index_with(&engine, &root, &options).progress.indexed, 300);
    fs_err::rename(&old, root.join("old")).expect("moved");
    encoded.store(0, Ordering::SeqCst);
    let p = index(&engine, &root).progress;
    assert_eq!((p.moved, p.reused, p.removed, p.failed), (300, 300, 300, 0), "{p:?}");
    assert_eq!(encoded.load(Ordering::SeqCst), 0);
    for n in [0, 150, 299] {
        let id = ItemId::for_path(&root.join(format!("old/{n}.png")));
        let item = engine.item(id).expect("readable").expect("there");
        assert_eq!(item.text, Some(format!("number {n}")));
    }
}

/// The words are the picture's, also where it took the place of another.
#[test]
fn what_was_moved_onto_another_brings_its_words() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = fs_err::canonicalize(dir.path()).expect("there").join("pictures");
    fs_err::create_dir_all(&root).expect("created");
    picture(&root.join("a.png"), [200, 1, 1]);
    picture(&root.join("b.png"), [1, 1, 200]);
    let file = root.join("captions.jsonl");
    fs_err::write(&file, "{\"path\":\"a.png\",\"caption\":\"the red one\"}\n").expect("written");
    let engine = open(&dir.path().join("data"), towers());
    let options = IndexOptions { captions: Some(file), ..IndexOptions::default() };
    index_with(&engine, &root, &options);
    fs_err::rename(root.join("a.png"), root.join("b.png")).expect("moved");
    later(&root.join("b.png"), 20);
    let p = index(&engine, &root).progress;
    assert_eq!((p.moved, p.removed), (1, 1), "{p:?}");
    let item = engine.item(ItemId::for_path(&root.join("b.png"))).expect("readable");
    assert_eq!(item.expect("there").text.as_deref(), Some("the red one"));
}
