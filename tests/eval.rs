//! `ek eval` over a few real pictures and generated ones.

use serde_json::json;

use crate::support::{Home, picture, reference};

fn pairs(home: &Home) {
    let line = |file: &str, caption: &str, split: &str| {
        json!({ "path": reference(&format!("images/{file}")), "caption": caption, "split": split })
            .to_string()
    };
    let lines = [
        line("cat_451x300.jpg", "a cat", "test"),
        line("coffee_300x600.webp", "a cup of coffee", "test"),
        line("motorcycle_gray_370x250.png", "a motorcycle", "test"),
        line("rocket_640x427.jpg", "a rocket", "test"),
        line("no-such-file.jpg", "nothing", "broken"),
        line("astronaut_512x400.png", "an astronaut", "broken"),
    ];
    fs_err::write(home.path().join("pairs.jsonl"), lines.join("\n")).expect("written");
}

#[test]
fn recall_and_zero_shot_are_measured() {
    let home = Home::new();
    pairs(&home);
    let run = home.ek(&["eval", "pairs.jsonl", "--split", "test", "--json"]).exits(0);
    let report = run.json();
    assert_eq!(report["pictures"], 4);
    for direction in ["text_to_image", "image_to_text"] {
        assert_eq!(report[direction]["queries"], 4, "{report}");
        assert_eq!(report[direction]["recall@5"], 1.0, "five of four candidates: {report}");
        assert!(report[direction]["recall@1"].as_f64().expect("a number") >= 0.75, "{report}");
    }
    assert!(report["zero_shot"]["top_1"].as_f64().expect("a number") >= 0.75, "{report}");
    assert_eq!(report["zero_shot"]["classes"], 4);
    assert_eq!(report["zero_shot"]["templates"], 1);
    assert!(report["zero_shot_first_template"].is_null(), "the default model has but one");
    // Several templates beside the first alone: as if only that were given.
    let args = |templates: &[&'static str], more: &[&'static str]| -> Vec<&'static str> {
        let given = templates.iter().flat_map(|t| ["--template", *t]);
        ["eval", "pairs.jsonl", "--split", "test"]
            .into_iter()
            .chain(given)
            .chain(more.iter().copied())
            .collect()
    };
    let (odd, usual) = ("a noise like {} makes", "a photo of a {}");
    let alone = home.ek(&args(&[odd], &["--json"])).exits(0).json();
    let both = home.ek(&args(&[odd, usual], &["--json"])).exits(0).json();
    let mut first = alone["zero_shot"].clone();
    assert_eq!(first["templates"].take(), 1);
    first.as_object_mut().expect("an object").remove("templates");
    assert_eq!(both["zero_shot_first_template"], first);
    assert_eq!(both["zero_shot"]["templates"], 2);
    let text = home.ek(&args(&[odd, usual], &[])).exits(0).stdout();
    assert!(
        text.contains("mean of 2 templates") && text.contains("first template alone"),
        "{text}"
    );
    let rsum = report["rsum"].as_f64().expect("a number");
    let recalls: f64 = ["text_to_image", "image_to_text"]
        .iter()
        .flat_map(|d| ["recall@1", "recall@5", "recall@10"].map(|r| report[*d][r].as_f64()))
        .flatten()
        .sum();
    assert!((rsum - 100.0 * recalls).abs() < 1e-6);
    assert!(report["per_class"].is_null(), "{report}");

    let args = ["eval", "pairs.jsonl", "--split", "test", "--per-class"];
    let each = home.ek(&[&args[..], &["--json"]].concat()).exits(0).json()["per_class"].clone();
    let classes = each["classes"].as_array().expect("classes");
    let number = |of: &serde_json::Value, name: &str| of[name].as_f64().expect("a number");
    let right: f64 = classes.iter().map(|c| number(c, "recall") * number(c, "pictures")).sum();
    assert!((right / 4.0 - number(&report["zero_shot"], "top_1")).abs() < 1e-9, "{each}");
    let confused = each["confused"].as_array().expect("pairs").iter();
    let wrong: f64 = confused.map(|pair| number(pair, "pictures")).sum();
    assert!((right + wrong - 4.0).abs() < 1e-9, "{each}");
    let text = home.ek(&args).exits(0).stdout();
    assert!(text.contains("per class") && text.contains("a cup of coffee"), "{text}");
}

