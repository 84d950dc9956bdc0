//! A store moves from one model to another, over encoders that need no model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ekphrasis_embed::testing::ColourEncoder;
use ekphrasis_embed::{
    Embedding, EncodeError, ImageEncoder, ImageTensor, Preprocess, Space, TextEncoder,
};
use ekphrasis_engine::{
    Engine, EngineError, Example, Fault, Filter, GivenLabel, GivenTowers, Holder, IndexOptions,
    Kind, LabelRule, Mode, NewLabel, OpenFor, Outcome, PreviewOptions, Progress, Role,
    SearchRequest, Serving, Source, Towers, UseOptions, Used, Writing, drop_old, generations,
    preview_model, use_model,
};
use ekphrasis_index::{Access, Entry, LocalStore, NameKind, StoreError, StoreRead};

use crate::{colours, names, open, picture, text, towers};

/// Sees what [`ColourEncoder`] sees, in another space and with its coordinates turned about, so
/// that vectors of the two that were mixed would give quite different scores.
struct Turned(ColourEncoder);

fn turned(space: &Space, all: Vec<Embedding>) -> Result<Vec<Embedding>, EncodeError> {
    all.into_iter()
        .map(|e| {
            let mut values = e.values().to_vec();
            values.rotate_right(3);
            values[1] = -values[1];
            Ok(Embedding::new(space, values)?)
        })
        .collect()
}

impl ImageEncoder for Turned {
    fn space(&self) -> &Space {
        ImageEncoder::space(&self.0)
    }

    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }

    fn embed_images(&self, batch: &[ImageTensor]) -> Result<Vec<Embedding>, EncodeError> {
        turned(ImageEncoder::space(&self.0), self.0.embed_images(batch)?)
    }
}

impl TextEncoder for Turned {
    fn space(&self) -> &Space {
        TextEncoder::space(&self.0)
    }

    fn unknown_share(&self, text: &str) -> Result<f64, EncodeError> {
        self.0.unknown_share(text)
    }

    fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError> {
        turned(TextEncoder::space(&self.0), self.0.embed_texts(batch)?)
    }
}

/// Another model of the same taste.
fn others() -> Arc<dyn Towers> {
    let encoder = Arc::new(Turned(ColourEncoder::new("turned-1")));
    Arc::new(GivenTowers::new("turned", encoder.clone(), encoder).expect("one space"))
}

fn holder() -> Holder {
    Holder { command: "a test".into(), address: None }
}

const OPTIONS: UseOptions = UseOptions { threads: 2, rate: None, without_missing: false };

fn moved(data: &Path, towers: &Arc<dyn Towers>, options: &UseOptions) -> Used {
    let go = AtomicBool::new(false);
    use_model(data, towers, options, &holder(), &|_, _| {}, &go).expect("moved")
}

/// Everything in the store that serves, by id, with its vector.
fn everything(data: &Path, space: &Space) -> BTreeMap<String, (Entry, Vec<f32>)> {
    let dir = match generations(data).expect("listed").iter().find(|g| g.role == Role::Serving) {
        Some(g) if g.number > 1 => data.join(format!("generations/{:04}", g.number)),
        _ => data.into(),
    };
    let store = LocalStore::open(&dir, space, Access::Read).expect("opened");
    let entries = store.entries(None, 100_000).expect("read");
    let ids: Vec<_> = entries.iter().map(|entry| entry.item.id).collect();
    let vectors = store.embeddings(&ids).expect("read");
    let one = |(entry, vector): (Entry, Option<Embedding>)| {
        let vector = vector.expect("a sound vector").values().to_vec();
        (entry.item.id.to_string(), (entry, vector))
    };
    entries.into_iter().zip(vectors).map(one).collect()
}

