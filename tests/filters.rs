//! Filters through the real program and the real server: every field once, and
//! what a bad one is answered with.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Home, Server, picture, repository};

/// Three pictures with EXIF, one without, and two captions.
fn album() -> Home {
    let home = Home::new();
    let fixtures = repository().join("tests/fixtures/exif");
    for (name, target) in [
        ("sydney_pixel.jpg", "trips/sydney/IMG_0001.jpg"),
        ("berlin_canon.png", "trips/berlin (2020)/redBicycle.png"),
        ("scan_of_1987.webp", "scans/old.webp"),
    ] {
        let target = home.path().join("pictures").join(target);
        fs_err::create_dir_all(target.parent().expect("a folder")).expect("created");
        fs_err::copy(fixtures.join(name), target).expect("copied");
    }
    picture(&home.folder("pictures").join("plain.png"), [255, 0, 0]);
    let captions = [
        json!({"path": "pictures/trips/sydney/IMG_0001.jpg", "caption": "a cat on a chair",
               "tags": ["Pet", "indoors"], "class": "cat"}),
        json!({"path": "pictures/plain.png", "tags": ["colour"]}),
    ];
    let lines: Vec<String> = captions.iter().map(Value::to_string).collect();
    fs_err::write(home.path().join("captions.jsonl"), lines.join("\n")).expect("written");
    home.ek(&["index", "pictures", "--captions", "captions.jsonl", "--quiet"]).exits(0);
    home
}

const SYDNEY: &str = "IMG_0001.jpg";
const BERLIN: &str = "redBicycle.png";
const SCAN: &str = "old.webp";
const PLAIN: &str = "plain.png";

/// Each filter with the pictures that it lets through.
fn filters() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("kind:image", vec![SYDNEY, SCAN, PLAIN, BERLIN]),
        ("path:trips/**", vec![SYDNEY, BERLIN]),
        ("path:pictures/*.png", vec![PLAIN]),
        ("folder:sydney", vec![SYDNEY]),
        ("folder:\"berlin (2020)\"", vec![BERLIN]),
        ("name:img_*", vec![SYDNEY]),
        ("name:bicycle", vec![BERLIN]),
        ("format:jpg", vec![SYDNEY]),
        ("type:png", vec![PLAIN, BERLIN]),
        ("size:>1mb", vec![]),
        ("size:1b..1mb", vec![SYDNEY, SCAN, PLAIN, BERLIN]),
        ("width:>=100", vec![SYDNEY, BERLIN]),
        ("height:32", vec![PLAIN]),
        ("dimensions:48x32", vec![PLAIN]),
        ("dimensions:>=100x100", vec![SYDNEY, BERLIN]),
        ("taken:2019-05..2020", vec![SYDNEY, BERLIN]),
        ("taken:2020-02-29", vec![BERLIN]),
        ("taken:1987", vec![SCAN]),
        ("taken:1987-08-01", vec![]),
        ("modified:>2001", vec![SYDNEY, SCAN, PLAIN, BERLIN]),
        ("camera:\"Pixel 7\"", vec![SYDNEY]),
        ("camera:canon", vec![BERLIN]),
        ("lens:\"f/1.8\"", vec![BERLIN]),
        ("tag:pet", vec![SYDNEY]),
        ("label:cat", vec![SYDNEY]),
        ("iso:100 aperture:1.85 exposure:1/250 focal:6.81mm", vec![SYDNEY]),
        ("iso:>100 or exposure:>=1s or aperture:<1", vec![]),
        ("color:red -width:>48", vec![PLAIN]),
        ("near:52.5,13.4,10km", vec![BERLIN]),
        ("near:-33.86,151.21,2mi", vec![SYDNEY]),
        ("camera:* -tag:pet", vec![BERLIN]),
        ("tag:pet or (format:webp -width:>1000)", vec![SYDNEY, SCAN]),
        ("-(taken:>=1900 or tag:colour)", vec![]),
    ]
}

