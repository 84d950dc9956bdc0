//! `ek model use`: the store moves to another model while it is searched, and back; killed or
//! under load, nothing is lost, and no answer mixes two models.
//!
//! The long forms, and what was seen with them: `LONG.md` beside this file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash::{Random, asked};
use crate::support::{Home, Server, copy_folder, picture, repository};

/// Imports a copy of the default model that looks at pictures in another way: what is beside
/// them is black, not white.
fn import_dark(home: &Home) {
    let dir = home.folder("dark");
    for entry in fs_err::read_dir(repository().join("models/lite")).expect("the default model") {
        let from = entry.expect("an entry").path();
        fs_err::copy(&from, dir.join(from.file_name().expect("a name"))).expect("copied");
    }
    let manifest = dir.join("model.toml");
    let text = fs_err::read_to_string(&manifest).expect("readable");
    for from in ["\"lite-", "fill = [255, 255, 255]"] {
        assert!(text.contains(from), "{from}");
    }
    // It is not to answer as the default model does.
    let (text, _) = text.split_once("[golden]").expect("reference answers, which stand last");
    fs_err::remove_file(dir.join("golden.json")).expect("removed");
    let text =
        text.replace("\"lite-", "\"dark-").replace("fill = [255, 255, 255]", "fill = [0, 0, 0]");
    fs_err::write(&manifest, text).expect("written");
    home.ek(&["model", "import", "dark", "--name", "dark", "--quiet"]).exits(0);
    fs_err::remove_dir_all(&dir).expect("removed");
}

/// Pictures of many colours, the first with captions; returns their folder.
fn fill(home: &Home, count: u8) -> PathBuf {
    let folder = home.folder("pictures");
    let mut captions = String::new();
    for n in 0..count {
        let name = format!("{n:02}.png");
        // Odd factors, so that no two are alike.
        picture(&folder.join(&name), [n.wrapping_mul(37), n.wrapping_mul(91), n.wrapping_mul(53)]);
        if n < 4 {
            let line =
                json!({ "path": format!("pictures/{name}"), "caption": format!("square {n}") });
            captions.push_str(&format!("{line}\n"));
        }
    }
    fs_err::write(home.path().join("captions.jsonl"), captions).expect("written");
    folder
}

fn index(home: &Home, more: &[&str]) {
    let args = ["index", "pictures", "--captions", "captions.jsonl", "--quiet"];
    home.ek(&[&args[..], more].concat()).exits(0);
}

/// Every item of a store by its id, with its vector.
fn everything(home: &Home, data: &Path) -> BTreeMap<String, (Value, Vec<f32>)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let out = home.path().join(format!("export-{number}.npy"));
    let (data, file) = (data.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    home.ek(&["export", "--vectors", file, "--data", data]).exits(0);
    let lines = fs_err::read_to_string(out.with_extension("jsonl")).expect("read");
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    const WIDTH: usize = 4 * 384;
    let bytes = fs_err::read(&out).expect("read");
    let rows = bytes[bytes.len() - WIDTH * lines.len()..].chunks_exact(WIDTH);
    let one = |(line, row): (Value, &[u8])| {
        let row = row.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        (line["id"].as_str().expect("an id").to_owned(), (line, row))
    };
    lines.into_iter().zip(rows).map(one).collect()
}

/// Insists that two stores say the same, vectors up to rounding.
fn assert_same(
    got: &BTreeMap<String, (Value, Vec<f32>)>,
    expected: &BTreeMap<String, (Value, Vec<f32>)>,
) {
    let ids = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(ids(got), ids(expected));
    for (id, (line, vector)) in expected {
        let (mine, other) = &got[id];
        assert_eq!(mine, line);
        let cosine: f32 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.9999, "{id}: {cosine}");
    }
}

fn status(home: &Home) -> Value {
    home.ek(&["status", "--json"]).exits(0).json()
}

