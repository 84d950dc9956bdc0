//! `--store`: several workers and whoever searches share a store on a Milvus server.

mod secure;
mod switched;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash::{Random, asked};
use crate::support::{Home, Milvus, Run, Server, picture, try_serve};

/// Pictures of chance colours.
fn fill(home: &Home, count: usize) {
    let (folder, mut random) = (home.folder("pictures"), Random(9));
    for i in 0..count {
        picture(&folder.join(format!("{i}.png")), [0; 3].map(|_| random.below(256) as u8));
    }
}

fn index(home: &Home, store: &str, more: &[&str]) -> Run {
    home.ek(&[&["index", "pictures", "--store", store, "--json"][..], more].concat())
}

/// What a run says of its files.
fn counts(run: &Run) -> [u64; 5] {
    let report = run.json();
    ["seen", "indexed", "unchanged", "removed", "failed"]
        .map(|key| report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}")))
}

fn status(home: &Home, store: &str) -> Value {
    home.ek(&["status", "--store", store, "--json"]).exits(0).json()
}

/// Who is found, and the cosines.
fn found(home: &Home, args: &[&str]) -> (Vec<Value>, Vec<Option<f64>>) {
    let reply = home.ek(&[args, &["--json"]].concat()).exits(0).json();
    let hits = reply["hits"].as_array().expect("hits");
    hits.iter().map(|hit| (hit["id"].clone(), hit["cosine"].as_f64())).unzip()
}

#[test]
fn what_workers_bring_in_is_found_as_in_a_folder() {
    let home = Home::new();
    fill(&home, 9);
    let caption = json!({"path": "pictures/4.png", "caption": "a cosy corner", "tags": ["Home"]});
    let alone = json!({"text": "nobody's words"});
    fs_err::write(home.path().join("words.jsonl"), format!("{caption}\n{alone}\n"))
        .expect("written");
    fs_err::write(home.folder("pictures").join("bad.png"), "no picture").expect("written");
    let store = &Milvus::new_address();
    let words = ["--captions", "words.jsonl"];
    let [first, second] = ["1/2", "2/2"].map(|part| {
        let run = index(&home, store, &[&words[..], &["--part", part]].concat());
        (run.code(), counts(&run))
    });
    let sum = |at: usize| first.1[at] + second.1[at];
    // Nine pictures and a text of its own; the file that is none fails with whose part it is.
    assert_eq!([0, 1, 2, 3, 4].map(sum), [11, 10, 0, 0, 1]);
    assert_eq!(BTreeSet::from([first.0, second.0]), BTreeSet::from([0, 1]));
    let state = status(&home, store);
    assert_eq!((&state["images"], &state["texts"]), (&json!(9), &json!(2)), "{state}");
    assert_eq!(state["store"], store.as_str());

    home.ek(&["index", "pictures", "--captions", "words.jsonl", "--quiet"]).exits(1);
    for asked in [
        &["search", "something blue", "--mode", "vector", "--for", "all"][..],
        &["search", "cosy", "--mode", "text"],
        &["search", "home", "--filter", "tag:home path:pictures/**"],
        &["search", "--image", "pictures/2.png", "--not", "red", "-n", "3", "--offset", "1"],
    ] {
        let (there, cosines) = found(&home, &[asked, &["--store", store]].concat());
        let (here, own) = found(&home, asked);
        assert_eq!(there, here, "{asked:?}");
        // The model rounds otherwise in other batches.
        for (one, other) in cosines.iter().zip(&own) {
            assert_eq!(one.is_some(), other.is_some(), "{asked:?}");
            let off = one.unwrap_or_default() - other.unwrap_or_default();
            assert!(off.abs() < 1e-4, "{asked:?}: {cosines:?} {own:?}");
        }
    }

    // Another time nothing is encoded; what is gone is forgotten by whose part it is.
    let again = index(&home, store, &words).exits(1);
    assert_eq!(counts(&again), [11, 0, 10, 0, 1]);
    fs_err::remove_file(home.folder("pictures").join("7.png")).expect("removed");
    fs_err::remove_file(home.folder("pictures").join("bad.png")).expect("removed");
    let removed = ["1/2", "2/2"].map(|part| {
        let run = index(&home, store, &[&words[..], &["--part", part]].concat()).exits(0);
        counts(&run)[3]
    });
    assert_eq!(removed.iter().sum::<u64>(), 1);
    assert_eq!(status(&home, store)["images"], 8);
}

