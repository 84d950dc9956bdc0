//! The engine over encoders that need no model: indexing that is stopped or
//! fails, queries of several parts, evaluation of a perfect and a constant encoder.

mod forgetting;
mod generations;
mod known;
#[cfg(feature = "milvus")]
#[path = "../../../../tests/support/milvus.rs"]
mod milvus;
mod names;
/// What needs a server; `test.sh` leaves it out by this name where none can be had.
#[cfg(feature = "milvus")]
mod on_milvus;
#[cfg(feature = "milvus")]
#[path = "../../../../tests/support/python.rs"]
mod python;
mod steering;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ekphrasis_embed::testing::ColourEncoder;
use ekphrasis_embed::{
    Embedding, EncodeError, ImageEncoder, ImageTensor, Preprocess, Space, TextEncoder,
};
use ekphrasis_engine::eval::{EvalOptions, evaluate};
use ekphrasis_engine::{
    Engine, EngineError, Fault, Filter, GivenTowers, Holder, IndexOptions, Item, Kind,
    LabelRequest, Mode, OpenFor, Part, PartQuery, SearchRequest, Serving, Source, Towers,
    WatchEvent, watch,
};
use ekphrasis_index::{Access, LocalStore, Record, StoreRead, StoreWrite};

const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [255, 0, 0]),
    ("green", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
    ("white", [255, 255, 255]),
    ("black", [0, 0, 0]),
];

fn towers() -> Arc<dyn Towers> {
    let encoder = Arc::new(ColourEncoder::default());
    Arc::new(GivenTowers::new("colours", encoder.clone(), encoder).expect("one space"))
}

fn picture(path: &Path, colour: [u8; 3]) {
    image::RgbImage::from_pixel(24, 24, image::Rgb(colour)).save(path).expect("written");
}

/// Six pictures, `1.png` for red and so on.
fn colours(folder: &Path) {
    fs_err::create_dir_all(folder).expect("created");
    for (i, (_, colour)) in COLOURS.iter().enumerate() {
        picture(&folder.join(format!("{i}.png")), *colour);
    }
}

fn open(data: &Path, towers: Arc<dyn Towers>) -> Engine {
    let holder = Holder { command: "test".into(), address: None };
    Engine::open(data, towers, OpenFor::Writing(holder)).expect("opens")
}

fn index(engine: &Engine, folder: &Path) -> ekphrasis_engine::IndexReport {
    let roots = [folder.to_path_buf()];
    let options = IndexOptions::default();
    engine.index(&roots, &options, &|_, _| {}, &AtomicBool::new(false)).expect("indexes")
}

#[test]
fn what_changed_before_watching_began_is_seen_at_once() {
    let dir = tempfile::tempdir().expect("tempdir");
    let folder = dir.path().join("pictures");
    colours(&folder);
    let engine = open(&dir.path().join("data"), towers());
    assert_eq!(index(&engine, &folder).progress.indexed, 6);
    picture(&folder.join("7.png"), [128, 0, 0]);
    fs_err::remove_file(folder.join("0.png")).expect("removed");
    let (serving, stop) = (Serving::new(engine), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (send, seen) = std::sync::mpsc::channel();
        let (serving, stop) = (&serving, &stop);
        let roots = [folder.clone()];
        scope.spawn(move || {
            let tell = |event| send.send(event).expect("someone listens");
            watch(serving, &roots, &tell, stop).expect("watched");
        });
        // The next sweep would be in ten minutes.
        let event = seen.recv_timeout(std::time::Duration::from_secs(60));
        stop.store(true, Ordering::Relaxed);
        match event {
            Ok(WatchEvent::Indexed(report)) => {
                assert_eq!((report.progress.indexed, report.progress.removed), (1, 1));
            }
            other => panic!("expected a run, got {other:?}"),
        }
    });
}

fn text(words: &str, weight: f32) -> Part {
    Part { what: PartQuery::Text(words.into()), weight }
}