#[test]
fn a_store_moves_to_another_model_and_back() {
    let home = Home::new();
    fill(&home, 8);
    index(&home, &[]);
    import_dark(&home);
    let white = everything(&home, &home.data());

    let look = home.ek(&["model", "use", "dark", "--preview", "6", "--json"]).exits(0).json();
    assert_eq!((&look["pictures"], &look["captions"]), (&json!(6), &json!(4)), "{look}");
    for which in ["old", "new"] {
        let found = &look[which]["scores"]["recall_at_10"];
        assert_eq!(found, &json!(1.0), "all of six are among the first ten: {look}");
    }
    assert!(look["seconds"].as_f64().expect("a number") > 0.0, "{look}");
    let shown = home.ek(&["model", "use", "dark", "--preview"]).exits(0).stdout();
    assert!(shown.contains("in first 10") && shown.contains("to move all 12 items"), "{shown}");
    assert_eq!(status(&home)["generations"].as_array().map(Vec::len), Some(1));

    let used = home.ek(&["model", "use", "dark", "--json"]).exits(0).json();
    assert_eq!(used["outcome"], "switched", "{used}");
    assert_eq!((&used["report"]["indexed"], &used["missing_count"]), (&json!(12), &json!(0)));
    // From now on it is the store's model, without being named.
    let found = home.ek(&["search", "square", "--json"]).exits(0).json();
    assert!(found["space"].as_str().expect("a space").starts_with("dark-"), "{found}");
    let state = status(&home);
    assert_eq!(state["generation"], 2, "{state}");
    let roles: Vec<_> =
        state["generations"].as_array().expect("a list").iter().map(|g| &g["role"]).collect();
    assert_eq!(roles, ["former", "serving"], "{state}");
    let text = home.ek(&["status"]).exits(0).stdout();
    assert!(text.contains("2; the former one, of lite, is kept"), "{text}");
    let list = home.ek(&["model", "list"]).exits(0).stdout();
    assert!(list.contains("dark (the store's)") && list.contains("(the store's before)"), "{list}");
    home.ek(&["doctor"]).exits(0);

    // As if it had been made so.
    let fresh = home.path().join("fresh");
    index(
        &home,
        &[
            "--data",
            fresh.to_str().expect("UTF-8"),
            "--model",
            home.data().join("models/dark").to_str().expect("UTF-8"),
        ],
    );
    let dark = everything(&home, &home.data());
    let model = home.data().join("models");
    fs_err::rename(&model, fresh.join("models")).expect("lent");
    assert_same(&dark, &everything(&home, &fresh));
    fs_err::rename(fresh.join("models"), &model).expect("given back");
    let differ = |(id, (_, vector)): (&String, &(Value, Vec<f32>))| *vector != white[id].1;
    assert!(dark.iter().any(differ), "the other model sees something else");
    let report = home.ek(&["index", "pictures", "--json"]).exits(0).json();
    assert_eq!((&report["unchanged"], &report["indexed"]), (&json!(8), &json!(0)), "{report}");

    let back = home.ek(&["model", "use", "--back", "--json"]).exits(0).json();
    assert_eq!((&back["outcome"], &back["report"]["indexed"]), (&json!("switched"), &json!(0)));
    assert_eq!(everything(&home, &home.data()), white);
    assert_eq!(home.ek(&["model", "use", "lite", "--json"]).exits(0).json()["outcome"], "already");
    let dropped = home.ek(&["model", "drop-old", "--json"]).exits(0).json();
    assert_eq!(dropped["dropped"][0]["number"], 2, "{dropped}");
    assert!(!home.data().join("generations").join("0002").exists());
    home.ek(&["model", "drop-old"]).exits(1);
    let none = home.ek(&["model", "use", "--back"]).exits(2);
    assert!(none.stderr().contains("no former store"), "{}", none.stderr());
    assert_eq!(everything(&home, &home.data()), white);
}