/// A collection keeps texts up to a length: what has more fails by itself, in every run.
#[test]
fn one_item_that_a_collection_cannot_keep_stops_no_other() {
    let home = Home::new();
    fill(&home, 3);
    let long = "word ".repeat(14_000);
    let words = [
        json!({"path": "pictures/1.png", "caption": long}),
        json!({"text": format!("own {long}")}),
    ];
    let lines: String = words.iter().map(|line| format!("{line}\n")).collect();
    fs_err::write(home.path().join("words.jsonl"), lines).expect("written");
    let store = &Milvus::new_address();
    let first = index(&home, store, &["--captions", "words.jsonl"]).exits(1);
    assert_eq!(counts(&first), [4, 2, 0, 0, 2]);
    let again = index(&home, store, &["--captions", "words.jsonl"]).exits(1);
    assert_eq!(counts(&again), [4, 0, 2, 0, 2]);
    let failures = again.stderr();
    for part in ["1.png", "words.jsonl", "65535"] {
        assert!(failures.contains(part), "{part}: {failures}");
    }
    assert_eq!(status(&home, store)["images"], 2);
}

/// What it had encoded but not sent is encoded again, and nothing is there twice.
#[test]
fn the_work_of_a_killed_worker_is_done_by_the_next() {
    let home = Home::new();
    let store = &Milvus::new_address();
    let start = |part: &str| {
        let mut worker =
            home.command(&["index", "pictures", "--store", store, "--part", part, "--quiet"]);
        worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ek starts")
    };
    // How fast they are is the machine's matter: with more to do if it was done before the kill.
    for files in [300, 900, 2700] {
        fill(&home, files);
        let before = images_in(&home, store);
        let (mut killed, mut other) = (start("1/2"), start("2/2"));
        let begun = Instant::now();
        let images = loop {
            let images = images_in(&home, store);
            if images > before || begun.elapsed() > Duration::from_secs(60) {
                break images;
            }
        };
        killed.kill().expect("killed");
        let ended = killed.wait().expect("gone");
        println!("killed when {images} of {files} pictures were there: {ended}");
        assert!(other.wait().expect("ended").success());
        let run = index(&home, store, &["--part", "1/2"]).exits(0);
        let [_, indexed, ..] = counts(&run);
        println!("the next one: {:?}", counts(&run));
        assert_eq!(status(&home, store)["images"], files);
        let all = index(&home, store, &[]).exits(0);
        assert_eq!(counts(&all), [files as u64, 0, files as u64, 0, 0]);
        if ended.signal() == Some(9) && indexed > 0 {
            return;
        }
    }
    panic!("no worker was killed before its work was done");
}

/// How many pictures are in a store; 0 also if there is none.
fn images_in(home: &Home, store: &str) -> u64 {
    let run = home.ek(&["status", "--store", store, "--json"]);
    if run.code() == 0 { run.json()["images"].as_u64().expect("a number") } else { 0 }
}

#[test]
fn what_a_shared_store_does_not_do_is_said() {
    let home = Home::new();
    fill(&home, 1);
    let store = &Milvus::new_address();
    let said = home.ek(&["search", "x", "--store", store]).exits(3).stderr();
    assert!(said.contains("there is none") && said.contains(store.as_str()), "{said}");
    index(&home, store, &[]).exits(0);
    for (args, what) in [
        (&["index", "pictures", "--watch"][..], "--watch"),
        (&["index", "pictures", "--check-content"], "--check-content"),
        (&["index", "pictures", "--memory", "1gb"], "--memory"),
        (&["index", "pictures", "--part", "3/2"], "3/2"),
        (&["status", "--failures"], "failures"),
        (&["search", "x", "--like", "pictures/0.png"], "--like"),
        (&["search", "x", "--collapse"], "--collapse"),
        (&["search", "x", "--diverse"], "--diverse"),
        (&["search", "x", "--min-confidence", "0.5"], "--min-confidence"),
        (&["search", "x", "--why", "pictures/0.png"], "--why"),
        (&["search", "x", "--bridge", "other"], "--bridge"),
        (&["recall", "--queries", "0"], "1 to 499 queries"),
        (&["serve", "--port", "0", "--allow", "pictures"], "--allow"),
    ] {
        let said = home.ek(&[args, &["--store", store]].concat()).exits(2).stderr();
        assert!(said.contains(what), "{args:?}: {said}");
    }
    let said = home.ek(&["index", "pictures", "--part", "1/2"]).exits(2).stderr();
    assert!(said.contains("--store"), "{said}");
    let said = home.ek(&["search", "x", "--store", "pictures"]).exits(2).stderr();
    assert!(said.contains("is a data folder; --data names it"), "{said}");
    let said = home.ek(&["status", "--store", "milvus://127.0.0.1:9/x"]).exits(3).stderr();
    assert!(said.contains("milvus://127.0.0.1:9/x could not be asked"), "{said}");
}

