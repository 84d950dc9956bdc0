//! Copies are found, the best is named, and searches can leave the others out.

use std::path::Path;

use image::imageops::FilterType;
use serde_json::Value;

use crate::support::{Home, Server, reference};

/// Five pictures of five things, and copies of two of them.
fn album() -> Home {
    let home = Home::new();
    let folder = home.folder("pictures");
    let golden = |name: &str| reference(&format!("images/{name}"));
    for (from, to) in [
        ("rocket_640x427.jpg", "rocket.jpg"),
        ("rocket_640x427.jpg", "rocket again.jpg"),
        ("astronaut_512x400.png", "astronaut.png"),
        ("coffee_300x600.webp", "coffee.webp"),
        ("cat_451x300.jpg", "cat.jpg"),
        ("motorcycle_gray_370x250.png", "motorcycle.png"),
    ] {
        fs_err::copy(golden(from), folder.join(to)).expect("copied");
    }
    // Copied long ago.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let file = fs_err::File::options().append(true).open(folder.join("rocket.jpg")).expect("there");
    file.file().set_modified(old).expect("set");
    let astronaut = image::open(golden("astronaut_512x400.png")).expect("a picture").to_rgb8();
    astronaut.save(folder.join("astronaut as.jpg")).expect("written");
    let small = image::imageops::resize(&astronaut, 256, 200, FilterType::Triangle);
    small.save(folder.join("astronaut small.png")).expect("written");
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    home
}

fn name(value: &Value) -> String {
    let path = Path::new(value["path"].as_str().expect("a path"));
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// Kind, why the first is the best, and names.
fn groups(report: &Value) -> Vec<(String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let group = |group: &Value| {
        let items = group["items"].as_array().expect("items");
        assert_eq!(group["best"], items[0]["id"], "{group}");
        (text(&group["kind"]), text(&group["why"]), items.iter().map(name).collect())
    };
    let mut all: Vec<_> = report["groups"].as_array().expect("groups").iter().map(group).collect();
    all.sort();
    all
}

#[test]
fn copies_are_found_and_the_best_is_named() {
    let home = album();
    let report = home.ek(&["dupes", "--json"]).exits(0).json();
    let found = groups(&report);
    let expected = [
        ("exact", "oldest", vec!["rocket.jpg", "rocket again.jpg"]),
        (
            "near",
            "least compressed",
            vec!["astronaut.png", "astronaut as.jpg", "astronaut small.png"],
        ),
    ];
    assert_eq!(found.len(), 2, "{report:#}");
    for ((kind, why, names), (a, b, c)) in found.iter().zip(&expected) {
        assert_eq!(
            (kind.as_str(), names),
            (*a, &c.iter().map(|n| (*n).to_owned()).collect()),
            "{report:#}"
        );
        assert_eq!(why, b);
    }
    assert_eq!((&report["pictures"], &report["copies"]), (&8.into(), &3.into()));
    let exact = home.ek(&["dupes", "--exact", "--json"]).exits(0).json();
    assert_eq!(groups(&exact).len(), 1, "{exact}");
    let filtered = home.ek(&["dupes", "--filter", "name:cat", "--json"]).exits(1).json();
    assert_eq!(filtered["pictures"], 1, "{filtered}");
    let run = home.ek(&["dupes"]).exits(0);
    assert!(
        run.stdout().contains("best") && run.stdout().contains("identical"),
        "{}",
        run.stdout()
    );
    assert!(run.stderr().contains("3 copies of 8 pictures"), "{}", run.stderr());
    home.ek(&["dupes", "--filter", "colour:ultraviolet"]).exits(2);

    let server = Server::start(&home, &["serve"]);
    let (status, reply) = server.get("/v1/duplicates");
    assert_eq!((status, groups(&reply)), (200, groups(&report)));
    let (status, reply) = server.get("/v1/duplicates?exact=true&limit=1");
    assert_eq!((status, groups(&reply)), (200, groups(&exact)));
    let (_, second) = server.get("/v1/duplicates?limit=1&offset=1");
    assert_eq!((groups(&second).len(), &second["total_groups"]), (1, &2.into()));
    assert_eq!(server.get("/v1/duplicates?limit=0").0, 400);
}

#[test]
fn searches_leave_copies_out_if_asked() {
    let home = album();
    let search =
        |extra: &[&str]| home.ek(&[&["search", "a spaceman", "--json"], extra].concat()).exits(0);
    assert_eq!(search(&["-n", "8"]).paths().len(), 8, "as ever");
    let collapsed = search(&["--collapse", "-n", "8"]);
    assert_eq!(collapsed.paths().len(), 5);
    let hits = collapsed.json();
    let copies: u64 = hits["hits"]
        .as_array()
        .expect("hits")
        .iter()
        .map(|h| h["copies"].as_u64().expect("a number"))
        .sum();
    assert_eq!(copies, 3, "{hits}");
    // In pages the same.
    let paged: Vec<String> = (0..5)
        .flat_map(|offset| {
            let offset = offset.to_string();
            search(&["--collapse", "-n", "1", "--offset", &offset]).paths()
        })
        .collect();
    assert_eq!(paged, collapsed.paths());
    let server = Server::start(&home, &["serve"]);
    let (_, reply) = server.get("/v1/search?q=a%20spaceman&k=8&collapse=true");
    assert_eq!(reply["hits"].as_array().map(Vec::len), Some(5), "{reply}");
}
