//! A museum of bad files: every kind of damage, bomb and trap that folders hold,
//! through the real `ek index`. It ends well, each has its reason, and the good
//! files beside them are indexed.

mod exhibits;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Home, Run, picture, reference};
use exhibits::{Exhibit, exhibits};

/// The ledger: names (with what is no Unicode replaced) and reasons.
fn ledger(run: &Run) -> BTreeMap<String, String> {
    let reply = run.json();
    let failures = reply["failures"].as_array().expect("failures");
    let line = |f: &serde_json::Value| {
        let path = Path::new(f["path"].as_str().expect("a path"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, f["reason"].as_str().expect("a reason").to_owned())
    };
    failures.iter().map(line).collect()
}

#[test]
fn every_exhibit_has_its_reason_and_the_good_ones_are_indexed() {
    let home = Home::new();
    let folder = home.folder("museum");
    let mut bad: Vec<(String, &str)> = vec![];
    let mut good = 0;
    for Exhibit { name, bytes, reason } in exhibits() {
        fs_err::write(folder.join(OsStr::from_bytes(&name)), bytes).expect("written");
        match reason {
            "" => good += 1,
            reason => bad.push((String::from_utf8_lossy(&name).into_owned(), reason)),
        }
    }
    let fifo = Command::new("mkfifo").arg(folder.join("pipe.jpg")).status().expect("mkfifo");
    assert!(fifo.success());
    let _socket = UnixListener::bind(folder.join("socket.png")).expect("bound");
    let link = Command::new("ln").args(["-s", "self.jpg"]).arg(folder.join("self.jpg")).status();
    assert!(link.expect("ln").success());
    fs_err::create_dir(folder.join("folder.jpg")).expect("created");
    picture(&folder.join("folder.jpg/inside.png"), [9, 99, 9]);
    good += 1;
    picture(&folder.join("secret.png"), [1, 1, 1]);
    fs_err::set_permissions(folder.join("secret.png"), PermissionsExt::from_mode(0o000))
        .expect("set");
    bad.extend(
        [("pipe.jpg", "FIFO"), ("socket.png", "FIFO, socket"), ("secret.png", "ermission denied")]
            .map(|(name, reason)| (name.to_owned(), reason)),
    );
    println!("{} bad files, {good} good ones", bad.len());
    assert!(bad.len() >= 60, "a museum needs more than {}", bad.len());

    // Root reads everything, so the run is somebody else's.
    let root = fs_err::read(folder.join("secret.png")).is_ok();
    let index = |extra: &[&str]| {
        let args = [&["index", folder.to_str().expect("UTF-8"), "--json"], extra].concat();
        if root { home.ek_as_nobody(&args) } else { home.ek(&args) }
    };
    let report = index(&[]).exits(1).json();
    let found = ledger(&home.ek(&["status", "--failures", "--json"]).exits(1));
    let mut wrong = vec![];
    for (name, reason) in &bad {
        match found.get(name) {
            None => wrong.push(format!("{name:?} is not in the ledger")),
            Some(said) if !reason.split('|').any(|one| said.contains(one)) => {
                wrong.push(format!("{name:?}: {said:?}, not {reason:?}"));
            }
            Some(said) if said.contains('\n') || said.len() > 400 => {
                wrong.push(format!("{name:?}: no sentence: {said:?}"));
            }
            Some(_) => {}
        }
    }
    for (name, said) in &found {
        if !bad.iter().any(|(known, _)| known == name) {
            wrong.push(format!("{name:?} should have been indexed: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((&report["indexed"], &report["failed"]), (&good.into(), &bad.len().into()));

    // Again: what is good is left alone, what is bad is still told.
    let again = index(&[]).exits(1).json();
    assert_eq!((&again["indexed"], &again["unchanged"]), (&0.into(), &good.into()), "{again}");
    assert_eq!(ledger(&home.ek(&["status", "--failures", "--json"]).exits(1)), found);
    let all = home.ek(&["search", "a cat", "-n", "1000", "--json"]).exits(0);
    assert_eq!(all.paths().len(), good);
}

#[test]
fn links_in_circles_end() {
    let home = Home::new();
    let folder = home.folder("links");
    // A hundred folders deep, each with a link up and a link to the top.
    let mut at = folder.clone();
    for level in 0..100 {
        at = at.join(format!("d{level}"));
        fs_err::create_dir(&at).expect("created");
        symlink("..", at.join("up")).expect("linked");
        symlink(&folder, at.join("top")).expect("linked");
    }
    picture(&at.join("deep.png"), [10, 200, 10]);
    symlink("b.png", folder.join("a.png")).expect("linked");
    symlink("a.png", folder.join("b.png")).expect("linked");
    symlink("gone.png", folder.join("dangling.png")).expect("linked");
    let path = folder.to_str().expect("UTF-8");
    let report = home.ek(&["index", path, "--json"]).exits(0).json();
    assert_eq!((&report["indexed"], &report["failed"]), (&1.into(), &0.into()), "{report}");
    let report = home.ek(&["index", path, "--json", "--follow-links"]).exits(1).json();
    assert_eq!(report["indexed"], 0, "nothing is new: {report}");
    let found = ledger(&home.ek(&["status", "--failures", "--json"]).exits(1));
    assert!(found["up"].contains("leads back"), "{found:?}");
    for name in ["a.png", "dangling.png"] {
        assert!(found.contains_key(name), "{name}: {found:?}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_taken_later() {
    let home = Home::new();
    let folder = home.folder("changing");
    let whole = fs_err::read(reference("images/astronaut_512x400.png")).expect("read");
    let target = folder.join("growing.png");
    fs_err::write(&target, &whole).expect("written");
    for number in 0..6u8 {
        picture(&folder.join(format!("{number}.png")), [number * 40, 90, 90]);
    }
    let path = folder.to_str().expect("UTF-8");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Cut and written anew without a pause, as a camera's card is copied.
            while !done.load(Ordering::Relaxed) {
                for part in [whole.len() / 3, whole.len() / 2, whole.len()] {
                    fs_err::write(&target, &whole[..part]).expect("written");
                }
            }
        });
        let report = home.ek(&["index", path, "--json"]);
        done.store(true, Ordering::Relaxed);
        assert!([0, 1].contains(&report.code()), "{}", report.stderr());
        assert!(report.json()["indexed"].as_u64() >= Some(6), "{}", report.stdout());
    });
    fs_err::write(&target, &whole).expect("written");
    home.ek(&["index", path, "--json"]).exits(0);
    assert!(ledger(&home.ek(&["status", "--failures", "--json"]).exits(0)).is_empty());
    assert_eq!(home.ek(&["search", "a", "-n", "50", "--json"]).exits(0).paths().len(), 7);
}