/// Pictures with captions, a copy, a broken file, texts of their own, identities, label sets.
fn fill(home: &Path, towers: Arc<dyn Towers>, data: &Path) -> PathBuf {
    let folder = home.join("pictures");
    if !folder.exists() {
        colours(&folder);
        fs_err::copy(folder.join("5.png"), folder.join("copy.png")).expect("copied");
        fs_err::write(folder.join("broken.png"), "no picture").expect("written");
        let captions = "{\"path\":\"pictures/0.png\",\"captions\":[\"red one\",\"shared\"],\"tags\":[\"t\"]}\n\
            {\"path\":\"pictures/1.png\",\"captions\":[\"green one\",\"shared\"]}\n\
            {\"text\":\"a text of its own\"}\n";
        fs_err::write(home.join("captions.jsonl"), captions).expect("written");
    }
    let engine = open(data, towers);
    let options =
        IndexOptions { captions: Some(home.join("captions.jsonl")), ..IndexOptions::default() };
    let go = AtomicBool::new(false);
    engine.index(std::slice::from_ref(&folder), &options, &|_, _| {}, &go).expect("indexed");
    let blue = Example::Picture(Source::Path(folder.join("2.png")));
    engine.enrol("Blue", std::slice::from_ref(&blue), false).expect("enrolled");
    let labels = [
        NewLabel::of_words("red"),
        NewLabel { examples: vec![blue], ..NewLabel::of_words("blue") },
    ];
    engine.write_label_set("colours", &labels, Writing::Create).expect("written");
    let rule = LabelRule { minimum: 0.6, multi: false };
    let applied = engine.apply_label_set("colours", rule).expect("applied");
    assert!(applied.labelled > 0, "{applied:?}");
    folder
}

/// Which label of which set, and how probable in thousandths.
fn bare(given: GivenLabel) -> (String, String, u32) {
    (given.set, given.label, (given.probability * 1e3).round() as u32)
}

#[test]
fn a_store_that_moved_is_as_if_it_had_been_made_so_and_goes_back_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, fresh) = (dir.path().join("data"), dir.path().join("fresh"));
    fill(dir.path(), towers(), &data);
    fill(dir.path(), others(), &fresh);
    let before = everything(&data, towers().space());
    let used = moved(&data, &others(), &OPTIONS);
    assert_eq!(used.outcome, Outcome::Switched);
    assert_eq!((used.missing.len(), used.unmade.len()), (0, 0), "{used:?}");
    assert!(used.unapplied.is_empty(), "{used:?}");
    assert_eq!(used.progress.indexed, before.len() as u64);
    assert_eq!(used.progress.reused, 1, "the copy is not encoded again");
    let (got, expected) =
        (everything(&data, others().space()), everything(&fresh, others().space()));
    assert_eq!(got, expected);

    let engine = open(&data, others());
    let made_so = open(&fresh, others());
    assert_eq!(engine.roots().expect("read"), made_so.roots().expect("read"));
    let paths = |e: &Engine| {
        let failures = e.failures().expect("read");
        failures.into_iter().map(|f| (f.path, f.reason)).collect::<Vec<_>>()
    };
    assert_eq!(paths(&engine), paths(&made_so));
    let vectors = |data: &Path, kind| {
        let dir = if data.join("generations").exists() {
            data.join("generations/0002")
        } else {
            data.into()
        };
        let store = LocalStore::open(&dir, others().space(), Access::Read).expect("opened");
        let named = store.all_named(kind).expect("read").0;
        named.into_iter().map(|n| (n.name, n.vectors)).collect::<Vec<_>>()
    };
    for kind in [NameKind::Identity, NameKind::LabelSet] {
        assert_eq!(vectors(&data, kind), vectors(&fresh, kind));
    }
    // The sets that were applied label the pictures by the new model.
    let labels = |engine: &Engine| {
        let items = engine.items(None, 100, &Filter::default()).expect("read");
        let ids: Vec<_> = items.iter().map(|item| item.id).collect();
        let given = engine.given_labels(&ids).expect("read").into_iter();
        let of = |(id, given): (_, Vec<_>)| (id, given.into_iter().map(bare).collect::<Vec<_>>());
        ids.into_iter().zip(given).map(of).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(labels(&engine), labels(&made_so));
    assert!(labels(&engine).values().any(|given| !given.is_empty()));
    assert_eq!(names(&engine, vec![text("green", 1.0)])[0], "1");
    // Nothing is new to the next run.
    let go = AtomicBool::new(false);
    let folder = dir.path().join("pictures");
    let report = engine
        .index(std::slice::from_ref(&folder), &IndexOptions::default(), &|_, _| {}, &go)
        .expect("indexed");
    assert_eq!((report.progress.indexed, report.progress.unchanged), (0, 7), "{report:?}");
    // What is made now is in the new one only; the old one takes it up when it is gone back to.
    picture(&folder.join("9.png"), [9, 90, 200]);
    fs_err::remove_file(folder.join("3.png")).expect("removed");
    engine.index(&[folder], &IndexOptions::default(), &|_, _| {}, &go).expect("indexed");
    drop((engine, made_so));

    let used = moved(&data, &towers(), &OPTIONS);
    assert_eq!((used.outcome, used.generation), (Outcome::Switched, 1));
    assert_eq!((used.progress.indexed, used.progress.removed), (1, 1), "{used:?}");
    let after = everything(&data, towers().space());
    assert_eq!(after.len(), before.len());
    let same = before.iter().filter(|(id, one)| after.get(*id) == Some(one)).count();
    assert_eq!(same, before.len() - 1, "all but the one that went are as they were");
    let roles: Vec<_> = generations(&data).expect("listed").iter().map(|g| g.role).collect();
    assert_eq!(roles, [Role::Serving, Role::Former]);

    let dropped = drop_old(&data, &holder()).expect("dropped");
    assert_eq!(dropped.iter().map(|g| g.number).collect::<Vec<_>>(), [2]);
    assert!(!data.join("generations/0002").exists());
    assert_eq!(everything(&data, towers().space()).len(), before.len());
    assert!(drop_old(&data, &holder()).expect("nothing to do").is_empty());
}

