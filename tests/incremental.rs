//! Indexing again touches only what changed; captions are words to search by.

use std::time::{Duration, SystemTime};

use crate::support::{Home, Server, picture, reference};

fn counts(home: &Home, args: &[&str]) -> [u64; 5] {
    let report = home.ek(&[&["index"], args, &["--json"]].concat()).exits(0).json();
    ["seen", "indexed", "unchanged", "removed", "failed"]
        .map(|name| report[name].as_u64().expect("a number"))
}

#[test]
fn only_what_changed_is_done_again() {
    let home = Home::new();
    let folder = home.folder("pictures");
    for (name, colour) in [("a.png", [255, 0, 0]), ("b.png", [0, 255, 0]), ("c.png", [0, 0, 255])] {
        picture(&folder.join(name), colour);
    }
    assert_eq!(counts(&home, &["pictures"]), [3, 3, 0, 0, 0]);
    assert_eq!(counts(&home, &["pictures"]), [3, 0, 3, 0, 0]);

    picture(&folder.join("a.png"), [9, 9, 9]);
    let later = SystemTime::now() + Duration::from_secs(5);
    let file = fs_err::OpenOptions::new().append(true).open(folder.join("a.png")).expect("open");
    file.file().set_modified(later).expect("set");
    picture(&folder.join("d.png"), [7, 7, 7]);
    fs_err::remove_file(folder.join("b.png")).expect("removed");
    assert_eq!(counts(&home, &["pictures"]), [3, 2, 1, 1, 0]);
    assert_eq!(home.ek(&["status", "--json"]).exits(0).json()["images"], 3);

    // Forgetting leaves the file alone, and the next run takes it again.
    let run = home.ek(&["remove", "pictures/a.png", "--json"]).exits(0);
    assert_eq!(run.json()["removed"], 1);
    assert!(folder.join("a.png").exists());
    let run = home.ek(&["remove", "pictures/nothing.png"]).exits(1);
    let said = run.stderr();
    assert!(said.contains("takes up again") && said.contains(".ekignore"), "{said}");
    assert_eq!(counts(&home, &["pictures"]), [3, 1, 2, 0, 0]);
}

#[test]
fn excluded_ignored_and_hidden_files_are_left_out() {
    let home = Home::new();
    let folder = home.folder("pictures");
    home.folder("pictures/private");
    home.folder("pictures/.hidden");
    for name in ["a.png", "b.jpg.png", "private/c.png", ".hidden/d.png", "skip.png"] {
        picture(&folder.join(name), [1, 2, 3]);
    }
    fs_err::write(folder.join(".ekignore"), "skip.png\n").expect("written");
    // As in a .gitignore at the root: by name anywhere, or by the way from the root.
    for glob in ["private", "private/", "private/**", "/private", "**/c.png", "priv*/*.png"] {
        assert_eq!(counts(&home, &["pictures", "--exclude", glob])[0], 2, "{glob}");
    }
    assert_eq!(counts(&home, &["pictures"])[1], 1, "private/c.png is not excluded any more");
    // A folder within that was asked for by name is not lost with the outer run.
    assert_eq!(counts(&home, &["pictures/.hidden"])[1], 1);
    assert_eq!(counts(&home, &["pictures"])[3], 0);
    assert_eq!(counts(&home, &["pictures", "pictures/private"])[..3], [3, 0, 3]);
}

#[test]
fn words_survive_a_file_that_is_broken_for_a_while_and_a_missing_disk() {
    let home = Home::new();
    let folder = home.folder("pictures");
    let file = folder.join("1.jpg");
    let whole = fs_err::read(reference("images/cat_451x300.jpg")).expect("read");
    fs_err::write(&file, &whole).expect("written");
    let line = "{\"path\":\"pictures/1.jpg\",\"caption\":\"Mittens\"}\n{\"path\":\"gone.jpg\"}\n";
    fs_err::write(home.path().join("c.jsonl"), line).expect("written");
    let run = home.ek(&["index", "pictures", "--captions", "c.jsonl"]).exits(0);
    assert!(run.stderr().contains("gone.jpg"), "a caption for nothing is told: {}", run.stderr());
    let found = || home.ek(&["search", "mittens", "--mode", "text", "--json"]).exits(0).paths();

    // Half written, as while it is being copied.
    fs_err::write(&file, &whole[..whole.len() / 2]).expect("written");
    home.ek(&["index", "pictures"]).exits(1);
    assert_eq!(found().len(), 1);
    fs_err::write(&file, &whole).expect("written");
    counts(&home, &["pictures"]);
    assert_eq!(found().len(), 1);

    // The empty folder that an unplugged disk leaves behind.
    let away = home.path().join("away");
    fs_err::rename(&folder, &away).expect("moved");
    fs_err::create_dir(&folder).expect("created");
    let run = home.ek(&["index", "pictures", "--json"]).exits(1);
    assert_eq!(run.json()["removed"], 0, "{}", run.stdout());
    assert!(run.stderr().contains("ek remove"), "{}", run.stderr());
    assert_eq!(found().len(), 1);
    fs_err::remove_dir(&folder).expect("removed");
    fs_err::rename(&away, &folder).expect("moved");
    assert_eq!(counts(&home, &["pictures"])[..3], [1, 0, 1]);
}

