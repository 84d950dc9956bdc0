//! What people wrote into pictures and beside them, and what colours those have,
//! is found; also in a store that was made before anybody looked.

use crate::support::{Home, picture, repository};

fn names(paths: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = paths.iter().map(|p| p.rsplit('/').next().unwrap_or(p)).collect();
    names.sort_unstable();
    names
}

#[test]
fn words_in_files_and_beside_them_are_found() {
    let home = Home::new();
    let folder = home.folder("pictures");
    let all = ["both.jpg", "both.tif", "xmp.avif", "xmp.jxl", "xmp.png", "xmp.webp"];
    for name in all {
        let from = repository().join("tests/fixtures/words").join(name);
        fs_err::copy(from, folder.join(name)).expect("copied");
    }
    picture(&folder.join("red.png"), [220, 10, 10]);
    fs_err::write(folder.join("red.txt"), "A lighthouse before dawn\n").expect("written");
    picture(&folder.join("blue.PNG"), [10, 10, 220]);
    let packet = "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" \
        xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><rdf:Description dc:title=\"Zeppelin\">\
        <dc:subject><rdf:Bag><rdf:li>airship</rdf:li></rdf:Bag></dc:subject>\
        </rdf:Description></rdf:RDF>";
    fs_err::write(folder.join("blue.PNG.xmp"), packet).expect("written");
    home.ek(&["index", "pictures", "--quiet"]).exits(0);

    let text = |words: &str| {
        home.ek(&["search", words, "--mode", "text", "-n", "50", "--json"]).exits(0).paths()
    };
    assert_eq!(names(&text("Möwen Hafen")), all);
    assert_eq!(names(&text("seagull")), all);
    assert_eq!(names(&text("lighthouse")), ["red.png"]);
    assert_eq!(names(&text("zeppelin")), ["blue.PNG"]);
    let filter = |filter: &str| {
        home.ek(&["search", "a", "--filter", filter, "-n", "50", "--json"]).exits(0).paths()
    };
    assert_eq!(names(&filter("tag:seagull")), all);
    assert_eq!(names(&filter("tag:hafen taken:2019-05")), ["both.jpg", "both.tif"]);
    assert_eq!(names(&filter("tag:airship")), ["blue.PNG"]);
    assert_eq!(names(&filter("color:red -width:60")), ["red.png"]);
    assert_eq!(names(&filter("colour:blue -width:60")), ["blue.PNG"]);
    let hit = home.ek(&["search", "zeppelin", "--mode", "text", "--json"]).exits(0).json();
    let meta = &hit["hits"][0]["meta"];
    assert_eq!(meta["texts"][0], "Zeppelin", "{hit}");
    assert_eq!((&meta["keywords"][0], &meta["colors"][0]), (&"airship".into(), &"blue".into()));
}

/// Photo programs write sidecars long after the picture, and do not touch that.
#[test]
fn what_changes_beside_a_picture_is_noticed() {
    let home = Home::new();
    let folder = home.folder("pictures");
    picture(&folder.join("red.png"), [220, 10, 10]);
    picture(&folder.join("green.png"), [10, 220, 10]);
    let index = || {
        let report = home.ek(&["index", "pictures", "--json"]).exits(0).json();
        (report["indexed"].clone(), report["unchanged"].clone())
    };
    let finds = |words: &str, found: bool| {
        let code = i32::from(!found);
        let hits = home.ek(&["search", words, "--mode", "text", "--json"]).exits(code).paths();
        assert_eq!(names(&hits), if found { vec!["red.png"] } else { vec![] }, "{words}");
    };
    let (one, none) = ((1.into(), 1.into()), (0.into(), 2.into()));
    assert_eq!(index(), (2.into(), 0.into()));
    assert_eq!(index(), none);
    let sidecar = folder.join("red.png.txt");
    for (words, other) in [("lighthouse", "zeppelin"), ("zeppelin", "lighthouse")] {
        fs_err::write(&sidecar, format!("A {words} at dawn")).expect("written");
        assert_eq!(index(), one);
        finds(words, true);
        finds(other, false);
        assert_eq!(index(), none);
    }
    fs_err::remove_file(&sidecar).expect("removed");
    assert_eq!(index(), one);
    finds("zeppelin", false);
    assert_eq!(index(), none);
}