fn names(engine: &Engine, parts: Vec<Part>) -> Vec<String> {
    let request = SearchRequest { mode: Mode::Vector, ..SearchRequest::new(parts) };
    let hits = engine.search(&request).expect("found").hits;
    let name = |p: &PathBuf| p.file_stem().map(|s| s.to_string_lossy().into_owned());
    hits.iter().filter_map(|hit| hit.item.path.as_ref().and_then(name)).collect()
}

#[test]
fn parts_add_up_and_push_away() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("pictures");
    colours(&folder);
    let engine = open(&dir.path().join("data"), towers());
    assert_eq!(index(&engine, &folder).progress.indexed, 6);
    for (i, (colour, rgb)) in COLOURS.iter().enumerate() {
        assert_eq!(names(&engine, vec![text(colour, 1.0)])[0], i.to_string());
        let file = dir.path().join("query.png");
        picture(&file, *rgb);
        let like = Part { what: PartQuery::Image(Source::Path(file)), weight: 1.0 };
        assert_eq!(names(&engine, vec![like])[0], i.to_string());
    }
    // White without blue is yellow; yellow without green (and white) is red.
    let yellow = vec![text("white", 1.0), text("blue", -2.0)];
    assert_eq!(names(&engine, yellow)[0], "3");
    let red = vec![text("yellow", 1.0), text("green", -1.0), text("white", -0.5)];
    assert_eq!(names(&engine, red)[0], "0");

    let cancelled = SearchRequest::new(vec![text("red", 1.0), text("red", -1.0)]);
    let error = engine.search(&cancelled).expect_err("nothing is left to look for");
    assert_eq!(error.fault(), Fault::User, "{error}");
    let labels = LabelRequest {
        multi: false,
        labels: COLOURS.map(|(name, _)| name.to_owned()).to_vec(),
        templates: vec![],
    };
    let reply = engine.label(&Source::Path(folder.join("2.png")), &labels).expect("labelled");
    assert_eq!(reply.labels[0].label, "blue");
}

#[test]
fn a_page_follows_the_one_before() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("pictures");
    colours(&folder);
    let engine = open(&dir.path().join("data"), towers());
    index(&engine, &folder);
    let all = SearchRequest::new(vec![text("red", 1.0)]);
    let all = engine.search(&all).expect("found").hits;
    let mut paged = Vec::new();
    for offset in (0..6).step_by(2) {
        let page = SearchRequest { k: 2, offset, ..SearchRequest::new(vec![text("red", 1.0)]) };
        paged.extend(engine.search(&page).expect("found").hits);
    }
    let ids = |hits: &[ekphrasis_engine::SearchHit]| {
        hits.iter().map(|h| (h.rank, h.item.id)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&all), ids(&paged));
}