#[test]
fn the_first_generation_is_dropped_too_and_what_is_the_users_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    fill(dir.path(), towers(), &data);
    let engine = open(&data, towers());
    let sent = fs_err::read(dir.path().join("pictures/4.png")).expect("read");
    let added = engine.add_picture(&sent, Some("sent.png"), Default::default()).expect("added");
    drop(engine);
    let used = moved(&data, &others(), &OPTIONS);
    assert_eq!(used.outcome, Outcome::Switched);
    drop_old(&data, &holder()).expect("dropped");
    assert!(!data.join("catalogue.db").exists());
    let engine = open(&data, others());
    let path = engine.file(added.item.id).expect("a picture that was sent is served").path;
    assert!(path.starts_with(fs_err::canonicalize(&data).expect("there").join("uploads")));
    assert!(engine.remove_item(added.item.id).expect("forgotten"));
    assert!(!path.exists(), "it belongs to the store");
    drop(engine);
    // And again, with a number of its own.
    assert_eq!(moved(&data, &towers(), &OPTIONS).generation, 3);
}

#[test]
fn what_would_be_lost_holds_the_switch_back_until_it_may_be() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let folder = fill(dir.path(), towers(), &data);
    let engine = open(&data, towers());
    let stranger = dir.path().join("stranger.png");
    picture(&stranger, [1, 2, 3]);
    let example = |path: &Path| Example::Picture(Source::Path(path.into()));
    engine.enrol("Gone", &[example(&stranger)], false).expect("enrolled");
    engine.enrol("Blue", &[example(&stranger)], false).expect("enrolled");
    drop(engine);
    fs_err::remove_file(&stranger).expect("removed");
    fs_err::remove_file(folder.join("1.png")).expect("removed");
    picture(&folder.join("4.png"), [4, 4, 4]);

    let used = moved(&data, &others(), &OPTIONS);
    assert_eq!(used.outcome, Outcome::HeldBack);
    let mut why: Vec<_> = used.missing.iter().map(|f| (f.path.clone(), f.reason.clone())).collect();
    why.sort();
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(why[0].0.ends_with("1.png") && why[0].1.contains("not there"), "{why:?}");
    assert!(why[1].0.ends_with("4.png") && why[1].1.contains("has changed"), "{why:?}");
    let mut unmade: Vec<_> = used.unmade.iter().map(|u| (u.name.as_str(), u.others_do)).collect();
    unmade.sort();
    assert_eq!(unmade, [("Blue", true), ("Gone", false)]);
    assert_eq!(generations(&data).expect("listed")[1].role, Role::Unfinished);
    open(&data, towers()).status().expect("it serves as before");

    let all = everything(&data, towers().space()).len();
    let used = moved(&data, &others(), &UseOptions { without_missing: true, ..OPTIONS });
    assert_eq!((used.outcome, used.progress.indexed), (Outcome::Switched, 0));
    let engine = open(&data, others());
    // `green one` was its caption alone.
    assert_eq!(everything(&data, others().space()).len(), all - 3);
    let failing: Vec<_> = engine.failures().expect("read").into_iter().map(|f| f.path).collect();
    for name in ["1.png", "4.png", "broken.png"] {
        assert!(failing.iter().any(|path| path.ends_with(name)), "{name} in {failing:?}");
    }
    let known = engine.identities().expect("read");
    let comparable: Vec<_> = known.iter().map(|i| (i.name.as_str(), i.comparable)).collect();
    assert_eq!(comparable, [("Blue", true), ("Gone", false)]);
    drop(engine);
    // The former store has not lost them.
    assert_eq!(moved(&data, &towers(), &OPTIONS).outcome, Outcome::Switched);
    assert_eq!(everything(&data, towers().space()).len(), all);
    let known = open(&data, towers()).identities().expect("read");
    assert!(known.iter().all(|i| i.comparable), "{known:?}");
}

