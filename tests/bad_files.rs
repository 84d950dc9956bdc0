//! A folder of horrors: indexing ends, says what failed and why, and takes the rest.

use std::collections::HashMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{Home, Run, picture, reference};

/// A PNG that says it is 30,000 × 30,000, with nothing behind it.
fn huge_png_header() -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let mut body = name.to_vec();
        body.extend_from_slice(data);
        let crc = !body.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |c, _| {
                if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 }
            })
        });
        let length = (data.len() as u32).to_be_bytes();
        [&length[..], &body, &crc.to_be_bytes()].concat()
    };
    let side = 30_000u32.to_be_bytes();
    let header = [&side[..], &side, &[8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &[0x78])].concat()
}

fn fill(folder: &Path) {
    let copy = |from: &str, to: &str| {
        fs_err::copy(reference(&format!("images/{from}")), folder.join(to)).expect("copied");
    };
    copy("cat_451x300.jpg", "good.jpg");
    copy("motorcycle_gray16.png", "sixteen-bit.png");
    copy("rocket_cmyk.jpg", "cmyk.jpg");
    let whole = fs_err::read(reference("images/rocket_640x427.jpg")).expect("read");
    fs_err::write(folder.join("truncated.jpg"), &whole[..whole.len() / 2]).expect("written");
    fs_err::write(folder.join("empty.jpg"), b"").expect("written");
    fs_err::write(folder.join("words.png"), b"Dear diary, this is no picture.\n").expect("written");
    fs_err::write(folder.join("huge.png"), huge_png_header()).expect("written");
    fs_err::write(folder.join("notes.txt"), b"not a picture and not called one").expect("written");
    let fifo = Command::new("mkfifo").arg(folder.join("pipe.jpg")).status().expect("mkfifo");
    assert!(fifo.success());
    fs_err::create_dir(folder.join("locked")).expect("created");
    picture(&folder.join("locked/inside.png"), [1, 2, 3]);
    fs_err::create_dir(folder.join("loop")).expect("created");
    symlink(folder, folder.join("loop/back")).expect("linked");
    picture(&folder.join("loop/red.png"), [255, 0, 0]);
}

fn reasons(run: &Run) -> HashMap<String, String> {
    let reply = run.json();
    let failures = reply["failures"].as_array().expect("failures");
    failures
        .iter()
        .map(|f| {
            let path = Path::new(f["path"].as_str().expect("a path"));
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, f["reason"].as_str().expect("a reason").to_lowercase())
        })
        .collect()
}

#[test]
fn a_folder_of_horrors_is_indexed_as_far_as_it_can_be() {
    let home = Home::new();
    let folder = home.folder("pictures");
    fill(&folder);
    let locked = folder.join("locked");
    fs_err::set_permissions(&locked, PermissionsExt::from_mode(0o000)).expect("locked");
    // Root reads everything, so the run is somebody else's.
    let nobody = fs_err::read_dir(&locked).is_ok();
    let index = |extra: &[&str]| {
        let folder = folder.to_str().expect("UTF-8");
        let args = [&["index", folder, "--json"], extra].concat();
        if nobody { home.ek_as_nobody(&args) } else { home.ek(&args) }
    };

    let report = index(&[]).exits(1).json();
    assert_eq!(report["indexed"], 4, "good, sixteen-bit, cmyk and red: {report}");
    let ledger = reasons(&home.ek(&["status", "--failures", "--json"]).exits(1));
    for (name, word) in [
        ("truncated.jpg", "cut short"),
        ("empty.jpg", "empty"),
        ("words.png", "text"),
        ("huge.png", "30000"),
        ("pipe.jpg", "fifo"),
        ("locked", "permission denied"),
    ] {
        let reason = ledger.get(name).unwrap_or_else(|| panic!("{name} is not in {ledger:?}"));
        assert!(reason.replace([',', '\u{a0}'], "").contains(word), "{name}: {reason}");
    }
    assert_eq!(ledger.len(), 6, "{ledger:?}");
    assert_eq!(report["failed"], 6, "{report}");

    // Following links meets the loop, says so, and still ends.
    let report = index(&["--follow-links"]).exits(1).json();
    assert_eq!(report["indexed"], 0, "nothing is new: {report}");
    let ledger = reasons(&home.ek(&["status", "--failures", "--json"]).exits(1));
    assert!(ledger["back"].contains("leads back"), "{ledger:?}");

    // What can be read now is taken, and its line leaves the ledger.
    fs_err::set_permissions(&locked, PermissionsExt::from_mode(0o755)).expect("unlocked");
    fs_err::remove_file(folder.join("empty.jpg")).expect("removed");
    let report = index(&[]).exits(1).json();
    assert_eq!(report["indexed"], 1, "{report}");
    let ledger = reasons(&home.ek(&["status", "--failures", "--json"]).exits(1));
    assert!(!ledger.contains_key("locked") && !ledger.contains_key("empty.jpg"), "{ledger:?}");
}

#[test]
fn a_folder_that_became_unreadable_is_no_folder_of_deleted_files() {
    let home = Home::new();
    let folder = home.folder("pictures");
    let inner = home.folder("pictures/inner");
    picture(&folder.join("a.png"), [255, 0, 0]);
    picture(&inner.join("b.png"), [0, 255, 0]);
    let root = fs_err::read_dir("/root").is_ok();
    let path = folder.to_str().expect("UTF-8");
    let index = || {
        let args = ["index", path, "--json"];
        if root { home.ek_as_nobody(&args) } else { home.ek(&args) }
    };
    assert_eq!(index().exits(0).json()["indexed"], 2);
    fs_err::set_permissions(&inner, PermissionsExt::from_mode(0o000)).expect("locked");
    let report = index().exits(1).json();
    assert_eq!((&report["removed"], &report["unchanged"]), (&0.into(), &1.into()), "{report}");
    fs_err::set_permissions(&inner, PermissionsExt::from_mode(0o755)).expect("unlocked");
    let report = index().exits(0).json();
    assert_eq!(report["unchanged"], 2, "{report}");
}