#[test]
fn a_run_that_is_stopped_goes_on_where_it_was() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("pictures");
    fs_err::create_dir_all(&folder).expect("created");
    // More than may wait to be committed.
    for i in 0..400u32 {
        picture(&folder.join(format!("{i}.png")), [i as u8, (i >> 8) as u8, 7]);
    }
    let engine = open(&dir.path().join("data"), towers());
    let stop = AtomicBool::new(false);
    let after_ten = |progress: &ekphrasis_engine::Progress, _: &Path| {
        if progress.seen == 10 {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let roots = [folder.clone()];
    let options = IndexOptions { workers: 2, ..IndexOptions::default() };
    let report = engine.index(&roots, &options, &after_ten, &stop).expect("stops in good order");
    assert!(report.stopped);
    let first = report.progress.indexed;
    assert!((10..400).contains(&first), "{first}");
    assert_eq!(engine.status().expect("readable").images, first, "what it said is there");
    let report = index(&engine, &folder);
    assert_eq!((report.progress.unchanged, report.progress.indexed), (first, 400 - first));
    assert!(engine.status().expect("readable").indexing.is_none());
}

/// Pictures that were indexed before anyone looked for what their files tell.
#[test]
fn facts_are_looked_for_in_what_was_indexed_without() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (folder, data) = (dir.path().join("pictures"), dir.path().join("data"));
    fs_err::create_dir_all(&folder).expect("created");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/exif");
    for name in ["sydney_pixel.jpg", "berlin_canon.png"] {
        fs_err::copy(fixtures.join(name), folder.join(name)).expect("copied");
    }
    let engine = open(&data, towers());
    assert_eq!(index(&engine, &folder).progress.indexed, 2);
    let cameras = |engine: &Engine| engine.status().expect("readable").told.camera;
    assert_eq!(cameras(&engine), 2);
    let all = engine.items(None, 10, &Filter::default()).expect("readable");
    drop(engine);
    // As a former version left them.
    let holder = Holder { command: "test".into(), address: None };
    let store = LocalStore::open(&data, towers().space(), Access::Write(holder)).expect("opens");
    let ids: Vec<_> = all.iter().map(|item| item.id).collect();
    let embeddings = store.embeddings(&ids).expect("readable");
    let before: Vec<Record> = all
        .iter()
        .zip(embeddings)
        .map(|(item, embedding)| Record {
            item: Item { facts: None, tags: vec!["kept".into()], ..item.clone() },
            embedding: embedding.expect("there"),
        })
        .collect();
    store.upsert(&before).expect("written");
    drop(store);

    let engine = open(&data, Arc::new(Broken(towers())));
    assert_eq!(cameras(&engine), 0);
    // No picture is encoded again: the model cannot even be loaded.
    let report = index(&engine, &folder);
    assert_eq!((report.progress.indexed, report.failures.len()), (2, 0));
    assert_eq!(cameras(&engine), 2);
    let told = engine.items(None, 10, &Filter::default()).expect("readable");
    for (item, old) in told.iter().zip(&all) {
        assert_eq!(*item, Item { tags: vec!["kept".into()], ..old.clone() });
    }
    assert_eq!(index(&engine, &folder).progress.unchanged, 2, "and only once");
}

/// A model whose image tower cannot be loaded.
struct Broken(Arc<dyn Towers>);

impl Towers for Broken {
    fn name(&self) -> &str {
        "broken"
    }
    fn note(&self) -> &str {
        "has no image tower"
    }
    fn space(&self) -> &Space {
        self.0.space()
    }
    fn languages(&self) -> &[String] {
        self.0.languages()
    }
    fn image(&self) -> Result<Arc<dyn ImageEncoder>, EngineError> {
        Err(EngineError::Invalid("the tower fell".into()))
    }
    fn text(&self) -> Result<Arc<dyn TextEncoder>, EngineError> {
        self.0.text()
    }
    fn labels(&self) -> &ekphrasis_engine::LabelDefaults {
        self.0.labels()
    }
    fn vocabulary(&self) -> Result<Option<Arc<ekphrasis_engine::Vocabulary>>, EngineError> {
        Ok(None)
    }
    fn lexicon(&self) -> Result<Option<Arc<ekphrasis_engine::Lexicon>>, EngineError> {
        Ok(None)
    }
    fn confidence(&self) -> Result<Option<Arc<ekphrasis_engine::Confidence>>, EngineError> {
        Ok(None)
    }
    fn verification(&self) -> Option<&ekphrasis_engine::Verification> {
        None
    }
    fn label_sets(&self) -> Option<&ekphrasis_engine::LabelCalibration> {
        None
    }
}