#[test]
fn a_move_that_is_stopped_goes_on_where_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    fill(dir.path(), towers(), &data);
    let texts: String = (0..200).map(|n| format!("{{\"text\":\"number {n}\"}}\n")).collect();
    fs_err::write(dir.path().join("texts.jsonl"), texts).expect("written");
    let options =
        IndexOptions { captions: Some(dir.path().join("texts.jsonl")), ..IndexOptions::default() };
    let go = AtomicBool::new(false);
    open(&data, towers())
        .index(&[dir.path().join("pictures")], &options, &|_, _| {}, &go)
        .expect("indexed");
    let all = everything(&data, towers().space()).len() as u64;
    let mut done = 0;
    for round in 0..100 {
        let stop = AtomicBool::new(false);
        let tell = |p: &Progress, _: &Path| {
            if p.indexed > 0 {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let used = use_model(&data, &others(), &OPTIONS, &holder(), &tell, &stop).expect("moved");
        done += used.progress.indexed;
        if used.outcome == Outcome::Switched {
            assert!(round > 2, "it was stopped now and then");
            assert_eq!(done, all, "nothing was done twice");
            return;
        }
        assert_eq!(used.outcome, Outcome::Stopped);
        assert_eq!(used.progress.unchanged + used.progress.indexed, used.progress.seen);
        let all = generations(&data).expect("listed");
        let there = all.into_iter().find(|g| g.role == Role::Unfinished);
        assert_eq!(there.map_or(0, |g| g.items), done);
    }
    panic!("it never came to its end");
}

#[test]
fn two_at_once_are_told_apart_and_the_model_in_use_needs_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let error =
        use_model(&data, &others(), &OPTIONS, &holder(), &|_, _| {}, &AtomicBool::new(false))
            .expect_err("there is no store");
    assert_eq!(error.fault(), Fault::NotFound, "{error}");
    fill(dir.path(), towers(), &data);
    assert_eq!(moved(&data, &towers(), &OPTIONS).outcome, Outcome::Already);
    let begun = Mutex::new(None);
    let tell = |_: &Progress, _: &Path| {
        begun.lock().expect("not poisoned").get_or_insert_with(|| {
            let go = AtomicBool::new(false);
            let second = use_model(&data, &others(), &OPTIONS, &holder(), &|_, _| {}, &go);
            second.expect_err("held").to_string()
        });
    };
    let stop = AtomicBool::new(false);
    let used = use_model(&data, &others(), &OPTIONS, &holder(), &tell, &stop).expect("moved");
    assert_eq!(used.outcome, Outcome::Switched);
    let told = begun.into_inner().expect("not poisoned").expect("it was tried");
    assert!(told.contains("a test"), "{told}");
}

