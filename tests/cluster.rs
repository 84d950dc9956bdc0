//! `ek cluster` over generated pictures and the gallery.

use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use crate::support::{Home, reference, repository};

/// Six cuts each of three photographs, `cat0.png` and so on, indexed.
fn photographs(home: &Home) {
    let folder = home.folder("pictures");
    for (kind, file) in [
        ("cat", "cat_451x300.jpg"),
        ("coffee", "coffee_300x600.webp"),
        ("rocket", "rocket_640x427.jpg"),
    ] {
        let whole = image::open(reference(&format!("images/{file}"))).expect("a picture");
        for i in 0..6 {
            let cut = whole.crop_imm(4 * i, 3 * i, whole.width() - 8 * i, whole.height() - 6 * i);
            cut.to_rgb8().save(folder.join(format!("{kind}{i}.png"))).expect("written");
        }
    }
    home.ek(&["index", "pictures"]).exits(0);
}

/// Six pictures each of three kinds: plain red, plain blue, stripes; each a little
/// different.
fn patterns(home: &Home) {
    let folder = home.folder("pictures");
    for i in 0..6u32 {
        let shade = (i * 8) as u8;
        let plain = |rgb: [u8; 3]| RgbImage::from_pixel(64 + i, 64, Rgb(rgb));
        plain([200 + shade, 10, 10]).save(folder.join(format!("red{i}.png"))).expect("written");
        plain([10, 10, 200 + shade]).save(folder.join(format!("blue{i}.png"))).expect("written");
        let stripes = RgbImage::from_fn(64, 64, |x, _| Rgb([((x / (4 + i)) % 2 * 255) as u8; 3]));
        stripes.save(folder.join(format!("stripes{i}.png"))).expect("written");
    }
    home.ek(&["index", "pictures"]).exits(0);
}

/// Three shapes in grey (a disc, a bar, a triangle), each in front of six loud
/// backgrounds four times, at chance places: `disc0.png` and so on. What varies most
/// is the background; what is labelled is the shape.
fn shapes(home: &Home) {
    const BACKGROUNDS: [[u8; 3]; 6] = [
        [200, 30, 30],
        [30, 160, 40],
        [30, 50, 200],
        [230, 210, 40],
        [240, 240, 240],
        [20, 20, 20],
    ];
    let folder = home.folder("pictures");
    // Three small numbers that differ from picture to picture.
    let mut state = 7u32;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i32::try_from((state >> 16) % below).expect("a small number")
    };
    let mut lines = Vec::new();
    for shape in ["disc", "bar", "triangle"] {
        for i in 0..24 {
            let (x, y, r) = (40 + draw(17), 40 + draw(17), 20 + draw(6));
            let back = BACKGROUNDS[i % 6];
            let picture = RgbImage::from_fn(96, 96, |px, py| {
                let (px, py) = (px as i32, py as i32);
                let (dx, dy) = (px - x, py - y);
                let inside = match shape {
                    "disc" => dx * dx + dy * dy <= r * r,
                    "bar" => dx.abs() <= r && dy.abs() <= r / 3,
                    _ => (-r..=r).contains(&dy) && dx.abs() <= (dy + r) / 2,
                };
                let marked = match i % 3 {
                    0 => px % 8 < 2,
                    1 => px % 12 < 6 && py % 12 < 6,
                    _ => false,
                };
                Rgb(match (inside, marked) {
                    (true, _) => [128; 3],
                    (false, true) => back.map(|v| 255 - v),
                    (false, false) => back,
                })
            });
            let file = format!("{shape}{i}.png");
            picture.save(folder.join(&file)).expect("written");
            lines.push(json!({"path": format!("pictures/{file}"), "class": shape}).to_string());
        }
    }
    fs_err::write(home.path().join("shapes.jsonl"), lines.join("\n")).expect("written");
    home.ek(&["index", "pictures"]).exits(0);
}

/// The kinds of pictures in each group, by file name without the number.
fn kinds(report: &Value) -> Vec<Vec<String>> {
    let groups = report["groups"].as_array().expect("groups");
    groups
        .iter()
        .map(|group| {
            let members = group["members"].as_array().expect("members");
            let name = |m: &Value| {
                let path = m["path"].as_str().expect("a path").to_owned();
                let file = path.rsplit('/').next().unwrap_or_default();
                file.trim_end_matches(|c: char| c.is_ascii_digit() || ".png".contains(c)).to_owned()
            };
            members.iter().map(name).collect()
        })
        .collect()
}