/// The names of the hits, sorted as [`filters`] has them.
fn names(reply: &Value) -> Vec<String> {
    let name = |hit: &Value| {
        let path = hit["path"].as_str().unwrap_or_default();
        Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let mut names: Vec<_> = reply["hits"].as_array().expect("hits").iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn every_field_on_the_command_line_and_over_http() {
    let home = album();
    let server = Server::start(&home, &["serve"]);
    for (filter, mut expected) in filters() {
        expected.sort_unstable();
        let code = i32::from(expected.is_empty());
        let args = ["search", "a picture", "--mode", "vector", "--filter", filter, "--json"];
        let run = home.ek(&args).exits(code);
        assert_eq!(names(&run.json()), expected, "{filter}");
        assert_eq!(run.json()["total_candidates"], expected.len(), "{filter}");

        let body = json!({"text": "a picture", "mode": "vector", "filter": filter});
        let (status, reply) = server.post("/v1/search", &body);
        assert_eq!((status, names(&reply)), (200, strings(&expected)), "{filter}");
        let query: String = filter.bytes().map(|b| format!("%{b:02X}")).collect();
        let (status, linked) = server.get(&format!("/v1/search?q=cat&mode=vector&filter={query}"));
        assert_eq!((status, names(&linked)), (200, strings(&expected)), "{filter}");
        assert_eq!(linked["query"]["filter"], reply["query"]["filter"]);

        let (status, listed) = server.get(&format!("/v1/items?for=images&filter={query}"));
        let count = listed["items"].as_array().map(Vec::len);
        assert_eq!((status, count), (200, Some(expected.len())), "{filter}");
    }
    assert_eq!(server.terminate(), 0);
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn filters_hold_in_every_mode_and_choose_the_kind() {
    let home = album();
    let search = |args: &[&str]| home.ek(&[&["search", "--json"], args].concat()).json();
    let cat = "cat";
    for mode in ["vector", "text", "hybrid"] {
        let found = search(&[cat, "--mode", mode, "--filter", "tag:pet"]);
        assert_eq!(names(&found), [SYDNEY], "{mode}");
        let found = search(&[cat, "--mode", mode, "--filter", "-tag:pet"]);
        assert!(!names(&found).contains(&SYDNEY.to_owned()), "{mode}");
    }
    // A caption is a text of its own; who asks for texts is not held to pictures.
    let texts = search(&[cat, "--filter", "kind:text"]);
    assert_eq!(texts["hits"][0]["caption"], "a cat on a chair", "{texts}");
    assert_eq!(texts["query"]["for"], "all");
    assert_eq!(search(&[cat, "--filter", "kind:text", "--for", "images"])["hits"], json!([]));
    assert_eq!(search(&[cat, "--filter", " "])["query"]["filter"], Value::Null);
}

#[test]
fn a_bad_filter_says_where_and_what_was_expected() {
    let home = album();
    let server = Server::start(&home, &["serve"]);
    for (filter, character, expected) in [
        ("widht:>100", 1, "did you mean \"width\"?"),
        ("kind:image size:big", 17, "expected a size or a range of them, such as 500kb"),
        ("(tag:a", 7, "expected \")\""),
        ("beach", 1, "expected field:value"),
        ("taken:2019-13", 7, "expected a date or a range of them"),
        ("near:52.5,13.4", 6, "degrees north, degrees east and a distance"),
    ] {
        let run = home.ek(&["search", "cat", "--filter", filter]).exits(2);
        let at = format!("at character {character}:");
        for words in ["--filter", &at, expected] {
            assert!(run.stderr().contains(words), "{filter}: {}", run.stderr());
        }
        let body = json!({"text": "cat", "filter": filter});
        let (status, problem) = server.post("/v1/search", &body);
        assert_eq!((status, &problem["field"]), (400, &json!("filter")), "{problem}");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains(&at) && detail.contains(expected), "{problem}");
    }
    // The store is not looked for before the filter is understood.
    Home::new().ek(&["search", "cat", "--filter", "nonsense"]).exits(2);
    let (status, problem) = server.post("/v1/search", &json!({"text": "cat", "filter": 5}));
    assert_eq!((status, &problem["field"]), (400, &json!("filter")), "{problem}");
}

#[test]
fn what_files_tell_is_shown_and_counted() {
    let home = album();
    let found = home.ek(&["search", "cat", "--filter", "camera:pixel", "--json"]).exits(0).json();
    let meta = &found["hits"][0]["meta"];
    for (name, value) in [
        ("taken", json!("2019-05-01T12:30:05")),
        ("taken_offset_minutes", json!(600)),
        ("camera", json!("Google Pixel 7")),
        ("latitude", json!(-33.8568)),
        ("labels", json!(["cat"])),
    ] {
        assert_eq!(meta[name], value, "{name} in {meta}");
    }
    let status = home.ek(&["status", "--json"]).exits(0).json();
    assert_eq!(status["told"], json!({"taken": 3, "camera": 2, "place": 2}));
    let text = home.ek(&["status"]).exits(0).stdout();
    assert!(text.contains("when 3, by which camera 2, where 2"), "{text}");
    // Known and unchanged: nothing is done a second time.
    let again = home.ek(&["index", "pictures", "--json"]).exits(0).json();
    assert_eq!((&again["indexed"], &again["unchanged"]), (&json!(0), &json!(4)), "{again}");
}

#[test]
fn a_hit_says_which_words_found_it() {
    let home = album();
    let search = |words: &str, explain: bool| {
        let mut args = vec!["search", words, "--mode", "text", "--json"];
        args.extend(explain.then_some("--explain"));
        home.ek(&args).exits(0).json()
    };
    let found = search("bicylce", true);
    assert_eq!(names(&found), [BERLIN]);
    let expected =
        json!([{"word": "bicylce", "found": "bicycle", "field": "name", "how": "similar"}]);
    assert_eq!(found["hits"][0]["matched"], expected);
    assert_eq!(search("bicylce", false)["hits"][0].get("matched"), None);
    let text = home.ek(&["search", "bicyc", "--mode", "text", "--explain"]).exits(0).stdout();
    assert!(text.contains("\"bicyc\" in the name, as the beginning of \"bicycle\""), "{text}");
}

#[test]
fn a_changed_file_keeps_its_words_and_is_asked_anew_what_it_tells() {
    let home = album();
    let fixtures = repository().join("tests/fixtures/exif");
    let path = home.path().join("pictures/trips/sydney/IMG_0001.jpg");
    fs_err::copy(fixtures.join("scan_of_1987.webp"), &path).expect("replaced");
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let find =
        |filter: &str| names(&home.ek(&["search", "cat", "--filter", filter, "--json"]).json());
    assert_eq!(find("tag:pet label:cat taken:1987-08"), [SYDNEY]);
    assert_eq!(find("camera:pixel"), [""; 0]);
}
