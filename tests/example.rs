//! Does the example for whoever embeds the engine do what it says?

use std::path::Path;
use std::process::Command;

use crate::support::{Home, Run, cache, reference};

#[test]
fn a_program_of_ones_own_indexes_and_searches() {
    let home = Home::new();
    let folder = home.folder("pictures");
    for name in ["cat_451x300.jpg", "rocket_640x427.jpg", "coffee_300x600.webp"] {
        fs_err::copy(reference(&format!("images/{name}")), folder.join(name)).expect("copied");
    }
    let example = Path::new(env!("CARGO_BIN_EXE_ek")).with_file_name("examples");
    let example = example.join(format!("search_folder{}", std::env::consts::EXE_SUFFIX));
    assert!(example.is_file(), "build it: cargo build --example search_folder");
    let mut command = Command::new(example);
    command.arg(&folder).arg("a cat").current_dir(home.path());
    command.env("EK_DATA", home.data()).env("EK_CACHE", cache());
    let output = command.output().expect("it starts");
    let run = Run::of(&command, output).exits(0);
    let out = run.stdout();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("3 pictures, 0 failed"), "{out}");
    let hits: Vec<&str> = lines.collect();
    assert_eq!(hits.len(), 3, "{out}");
    assert!(hits[0].starts_with(" 1. ") && hits[0].contains("cat_451x300.jpg"), "{out}");
    // Its store is gone with it.
    assert!(!home.data().exists());
}
