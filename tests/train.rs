//! `ek train`: pairs in, a model that the other verbs take out; killed at any
//! moment it goes on to the same model.

use crate::support::Home;

#[cfg(not(feature = "train"))]
#[test]
fn without_the_trainer_the_verb_says_how_to_get_it() {
    let home = Home::new();
    let run = home.ek(&["train", "--data", "p.jsonl", "--model", "m", "--out", "o"]).exits(3);
    assert!(run.stderr().contains("cargo install --path . --features train"), "{}", run.stderr());
}

#[cfg(feature = "train")]
mod with_trainer {
    use std::path::Path;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::Home;
    use crate::support::picture;

    /// Two runs at once do not write to one cache of features, and the tests share theirs.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    fn alone() -> MutexGuard<'static, ()> {
        ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Coloured squares and stripes, thirty-two of them.
    fn pairs(home: &Home) {
        let folder = home.folder("pictures");
        let colours = [
            ("red", [210, 30, 30]),
            ("green", [20, 150, 40]),
            ("blue", [30, 60, 210]),
            ("grey", [128, 128, 128]),
        ];
        let mut lines = String::new();
        for (c, (colour, rgb)) in colours.iter().enumerate() {
            for (p, pattern) in ["square", "stripes"].iter().enumerate() {
                for copy in 0..4u32 {
                    let picture = image::RgbImage::from_fn(48, 48, |x, y| {
                        let on = match p {
                            0 => x > 6 + copy && x < 40 && y > 8 && y < 36 + copy,
                            _ => (y + copy) % 12 < 6,
                        };
                        image::Rgb(if on { *rgb } else { [245, 245, 240] })
                    });
                    let name = format!("{c}-{p}-{copy}.png");
                    picture.save(folder.join(&name)).expect("written");
                    let split = if copy == 3 { "val" } else { "train" };
                    lines.push_str(&format!(
                        "{{\"path\":\"pictures/{name}\",\"caption\":\"{colour} {pattern} {copy}\",\"group\":\"{name}\",\"split\":\"{split}\"}}\n"
                    ));
                }
            }
        }
        fs_err::write(home.path().join("pairs.jsonl"), lines).expect("written");
        let recipe = "seed = 3\n[data]\nbatch = 8\nnear = 1.0\n[image]\nkind = \"mlp\"\nhidden = 64\ndropout = 0.1\n[loss]\nkind = \"info-nce\"\n[training]\nepochs = 40\naverage = 0.9\ncheckpoint-seconds = 0.0\n";
        fs_err::write(home.path().join("recipe.toml"), recipe).expect("written");
    }

    fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["train", "--data", "pairs.jsonl", "--model", "mine", "--out", out];
        args.extend(["--config", "recipe.toml", "--quiet", "--json"]);
        args.extend(more);
        args
    }

    fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs_err::read_dir(dir)
            .expect("a model")
            .map(|e| e.expect("an entry").path())
            .map(|p| {
                let name = p.file_name().expect("a name").to_string_lossy().into_owned();
                (name, fs_err::read(p).expect("readable"))
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn killed_at_any_moment_it_ends_in_the_same_model() {
        let _alone = alone();
        let home = Home::new();
        pairs(&home);
        // On one thread sums have one order, so runs are equal to the bit.
        let run = |args: &[&str]| {
            let mut command = home.command(args);
            command.env("RAYON_NUM_THREADS", "1");
            command
        };
        let whole = run(&train("whole", &[])).output().expect("starts");
        let text = String::from_utf8_lossy(&whole.stderr).into_owned();
        assert!(whole.status.success(), "{text}");
        let report: Value = serde_json::from_slice(&whole.stdout).expect("JSON");
        assert_eq!(report["outcome"], "finished");
        assert_eq!(report["epochs"], 40);
        assert!(report["after"]["text_to_image"]["recall_at_10"].is_number(), "{report}");
        let why = report["calibration"]["refused"].as_str().expect("too few pictures for it");
        assert!(why.contains("at least 100") && why.contains("whole.run/pairs.jsonl"), "{why}");

        let seed =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.subsec_nanos().into());
        eprintln!("seed {seed}");
        let mut random: u64 = seed;
        let mut resume: &[&str] = &[];
        for _ in 0..6 {
            let mut child = run(&train("parts", resume)).spawn().expect("starts");
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            std::thread::sleep(Duration::from_millis(300 + random % 2_500));
            child.kill().expect("killed or done");
            child.wait().expect("ended");
            if home.path().join("parts.run/config.toml").exists() {
                resume = &["--resume"];
            }
        }
        if !home.path().join("parts").exists() {
            let last = run(&train("parts", resume)).output().expect("starts");
            let text = String::from_utf8_lossy(&last.stderr).into_owned();
            assert!(last.status.success(), "seed {seed}: {text}");
        }
        let (one, other) = (files(&home.path().join("whole")), files(&home.path().join("parts")));
        let names = |f: &[(String, Vec<u8>)]| f.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&one), names(&other));
        for ((name, a), (_, b)) in one.iter().zip(&other) {
            assert!(a == b, "{name} differs (seed {seed})");
        }
        let lines =
            fs_err::read_to_string(home.path().join("parts.run/metrics.jsonl")).expect("there");
        assert_eq!(lines.lines().count(), 41, "one line an epoch, and one before");

        // The engine takes the model, from where it is and as an imported one.
        home.ek(&["model", "import", "whole"]).exits(0);
        home.ek(&["--model", "mine", "label", "pictures/0-0-0.png", "--labels", "red,blue"])
            .exits(0);
        home.ek(&["--model", "whole", "label", "pictures/0-0-0.png", "--labels", "red,blue"])
            .exits(0);
        // A folder that is taken is refused, and so is a second run in the same place.
        let again = home.ek(&train("whole", &[])).exits(2);
        assert!(again.stderr().contains("whole"), "{}", again.stderr());
        // Going on with what is done is no mistake.
        let again = home.ek(&train("whole", &["--resume", "--no-calibration"])).exits(0).json();
        assert_eq!((&again["outcome"], &again["calibration"]), (&json!("finished"), &Value::Null));
        assert_eq!((&again["pair"], &again["bytes"]), (&report["pair"], &report["bytes"]));
        // If it is with the same pairs; what could not be used is none of them.
        let pairs = home.path().join("pairs.jsonl");
        let lines = fs_err::read_to_string(&pairs).expect("readable");
        fs_err::write(home.path().join("pictures/none.png"), "no picture").expect("written");
        let none = "{\"path\":\"pictures/none.png\",\"caption\":\"none\",\"split\":\"train\"}\n";
        fs_err::write(&pairs, format!("{lines}{none}")).expect("written");
        home.ek(&train("whole", &["--resume", "--no-calibration"])).exits(0);
        let fewer = lines.split_once('\n').expect("lines").1;
        for other in [fewer.to_owned(), lines.replace("red square 0", "red square 9")] {
            fs_err::write(&pairs, other).expect("written");
            let refused = home.ek(&train("whole", &["--resume", "--no-calibration"])).exits(2);
            let told = refused.stderr();
            assert!(
                told.contains("whole.run/pairs.jsonl") && told.contains("other pairs"),
                "{told}"
            );
        }
    }

    /// Plain pictures with captions, three of each of 62 things; nobody says which to learn from.
    fn plain_pairs(home: &Home) {
        let folder = home.folder("plain");
        let mut lines = String::new();
        for i in 0..186u32 {
            let thing = i / 3;
            let colour = [thing * 37 % 256, thing * 91 % 256, i * 53 % 256].map(|c| c as u8);
            picture(&folder.join(format!("{i}.png")), colour);
            let line = json!({"path": format!("plain/{i}.png"), "group": thing,
                "caption": format!("thing {thing} number {i}"), "tags": [format!("thing {thing}")]});
            lines.push_str(&format!("{line}\n"));
        }
        fs_err::write(home.path().join("pairs.jsonl"), lines).expect("written");
        let recipe = "seed = 3\n[data]\nvalidation = 0.36\nbatch = 64\nnear = 1.0\n[image]\nkind = \"mlp\"\nhidden = 16\n[loss]\nkind = \"info-nce\"\n[training]\nepochs = 2\n";
        fs_err::write(home.path().join("recipe.toml"), recipe).expect("written");
    }

    #[test]
    fn a_model_is_calibrated_by_what_was_held_out_also_after_a_kill() {
        let _alone = alone();
        let home = Home::new();
        plain_pairs(&home);
        let report = home.ek(&train("mine", &[])).exits(0).json();
        let learned = &report["calibration"];
        assert_eq!(
            (&learned["pictures"], &learned["captions"], &learned["concepts"]),
            (&json!(66), &json!(66), &json!(22)),
            "{report}"
        );
        let about = learned["about"].as_str().expect("told");
        assert!(about.contains("held out from training"), "{about}");
        assert_eq!(learned["background"], 120, "{report}");
        // The run says which were held out, by whole groups.
        let lines = fs_err::read_to_string(home.path().join("mine.run/pairs.jsonl")).expect("kept");
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let groups = |split: &str| -> std::collections::BTreeSet<&str> {
            let of = lines.iter().filter(|line| line["split"] == split);
            of.map(|line| line["group"].as_str().expect("a group")).collect()
        };
        let (learnt, held) = (groups("train"), groups("val"));
        assert_eq!((lines.len(), learnt.len(), held.len()), (186, 40, 22));
        assert!(learnt.is_disjoint(&held));
        let info = home.ek(&["model", "info", "mine", "--json"]).exits(0).json();
        assert_eq!(info["confidence"], about, "{info}");

        // Killed between training and the end, there is a model without confidence.
        let manifest = home.path().join("mine/model.toml");
        let read = || -> toml::Table {
            fs_err::read_to_string(&manifest).expect("readable").parse().expect("TOML")
        };
        let whole = read();
        let mut without = whole.clone();
        for learned in ["confidence", "verification", "label_sets"] {
            without.remove(learned);
        }
        assert!(without.len() < whole.len());
        let files = without["files"].as_table_mut().expect("a table");
        files.retain(|name, _| !name.starts_with("background"));
        fs_err::write(&manifest, without.to_string()).expect("written");
        let again = home.ek(&train("mine", &["--resume"])).exits(0).json();
        assert_eq!((&again["calibration"], &again["pair"]), (learned, &report["pair"]));
        assert_eq!(read(), whole);
        let again = home.ek(&train("mine", &["--resume"])).exits(0).json();
        assert_eq!(again["calibration"], json!({"about": about}), "nothing is left to do");
    }

    #[test]
    fn wrong_use_costs_a_sentence_and_no_hour() {
        let home = Home::new();
        pairs(&home);
        fs_err::write(home.path().join("recipe.toml"), "[training]\nepoch = 1\n").expect("written");
        let run = home.ek(&train("out", &[])).exits(2);
        assert!(
            run.stderr().contains("recipe.toml") && run.stderr().contains("epochs"),
            "{}",
            run.stderr()
        );
        let run =
            home.ek(&["train", "--data", "none.jsonl", "--model", "m", "--out", "out"]).exits(2);
        assert!(run.stderr().contains("none.jsonl"), "{}", run.stderr());
        fs_err::write(home.path().join("recipe.toml"), "").expect("written");
        let run = home.ek(&train("out", &["--resume"])).exits(2);
        assert!(run.stderr().contains("no run to resume"), "{}", run.stderr());
        assert!(!home.path().join("out").exists() && !home.path().join("out.run").exists());
    }
}