#[test]
fn going_back_is_to_the_former_space_whatever_is_called_by_its_models_name() {
    let home = Home::new();
    fill(&home, 1);
    index(&home, &[]);
    import_dark(&home);
    // As an older program imported it: called what the default model is called.
    let models = home.data().join("models");
    fs_err::rename(models.join("dark"), models.join("lite")).expect("renamed");
    let used = home.ek(&["model", "use", "lite", "--json"]).exits(0).json();
    assert_eq!(used["outcome"], "switched", "{used}");
    let back = home.ek(&["model", "use", "--back", "--json"]).exits(0).json();
    assert_eq!((&back["outcome"], &back["generation"]), (&json!("switched"), &json!(1)));
    assert!(back["space"].as_str().expect("a space").starts_with("lite-"), "{back}");
    // A server goes by names, and would take the other one: that is told, not done.
    home.ek(&["model", "use", "lite", "--quiet"]).exits(0);
    let server = Server::start(&home, &["up", "pictures"]);
    let run = home.ek(&["model", "use", "--back"]).exits(2);
    assert!(run.stderr().contains("end the server"), "{}", run.stderr());
    assert_eq!(server.get("/v1/status").1["generation"], 2);
}

#[test]
fn a_store_that_served_two_switches_ago_is_a_former_one() {
    let home = Home::new();
    fill(&home, 1);
    index(&home, &[]);
    import_dark(&home);
    // A third space: the other one's model, and one number of its description is another.
    let other = home.folder("other");
    copy_folder(&home.data().join("models/dark"), &other);
    let manifest = other.join("model.toml");
    let text = fs_err::read_to_string(&manifest).expect("readable");
    let text = text.replace("\"dark-", "\"third-");
    fs_err::write(&manifest, text).expect("written");
    home.ek(&["model", "import", "other", "--name", "third", "--quiet"]).exits(0);
    // What is left of a kill while a model is noted is in nobody's way.
    let begun = home.folder("data/generations/0002");
    fs_err::write(begun.join("model.new"), "dar").expect("written");
    for name in ["dark", "third"] {
        home.ek(&["model", "use", name, "--quiet"]).exits(0);
    }
    let state = status(&home);
    let roles: Vec<_> =
        state["generations"].as_array().expect("a list").iter().map(|g| &g["role"]).collect();
    assert_eq!(roles, ["former", "former", "serving"], "{state}");
    let text = home.ek(&["status"]).exits(0).stdout();
    assert!(text.contains("a former one, of lite, is kept") && !text.contains("moving"), "{text}");
    // One more that is only begun.
    let unfinished = home.data().join("generations/0007");
    copy_folder(&home.data().join("generations/0002"), &unfinished);
    fs_err::write(unfinished.join("model.new"), "").expect("written");
    let text = home.ek(&["model", "drop-old"]).exits(0).stdout();
    assert!(text.contains("2 former stores and 1 unfinished move dropped"), "{text}");
    assert!(!begun.exists() && !unfinished.exists(), "nothing of them is left");
    assert_eq!(status(&home)["generations"].as_array().map(Vec::len), Some(1));
    let none = home.ek(&["model", "use", "--back"]).exits(2);
    assert!(none.stderr().contains("no former store"), "{}", none.stderr());
}

#[test]
fn what_cannot_be_moved_to_is_told() {
    let home = Home::new();
    fill(&home, 1);
    let none = home.ek(&["model", "use", "lite"]).exits(2);
    assert!(none.stderr().contains("there is no store"), "{}", none.stderr());
    index(&home, &[]);
    let wrong = |args: &[&str], word: &str| {
        let run = home.ek(&[&["model", "use"], args].concat()).exits(2);
        assert!(run.stderr().contains(word), "{word:?} in {}", run.stderr());
    };
    wrong(&["nobody"], "there are lite");
    wrong(&[], "NAME");
    wrong(&["lite", "--back"], "--back");
    wrong(&["lite", "--rate", "0"], "items a second");
    wrong(&["lite", "--threads", "0"], "1..=64");
    wrong(&["lite", "--queries", "x.jsonl"], "--preview");
    let elsewhere = home.folder("elsewhere");
    fs_err::copy(repository().join("models/lite/model.toml"), elsewhere.join("model.toml"))
        .expect("copied");
    wrong(&["elsewhere"], "ek model import");
    wrong(&["lite", "--preview"], "the store's model already");
    fs_err::write(home.data().join("serving"), "two").expect("written");
    let run = home.ek(&["search", "x"]).exits(3);
    assert!(run.stderr().contains("serving N"), "{}", run.stderr());
    let run = home.ek(&["doctor", "--json"]).exits(3);
    assert!(run.stdout().contains("serving N"), "{}", run.stdout());
}