#[test]
fn pictures_that_are_missing_are_told_and_left_out() {
    let home = Home::new();
    pairs(&home);
    let run = home.ek(&["eval", "pairs.jsonl", "--split", "broken", "--json"]);
    // One picture is left, and one class: nothing to tell apart.
    let run = run.exits(2);
    assert!(run.stderr().contains("two"), "{}", run.stderr());
    let run = home.ek(&["eval", "pairs.jsonl", "--json"]).exits(1);
    assert_eq!((&run.json()["pictures"], &run.json()["failed"]), (&5.into(), &1.into()));
    assert!(run.stderr().contains("no-such-file.jpg"), "{}", run.stderr());
    let run = home.ek(&["eval", "pairs.jsonl", "--split", "tset"]).exits(2);
    assert!(run.stderr().contains("tset"), "{}", run.stderr());
}

#[test]
fn precision_and_intervals_are_told() {
    let home = Home::new();
    pairs(&home);
    let args = ["eval", "pairs.jsonl", "--split", "test", "--seed", "3", "--json"];
    let report = home.ek(&args).exits(0).json();
    for direction in ["text_to_image", "image_to_text"] {
        let d = &report[direction];
        let number = |name: &str| d[name].as_f64().unwrap_or_else(|| panic!("{name}: {d}"));
        // One relevant item a query: average precision is the reciprocal rank.
        assert_eq!(number("map"), number("mrr"), "{d}");
        assert_eq!(number("r_precision"), number("recall@1"), "{d}");
        assert!(number("mean_rank") >= 1.0);
        let interval = |name: &str| (d[name][0].as_f64(), d[name][1].as_f64());
        let (Some(low), Some(high)) = interval("recall@1_95") else { panic!("{d}") };
        assert!(low <= number("recall@1") && number("recall@1") <= high, "{d}");
    }
    assert_eq!(home.ek(&args).exits(0).json(), report, "seeded");
}

/// Twelve plain colours in two hands, large and small, each of three shades.
fn colours(home: &Home) {
    const COLOURS: [(&str, [u8; 3]); 6] = [
        ("red", [220, 20, 20]),
        ("green", [20, 180, 20]),
        ("blue", [20, 20, 220]),
        ("yellow", [230, 220, 20]),
        ("white", [250, 250, 250]),
        ("black", [5, 5, 5]),
    ];
    let mut lines = Vec::new();
    for (i, (name, [r, g, b])) in COLOURS.into_iter().enumerate() {
        for shade in 0..3u8 {
            let colour = [r, g, b].map(|v| v.saturating_add(shade * 5));
            let file = format!("{name}{shade}.png");
            picture(&home.path().join(&file), colour);
            let line = json!({
                "path": file, "caption": format!("the colour {name}"), "class": name,
                "split": if i < 3 { "train" } else { "test" },
                "style": if shade < 2 { "dull" } else { "bright" },
                "subset": if i % 2 == 0 { "even" } else { "odd" },
            });
            lines.push(line.to_string());
        }
    }
    fs_err::write(home.path().join("colours.jsonl"), lines.join("\n")).expect("written");
}

#[test]
fn subsets_are_reported_apart() {
    let home = Home::new();
    colours(&home);
    let report = home.ek(&["eval", "colours.jsonl", "--json"]).exits(0).json();
    let odd = &report["subsets"]["odd"];
    // Queries of the subset, candidates of all.
    assert_eq!(
        (&odd["text_to_image"]["queries"], &odd["text_to_image"]["candidates"]),
        (&3.into(), &18.into())
    );
    assert_eq!(
        (&odd["image_to_text"]["queries"], &odd["image_to_text"]["candidates"]),
        (&9.into(), &6.into())
    );
    let share =
        |part: &serde_json::Value| part["image_to_text"]["recall@1"].as_f64().expect("a number");
    let halves = f64::midpoint(share(odd), share(&report["subsets"]["even"]));
    assert!((halves - share(&report)).abs() < 1e-9, "the whole is the mean of equal halves");
}

