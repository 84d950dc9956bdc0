//! `kill -9` while indexing: what was committed stays, the next run does the rest.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Home, Server, picture};

const PICTURES: u64 = 240;

#[test]
fn indexing_that_is_killed_again_and_again_ends_whole() {
    let home = Home::new();
    let folder = home.folder("pictures");
    for i in 0..PICTURES {
        picture(&folder.join(format!("{i}.png")), [i as u8, (i * 7) as u8, (i * 31) as u8]);
    }
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.subsec_nanos().into());
    eprintln!("seed {seed}");
    let mut random: u64 = seed;
    let mut before = 0;
    for round in 0..6 {
        let mut child = home.command(&["index", "pictures", "--quiet"]).spawn().expect("starts");
        // xorshift: enough to hit other points every time.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_millis(100 + random % 1_500));
        child.kill().expect("killed or done");
        child.wait().expect("ended");
        let status = home.ek(&["status", "--json"]);
        if status.code() == 3 && before == 0 {
            continue; // Killed before there was a store.
        }
        let images = status.exits(0).json()["images"].as_u64().expect("a number");
        assert!(images >= before, "round {round}: {before} before, {images} now (seed {seed})");
        before = images;
    }
    let report = home.ek(&["index", "pictures", "--json"]).exits(0).json();
    assert_eq!(report["unchanged"], before, "nothing is done twice (seed {seed})");
    assert_eq!(report["indexed"], PICTURES - before, "seed {seed}");
    home.ek(&["doctor"]).exits(0);
    // Each picture is there once, and its own vector finds it.
    let run = home.ek(&["search", "x", "--mode", "vector", "-n", "1000", "--json"]).exits(0);
    let mut paths = run.paths();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len() as u64, PICTURES, "seed {seed}");
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
