//! Indexing again touches only what changed; captions are words to search by.

use std::time::{Duration, SystemTime};

use crate::support::{Home, picture, reference};

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
    home.ek(&["remove", "pictures/nothing.png"]).exits(1);
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
    assert_eq!(counts(&home, &["pictures", "--exclude", "private"])[1], 2);
    assert_eq!(counts(&home, &["pictures"])[1], 1, "private/c.png is not excluded any more");
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