/// Items a second, at most, of the move that is killed.
const RATE: u64 = 8;

#[test]
fn a_move_that_is_killed_goes_on_and_ends_as_if_undisturbed() {
    let seed = asked("EK_TEST_SEED").unwrap_or_else(|| std::process::id().into());
    let (kills, pictures) = asked("EK_TEST_KILLS").map_or((4, 24), |kills| (kills, 250));
    eprintln!("seed {seed}, {kills} kills, {pictures} pictures");
    let mut random = Random(seed);
    let home = Home::new();
    fill(&home, pictures as u8);
    index(&home, &[]);
    import_dark(&home);
    let calm = home.path().join("calm");
    copy_folder(&home.data(), &calm);
    let begun = Instant::now();
    home.ek(&["search", "a square", "--mode", "vector", "--quiet"]).exits(0);
    // A move loads more than that before it begins.
    let loading = begun.elapsed();
    let total = status(&home)["generations"][0]["items"].as_u64().expect("a number");
    let (mut worked, mut before) = (0, 0);
    for round in 0..kills {
        let rate = RATE.to_string();
        let args = ["model", "use", "dark", "--quiet", "--rate", &rate, "--threads", "1"];
        let mut child = home.command(&args).spawn().expect("starts");
        // What is left but for a first batch takes at least so long; the kills that are to come
        // want some of it, too.
        let left = (total - before).saturating_sub(RATE) as f64 / RATE as f64;
        let most = (2.0 * left / (kills - round) as f64).min(0.7 * left);
        let wait = most * random.below(1_000) as f64 / 1_000.0;
        std::thread::sleep(loading / 2 + Duration::from_secs_f64(wait));
        assert!(
            child.try_wait().expect("asked").is_none(),
            "round {round}, seed {seed}: {left:.1} s were left, but all was done after {wait:.1} s"
        );
        child.kill().expect("killed");
        child.wait().expect("ended");
        // Whenever it was, there is a store that can be searched, of one model or the other.
        let state = status(&home);
        assert_eq!(state["generation"], 1, "round {round}, seed {seed}: {state}");
        assert_eq!(state["images"], pictures, "round {round}, seed {seed}: {state}");
        let all = state["generations"].as_array().expect("a list");
        let new = all
            .iter()
            .find(|g| g["number"] == 2)
            .map_or(0, |g| g["items"].as_u64().expect("a number"));
        assert!(new >= before, "round {round}, seed {seed}: {before} before, {new} now");
        worked += u64::from(new > before);
        before = new;
        home.ek(&["search", "a square", "--mode", "vector", "--quiet"]).exits(0);
    }
    eprintln!("{kills} kills; before {worked} of them items were done, {before} of {total} in all");
    let used = home.ek(&["model", "use", "dark", "--json"]).exits(0).json();
    assert_eq!(used["outcome"], "switched", "seed {seed}: {used}");
    assert_eq!(used["report"]["unchanged"], before, "nothing is done twice (seed {seed}): {used}");
    home.ek(&["doctor"]).exits(0);
    let calm_data = calm.to_str().expect("UTF-8");
    home.ek(&["model", "use", "dark", "--quiet", "--data", calm_data]).exits(0);
    assert_same(&everything(&home, &home.data()), &everything(&home, &calm));
}