#[test]
fn what_changes_during_a_move_is_there_afterwards() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    fill(dir.path(), towers(), &data);
    let serving = Serving::new(open(&data, towers()));
    let (added, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let tell = |_: &Progress, _: &Path| {
        let n = added.fetch_add(1, Ordering::Relaxed);
        // While the first pass goes on: later, nobody may write.
        if n < 8 {
            let new =
                serving.write(|e| e.add_text(&format!("text number {n}"), vec![])).expect("added");
            if n % 3 == 0 {
                assert!(serving.write(|e| e.remove_item(new.item.id)).expect("removed"));
            }
        }
    };
    let used = serving.use_model(&others(), &OPTIONS, &tell, &stop).expect("moved");
    assert_eq!(used.outcome, Outcome::Switched);
    let engine = serving.current();
    assert_eq!(engine.towers().name(), "turned");
    let items = engine.items(None, 1000, &Filter::default()).expect("listed");
    let numbers: Vec<String> =
        (0..8).filter(|n| n % 3 != 0).map(|n| format!("text number {n}")).collect();
    for wanted in &numbers {
        assert!(items.iter().any(|item| item.text.as_ref() == Some(wanted)), "{wanted}");
    }
    let texts =
        items.iter().filter(|i| i.text.as_ref().is_some_and(|t| t.starts_with("text number")));
    assert_eq!(texts.count(), numbers.len());
    // Writers go on in the new one.
    let new = serving.write(|e| e.add_text("after", vec![])).expect("added");
    assert!(serving.current().item(new.item.id).expect("read").is_some());
    let again = serving.use_model(&others(), &OPTIONS, &|_, _| {}, &stop).expect("asked");
    assert_eq!(again.outcome, Outcome::Already);
}

#[test]
fn who_asks_during_switches_meets_one_model_or_the_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let folder = fill(dir.path(), towers(), &data);
    let scores = |engine: &Engine| {
        let request = SearchRequest {
            kind: Some(Kind::Image),
            mode: Mode::Vector,
            ..SearchRequest::new(vec![text("red one", 1.0)])
        };
        let reply = engine.search(&request).expect("found");
        let hits: Vec<_> = reply.hits.iter().map(|h| (h.item.id, h.score.to_bits())).collect();
        (reply.space, hits)
    };
    let serving = Serving::new(open(&data, towers()));
    let first = scores(&serving.current());
    let stop = AtomicBool::new(false);
    serving.use_model(&others(), &OPTIONS, &|_, _| {}, &stop).expect("moved");
    let second = scores(&serving.current());
    assert_ne!(first.0, second.0);
    let (asked, written, runs) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    let got = scores(&serving.current());
                    assert!(got == first || got == second, "{got:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                let n = written.fetch_add(1, Ordering::Relaxed) + 1;
                serving.write(|e| e.add_text(&format!("kept {n}"), vec![])).expect("written");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        scope.spawn(|| {
            let go = AtomicBool::new(false);
            while !end.load(Ordering::Relaxed) {
                let roots = [folder.clone()];
                let options = IndexOptions::default();
                serving.run(|e| e.index(&roots, &options, &|_, _| {}, &go)).expect("indexed");
                runs.fetch_add(1, Ordering::Relaxed);
            }
        });
        for towers in [towers(), others(), towers(), others()] {
            let used = serving.use_model(&towers, &OPTIONS, &|_, _| {}, &stop).expect("moved");
            assert_eq!(used.outcome, Outcome::Switched);
        }
        end.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 0 && runs.load(Ordering::Relaxed) > 0);
    let written = written.load(Ordering::Relaxed);
    let items = serving.current().items(None, 100_000, &Filter::default()).expect("listed");
    let kept = items.iter().filter(|i| i.text.as_ref().is_some_and(|t| t.starts_with("kept ")));
    assert_eq!(kept.count() as u64, written, "what was acknowledged is there");
}