/// All ids that a server lists, in order.
fn listed(server: &Server) -> Vec<String> {
    let mut ids: Vec<String> = vec![];
    loop {
        let after = ids.last().map(|id| format!("&after={id}")).unwrap_or_default();
        let (status, page) = server.get(&format!("/v1/items?limit=1000{after}"));
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().expect("items");
        if items.is_empty() {
            return ids;
        }
        ids.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
    }
}

/// A server of the tests that does not come up shows why.
#[test]
fn a_server_that_does_not_start_shows_its_errors() {
    let home = Home::new();
    let file = home.path().join("taken");
    fs_err::write(&file, "a file where its folder should be").expect("written");
    let failed = try_serve("milvus_server", &[file.to_str().expect("UTF-8"), "no port"]);
    let said = failed.map(|(_, port)| port).expect_err("not there");
    assert!(said.contains("milvus_server did not start"), "{said}");
    assert!(said.contains("ValueError") && said.contains("no port"), "{said}");
}

/// Raises a flag when it goes.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Three workers that know nothing of one another, of which one is killed; two servers; and the
/// Milvus server killed and started again while all of them ask.
#[test]
fn workers_and_servers_come_and_go_and_nothing_is_lost_or_there_twice() {
    let files = asked("EK_TEST_PICTURES").map_or(90, |n| n as usize);
    let later = files;
    let home = Home::new();
    fill(&home, files);
    let mut milvus = Milvus::start(&home.path().join("milvus"));
    let store = &milvus.address("pictures");
    // Servers need a store that is there.
    home.ek(&["index", "pictures/0.png", "--store", store, "--quiet"]).exits(0);
    let servers: Vec<_> =
        (0..2).map(|_| Server::start(&home, &["serve", "--store", store])).collect();
    let images = || servers[0].get("/v1/status").1["images"].as_u64().unwrap_or(0);
    let worker = || {
        let args = ["index", "pictures", "--store", store, "--blobs", "blobs", "--json", "--quiet"];
        let mut command = home.command(&args);
        // Progress goes to standard error, which nobody reads here.
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ek starts")
    };
    let begun = Instant::now();
    let mut workers: Vec<_> = (0..3).map(|_| worker()).collect();
    let within = |what: &str, done: &dyn Fn() -> bool| {
        let since = Instant::now();
        while !done() {
            assert!(since.elapsed() < Duration::from_secs(120), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    within("nothing comes in", &|| images() > 1);
    let mut killed = workers.swap_remove(0);
    killed.kill().expect("killed");
    let (ended, there) = (killed.wait().expect("gone"), images());
    println!("one worker killed when {there} of {files} pictures were there");
    assert!(ended.signal() == Some(9) && there < files as u64, "{ended}: in its work");
    let encoded = |worker: Child| {
        let output = worker.wait_with_output().expect("ended");
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        report["indexed"].as_u64().expect("a number")
    };
    let sum: u64 = workers.into_iter().map(encoded).sum();
    println!("{files} pictures after {:?}; the other two encoded {sum}", begun.elapsed());
    assert_eq!(images(), files as u64, "the others finished the work");

    // More comes in, while the Milvus server is killed and started again, and both servers are
    // asked all the time.
    let names: Vec<_> = (0..later).map(|i| format!("later{i}.png")).collect();
    let mut random = Random(10);
    for name in &names {
        let colour = [0; 3].map(|_| random.below(256) as u8);
        picture(&home.folder("pictures").join(name), colour);
    }
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // However this ends: who asks has to end, or nobody would hear of it.
        let raised = Raise(&stop);
        for server in &servers {
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let (status, reply) = server.get("/v1/search?q=blue&mode=vector&k=5");
                    match status {
                        200 => {
                            // Never fewer than there are: an empty answer would be a lie.
                            assert_eq!(reply["hits"].as_array().map(Vec::len), Some(5), "{reply}");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        503 => {
                            let why = reply["detail"].as_str().unwrap_or_default();
                            assert!(why.contains("milvus://127.0.0.1"), "{reply}");
                        }
                        _ => panic!("{status}: {reply}"),
                    }
                }
            });
        }
        let mut more = worker();
        let before = images();
        within("nothing more comes in", &|| images() > before);
        milvus.kill();
        assert!(more.try_wait().expect("asked").is_none(), "in the middle of its work");
        for server in &servers {
            assert_eq!(server.get("/healthz").0, 200);
            assert_eq!(server.get("/readyz").0, 503);
            let (status, problem) = server.get("/v1/search?q=blue");
            assert_eq!(status, 503, "{problem}");
        }
        milvus.start_again();
        let since = answered.load(Ordering::Relaxed);
        within("searches do not go on", &|| answered.load(Ordering::Relaxed) > since + 4);
        println!("after the restart the worker encoded {}", encoded(more));
        drop(raised);
    });
    let all = files + later;
    let lists: Vec<_> = servers.iter().map(listed).collect();
    assert_eq!(lists[0].iter().collect::<BTreeSet<_>>().len(), all, "each is there, once");
    assert_eq!((lists[0].len(), &lists[0]), (all, &lists[1]), "whoever is asked");
    let again = index(&home, store, &[]).exits(0);
    assert_eq!(counts(&again)[1..], [0, all as u64, 0, 0], "nothing was lost");
    let recall = home.ek(&["recall", "--store", store, "--json"]).exits(0).json();
    println!("{recall}");
    assert!(recall["recall"].as_f64() >= Some(0.99), "{recall}");
}