#[test]
fn verification_says_what_it_can_and_refuses_the_rest() {
    let home = Home::new();
    colours(&home);
    let report = home.ek(&["eval", "colours.jsonl", "--verify", "--json"]).exits(0).json();
    let v = &report["verification"];
    assert_eq!((&v["same_by"], &v["pictures"]), (&"class".into(), &18.into()));
    // Six classes of three: 18 pairs of the same, 153 in all.
    assert_eq!((&v["all"]["positives"], &v["all"]["negatives"]), (&18.into(), &135.into()));
    assert!(v["all"]["auc"].as_f64().expect("a number") > 0.9, "shades of one colour: {v}");
    assert!(v["all"]["eer"].as_f64().expect("a number") < 0.2, "{v}");
    // The curve goes from nothing to all, and its area is the one that is told.
    let roc = v["all"]["roc"].as_array().expect("points");
    let point = |i: usize| -> (f64, f64) {
        let of = |name: &str| roc[i][name].as_f64().expect("a rate");
        (of("false_accept_rate"), of("true_accept_rate"))
    };
    assert!((2..=50).contains(&roc.len()) && roc[0]["threshold"].is_null(), "{v}");
    assert_eq!((point(0), point(roc.len() - 1)), ((0.0, 0.0), (1.0, 1.0)));
    let area: f64 = (1..roc.len())
        .map(|i| (point(i).0 - point(i - 1).0) * f64::midpoint(point(i).1, point(i - 1).1))
        .sum();
    assert!((area - v["all"]["auc"].as_f64().expect("a number")).abs() < 0.02, "{area}: {v}");
    let tar = v["all"]["tar_at_far"].as_array().expect("four rates");
    assert!(tar[0]["tar"].is_f64(), "135 negatives carry a rate of 0.1: {v}");
    let refused = tar[1]["refused"].as_str().expect("0.01 needs 1000");
    assert!(tar[1]["tar"].is_null() && refused.contains("1000") && refused.contains("135"), "{v}");
    // Two dull and one bright shade: two pairs of styles each.
    assert_eq!(v["across_styles"]["positives"], 12, "{v}");
    let args = ["eval", "colours.jsonl", "--verify", "--report", "roc.html"];
    let text = home.ek(&args).exits(0).stdout();
    assert!(text.contains("AUC") && text.contains("not measured"), "{text}");
    let page = fs_err::read_to_string(home.path().join("roc.html")).expect("written");
    assert_eq!(page.matches("<polyline").count(), 2, "all pairs, and those of two styles");
    let run = home.ek(&["eval", "colours.jsonl", "--report", "roc.html"]).exits(2);
    assert!(run.stderr().contains("--verify"), "{}", run.stderr());
    let run = home.ek(&["eval", "colours.jsonl", "--verify", "--same-by", "group"]).exits(2);
    assert!(run.stderr().contains("add a column group"), "{}", run.stderr());
}

