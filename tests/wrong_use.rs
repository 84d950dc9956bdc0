//! Each wrong use: one clear sentence, the right exit code, nothing damaged.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Home, Run, Server, picture, reference};

/// One sentence for a person: no panic, no debug output, a single line.
fn sentence(run: &Run) -> String {
    let text = run.stderr();
    assert!(!text.contains("panicked") && !text.contains("Error {"), "{text}");
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("ek: ")).collect();
    assert_eq!(lines.len(), 1, "one sentence: {text}");
    lines[0].to_owned()
}

fn with_store() -> Home {
    let home = Home::new();
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    home
}

#[test]
fn a_folder_that_is_not_there() {
    let home = Home::new();
    for verb in [&["index", "nowhere"][..], &["up", "nowhere", "--port", "0"]] {
        let run = home.ek(verb).exits(2);
        assert!(sentence(&run).contains("no folder nowhere"), "{}", run.stderr());
    }
}

#[test]
fn an_unknown_flag_and_a_missing_argument() {
    let home = Home::new();
    let run = home.ek(&["search", "--frobnicate", "x"]).exits(2);
    assert!(run.stderr().contains("--frobnicate"), "{}", run.stderr());
    home.ek(&["index"]).exits(2);
    home.ek(&["no-such-verb"]).exits(2);
}

#[test]
fn a_search_before_there_is_a_store() {
    let home = Home::new();
    let run = home.ek(&["search", "a cat"]).exits(3);
    assert!(sentence(&run).contains("ek index"), "{}", run.stderr());
    assert!(!home.data().exists(), "reading makes nothing");
}

#[test]
fn searches_that_cannot_be_answered() {
    let home = with_store();
    for (args, word) in [
        (&["search"][..], "nothing to look for"),
        (&["search", " "], "empty"),
        (&["search", "--not", "a dog"], "also what to look for"),
        (&["search", "x", "-n", "0"], "1 to 1000"),
        (&["search", "x", "--weight", "1,2"], "--weight"),
        (&["search", "x", "--weight", "0"], "other than 0"),
        (&["search", "--image", "gone.jpg"], "gone.jpg"),
        (&["search", "--image", "http://127.0.0.1/a.jpg"], "network"),
        (&["search", "--image", "00000000000000000000000000000000"], "no item"),
        (&["label", "pictures/red.png", "--labels", "one"], "at least two"),
        (&["label", "pictures/red.png", "--labels", "a,b", "--template", "x"], "{}"),
        (&["label", "pictures", "--labels", "a,b"], "folder"),
        (&["label", "gone.png", "--labels", "a,b"], "gone.png"),
        (&["index", "pictures", "--exclude", "a{"], "exclude"),
        (&["index", "pictures", "--exclude", ""], "exclude"),
        (&["index", "pictures", "--captions", "c.txt"], ".jsonl or .csv"),
    ] {
        let run = home.ek(args).exits(2);
        assert!(sentence(&run).contains(word), "{args:?}: {}", run.stderr());
    }
    assert_eq!(home.ek(&["status", "--json"]).exits(0).json()["images"], 1);
}

#[test]
fn a_port_that_is_in_use() {
    let home = with_store();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    for verb in ["serve", "up"] {
        let run = home.ek(&[verb, "--port", &port]).exits(3);
        let text = sentence(&run);
        assert!(text.contains(&port) && text.contains("--port"), "{text}");
    }
    let elsewhere = Home::new();
    elsewhere.folder("pictures");
    elsewhere.ek(&["up", "pictures", "--port", &port]).exits(3);
    assert!(!elsewhere.data().exists(), "nothing was begun");
}

#[test]
fn listening_beyond_this_machine_without_a_key() {
    let home = with_store();
    let run = home.ek(&["serve", "--bind", "0.0.0.0", "--port", "0"]).exits(2);
    assert!(sentence(&run).contains("EK_API_KEY"), "{}", run.stderr());
}