/// Whoever serves needs neither the folder that the pictures came from nor one of its own.
#[test]
fn a_server_shows_what_workers_kept() {
    let home = Home::new();
    fill(&home, 3);
    let store = &Milvus::new_address();
    let caption = json!({"path": "pictures/1.png", "caption": "a cosy corner"});
    fs_err::write(home.path().join("words.jsonl"), caption.to_string()).expect("written");
    let words = ["--captions", "words.jsonl", "--blobs", "kept"];
    index(&home, store, &words).exits(0);
    let all = ["serve", "--store", store, "--blobs", "kept"];
    let (with, without) = (Server::start(&home, &all), Server::start(&home, &all[..3]));
    let (_, found) = with.get("/v1/search?q=cosy&mode=text");
    let hit = &found["hits"][0];
    assert_eq!(hit["caption"], "a cosy corner", "{found}");
    let id = hit["id"].as_str().expect("an id");
    let file = fs_err::read(home.path().join("pictures/1.png")).expect("read");
    let [thumbnail, original] = ["thumbnail", "file"].map(|what| format!("/v1/items/{id}/{what}"));
    for server in [&with, &without] {
        // The folder is still there.
        let (status, kind, _) = server.get_bytes(&thumbnail);
        assert_eq!((status, &kind[..]), (200, "image/jpeg"));
        assert_eq!(server.get_bytes(&original), (200, "image/png".into(), file.clone()));
        let (status, near) = server.get(&format!("/v1/search?id={id}&k=2&for=all"));
        assert_eq!((status, &near["hits"][0]["id"]), (200, &json!(id)), "{near}");
        let (status, words) = server.post("/v1/describe", &json!({"id": id, "k": 3}));
        let said = words["images"][0]["descriptions"].as_array().map(Vec::len);
        assert_eq!((status, said), (200, Some(3)), "{words}");
        let (status, label) = server.post("/v1/label", &json!({"id": id, "labels": ["a", "b"]}));
        assert_eq!((status, label["images"].as_array().map(Vec::len)), (200, Some(1)), "{label}");
        assert_eq!(server.get("/readyz").0, 200);
        assert_eq!(server.get("/v1/status").1["images"], 3);
        assert_eq!(server.get(&format!("/v1/items/{id}")).1["caption"], "a cosy corner");
        assert_eq!(server.get("/v1/items/00000000000000000000000000000000").0, 404);
        let (_, _, metrics) = server.get_bytes("/metrics");
        assert!(String::from_utf8_lossy(&metrics).contains("ekphrasis_items{kind=\"image\"} 3"));
    }
    fs_err::rename(home.path().join("pictures"), home.path().join("away")).expect("moved");
    assert_eq!(with.get_bytes(&thumbnail).0, 200);
    assert_eq!(with.get_bytes(&original).0, 404, "files were not kept");
    assert_eq!(without.get_bytes(&thumbnail).0, 404);
    fs_err::rename(home.path().join("away"), home.path().join("pictures")).expect("moved");
    let other = &Milvus::new_address();
    index(&home, other, &[&words[..], &["--keep-files"]].concat()).exits(0);
    fs_err::remove_dir_all(home.path().join("pictures")).expect("removed");
    let server = Server::start(&home, &["serve", "--store", other, "--blobs", "kept"]);
    assert_eq!(server.get_bytes(&original), (200, "image/png".into(), file));

    for (path, what) in [
        ("/", "page"),
        ("/v1/jobs", "jobs"),
        ("/v1/label-sets/x", "label sets"),
        ("/v1/facets", "filters"),
    ] {
        let (status, problem) = server.get(path);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == 501 && detail.contains(what), "{path}: {status} {problem}");
    }
    assert_eq!(server.delete(&format!("/v1/items/{id}")).0, 501);
    let asked = json!({"text": "x", "liked": [id]});
    let (status, problem) = server.post("/v1/feedback", &asked);
    assert!(status == 422 && problem.to_string().contains("--like"), "{status} {problem}");
    assert_eq!(server.get("/nowhere").0, 404);
}