#[test]
fn what_is_forgotten_leaves_no_thumbnail() {
    let home = Home::new();
    picture(&home.folder("pictures").join("a.png"), [255, 0, 0]);
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(1);
    let (_, items) = server.get("/v1/items?limit=1");
    let id = items["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.get_bytes(&format!("/v1/items/{id}/thumbnail")).0, 200);
    assert_eq!(server.terminate(), 0);
    let kept = home.data().join("thumbnails").join(&id[..2]);
    assert_eq!(fs_err::read_dir(&kept).expect("kept").count(), 1);
    home.ek(&["remove", "pictures"]).exits(0);
    assert_eq!(fs_err::read_dir(&kept).expect("readable").count(), 0);
    // Nor does `ek up` take it up again.
    assert_eq!(home.ek(&["status", "--json"]).exits(0).json()["roots"], serde_json::json!([]));
}

#[test]
fn how_a_folder_was_indexed_is_remembered() {
    let home = Home::new();
    picture(&home.folder("pictures").join("a.png"), [255, 0, 0]);
    picture(&home.folder("pictures/private").join("b.png"), [0, 255, 0]);
    counts(&home, &["pictures", "--exclude", "private"]);
    let server = Server::start(&home, &["up"]);
    server.wait_for_images(1);
    picture(&home.path().join("pictures/c.png"), [0, 0, 255]);
    server.wait_for_images(2);
}

#[test]
fn captions_are_found_by_their_words_and_by_pictures() {
    let home = Home::new();
    let folder = home.folder("pictures");
    fs_err::copy(reference("images/cat_451x300.jpg"), folder.join("1.jpg")).expect("copied");
    fs_err::copy(reference("images/rocket_640x427.jpg"), folder.join("2.jpg")).expect("copied");
    fs_err::write(
        home.path().join("captions.jsonl"),
        "{\"path\":\"pictures/1.jpg\",\"caption\":\"Mittens the tabby cat\",\"tags\":[\"zyzzyva\"]}\n\
         {\"text\":\"an essay about harpsichords\"}\n",
    )
    .expect("written");
    counts(&home, &["pictures"]);
    // Captions for files that are indexed already: nothing is encoded again, the words are new.
    let [_, indexed, unchanged, ..] = counts(&home, &["pictures", "--captions", "captions.jsonl"]);
    assert_eq!((indexed, unchanged), (2, 1), "one picture recaptioned, one text");
    assert_eq!(counts(&home, &["pictures", "--captions", "captions.jsonl"])[1], 0);

    for word in ["mittens", "zyzzyva", "TABBY"] {
        let run = home.ek(&["search", word, "--mode", "text", "--json"]).exits(0);
        assert_eq!(run.paths().len(), 1, "{word}: {}", run.stdout());
        assert!(run.paths()[0].ends_with("1.jpg"));
    }
    home.ek(&["search", "nosuchword", "--mode", "text"]).exits(1);
    let reply = home.ek(&["search", "mittens", "--json"]).exits(0).json();
    assert_eq!(reply["hits"][0]["via"], serde_json::json!(["vector", "text"]), "{reply}");

    let described = home.ek(&["describe", "pictures/1.jpg", "-n", "20", "--json"]).exits(0).json();
    let texts = described["images"][0]["descriptions"].to_string();
    assert!(texts.contains("Mittens the tabby cat"), "{texts}");
    let texts = home.ek(&["search", "old keyboard instruments", "--for", "texts", "--json"]);
    let reply = texts.exits(0).json();
    assert_eq!(reply["hits"][0]["caption"], "an essay about harpsichords", "{reply}");

    // A picture that goes takes its caption along, but not what stands alone.
    fs_err::remove_file(folder.join("1.jpg")).expect("removed");
    counts(&home, &["pictures"]);
    let status = home.ek(&["status", "--json"]).exits(0).json();
    assert_eq!((&status["images"], &status["texts"]), (&1.into(), &1.into()), "{status}");
}

#[test]
fn a_damaged_vector_is_noticed_and_made_anew() {
    let home = Home::new();
    let folder = home.folder("pictures");
    for (name, colour) in [("a.png", [255, 0, 0]), ("b.png", [0, 255, 0]), ("c.png", [0, 0, 255])] {
        picture(&folder.join(name), colour);
    }
    counts(&home, &["pictures"]);
    home.ek(&["doctor"]).exits(0);
    let vectors = home.data().join("vectors-0001.ekv");
    let mut bytes = fs_err::read(&vectors).expect("read");
    let last = bytes.len() - 700;
    bytes[last] ^= 0x10;
    fs_err::write(&vectors, bytes).expect("written");
    let run = home.ek(&["doctor"]).exits(3);
    assert!(run.stdout().contains("1 damaged"), "{}", run.stdout());
    assert_eq!(counts(&home, &["pictures"])[..3], [3, 1, 2]);
    home.ek(&["doctor"]).exits(0);
    let run = home.ek(&["search", "x", "--mode", "vector", "--json"]).exits(0);
    assert_eq!(run.paths().len(), 3);
}

#[test]
fn what_failed_is_left_alone_until_it_is_tried_again() {
    let home = Home::new();
    let folder = home.folder("pictures");
    picture(&folder.join("a.png"), [255, 0, 0]);
    let whole = fs_err::read(folder.join("a.png")).expect("read");
    for name in ["b.png", "c.png"] {
        fs_err::write(folder.join(name), &whole[..whole.len() / 2]).expect("written");
        // What was written just now might not be whole yet, and is tried again.
        let file = fs_err::File::options().append(true).open(folder.join(name)).expect("open");
        let time = SystemTime::now() - Duration::from_secs(60);
        file.file().set_modified(time).expect("set");
    }
    let report = home.ek(&["index", "pictures", "--json"]).exits(1).json();
    assert_eq!((&report["failed"], &report["still_failing"]), (&2.into(), &0.into()), "{report}");
    assert_eq!(report["stopped"], false);
    assert!(report["stages"]["decode"].is_number(), "{report}");
    let run = home.ek(&["index", "pictures"]).exits(1);
    assert!(
        run.stdout().contains("2 unchanged and not tried; `ek retry` does"),
        "{}",
        run.stdout()
    );
    let run = home.ek(&["status"]).exits(0);
    assert!(run.stdout().contains("`ek retry` tries again"), "{}", run.stdout());

    let report = home.ek(&["retry", "--json"]).exits(1).json();
    assert_eq!((&report["seen"], &report["still_failing"]), (&2.into(), &0.into()), "{report}");
    fs_err::write(folder.join("b.png"), &whole).expect("written");
    let report = home.ek(&["retry", "pictures/b.png", "--json"]).exits(0).json();
    assert_eq!((&report["seen"], &report["indexed"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(report["reused"], 1, "the same as a.png: {report}");
    fs_err::remove_file(folder.join("c.png")).expect("removed");
    let run = home.ek(&["retry"]).exits(0);
    assert!(run.stdout().contains("nothing to try again"), "{}", run.stdout());
    home.ek(&["status", "--failures"]).exits(0);
    home.ek(&["index", "pictures", "--memory", "12kb"]).exits(2);
}

#[test]
fn a_file_that_moves_between_folders_keeps_its_caption() {
    let home = Home::new();
    let (from, to) = (home.folder("old"), home.folder("new"));
    picture(&from.join("a.png"), [255, 0, 0]);
    picture(&to.join("b.png"), [0, 255, 0]);
    let line = "{\"path\":\"old/a.png\",\"caption\":\"an aubergine\"}\n";
    fs_err::write(home.path().join("c.jsonl"), line).expect("written");
    counts(&home, &["old", "new", "--captions", "c.jsonl"]);
    fs_err::rename(from.join("a.png"), to.join("c.png")).expect("moved");
    // Only where it is now is looked at; where it was is an empty folder, as of a missing disk.
    let run = home.ek(&["index", "new"]).exits(0);
    assert!(
        run.stdout().contains("1 item indexed (1 moved, not encoded again)"),
        "{}",
        run.stdout()
    );
    let found = || {
        let run = home.ek(&["search", "aubergine", "--mode", "text", "--json"]).exits(0);
        let mut paths = run.paths();
        paths.sort();
        paths
    };
    assert_eq!(found().len(), 2, "{:?}", found());
    home.ek(&["remove", "old"]).exits(0);
    assert!(found()[0].ends_with("new/c.png") && found().len() == 1, "{:?}", found());
}
