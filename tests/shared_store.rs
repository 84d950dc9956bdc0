//! `--store`: several workers and whoever searches share a store on a Milvus server.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash::Random;
use crate::support::{Home, Milvus, Run, picture};

/// Pictures of chance colours.
fn fill(home: &Home, count: usize) {
    let (folder, mut random) = (home.folder("pictures"), Random(9));
    for i in 0..count {
        picture(&folder.join(format!("{i}.png")), [0; 3].map(|_| random.below(256) as u8));
    }
}

fn index(home: &Home, store: &str, more: &[&str]) -> Run {
    home.ek(&[&["index", "pictures", "--store", store, "--json"][..], more].concat())
}

/// What a run says of its files.
fn counts(run: &Run) -> [u64; 5] {
    let report = run.json();
    ["seen", "indexed", "unchanged", "removed", "failed"]
        .map(|key| report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}")))
}

fn status(home: &Home, store: &str) -> Value {
    home.ek(&["status", "--store", store, "--json"]).exits(0).json()
}

/// Who is found, and the cosines.
fn found(home: &Home, args: &[&str]) -> (Vec<Value>, Vec<Option<f64>>) {
    let reply = home.ek(&[args, &["--json"]].concat()).exits(0).json();
    let hits = reply["hits"].as_array().expect("hits");
    hits.iter().map(|hit| (hit["id"].clone(), hit["cosine"].as_f64())).unzip()
}

#[test]
fn what_workers_bring_in_is_found_as_in_a_folder() {
    let home = Home::new();
    fill(&home, 9);
    let caption = json!({"path": "pictures/4.png", "caption": "a cosy corner", "tags": ["Home"]});
    let alone = json!({"text": "nobody's words"});
    fs_err::write(home.path().join("words.jsonl"), format!("{caption}\n{alone}\n"))
        .expect("written");
    fs_err::write(home.folder("pictures").join("bad.png"), "no picture").expect("written");
    let store = &Milvus::new_address();
    let words = ["--captions", "words.jsonl"];
    let [first, second] = ["1/2", "2/2"].map(|part| {
        let run = index(&home, store, &[&words[..], &["--part", part]].concat());
        (run.code(), counts(&run))
    });
    let sum = |at: usize| first.1[at] + second.1[at];
    // Nine pictures and a text of its own; the file that is none fails with whose part it is.
    assert_eq!([0, 1, 2, 3, 4].map(sum), [11, 10, 0, 0, 1]);
    assert_eq!(BTreeSet::from([first.0, second.0]), BTreeSet::from([0, 1]));
    let state = status(&home, store);
    assert_eq!((&state["images"], &state["texts"]), (&json!(9), &json!(2)), "{state}");
    assert_eq!(state["store"], store.as_str());

    home.ek(&["index", "pictures", "--captions", "words.jsonl", "--quiet"]).exits(1);
    for asked in [
        &["search", "something blue", "--mode", "vector", "--for", "all"][..],
        &["search", "cosy", "--mode", "text"],
        &["search", "home", "--filter", "tag:home path:pictures/**"],
        &["search", "--image", "pictures/2.png", "--not", "red", "-n", "3", "--offset", "1"],
    ] {
        let (there, cosines) = found(&home, &[asked, &["--store", store]].concat());
        let (here, own) = found(&home, asked);
        assert_eq!(there, here, "{asked:?}");
        // The model rounds otherwise in other batches.
        for (one, other) in cosines.iter().zip(&own) {
            assert_eq!(one.is_some(), other.is_some(), "{asked:?}");
            let off = one.unwrap_or_default() - other.unwrap_or_default();
            assert!(off.abs() < 1e-4, "{asked:?}: {cosines:?} {own:?}");
        }
    }

    // Another time nothing is encoded; what is gone is forgotten by whose part it is.
    let again = index(&home, store, &words).exits(1);
    assert_eq!(counts(&again), [11, 0, 10, 0, 1]);
    fs_err::remove_file(home.folder("pictures").join("7.png")).expect("removed");
    fs_err::remove_file(home.folder("pictures").join("bad.png")).expect("removed");
    let removed = ["1/2", "2/2"].map(|part| {
        let run = index(&home, store, &[&words[..], &["--part", part]].concat()).exits(0);
        counts(&run)[3]
    });
    assert_eq!(removed.iter().sum::<u64>(), 1);
    assert_eq!(status(&home, store)["images"], 8);
}

/// What it had encoded but not sent is encoded again, and nothing is there twice.
#[test]
fn the_work_of_a_killed_worker_is_done_by_the_next() {
    const FILES: usize = 300;
    let home = Home::new();
    fill(&home, FILES);
    let store = &Milvus::new_address();
    let start = |part: &str| {
        let mut worker =
            home.command(&["index", "pictures", "--store", store, "--part", part, "--quiet"]);
        worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ek starts")
    };
    let (mut killed, mut other) = (start("1/2"), start("2/2"));
    let begun = Instant::now();
    let images = loop {
        let run = home.ek(&["status", "--store", store, "--json"]);
        // There is none before the first worker made it.
        let images = if run.code() == 0 { run.json()["images"].as_u64() } else { None };
        if images > Some(0) || begun.elapsed() > Duration::from_secs(60) {
            break images;
        }
    };
    killed.kill().expect("killed");
    killed.wait().expect("gone");
    println!("killed when {images:?} of {FILES} pictures were there");
    assert!(other.wait().expect("ended").success());
    let run = index(&home, store, &["--part", "1/2"]).exits(0);
    println!("the next one: {:?}", counts(&run));
    assert_eq!(status(&home, store)["images"], FILES);
    let all = index(&home, store, &[]).exits(0);
    assert_eq!(counts(&all), [FILES as u64, 0, FILES as u64, 0, 0]);
}

#[test]
fn what_a_shared_store_does_not_do_is_said() {
    let home = Home::new();
    fill(&home, 1);
    let store = &Milvus::new_address();
    let said = home.ek(&["search", "x", "--store", store]).exits(3).stderr();
    assert!(said.contains("there is none") && said.contains(store.as_str()), "{said}");
    index(&home, store, &[]).exits(0);
    for (args, what) in [
        (&["index", "pictures", "--watch"][..], "--watch"),
        (&["index", "pictures", "--check-content"], "--check-content"),
        (&["index", "pictures", "--memory", "1gb"], "--memory"),
        (&["index", "pictures", "--part", "3/2"], "3/2"),
        (&["status", "--failures"], "failures"),
        (&["search", "x", "--like", "pictures/0.png"], "--like"),
        (&["search", "x", "--collapse"], "--collapse"),
        (&["search", "x", "--diverse"], "--diverse"),
        (&["search", "x", "--min-confidence", "0.5"], "--min-confidence"),
        (&["search", "x", "--why", "pictures/0.png"], "--why"),
        (&["search", "x", "--bridge", "other"], "--bridge"),
    ] {
        let said = home.ek(&[args, &["--store", store]].concat()).exits(2).stderr();
        assert!(said.contains(what), "{args:?}: {said}");
    }
    let said = home.ek(&["index", "pictures", "--part", "1/2"]).exits(2).stderr();
    assert!(said.contains("--store"), "{said}");
    let said = home.ek(&["search", "x", "--store", "pictures"]).exits(2).stderr();
    assert!(said.contains("is a data folder; --data names it"), "{said}");
    let said = home.ek(&["status", "--store", "milvus://127.0.0.1:9/x"]).exits(3).stderr();
    assert!(said.contains("milvus://127.0.0.1:9/x could not be asked"), "{said}");
}