#[test]
fn styles_without_a_common_thing_do_not_stop_the_rest() {
    let home = Home::new();
    let mut lines = Vec::new();
    for (name, style, [r, g, b]) in
        [("red", "dull", [200, 20, 20]), ("blue", "bright", [20, 20, 200])]
    {
        for shade in [0u8, 20] {
            let file = format!("{name}{shade}.png");
            picture(&home.path().join(&file), [r + shade, g + shade, b + shade]);
            let line = json!({"path": file, "caption": format!("{name} {shade}"), "class": name, "style": style});
            lines.push(line.to_string());
        }
    }
    fs_err::write(home.path().join("apart.jsonl"), lines.join("\n")).expect("written");
    let args = ["eval", "apart.jsonl", "--verify"];
    let report = home.ek(&[&args[..], &["--json"]].concat()).exits(0).json();
    let v = &report["verification"];
    assert_eq!((&v["all"]["positives"], &v["all"]["negatives"]), (&2.into(), &4.into()));
    assert!(v["all"]["auc"].is_f64() && report["rsum"].is_f64(), "{report}");
    let refused = v["across_styles"]["refused"].as_str().expect("a reason");
    assert!(refused.contains("got 0 and 4"), "{refused}");
    assert!(v["across_styles"]["auc"].is_null(), "{v}");
    let text = home.ek(&args).exits(0).stdout();
    let line = text.lines().find(|l| l.contains("across styles")).expect("a line");
    assert!(line.contains("not measured") && line.contains("got 0 and 4"), "{line}");
}

#[test]
fn judging_the_first_hits_is_measured() {
    let home = Home::new();
    colours(&home);
    let args = ["eval", "colours.jsonl", "--feedback", "--feedback-grid", "--json"];
    let report = home.ek(&args).exits(0).json();
    let f = &report["feedback"];
    assert_eq!((&f["same_by"], &f["pictures"]), (&"class".into(), &18.into()));
    for (kind, queries) in [("by_words", 6), ("by_picture", 18)] {
        let of = &f[kind];
        assert_eq!((&of["queries"], &of["things"]), (&queries.into(), &6.into()), "{of}");
        let rows = |i: usize| of["residuals"][i]["rows"].as_array().map_or(0, Vec::len);
        assert_eq!(rows(0), 1, "{of}");
        let seen = |i: usize, how: &str| of["seen"][i][how].as_f64().expect("a share");
        // Nobody has judged anything before the first ten; after thirty of 18 all is seen.
        assert_eq!(seen(0, "judging"), seen(0, "paging"), "{of}");
        assert_eq!((seen(2, "judging"), seen(2, "paging")), (1.0, 1.0), "{of}");
        assert!(seen(1, "judging") >= seen(0, "judging"), "{of}");
        for residual in of["residuals"].as_array().expect("residuals") {
            for row in residual["rows"].as_array().expect("rows") {
                let of = |name: &str| row[name].as_f64().expect("a number");
                let ends = |i: usize| row["ndcg@10_95"][i].as_f64().expect("an end");
                assert!(ends(0) <= of("ndcg@10") && of("ndcg@10") <= ends(1), "{row}");
            }
        }
    }
    // Weights of nothing rank as nobody's judgements do.
    let nothing = &f["tried"][0];
    assert_eq!(nothing["weights"], json!({"liked": 0.0, "disliked": 0.0, "disliked_alone": 0.0}));
    assert_eq!(nothing["by_words"]["seen_of_30"], f["by_words"]["seen"][2]["paging"], "{nothing}");
    assert_eq!(home.ek(&args).exits(0).json()["feedback"], *f, "seeded");
    let text = home.ek(&["eval", "colours.jsonl", "--feedback"]).exits(0).stdout();
    assert!(text.contains("no feedback") && text.contains("by paging on"), "{text}");
    home.ek(&["eval", "colours.jsonl", "--feedback-grid"]).exits(2);
}

#[test]
fn few_examples_teach_a_colour() {
    let home = Home::new();
    colours(&home);
    let args = ["eval", "colours.jsonl", "--shots", "1,2,5", "--ways", "5", "--json"];
    let report = home.ek(&args).exits(0).json();
    let of = |i: usize| &report["few_shot"][i];
    assert_eq!(
        (&of(0)["shots"], &of(0)["episodes"], &of(0)["classes"]),
        (&1.into(), &600.into(), &6.into())
    );
    assert!(of(0)["accuracy"].as_f64().expect("a number") > 0.5, "chance is 0.2: {report}");
    assert!(of(1)["half_width_95"].is_f64());
    // Over classes it is wider than over draws of the same six.
    let end = |i: usize| of(0)["interval_95_over_classes"][i].as_f64().expect("a number");
    let mean = of(0)["accuracy"].as_f64().expect("a number");
    assert!(end(0) <= mean && mean <= end(1), "{report}");
    assert!(end(1) - end(0) > of(0)["half_width_95"].as_f64().expect("a number"), "{report}");
    let refused = of(2)["refused"].as_str().expect("three pictures are too few for five shots");
    assert!(refused.contains("at least 6 pictures"), "{refused}");
    let run = home.ek(&["eval", "colours.jsonl", "--shots", "1", "--ways", "1"]).exits(2);
    assert!(run.stderr().contains("2 ways"), "{}", run.stderr());
}

