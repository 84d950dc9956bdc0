//! Every recipe that ships, and the whole way from pictures to a model that loads.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ekphrasis_metric::select::Selection;
use ekphrasis_models::{Model, Runtime, RuntimeSearch};
use ekphrasis_train::config::{Config, FINETUNE, ImageSide, StartKind};
use ekphrasis_train::data::Example;
use ekphrasis_train::job::{Done, Job, JobError, Stage, Target, Told, ablation, train};
use ekphrasis_train::run::{Event, Outcome};

use crate::export::support::foreign_with;

fn runtime() -> Runtime {
    Runtime::load(&RuntimeSearch {
        flag: None,
        env: None,
        cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("ort-cache"),
        fetch: true,
        log: &|_| {},
    })
    .expect("ONNX Runtime, fetched through pip or npm if need be")
}

/// Shapes in colours on plain ground: three pictures of each of twenty.
fn shapes(dir: &Path) -> Vec<Example> {
    let colours = [
        ("red", [220, 30, 30]),
        ("green", [30, 160, 50]),
        ("blue", [40, 60, 220]),
        ("yellow", [230, 210, 40]),
        ("black", [20, 20, 20]),
    ];
    let kinds = ["circle", "square", "triangle", "cross"];
    let mut examples = Vec::new();
    for (name, colour) in colours {
        for kind in kinds {
            for copy in 0..3i32 {
                let (cx, cy, r) = (30 + 3 * copy, 33 - 4 * copy, 14 + 3 * copy);
                let inside = |x: i32, y: i32| {
                    let (dx, dy) = (x - cx, y - cy);
                    match kind {
                        "circle" => dx * dx + dy * dy < r * r,
                        "square" => dx.abs() < r && dy.abs() < r,
                        "triangle" => dy.abs() < r && 2 * dx.abs() < dy + r,
                        _ => dx.abs().min(dy.abs()) < r / 3 && dx.abs().max(dy.abs()) < r,
                    }
                };
                let picture = image::RgbImage::from_fn(64, 64, |x, y| {
                    image::Rgb(if inside(x as i32, y as i32) { colour } else { [250, 250, 250] })
                });
                let path = dir.join(format!("{name}-{kind}-{copy}.png"));
                picture.save(&path).expect("a folder that can be written");
                examples.push(Example {
                    path,
                    captions: vec![format!("a {name} {kind}")],
                    tags: vec![name.into(), kind.into()],
                    group: Some(format!("{name} {kind}")),
                    class: Some(kind.into()),
                    ..Example::default()
                });
            }
        }
    }
    examples
}

pub(super) struct Place {
    dir: tempfile::TempDir,
    base: PathBuf,
    pub(super) examples: Vec<Example>,
    pub(super) runtime: Runtime,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let examples = shapes(dir.path());
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lite");
        Self { dir, base, examples, runtime: runtime() }
    }

    pub(super) fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn job(&self, config: Config) -> Job<'_> {
        Job {
            examples: self.examples.clone(),
            config,
            base: Model::open(&self.base).expect("the shipped model"),
            runtime: &self.runtime,
            // One process at a time has a cache open, and tests run side by side.
            cache: self.out("cache"),
            threads: 2,
        }
    }

    pub(super) fn train(
        &self,
        config: Config,
        name: &str,
        resume: bool,
        stop_at: u64,
    ) -> Result<Done, JobError> {
        let job = self.job(config);
        let stop = AtomicBool::new(false);
        let out = self.out(name);
        train(&job, Target { name, out: &out, resume }, &stop, &mut |told| {
            if let Told::Training(Event::Step { step, .. }) = told
                && step == stop_at
            {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        })
    }
}

/// The recipe, cut down to what a test has time for.
pub(super) fn short(text: &str) -> Config {
    let mut config = Config::read(text).unwrap_or_else(|e| panic!("{e}"));
    config.training.epochs = 2;
    config.data.augment.views = config.data.augment.views.min(1);
    config.data.batch = config.data.batch.min(24);
    config
}

