//! `kill -9` while indexing: what was committed stays, the next run does the rest.
//!
//! The long form, over 2,000 files:
//! `EK_TEST_KILLS=50 cargo test --test ek crash::indexing -- --nocapture`
//! (`EK_TEST_SEED=N` repeats the files and the waits; where they hit varies all the same).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Home, Server, picture};

/// Kills and files of the short form.
const SHORT: (u64, usize) = (9, 500);
/// Files of the long form.
const MANY: usize = 4000;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// One of `0..n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// A number from the environment.
pub(crate) fn asked(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "the long form is asked for by a variable")]
    let text = std::env::var_os(name)?.into_string().expect("UTF-8");
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, got {text:?}")))
}

/// Files in folders, some of them copies of others, some broken; says how many are
/// pictures and how many are not.
fn fill(folder: &Path, files: usize, random: &mut Random) -> (u64, u64) {
    let name = |i: usize| folder.join(format!("{}/{i}.png", i % 7));
    let mut broken = 0;
    for i in 0..files {
        let file = name(i);
        fs_err::create_dir_all(file.parent().expect("a folder")).expect("created");
        match random.below(10) {
            0 => fs_err::write(&file, b"\x89PNG\r\n\x1a\nand no more").expect("written"),
            1 if i > 0 => _ = fs_err::copy(name(i / 2), &file).expect("copied"),
            _ => picture(&file, [0; 3].map(|_| random.below(256) as u8)),
        }
        broken += u64::from(fs_err::metadata(&file).expect("there").len() < 30);
    }
    (files as u64 - broken, broken)
}

/// Every picture of a store by its path: what is known of it, and its vector.
fn everything(home: &Home, data: &Path) -> BTreeMap<String, (Value, Vec<f32>)> {
    let out = home.path().join(data.file_name().expect("a name")).with_extension("npy");
    let (data, file) = (data.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    home.ek(&["export", "--vectors", file, "--data", data]).exits(0);
    let lines = fs_err::read_to_string(out.with_extension("jsonl")).expect("read");
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    // A header that says so much, and then the rows.
    const WIDTH: usize = 4 * 384;
    let vectors = fs_err::read(&out).expect("read");
    let rows = vectors[vectors.len() - WIDTH * lines.len()..].chunks_exact(WIDTH);
    let mut all = BTreeMap::new();
    for (line, row) in lines.into_iter().zip(rows) {
        let path = line["path"].as_str().expect("a path").to_owned();
        let row = row.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        assert!(all.insert(path, (line, row)).is_none(), "twice");
    }
    all
}

/// Pictures in the store, if there is one.
fn images(home: &Home) -> Option<u64> {
    let status = home.ek(&["status", "--json"]);
    (status.code() == 0).then(|| status.json()["images"].as_u64().expect("a number"))
}

#[test]
fn indexing_that_is_killed_again_and_again_ends_as_if_undisturbed() {
    let seed = asked("EK_TEST_SEED").unwrap_or_else(|| std::process::id().into());
    let (kills, files) = asked("EK_TEST_KILLS").map_or(SHORT, |kills| (kills, MANY));
    eprintln!("seed {seed}, {kills} kills, {files} files");
    let mut random = Random(seed);
    let home = Home::new();
    let folder = home.folder("pictures");
    let (pictures, broken) = fill(&folder, files, &mut random);
    let (mut before, mut hit) = (0, 0);
    for round in 0..kills {
        let mut child = home.command(&["index", "pictures", "--quiet"]).spawn().expect("starts");
        // Now and then while it starts; else after it has done something more.
        let for_work = random.below(3) > 0;
        while for_work && images(&home).unwrap_or(0) <= before {
            if child.try_wait().expect("asked").is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        // Short, so that a fast machine is not done before the last kill.
        std::thread::sleep(Duration::from_millis(random.below(200)));
        hit += u64::from(child.try_wait().expect("asked").is_none());
        child.kill().expect("killed or done");
        child.wait().expect("ended");
        let images = match images(&home) {
            None if before == 0 => continue, // Killed before there was a store.
            images => images.expect("a store that can be read"),
        };
        assert!(images >= before, "round {round}: {before} before, {images} now (seed {seed})");
        before = images;
    }
    assert!(before > 0 && hit > kills / 2, "too fast or too slow to test anything");
    let report = home.ek(&["index", "pictures", "--json"]).exits(1).json();
    assert_eq!(report["unchanged"], before, "nothing is done twice (seed {seed}): {report}");
    assert_eq!(report["indexed"], pictures - before, "seed {seed}: {report}");
    assert_eq!(report["failed"], broken, "seed {seed}: {report}");
    home.ek(&["doctor"]).exits(0);
    let status = home.ek(&["status", "--json"]).exits(0).json();
    assert_eq!(status["unfinished"], serde_json::json!([]), "seed {seed}");
    eprintln!(
        "{hit} of {kills} kills hit a run; {before} of {pictures} pictures were done by then"
    );

    // A second run has nothing to do.
    let report = home.ek(&["index", "pictures", "--json"]).exits(1).json();
    let counts = ["indexed", "unchanged", "removed", "still_failing"].map(|n| report[n].as_u64());
    assert_eq!(counts, [0, pictures, 0, broken].map(Some), "{report}");

    let calm = home.path().join("calm");
    home.ek(&["index", "pictures", "--data", calm.to_str().expect("UTF-8")]).exits(1);
    let (got, expected) = (everything(&home, &home.data()), everything(&home, &calm));
    assert_eq!((got.len() as u64, expected.len() as u64), (pictures, pictures), "seed {seed}");
    for (path, (item, vector)) in &expected {
        let (got, mine) = &got[path];
        assert_eq!(got, item, "seed {seed}");
        // Who is embedded together with whom differs, and so does the rounding.
        let cosine: f32 = mine.iter().zip(vector).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.9999, "{path}: {cosine} (seed {seed})");
    }
}

#[test]
fn who_searches_is_told_what_the_store_has_lost() {
    let home = Home::new();
    let folder = home.folder("pictures");
    picture(&folder.join("a.png"), [255, 0, 0]);
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let search = ["search", "red", "--json"];
    assert!(home.ek(&search).exits(0).json().get("warnings").is_none());
    let catalogue = home.data().join("catalogue.db");
    let old = fs_err::read(&catalogue).expect("read");
    picture(&folder.join("b.png"), [0, 255, 0]);
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    // As if the newest commit had been lost with the disk's cache.
    fs_err::write(&catalogue, old).expect("written");
    let here = home.ek(&search).exits(0);
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(2);
    let there = home.ek(&search).exits(0);
    for run in [here, there] {
        let warnings = run.json()["warnings"].clone();
        let first = warnings[0].as_str().expect("a sentence").to_owned();
        assert!(run.stderr().contains(&format!("warning: {first}")), "{}", run.stderr());
    }
}
