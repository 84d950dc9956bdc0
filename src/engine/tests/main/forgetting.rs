//! Folders within folders, and folders that are forgotten while they are indexed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use ekphrasis_embed::testing::ColourEncoder;
use ekphrasis_embed::{Embedding, EncodeError, ImageEncoder, ImageTensor, Preprocess, Space};
use ekphrasis_engine::{Engine, GivenTowers, IndexOptions};

use crate::{colours, index, open, picture, towers};

/// Encodes nothing until it is let go, and says when it is asked to.
struct Held {
    inner: ColourEncoder,
    asked: Mutex<mpsc::Sender<()>>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl ImageEncoder for Held {
    fn space(&self) -> &Space {
        ImageEncoder::space(&self.inner)
    }
    fn preprocess(&self) -> &Preprocess {
        self.inner.preprocess()
    }
    fn embed_images(&self, batch: &[ImageTensor]) -> Result<Vec<Embedding>, EncodeError> {
        let _ = self.asked.lock().expect("lock").send(());
        let (open, turned) = &*self.open;
        let mut open = open.lock().expect("lock");
        while !*open {
            open = turned.wait(open).expect("lock");
        }
        drop(open);
        self.inner.embed_images(batch)
    }
}

/// Opens it in the end, whatever happens, so that nothing waits for ever.
struct Opens(Arc<(Mutex<bool>, Condvar)>);

impl Drop for Opens {
    fn drop(&mut self) {
        set(&self.0, true);
    }
}

fn set(gate: &(Mutex<bool>, Condvar), open: bool) {
    *gate.0.lock().expect("lock") = open;
    gate.1.notify_all();
}

#[test]
fn a_run_over_what_is_forgotten_is_ended_and_another_is_waited_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = fs_err::canonicalize(dir.path()).expect("there");
    let (one, two) = (home.join("one"), home.join("two"));
    colours(&one);
    for i in 0..100u8 {
        picture(&one.join(format!("more{i}.png")), [i, i, 200 - i]);
    }
    colours(&two);
    let (asked, begun) = mpsc::channel();
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let image =
        Held { inner: ColourEncoder::default(), asked: Mutex::new(asked), open: gate.clone() };
    let text = Arc::new(ColourEncoder::default());
    let towers = GivenTowers::new("held", Arc::new(image), text).expect("one space");
    let engine = open(&home.join("data"), Arc::new(towers));
    assert_eq!(index(&engine, &two).progress.indexed, 6);
    begun.try_iter().count();

    let never = AtomicBool::new(false);
    let options = IndexOptions { workers: 1, ..IndexOptions::default() };
    let over_one = || {
        let roots = [one.clone()];
        engine.index(&roots, &options, &|_, _| {}, &AtomicBool::new(false)).expect("indexes")
    };
    set(&gate, false);
    std::thread::scope(|scope| {
        let _opens = Opens(Arc::clone(&gate));
        let run = scope.spawn(over_one);
        begun.recv_timeout(Duration::from_secs(60)).expect("the run has begun");
        let (sender, removed) = mpsc::channel();
        let (engine, one, never) = (&engine, &one, &never);
        scope.spawn(move || {
            let removed = engine.remove(std::slice::from_ref(one), never).expect("forgets");
            sender.send(removed).expect("waited for");
        });
        // Until the encoder goes on, the run cannot end.
        removed.recv_timeout(Duration::from_millis(300)).expect_err("it waits");
        set(&gate, true);
        let report = run.join().expect("ends");
        assert!(report.stopped && report.progress.indexed < 106, "{report:?}");
        let removed = removed.recv_timeout(Duration::from_secs(60)).expect("done");
        assert_eq!(removed, Some(report.progress.indexed));
    });
    assert_eq!(engine.roots().expect("readable"), std::slice::from_ref(&two));

    // What is forgotten elsewhere does not end it, and can be taken back.
    set(&gate, false);
    begun.try_iter().count();
    std::thread::scope(|scope| {
        let _opens = Opens(Arc::clone(&gate));
        let run = scope.spawn(over_one);
        begun.recv_timeout(Duration::from_secs(60)).expect("the run has begun");
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, two) = (&engine, &two);
        let waits = Arc::clone(&stop);
        let waiting = scope.spawn(move || engine.remove(std::slice::from_ref(two), &waits));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(waiting.join().expect("ends").expect("well"), None);
        set(&gate, true);
        let report = run.join().expect("ends");
        assert!(!report.stopped, "{report:?}");
    });
    assert_eq!(engine.status().expect("readable").images, 112);
}

fn with(engine: &Engine, root: &PathBuf, options: &IndexOptions) -> [u64; 2] {
    let never = AtomicBool::new(false);
    let report = engine.index(std::slice::from_ref(root), options, &|_, _| {}, &never);
    let progress = report.expect("indexes").progress;
    [progress.indexed, progress.removed]
}

#[cfg(unix)]
#[test]
fn a_folder_within_keeps_what_it_leaves_out() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let home = fs_err::canonicalize(dir.path()).expect("there");
    let outer = home.join("outer");
    let inner = outer.join("inner");
    colours(&outer);
    colours(&inner);
    colours(&inner.join("private"));
    colours(&home.join("elsewhere"));
    std::os::unix::fs::symlink(home.join("elsewhere"), inner.join("link")).expect("linked");
    let engine = open(&home.join("data"), towers());
    let without = IndexOptions { exclude: vec!["private".into()], ..IndexOptions::default() };
    let following = IndexOptions { follow_links: true, ..IndexOptions::default() };
    assert_eq!(with(&engine, &inner, &without), [6, 0]);
    // Neither run takes in what the other forgets, however often they take turns.
    assert_eq!(with(&engine, &outer, &following), [6, 0]);
    assert_eq!(with(&engine, &inner, &without), [0, 0]);
    assert_eq!(with(&engine, &outer, &IndexOptions::default()), [0, 0]);
    assert_eq!(engine.status().expect("readable").images, 12);
    // Wanted by the folder within, it is wanted by that around it.
    assert_eq!(with(&engine, &inner, &following), [12, 0]);
    assert_eq!(with(&engine, &outer, &IndexOptions::default()), [0, 0]);
    assert_eq!(engine.roots().expect("readable"), [outer.clone(), inner]);
    // Both are forgotten together, so that nothing brings the one within back.
    let never = AtomicBool::new(false);
    assert_eq!(engine.remove(&[outer], &never).expect("forgets"), Some(24));
    assert!(engine.roots().expect("readable").is_empty());
}