#[test]
fn an_engine_that_was_left_says_so_and_a_reader_is_told_to_open_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let folder = fill(dir.path(), towers(), &data);
    let reader = Engine::open(&data, towers(), OpenFor::Reading).expect("opened");
    let serving = Serving::new(open(&data, towers()));
    let old = serving.current();
    serving.use_model(&others(), &OPTIONS, &|_, _| {}, &AtomicBool::new(false)).expect("moved");
    let go = AtomicBool::new(false);
    let late = old.index(&[folder], &IndexOptions::default(), &|_, _| {}, &go);
    assert!(matches!(late, Err(EngineError::Left)), "{late:?}");
    assert!(!reader.is_current().expect("looked"));
    // It goes on answering as it did all the same.
    assert_eq!(names(&reader, vec![text("green", 1.0)])[0], "1");
    let Err(wrong) = Engine::open(&data, towers(), OpenFor::Reading).map(drop) else {
        panic!("the store has another model")
    };
    assert!(wrong.to_string().contains("ek model use"), "{wrong}");
    drop(old);
    let locked = drop_old(&data, &holder());
    // The engine that was left is closed in the background.
    if let Err(error) = locked {
        assert!(matches!(error, EngineError::Store(StoreError::Locked { .. })), "{error}");
    }
}

#[test]
fn a_look_at_another_model_says_which_one_finds_more_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    fill(dir.path(), towers(), &data);
    let options = PreviewOptions { pictures: 500, queries: None, threads: 1, seed: 7 };
    let look = |new: &dyn Towers, options: &PreviewOptions| {
        let go = AtomicBool::new(false);
        preview_model(&data, &*towers(), new, options, &|_, _| {}, &go).expect("looked")
    };
    let same = look(&*others(), &options);
    assert_eq!((same.pictures, same.captions), (7, 3));
    assert_eq!(same.old, same.new, "turned about, it sees the same");
    let (one, _) = same.difference.expect("captions were asked");
    assert_eq!((one.low, one.high), (0.0, 0.0));
    assert_eq!(generations(&data).expect("listed").len(), 1, "nothing was begun");

    // One that sees nothing finds the picture by chance at best.
    let blind =
        Arc::new(Blind(Space::new("blind-1", 8).expect("a space"), ColourEncoder::default()));
    let blind = GivenTowers::new("blind", blind.clone(), blind).expect("one space");
    let worse = look(&blind, &options);
    let (before, after) = (worse.old.expect("asked"), worse.new.expect("asked"));
    assert!(before.at_1 > 0.5 && after.at_1 == 0.0, "{worse:?}");
    assert!(worse.difference.expect("asked").0.high <= 0.0, "{worse:?}");
    let few = look(&blind, &PreviewOptions { pictures: 2, ..options.clone() });
    assert_eq!((few.pictures, few.captions), (2, 3), "those with captions come first");

    let queries = dir.path().join("queries.jsonl");
    fs_err::write(&queries, "{\"path\":\"pictures/4.png\",\"caption\":\"white\"}\n")
        .expect("written");
    let own = look(&*others(), &PreviewOptions { queries: Some(queries), ..options });
    assert_eq!((own.pictures, own.captions), (7, 1));
    assert!(own.new.expect("asked").at_1 > 0.99);
}

/// Says the same of everything.
struct Blind(Space, ColourEncoder);

impl ImageEncoder for Blind {
    fn space(&self) -> &Space {
        &self.0
    }

    fn preprocess(&self) -> &Preprocess {
        self.1.preprocess()
    }

    fn embed_images(&self, batch: &[ImageTensor]) -> Result<Vec<Embedding>, EncodeError> {
        let one = || Ok(Embedding::new(&self.0, vec![1.0; 8])?);
        batch.iter().map(|_| one()).collect()
    }
}

impl TextEncoder for Blind {
    fn space(&self) -> &Space {
        &self.0
    }

    fn unknown_share(&self, _: &str) -> Result<f64, EncodeError> {
        Ok(0.0)
    }

    fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError> {
        let one = || Ok(Embedding::new(&self.0, vec![1.0; 8])?);
        batch.iter().map(|_| one()).collect()
    }
}