fn recipes() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut found: Vec<(String, String)> = fs_err::read_dir(&dir)
        .expect("recipes")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs_err::read_to_string(&path).expect("readable"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn every_recipe_is_read_and_written_back() {
    let recipes = recipes();
    assert!(recipes.len() >= 13, "{recipes:?}");
    for (name, text) in recipes {
        let config = Config::read(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = Config::read(&config.write()).unwrap_or_else(|e| panic!("{name} again: {e}"));
        assert_eq!(config, again, "{name}");
    }
}

#[test]
fn every_recipe_trains_and_publishes_a_model() {
    let place = Place::new();
    for (name, text) in recipes() {
        let config = short(&text);
        // Asks for outputs that only the base made for it has.
        if config.start.kind != StartKind::None {
            continue;
        }
        let done =
            place.train(config, &name, false, u64::MAX).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(done.history.len(), 3, "{name}: before, and two epochs");
        assert!(done.history[1..].iter().all(|r| r.loss.is_some_and(f64::is_finite)), "{name}");
        let published = done.published.unwrap_or_else(|| panic!("{name}: no model"));
        let model = Model::open(&place.out(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let texts = model.text_encoder(&place.runtime, 1).unwrap_or_else(|e| panic!("{name}: {e}"));
        let got = texts.embed_texts(&["a red circle"]).expect("an embedding");
        assert_eq!(got[0].values().len(), published.model.space().dim(), "{name}");
        let images =
            model.image_encoder(&place.runtime, 1).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(images.space(), texts.space(), "{name}");
    }
}

#[test]
fn fine_tuning_finds_what_was_held_out() {
    let place = Place::new();
    let mut config = Config::read(FINETUNE).expect("the built-in recipe");
    config.training.epochs = 12;
    config.data.augment.views = 1;
    let done = place.train(config, "tuned", false, u64::MAX).expect("trained");
    let (before, after) = (done.before.expect("held out"), done.after.expect("held out"));
    assert!(after.rsum() > before.rsum(), "{} before, {} after", before.rsum(), after.rsum());
}

#[test]
fn a_run_that_was_stopped_publishes_the_same_model() {
    let place = Place::new();
    let whole = place.train(short(FINETUNE), "whole", false, u64::MAX).expect("trained");
    let stopped = place.train(short(FINETUNE), "parts", false, 3).expect("stopped");
    assert_eq!((stopped.outcome, stopped.published.is_none()), (Outcome::Stopped, true));
    let resumed = place.train(short(FINETUNE), "parts", true, u64::MAX).expect("trained");
    let weights = |done: &Done| done.history.iter().map(|r| r.loss).collect::<Vec<_>>();
    assert_eq!(weights(&whole), weights(&resumed));
    let bytes =
        |name: &str| fs_err::read(place.out(name).join("vocabulary.i8")).expect("published");
    assert!(bytes("whole") == bytes("parts"), "the same text side to the bit");
}

#[test]
fn wrong_recipes_say_what_would_be_right() {
    let says = |text: &str, parts: &[&str]| {
        let error = Config::read(text).expect_err(text).to_string();
        for part in parts {
            assert!(error.contains(part), "{text}: {error:?} lacks {part:?}");
        }
    };
    says("[data]\nbatches = \"all\"", &["batches", "shuffled", "by-group", "by-class"]);
    says("[training]\nepoch = 3", &["epoch", "epochs", "patience"]);
    says("[loss]\nkind = \"hinge\"", &["hinge", "triplet", "smooth-max", "info-nce"]);
    says("[loss]\nkind = \"triplet\"\nmargins = 1", &["margins", "margin"]);
    says("[data]\nbatch = 1", &["data.batch", "at least 2", "1"]);
    says("[optimiser]\nrate = nan", &["optimiser.rate", "NaN"]);
    says("[text]\nkind = \"none\"\n[sides]\ntext-to-image = 1.0", &["text.kind", "[sides]"]);
    says("[image]\nkind = \"frozen\"\n[text]\nkind = \"frozen\"", &["image.kind", "train"]);
    says("[image]\nkind = \"cnn\"\n[training]\nchunk = 8", &["training.chunk", "vit"]);
    says("[image]\nkind = \"vit\"\nheads = 5", &["image.heads", "divides"]);
    says("[selection]\nnegatives = \"hard\"", &["selection"]);
    // What the published model's own file would be refused for, hours later.
    says("[publish]\nsummary = \" \"", &["publish.summary", "some text"]);
    says("[publish]\nlicense = \"\"", &["publish.license", "some text"]);
    says("[publish]\nlogit-scale = 2000", &["publish.logit-scale", "1000", "2000"]);
    says("[publish]\nlogit-scale = -1", &["publish.logit-scale", "-1"]);
    says("[publish]\nlogit-scale = nan", &["publish.logit-scale", "NaN"]);
    // What would do nothing, or another thing than is written.
    let soft = |t: &str| format!("[loss]\nkind = \"triplet\"\ntemperature = {t}");
    says(&soft("-0.1"), &["loss.temperature", "-0.1"]);
    says(&soft("nan"), &["loss.temperature", "NaN"]);
    for kind in ["cnn", "vit"] {
        let text = format!("[image]\nkind = \"{kind}\"\ndim = 384\n[data.words]\npseudo = 0.2");
        says(&text, &["data.words.pseudo", "base"]);
    }
    says("[text]\nkind = \"none\"\n[data.words]\npseudo = 0.2", &["data.words.pseudo", "text"]);
    says("[text]\nkind = \"none\"\n[classifier]\ntexts = 1.0", &["classifier.texts", "text"]);
}

#[test]
fn the_number_of_negatives_falls_from_the_start_if_there_is_no_warm_up() {
    let text = "[loss]\nkind = \"triplet\"\n[selection]\nnegatives = \"hard\"\nuntil = 0.8";
    let config = Config::read(text).expect("a recipe");
    let curriculum = config.objective(2).curriculum.expect("a curriculum");
    let at = |progress| curriculum.at(progress, Selection::Hard, 511);
    assert_eq!(at(0.0), Selection::KHardest(511));
    assert_eq!(at(0.4), Selection::KHardest(23), "half the way, by equal factors: √511");
    assert_eq!(at(0.8), Selection::Hard);
    let text = text.replace("until = 0.8", "");
    assert_eq!(Config::read(&text).expect("a recipe").objective(2).curriculum, None);
}

#[test]
fn embedding_is_what_the_base_names_so_in_features_too() {
    let lite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lite");
    let base = Model::open(&lite).expect("the shipped model");
    let output = base.manifest().image().output.clone();
    assert_ne!(output, "embedding", "a trained model has it under another name");
    for kind in ["mlp", "linear"] {
        let text = format!("[image]\nkind = \"{kind}\"\nfeatures = [\"pooled\", \"embedding\"]");
        let mut config = Config::read(&text).expect("a recipe");
        config.on(base.manifest());
        let (ImageSide::Mlp { base, features, .. } | ImageSide::Linear { base, features, .. }) =
            &config.image
        else {
            panic!("{kind}")
        };
        assert_eq!((base, features), (&output, &vec!["pooled".to_owned(), output.clone()]));
    }
}

#[test]
fn what_cannot_be_trained_on_is_refused_and_leaves_nothing() {
    let mut place = Place::new();
    place.examples.truncate(1);
    let error = place.train(short(FINETUNE), "one", false, u64::MAX).expect_err("one picture");
    assert!(error.is_usage(), "{error}");
    assert!(!place.out("one").exists() && !place.out("one.run").exists());
    let mut place = Place::new();
    let mut config = short(FINETUNE);
    let wrong = config.write().replace("\"pooled\"", "\"pool\"");
    config = Config::read(&wrong).expect("a recipe");
    let error = place.train(config, "wrong", false, u64::MAX).expect_err("no such output");
    assert!(error.to_string().contains("pool"), "{error}");
    place.examples.iter_mut().for_each(|e| e.path = place.dir.path().join("gone.png"));
    let error = place.train(short(FINETUNE), "gone", false, u64::MAX).expect_err("no pictures");
    assert!(matches!(error, JobError::Pairs(_)) && error.is_usage(), "{error}");
}

#[test]
fn a_folder_that_was_there_before_a_run_stays_when_the_run_does_not_begin() {
    let mut place = Place::new();
    place.examples.truncate(1);
    let (own, empty) = (place.out("own.run"), place.out("empty.run"));
    fs_err::create_dir(&own).expect("a folder");
    fs_err::create_dir(&empty).expect("a folder");
    fs_err::write(own.join("thesis.txt"), "years").expect("written");
    for name in ["own", "empty", "new"] {
        place.train(short(FINETUNE), name, false, u64::MAX).expect_err("one picture");
    }
    assert_eq!(fs_err::read_to_string(own.join("thesis.txt")).expect("still there"), "years");
    for folder in [&own, &empty] {
        assert!(folder.exists() && !folder.join("config.toml").exists(), "nothing of the run");
    }
    assert!(!place.out("new.run").exists());
}

#[test]
fn an_ablation_looks_at_the_pictures_once_for_all_seeds() {
    let place = Place::new();
    let job = place.job(short(FINETUNE));
    let (mut looked, mut splits) = (0, Vec::new());
    let stop = AtomicBool::new(false);
    let rows = ablation(
        &job,
        &[1, 2, 3],
        &stop,
        &mut |stage| match stage {
            Stage::Looking(_) => looked += 1,
            Stage::Split { train, validation, .. } => splits.push((train, validation)),
            _ => {}
        },
        // The start is enough for a test.
        &mut |_| stop.store(true, std::sync::atomic::Ordering::Relaxed),
    )
    .expect("rows");
    assert_eq!((looked, splits.len()), (1, 1), "the same pictures, split and features");
    assert_eq!((rows.len(), rows[0].scores.len()), (1, 3), "one score a seed");
}

#[test]
fn an_ablation_that_is_stopped_has_no_row_of_a_half_trained_model() {
    let place = Place::new();
    let mut config = short(FINETUNE);
    // More than anyone waits for.
    config.training.epochs = 1_000_000;
    let job = place.job(config);
    let stop = AtomicBool::new(false);
    let (mut done, started) = (0, std::sync::Barrier::new(2));
    let rows = std::thread::scope(|scope| {
        scope.spawn(|| {
            started.wait();
            std::thread::sleep(std::time::Duration::from_millis(400));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        // After the row of the start the first variant is trained.
        ablation(&job, &[1], &stop, &mut |_| {}, &mut |_| {
            done += 1;
            if done == 1 {
                started.wait();
            }
        })
    })
    .expect("rows");
    assert_eq!((rows.len(), done), (1, 1), "the start alone: {rows:?}");
}

#[test]
fn a_second_run_need_not_decode_what_the_first_one_saw() {
    let place = Place::new();
    let known = |name: &str| {
        let mut known = 0;
        let out = place.out(name);
        let target = Target { name, out: &out, resume: false };
        let job = place.job(short(FINETUNE));
        let stop = AtomicBool::new(false);
        train(&job, target, &stop, &mut |told| match told {
            Told::Stage(Stage::Known(count)) => known += count,
            Told::Training(_) => stop.store(true, std::sync::atomic::Ordering::Relaxed),
            _ => {}
        })
        .expect("stopped");
        known
    };
    assert_eq!((known("first"), known("second")), (0, 60));
}

#[test]
fn a_class_that_is_asked_for_and_missing_is_told_before_the_base_is_asked() {
    let mut place = Place::new();
    place.examples[7].class = None;
    for (name, more) in [("batches", "[data]\nbatches = \"by-class\""), ("heads", "[classifier]")] {
        let config = Config::read(more).expect("a recipe");
        let error = place.train(config, name, false, u64::MAX).expect_err("no class");
        assert!(error.to_string().contains("1 of 60 have none"), "{error}");
        assert!(error.is_usage(), "{error}");
    }
    let files = fs_err::read_dir(place.out("cache")).expect("the cache");
    let bytes: u64 = files.map(|f| f.expect("a file").metadata().expect("read").len()).sum();
    assert!(bytes < 4096, "no features were computed: {bytes} bytes");
}

#[test]
fn a_tokenizer_whose_vocabulary_is_a_list_is_counted_whole() {
    let mut place = Place::new();
    let folder = place.out("base");
    fs_err::create_dir(&folder).expect("a folder");
    let words = ["<unk>", "[PAD]", "a", "red", "green", "blue", "yellow", "black", "circle"];
    let words = words.into_iter().chain(["square", "triangle", "cross"]);
    let vocabulary: Vec<_> = words.map(|word| serde_json::json!([word, -1.0])).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [{
            "id": 1, "content": "[PAD]", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        }],
        "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null,
        "decoder": null,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": false},
    });
    let base = foreign_with(17, &folder, tokenizer.to_string().as_bytes());
    assert_eq!(base.ort_text_encoder(&place.runtime, 1).expect("an encoder").token_count(), 12);
    place.base = folder;
    let recipe = recipes().into_iter().find(|(name, _)| name == "small-towers").expect("there").1;
    let done = place.train(short(&recipe), "out", false, u64::MAX).expect("trained");
    assert!(done.published.is_some());
}

#[test]
fn a_thing_held_out_as_a_whole_gives_no_score_before_or_after() {
    let mut place = Place::new();
    for example in &mut place.examples {
        let held = example.group.as_deref() == Some("red circle");
        example.split = Some(if held { "val" } else { "train" }.into());
    }
    let done = place.train(short(FINETUNE), "one", false, u64::MAX).expect("trained");
    assert_eq!((done.before, done.after, done.best_epoch), (None, None, None));
    assert!(done.published.is_some(), "the last weights are");
}