#[test]
fn a_store_made_with_another_model() {
    let home = with_store();
    // The same files under another space: another preprocessing, say.
    let model = home.folder("other-model");
    let lite = crate::support::repository().join("models/lite");
    for entry in fs_err::read_dir(&lite).expect("readable") {
        let path = entry.expect("readable").path();
        fs_err::copy(&path, model.join(path.file_name().expect("a name"))).expect("copied");
    }
    let manifest = fs_err::read_to_string(model.join("model.toml")).expect("read");
    let space = manifest.split_once("[space]\nid = \"").and_then(|(_, rest)| rest.split_once('"'));
    let space = space.expect("a space").0.to_owned();
    let manifest = manifest.replace(&format!("\"{space}\""), "\"other-1\"");
    fs_err::write(model.join("model.toml"), manifest).expect("written");
    for args in [&["search", "red"][..], &["index", "pictures"], &["status"]] {
        let run = home.ek(&[args, &["--model", "other-model"]].concat()).exits(3);
        let text = sentence(&run);
        assert!(text.contains(&space) && text.contains("other-1"), "{text}");
    }
    assert_eq!(home.ek(&["search", "red", "--json"]).exits(0).paths().len(), 1);
}

#[test]
fn a_model_that_is_damaged() {
    let home = Home::new();
    let run = home.ek(&["doctor", "--model", "nowhere"]).exits(3);
    assert!(run.stdout().contains("nowhere"), "{}", run.stdout());
    let model = home.folder("model");
    let lite = crate::support::repository().join("models/lite");
    for entry in fs_err::read_dir(&lite).expect("readable") {
        let path = entry.expect("readable").path();
        fs_err::copy(&path, model.join(path.file_name().expect("a name"))).expect("copied");
    }
    let mut bytes = fs_err::read(model.join("image.onnx")).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(model.join("image.onnx"), bytes).expect("written");
    let cat = reference("images/cat_451x300.jpg");
    let cat = cat.to_str().expect("UTF-8");
    let run = home.ek(&["label", cat, "--labels", "cat,dog", "--model", "model"]).exits(3);
    assert!(sentence(&run).contains("image.onnx"), "{}", run.stderr());
}

#[test]
fn a_library_that_is_not_there() {
    let home = with_store();
    let run = home.ek(&["search", "red", "--onnxruntime", "/nowhere/lib.so"]).exits(3);
    assert!(sentence(&run).contains("/nowhere/lib.so"), "{}", run.stderr());
}

#[test]
fn no_right_to_write() {
    let home = Home::new();
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    let locked = home.folder("locked");
    fs_err::set_permissions(&locked, PermissionsExt::from_mode(0o555)).expect("locked");
    let root = fs_err::read_dir("/root").is_ok();
    let data = locked.join("data");
    let args = ["index", "pictures", "--data", data.to_str().expect("UTF-8")];
    let run = if root { home.ek_as_nobody(&args) } else { home.ek(&args) }.exits(3);
    let text = sentence(&run);
    assert!(text.contains("locked") && text.to_lowercase().contains("permission"), "{text}");
    assert!(!data.exists());
}

#[test]
fn a_folder_that_is_no_store_is_not_made_one() {
    let home = Home::new();
    let folder = home.folder("pictures");
    picture(&folder.join("red.png"), [255, 0, 0]);
    let run = home.ek(&["index", "pictures", "--data", "pictures"]).exits(3);
    assert!(sentence(&run).contains("pictures"), "{}", run.stderr());
    let left: Vec<_> = fs_err::read_dir(&folder).expect("readable").collect();
    assert_eq!(left.len(), 1, "nothing was added to it: {left:?}");
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let home = Home::new();
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(1);
    // What the server does not do for others, it keeps them from.
    let run = home.ek(&["index", "pictures", "--watch"]).exits(3);
    assert!(sentence(&run).contains("ek up"), "{}", run.stderr());
    // Reading is not writing.
    assert_eq!(home.ek(&["search", "red", "--json"]).exits(0).paths().len(), 1);
}