#[test]
fn a_model_that_cannot_be_had_ends_the_run_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("pictures");
    colours(&folder);
    let engine = open(&dir.path().join("data"), Arc::new(Broken(towers())));
    let stop = AtomicBool::new(false);
    let roots = [folder];
    let error = engine
        .index(&roots, &IndexOptions::default(), &|_, _| {}, &stop)
        .expect_err("no tower, no index");
    assert!(error.to_string().contains("the tower fell"), "{error}");
    assert!(!stop.load(Ordering::Relaxed), "the caller's flag is the caller's");
    assert_eq!(engine.status().expect("readable").failures, 0, "no file is to blame");
}

fn pairs(dir: &Path) -> PathBuf {
    colours(&dir.join("pictures"));
    let lines: Vec<String> = COLOURS
        .iter()
        .enumerate()
        .map(|(i, (name, _))| format!("{{\"path\":\"pictures/{i}.png\",\"caption\":\"{name}\"}}"))
        .collect();
    let file = dir.join("pairs.jsonl");
    fs_err::write(&file, lines.join("\n")).expect("written");
    file
}

#[test]
fn a_perfect_encoder_has_all_recall() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = pairs(dir.path());
    let report = evaluate(&*towers(), &file, &EvalOptions::default(), &|_, _| {}).expect("runs");
    assert_eq!(report.rsum(), 600.0);
    assert_eq!((report.zero_shot.top_1, report.zero_shot.classes), (1.0, 6));
    assert_eq!(report.text_to_image.median_rank, 1);
}

/// Says the same of every text and every picture.
struct Constant(ColourEncoder);

impl ImageEncoder for Constant {
    fn space(&self) -> &Space {
        ImageEncoder::space(&self.0)
    }
    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }
    fn embed_images(&self, batch: &[ImageTensor]) -> Result<Vec<Embedding>, EncodeError> {
        batch.iter().map(|_| Ok(self.0.embed_texts(&["red"])?.swap_remove(0))).collect()
    }
}

impl TextEncoder for Constant {
    fn space(&self) -> &Space {
        TextEncoder::space(&self.0)
    }
    fn unknown_share(&self, text: &str) -> Result<f64, EncodeError> {
        self.0.unknown_share(text)
    }
    fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError> {
        batch.iter().map(|_| Ok(self.0.embed_texts(&["red"])?.swap_remove(0))).collect()
    }
}

#[test]
fn a_constant_encoder_has_none() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = pairs(dir.path());
    let encoder = Arc::new(Constant(ColourEncoder::default()));
    let towers = GivenTowers::new("constant", encoder.clone(), encoder).expect("one space");
    let report = evaluate(&towers, &file, &EvalOptions::default(), &|_, _| {}).expect("runs");
    // Six candidates: the rank of each is the last, so only recall@10 is met.
    for score in [report.text_to_image, report.image_to_text] {
        assert_eq!((score.recall_at_1, score.recall_at_5, score.median_rank), (0.0, 0.0, 6));
    }
    assert_eq!((report.zero_shot.top_1, report.zero_shot.top_5), (0.0, 0.0));
}

#[test]
fn texts_are_found_when_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = pairs(dir.path());
    let engine = open(&dir.path().join("data"), towers());
    let roots = [dir.path().join("pictures")];
    let options = IndexOptions { captions: Some(file), ..IndexOptions::default() };
    let report =
        engine.index(&roots, &options, &|_, _| {}, &AtomicBool::new(false)).expect("indexes");
    assert_eq!((report.progress.indexed, report.progress.failed), (6, 0));
    let status = engine.status().expect("readable");
    assert_eq!((status.images, status.texts), (6, 6), "each caption is an item too");
    let source = Source::Path(dir.path().join("pictures/1.png"));
    assert_eq!(engine.describe(&source, 1).expect("described")[0].text, "green");
    let request =
        SearchRequest { kind: Some(Kind::Text), ..SearchRequest::new(vec![text("black", 1.0)]) };
    let hits = engine.search(&request).expect("found").hits;
    assert_eq!(hits[0].item.text.as_deref(), Some("black"));
    assert!(hits[0].via_text && hits[0].via_vector);
}