#[test]
fn like_pictures_come_together() {
    let home = Home::new();
    photographs(&home);
    let report = home.ek(&["cluster", "-k", "3", "--json"]).exits(0).json();
    assert_eq!((&report["pictures"], &report["k"]), (&18.into(), &3.into()));
    assert_eq!(report["k_chosen"], false);
    for kinds in kinds(&report) {
        assert!(kinds.iter().all(|kind| *kind == kinds[0]), "{kinds:?}");
        assert_eq!(kinds.len(), 6);
    }
    for group in report["groups"].as_array().expect("groups") {
        assert_eq!(group["size"], 6);
        assert!(!group["name"].as_str().expect("a name").is_empty());
        let scores: Vec<f64> = group["words"]
            .as_array()
            .expect("words")
            .iter()
            .map(|w| w["score"].as_f64().expect("a number"))
            .collect();
        assert!(!scores.is_empty() && scores.is_sorted_by(|a, b| a >= b), "{group}");
    }
    assert_eq!(home.ek(&["cluster", "-k", "3", "--json"]).exits(0).json(), report, "seeded");
    let chosen = home.ek(&["cluster", "--json"]).exits(0).json();
    assert_eq!(chosen["k_chosen"], true);
    assert!((2..=6).contains(&chosen["k"].as_u64().expect("a number")), "{}", chosen["k"]);
    let text = home.ek(&["cluster", "-k", "3"]).exits(0).stdout();
    assert!(text.contains("18 pictures in 3 groups") && text.contains("cat"), "{text}");
}

#[test]
fn a_group_is_named_by_a_caption_that_fits() {
    let home = Home::new();
    let run = home.ek(&[
        "index",
        &repository().join("web/gallery/pictures").display().to_string(),
        "--captions",
        &repository().join("web/gallery/captions.jsonl").display().to_string(),
    ]);
    run.exits(0);
    let report = home.ek(&["cluster", "-k", "8", "--json"]).exits(0).json();
    let groups = report["groups"].as_array().expect("groups");
    let names: Vec<&str> = groups.iter().filter_map(|g| g["name"].as_str()).collect();
    let mut different = names.clone();
    different.sort_unstable();
    different.dedup();
    assert!(different.len() >= 6, "names tell groups apart: {names:?}");
    let sizes: Vec<u64> = groups.iter().filter_map(|g| g["size"].as_u64()).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<u64>(), report["pictures"].as_u64().expect("a number"));
}