#[test]
fn seen_classes_stand_among_the_labels() {
    let home = Home::new();
    colours(&home);
    let args = ["eval", "colours.jsonl", "--split", "test", "--seen-split", "train", "--json"];
    let report = home.ek(&args).exits(0).json();
    let g = &report["generalised"];
    assert_eq!((&g["seen_classes"], &g["unseen_classes"]), (&3.into(), &3.into()));
    assert_eq!((&g["seen_pictures"], &g["unseen_pictures"]), (&9.into(), &9.into()));
    let number = |name: &str| g[name].as_f64().unwrap_or_else(|| panic!("{name}: {g}"));
    // More labels to choose from never help.
    assert!(number("seen") <= number("seen_alone") && number("unseen") <= number("unseen_alone"));
    let (s, u) = (number("seen"), number("unseen"));
    let h = if s + u == 0.0 { 0.0 } else { 2.0 * s * u / (s + u) };
    assert!((number("harmonic") - h).abs() < 1e-12);
    assert!(g["stacked_best_here"]["harmonic"].as_f64().expect("a number") >= h);
    assert!(g["stacked"].is_null(), "no γ was given");
    // A γ beyond all scores leaves the unseen classes alone.
    let more = [&args[..], &["--gamma", "5"]].concat();
    let given = &home.ek(&more).exits(0).json()["generalised"]["stacked"];
    assert_eq!(
        (given["seen"].as_f64(), given["unseen"].as_f64()),
        (Some(0.0), g["unseen_alone"].as_f64())
    );
    let run =
        home.ek(&["eval", "colours.jsonl", "--split", "test", "--seen-split", "test"]).exits(2);
    assert!(run.stderr().contains("another one"), "{}", run.stderr());
    home.ek(&["eval", "colours.jsonl", "--seen-split", "train"]).exits(2);
}

#[test]
fn folders_of_classes_are_pairs() {
    let home = Home::new();
    for (folder, file) in [
        ("domestic_cat", "cat_451x300.jpg"),
        ("rocket", "rocket_640x427.jpg"),
        ("coffee-cup", "coffee_300x600.webp"),
    ] {
        let folder = home.folder(&format!("classes/{folder}"));
        fs_err::copy(reference(&format!("images/{file}")), folder.join(file)).expect("copied");
    }
    let report = home.ek(&["eval", "classes", "--json"]).exits(0).json();
    assert_eq!((&report["pictures"], &report["zero_shot"]["classes"]), (&3.into(), &3.into()));
    assert_eq!(report["zero_shot"]["top_1"], 1.0, "{report}");
    let run = home.ek(&["eval", "data"]).exits(2);
    assert!(run.stderr().contains("data"), "{}", run.stderr());
}

#[test]
fn captions_in_another_column_are_told() {
    let home = Home::new();
    let file = home.path().join("table.csv");
    fs_err::write(&file, "image,description\na.jpg,a cat\n").expect("written");
    let run = home.ek(&["eval", "table.csv"]).exits(2);
    let said = run.stderr();
    assert!(said.contains("found image, description") && said.contains("image to path"), "{said}");
    fs_err::write(&file, "path,title\na.jpg,a cat\n").expect("written");
    let said = home.ek(&["eval", "table.csv"]).exits(2).stderr();
    assert!(said.contains("rename title to caption"), "{said}");
}