fn ended(server: &Server, id: &str) -> Value {
    let path = format!("/v1/jobs/{id}");
    server.wait_for(&path, |job| !["waiting", "running"].map(Value::from).contains(&job["state"]));
    server.get(&path).1
}

/// Space and scores of an answer.
fn scores(reply: &Value) -> (Value, Vec<(Value, Value)>) {
    let hits = reply["hits"].as_array().expect("hits");
    let scores = hits.iter().map(|hit| (hit["id"].clone(), hit["score"].clone()));
    (reply["space"].clone(), scores.collect())
}

#[test]
fn no_request_fails_or_meets_two_models_while_the_server_switches() {
    let wanted = asked("EK_TEST_REQUESTS").unwrap_or(300);
    let home = Home::new();
    let folder = fill(&home, 12);
    index(&home, &[]);
    import_dark(&home);
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(12);
    let (asks, embeds) =
        ("/v1/search?q=a+red+square&mode=vector&k=12&exact=true", json!({ "text": "a" }));
    let of_white = scores(&server.get(asks).1);

    let (status, _) = server.post("/v1/models/nobody/use", &json!({}));
    assert_eq!(status, 404);
    let (status, problem) = server.post("/v1/models/dark/use", &json!({ "rate": 0 }));
    assert_eq!((status, &problem["field"]), (400, &json!("rate")), "{problem}");
    // Slow, so that it can be looked at and stopped.
    let (status, job) = server.post("/v1/models/dark/use", &json!({ "rate": 1 }));
    assert_eq!(
        (status, &job["action"], &job["model"]),
        (202, &json!("use"), &json!("dark")),
        "{job}"
    );
    let id = job["id"].as_str().expect("a name");
    server.wait_for("/v1/status", |status| {
        status["generations"].as_array().is_some_and(|all| {
            all.iter().any(|g| g["role"] == "unfinished" && g["items"].as_u64() > Some(0))
        })
    });
    assert_eq!(scores(&server.get(asks).1), of_white, "the old one serves");
    // Another job need not wait for it.
    picture(&folder.join("new.png"), [200, 10, 10]);
    let (_, other) = server.post("/v1/jobs", &json!({ "paths": [folder] }));
    let other = ended(&server, other["id"].as_str().expect("a name"));
    assert_eq!(other["state"], "done", "{other}");
    assert_eq!(server.delete(&format!("/v1/jobs/{id}")).0, 200);
    let job = ended(&server, id);
    assert_eq!(
        (&job["state"], &job["result"]["used"]["outcome"]),
        (&json!("stopped"), &json!("stopped"))
    );
    assert_eq!(server.get("/v1/status").1["generation"], 1);

    let of_white = scores(&server.get(asks).1);
    let (asked, end) = (AtomicU64::new(0), AtomicBool::new(false));
    let url = server.url.clone();
    let (mut seen, mut of_dark) = (BTreeSet::new(), None);
    let replies: Vec<Vec<Value>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (url, embeds, asked, end) = (&url, &embeds, &asked, &end);
                scope.spawn(move || {
                    let config = ureq::Agent::config_builder()
                        .http_status_as_error(false)
                        .timeout_global(Some(Duration::from_secs(60)));
                    let agent: ureq::Agent = config.build().into();
                    let (mut replies, mut n) = (Vec::new(), 0);
                    while !end.load(Ordering::Relaxed) {
                        n += 1;
                        let mut reply = match (worker, n % 4) {
                            (0, 0) => agent.post(format!("{url}/v1/embed")).send_json(embeds),
                            (0, 2) => agent
                                .post(format!("{url}/v1/items"))
                                .send_json(json!({ "text": format!("kept {n}") })),
                            _ => agent.get(format!("{url}{asks}")).call(),
                        }
                        .expect("answered");
                        let status = reply.status().as_u16();
                        let body: Value = reply.body_mut().read_json().expect("JSON");
                        assert!(matches!(status, 200 | 201), "{status}: {body}");
                        asked.fetch_add(1, Ordering::Relaxed);
                        replies.push(body);
                    }
                    replies
                })
            })
            .collect();
        let mut switches = 0;
        while switches < 2 || asked.load(Ordering::Relaxed) < wanted {
            let name = if switches % 2 == 0 { "dark" } else { "lite" };
            let (status, job) = server.post(&format!("/v1/models/{name}/use"), &json!({}));
            assert_eq!(status, 202, "{job}");
            let job = ended(&server, job["id"].as_str().expect("a name"));
            assert_eq!(job["result"]["used"]["outcome"], "switched", "{job}");
            if switches == 0 {
                of_dark = Some(scores(&server.get(asks).1));
            }
            switches += 1;
            let due = wanted * switches / 3;
            while asked.load(Ordering::Relaxed) < due {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        end.store(true, Ordering::Relaxed);
        eprintln!("{} requests, {switches} switches", asked.load(Ordering::Relaxed));
        workers.into_iter().map(|worker| worker.join().expect("no request failed")).collect()
    });
    let of_dark = of_dark.expect("it was switched");
    assert_ne!(of_white, of_dark);
    let mut kept = 0;
    for reply in replies.iter().flatten() {
        if reply["hits"].is_array() {
            let got = scores(reply);
            assert!(got == of_white || got == of_dark, "{reply}");
            seen.insert(got.0.to_string());
        } else if reply["embedding"].is_array() {
            seen.insert(reply["space"].to_string());
        } else {
            kept += 1;
        }
    }
    assert_eq!(seen.len(), 2, "both were met: {seen:?}");
    // Nothing that was acknowledged got lost, wherever it was written.
    let items = server.get("/v1/items?limit=1000&filter=kind:text").1;
    let texts = items["items"].as_array().expect("items").iter();
    let texts =
        texts.filter(|item| item["caption"].as_str().is_some_and(|t| t.starts_with("kept ")));
    assert_eq!(texts.count(), kept, "{items}");

    // The command line has it done there, and what the server writes goes to the store that serves.
    let now = server.get("/v1/status").1["model"].clone();
    let used = home.ek(&["model", "use", "--back", "--json"]).exits(0).json();
    assert_eq!(used["outcome"], "switched", "{used}");
    assert_ne!(server.get("/v1/status").1["space"], now);
    let found = home.ek(&["search", "a red square", "--json"]).exits(0).json();
    assert_eq!(found["space"], used["space"], "{found}");
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let dropped = (0..100).find_map(|_| {
        // The server may be closing the one it left.
        std::thread::sleep(Duration::from_millis(50));
        let run = home.ek(&["model", "drop-old", "--json"]);
        (run.code() == 0).then(|| run.json())
    });
    assert!(dropped.is_some(), "the former store can be dropped while the server runs");
    assert_eq!(server.get("/v1/status").1["generations"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.terminate(), 0);
}

#[test]
fn a_server_that_only_reads_follows() {
    let home = Home::new();
    fill(&home, 2);
    index(&home, &[]);
    import_dark(&home);
    let server = Server::start(&home, &["serve"]);
    assert_eq!(server.get("/v1/status").1["generation"], 1);
    let (status, problem) = server.post("/v1/models/dark/use", &json!({}));
    assert_eq!(status, 409, "{problem}");
    home.ek(&["model", "use", "dark", "--quiet"]).exits(0);
    server.wait_for("/v1/status", |status| status["generation"] == 2);
    let reply = server.get("/v1/search?q=square").1;
    assert!(reply["space"].as_str().expect("a space").starts_with("dark-"), "{reply}");
    let models = server.get("/v1/models").1;
    assert_eq!(
        (&models["models"][0]["name"], &models["models"][0]["chosen"]),
        (&json!("dark"), &json!(true))
    );
    assert_eq!(models["models"][0]["generation"]["role"], "serving", "{models}");
}