#[test]
fn the_members_own_words_name_a_group() {
    let home = Home::new();
    let folder = home.folder("pictures/my_summer");
    photographs(&home);
    for i in 0..6 {
        let name = format!("rocket{i}.png");
        fs_err::rename(folder.join("..").join(&name), folder.join(&name)).expect("moved");
    }
    const DOES: [&str; 6] = ["asleep", "awake", "hungry", "fed", "angry", "purring"];
    let lines: Vec<String> = (0..6)
        .flat_map(|i| {
            let caption = format!("Mimi {}", DOES[i]);
            [
                json!({"path": format!("pictures/cat{i}.png"), "caption": caption}),
                json!({"path": format!("pictures/coffee{i}.png"), "tags": ["Espresso"]}),
            ]
        })
        .map(|line| line.to_string())
        .collect();
    fs_err::write(home.path().join("captions.jsonl"), lines.join("\n")).expect("written");
    home.ek(&["index", "pictures", "--captions", "captions.jsonl"]).exits(0);
    let report = home.ek(&["cluster", "-k", "3", "--json"]).exits(0).json();
    let mut names: Vec<&str> = report["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .filter_map(|g| g["name"].as_str())
        .collect();
    names.sort_unstable();
    // A caption's word, a tag, a folder: all of a kind have them, and no other picture.
    assert_eq!(names, ["espresso", "mimi", "my summer"]);
}

/// The kinds of [`patterns`], and a picture that is not there.
fn labels(home: &Home) {
    let lines: Vec<String> = ["red", "blue", "stripes"]
        .iter()
        .flat_map(|kind| {
            (0..6).map(move |i| {
                json!({"path": format!("pictures/{kind}{i}.png"), "class": kind}).to_string()
            })
        })
        .chain([json!({"path": "pictures/gone.png", "class": "red"}).to_string()])
        .collect();
    fs_err::write(home.path().join("labels.jsonl"), lines.join("\n")).expect("written");
}

#[test]
fn a_distance_is_learned_measured_kept_and_used() {
    let home = Home::new();
    patterns(&home);
    labels(&home);
    for form in ["full", "diagonal"] {
        let args = ["cluster", "--pairs", "labels.jsonl", "--metric", form, "--json"];
        let more = [&args[..], &["--save-metric", "metric.json"]].concat();
        let run = home.ek(&more).exits(0);
        assert!(run.stderr().contains("1 labelled picture"), "{}", run.stderr());
        let report = run.json();
        let agreement = &report["agreement"];
        assert_eq!(
            (&agreement["labelled"], &agreement["missing"], &agreement["classes"]),
            (&18.into(), &1.into(), &3.into())
        );
        let metric = &agreement["metric"];
        assert_eq!((&metric["form"], &metric["from"]), (&form.into(), &9.into()));
        // Three classes of three: 3 pairs of the same each, 27 others.
        assert_eq!((&metric["similar"], &metric["dissimilar"]), (&9.into(), &27.into()));
        let number = |part: &Value| part.as_f64().expect("a number");
        assert!(number(&metric["objective_after"]) < number(&metric["objective_before"]));
        // The model tells these kinds apart by itself: nine labels have little to add, and
        // must not make it worse.
        for measure in ["ari", "nmi"] {
            let of = |part: &str| number(&metric[part][measure]);
            assert!(of("others_after") >= of("others_before"), "{form}: {agreement}");
            assert!(of("all_after") >= of("all_before"), "{form}: {agreement}");
        }
        assert!(number(&metric["all_before"]["ari"]) > 0.5, "{agreement}");
        let used = home.ek(&["cluster", "-k", "3", "--use-metric", "metric.json", "--json"]);
        assert_eq!(kinds(&used.exits(0).json()), kinds(&report), "the kept distance is the same");
    }
    let plain = home.ek(&["cluster", "--pairs", "labels.jsonl", "--metric", "none", "--json"]);
    let agreement = plain.exits(0).json()["agreement"].clone();
    assert!(agreement["metric"].is_null() && agreement["plain"]["nmi"].is_f64(), "{agreement}");
    let text = home.ek(&["cluster", "--pairs", "labels.jsonl"]).exits(0).stdout();
    assert!(text.contains("not learned from, learned"), "{text}");
}

#[test]
fn labels_teach_what_to_group_by() {
    let home = Home::new();
    shapes(&home);
    // The diagonal form can only weigh coordinates, in which shape and background are mixed.
    // Over sixteen ways to halve the labels the full form gained at least 0.68, the other 0.2.
    for (form, gain) in [("full", 0.5), ("diagonal", 0.1)] {
        let args = ["cluster", "--pairs", "shapes.jsonl", "--metric", form, "--json"];
        let report = home.ek(&args).exits(0).json();
        let metric = &report["agreement"]["metric"];
        let number = |part: &Value| part.as_f64().expect("a number");
        let of = |part: &str, measure: &str| number(&metric[part][measure]);
        assert_eq!(metric["from"], 36, "half of each shape");
        // By itself the model groups by the background, which says nothing of the shape.
        assert!(of("others_before", "ari") < 0.2, "{form}: {metric}");
        for measure in ["ari", "nmi"] {
            let (before, after) = (of("others_before", measure), of("others_after", measure));
            assert!(after > before + gain, "{form}, {measure}: {metric}");
        }
        assert!(number(&metric["share"]) > 0.0, "{form}: {metric}");
        let tried = metric["tried"].as_array().expect("shares");
        let kappa = |share: f64| tried.iter().find(|t| t["share"] == share).map(|t| &t["kappa"]);
        let best = tried.iter().map(|t| number(&t["kappa"])).fold(f64::NEG_INFINITY, f64::max);
        let chosen = kappa(number(&metric["share"])).expect("one that was tried");
        assert!(number(chosen) >= best - 1e-6, "{form}: {metric}");
    }
    let text = home.ek(&["cluster", "--pairs", "shapes.jsonl"]).exits(0).stdout();
    assert!(text.contains("held-out pictures are grouped best"), "{text}");
}

#[test]
fn what_cannot_be_grouped_is_said() {
    let home = Home::new();
    patterns(&home);
    let said = home.ek(&["cluster", "-k", "19"]).exits(2).stderr();
    assert!(said.contains("19 groups of 18"), "{said}");
    fs_err::write(
        home.path().join("one.jsonl"),
        "{\"path\":\"pictures/red0.png\",\"class\":\"red\"}",
    )
    .expect("written");
    let said = home.ek(&["cluster", "--pairs", "one.jsonl"]).exits(2).stderr();
    assert!(said.contains("two classes"), "{said}");
    home.ek(&["cluster", "--metric", "full"]).exits(2);
    fs_err::write(
        home.path().join("other.json"),
        "{\"kind\":\"mahalanobis\",\"space\":\"else\",\"map\":[[1.0]]}",
    )
    .expect("written");
    let said = home.ek(&["cluster", "--use-metric", "other.json"]).exits(2).stderr();
    assert!(said.contains("else"), "{said}");
    let empty = Home::new();
    empty.folder("nothing");
    empty.ek(&["index", "nothing"]);
    empty.ek(&["cluster"]).exits(1);
}
