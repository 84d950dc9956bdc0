//! Does the search for ONNX Runtime hold its promises?

use std::path::PathBuf;

use ekphrasis_models::{Origin, Provider, Runtime, RuntimeError, RuntimeSearch};

use crate::support::{cache, runtime};

fn search(flag: Option<PathBuf>, env: Option<PathBuf>) -> RuntimeSearch<'static> {
    RuntimeSearch { flag, env, cache: cache(), fetch: false, log: &|_| {} }
}

#[test]
fn it_loads_once_and_says_what_it_is() {
    let first = runtime();
    let minor: u32 = first.version().split('.').nth(1).and_then(|m| m.parse().ok()).expect("1.x.y");
    assert!(minor >= 24, "{}", first.version());
    assert_eq!(first.provider(), Provider::Cpu);
    assert!(first.offers().contains(&Provider::Cpu), "{:?}", first.offers());
    let second = Runtime::load(&search(None, None)).expect("loaded already");
    assert_eq!((first.path(), first.origin()), (second.path(), second.origin()));
    if first.path().is_absolute() {
        let same = Runtime::load(&search(Some(first.path().into()), None)).expect("the same file");
        assert_eq!(same.path(), first.path());
        let copy = tempfile::tempdir().expect("a temporary folder");
        let other = copy.path().join("libonnxruntime.so");
        fs_err::copy(first.path(), &other).expect("a copy");
        let error = Runtime::load(&search(Some(other), None)).expect_err("another file");
        assert!(matches!(error, RuntimeError::AlreadyLoaded { .. }), "{error}");
    }
}

#[test]
fn a_named_library_must_work() {
    let missing = PathBuf::from("no/such/libonnxruntime.so");
    let error = Runtime::load(&search(Some(missing.clone()), None)).expect_err("not there");
    assert!(matches!(&error, RuntimeError::Missing { origin: Origin::Flag, .. }), "{error}");
    assert!(error.to_string().contains("no/such/libonnxruntime.so"), "{error}");

    let dir = tempfile::tempdir().expect("a temporary folder");
    let text = dir.path().join("notes.txt");
    fs_err::write(&text, "no library").expect("writable");
    let error = Runtime::load(&search(None, Some(text))).expect_err("no library");
    let named = matches!(&error, RuntimeError::NotOnnxRuntime { origin: Origin::Env, .. });
    assert!(named && error.to_string().contains("notes.txt"), "{error}");

    // A library that is not ONNX Runtime; the test program's own is as good as any.
    let exe = std::env::current_exe().expect("this program");
    let error = Runtime::load(&search(Some(exe), None)).expect_err("no ONNX Runtime");
    assert!(matches!(&error, RuntimeError::NotOnnxRuntime { .. }), "{error}");

    // The flag counts first, even if the environment names something good.
    let good = runtime().path().to_path_buf();
    let error = Runtime::load(&search(Some(missing), Some(good))).expect_err("flag first");
    assert!(matches!(&error, RuntimeError::Missing { .. }), "{error}");
}
