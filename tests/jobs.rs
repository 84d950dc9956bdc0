//! What is written while a server holds the store: jobs over HTTP, and verbs of the
//! command line that the server carries out.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::support::{Home, Server, picture, reference};

/// A server over one picture, and a folder with two more that it knows nothing of.
fn with_another_folder() -> (Home, Server) {
    let home = Home::new();
    picture(&home.folder("known").join("red.png"), [255, 0, 0]);
    let other = home.folder("other");
    picture(&other.join("green.png"), [0, 255, 0]);
    picture(&other.join("blue.png"), [0, 0, 255]);
    fs_err::write(other.join("bad.jpg"), "no picture").expect("written");
    let server = Server::start(&home, &["up", "known"]);
    server.wait_for_images(1);
    (home, server)
}

fn ended(server: &Server, id: &str) -> Value {
    let path = format!("/v1/jobs/{id}");
    server.wait_for(&path, |job| !["waiting", "running"].map(Value::from).contains(&job["state"]));
    server.get(&path).1
}

#[test]
fn a_folder_of_the_owner_is_indexed_over_http_and_others_are_not() {
    let (home, server) = with_another_folder();
    let known = home.path().join("known");
    picture(&known.join("yellow.png"), [255, 255, 0]);
    let (status, job) = server.post("/v1/jobs", &json!({ "paths": [known] }));
    assert_eq!((status, &job["action"]), (202, &json!("index")), "{job}");
    let id = job["id"].as_str().expect("a name");
    let job = ended(&server, id);
    assert_eq!(job["state"], "done", "{job}");
    // The watcher may have been first.
    assert_eq!(job["result"]["report"]["seen"], 2, "{job}");
    assert_eq!(server.get("/v1/status").1["images"], 2);
    assert_eq!(server.get("/v1/jobs").1["jobs"][0]["id"], id);
    // It has ended: stopping it changes nothing.
    let (status, stopped) = server.delete(&format!("/v1/jobs/{id}"));
    assert_eq!((status, &stopped["state"]), (200, &json!("done")));

    let link = known.join("link");
    std::os::unix::fs::symlink(home.path().join("other"), &link).expect("linked");
    for (body, status) in [
        (json!({ "paths": [home.path().join("other")] }), 403),
        (json!({ "paths": [home.path().join("other/green.png")] }), 403),
        (json!({ "paths": [link] }), 403),
        (json!({ "paths": [link.join("nothing")] }), 403),
        (json!({ "paths": [known.join("../other")] }), 403),
        (json!({ "paths": ["/"] }), 403),
        (json!({ "paths": ["/nowhere/at/all"] }), 403),
        (json!({ "paths": [known.join("nothing")] }), 404),
        (json!({ "paths": ["known"] }), 400),
        (json!({ "paths": [] }), 400),
        (json!({}), 400),
        (json!({ "paths": [known], "follow_links": true }), 403),
        (json!({ "paths": [known], "captions": "/etc/passwd" }), 403),
        (json!({ "paths": [known], "memory": 5 }), 400),
        (json!({ "paths": [known], "memory": 1_000_000_000 }), 403),
        (json!({ "action": "retry", "memory": 1_000_000_000 }), 403),
        (json!({ "action": "explode", "paths": [known] }), 400),
        (json!({ "action": "remove", "paths": ["/etc"] }), 403),
    ] {
        let (got, problem) = server.post("/v1/jobs", &body);
        assert_eq!(got, status, "{body}: {problem}");
        assert!(problem["detail"].is_string(), "{problem}");
    }
    assert_eq!(server.get("/v1/status").1["images"], 2);
    assert_eq!(server.get("/v1/jobs/none").0, 404);
    assert_eq!(server.delete("/v1/jobs/none").0, 404);
    assert_eq!(server.get("/v1/jobs/none/events").0, 404);
}

#[test]
fn what_the_owner_left_out_stays_left_out_over_http() {
    let home = Home::new();
    let around = home.folder("around");
    let (one, two) = (home.folder("around/one"), home.folder("around/two"));
    picture(&one.join("red.png"), [255, 0, 0]);
    picture(&home.folder("around/one/private").join("green.png"), [0, 255, 0]);
    picture(&home.folder("around/one/.hidden").join("blue.png"), [0, 0, 255]);
    picture(&two.join("white.png"), [255, 255, 255]);
    home.ek(&["index", "around/one", "--exclude", "private"]).exits(0);
    home.ek(&["index", "around/two"]).exits(0);
    let server = Server::start(&home, &["up", "--allow", "around"]);
    for within in ["", "private", ".hidden", "private/green.png"] {
        let (status, job) = server.post("/v1/jobs", &json!({ "paths": [one.join(within)] }));
        assert_eq!(status, 202, "{job}");
        let job = ended(&server, job["id"].as_str().expect("a name"));
        assert_eq!((&job["state"], &job["paths"]), (&json!("done"), &json!([one])), "{job}");
    }
    // A folder around them is taken, and what they leave out is left out there, too.
    let (status, job) = server.post("/v1/jobs", &json!({ "paths": [around] }));
    assert_eq!(status, 202, "{job}");
    let job = ended(&server, job["id"].as_str().expect("a name"));
    assert_eq!(
        (&job["state"], &job["result"]["report"]["seen"]),
        (&json!("done"), &json!(2)),
        "{job}"
    );
    let (status, problem) = server.post("/v1/jobs", &json!({ "paths": [one, two] }));
    assert_eq!((status, &problem["field"]), (400, &json!("paths")), "{problem}");
    // Options are remembered a line each; a glob cannot bring one in.
    let order = json!({ "paths": [one], "exclude": ["a\nfollow-links"] });
    let (status, problem) = server.post("/v1/jobs", &order);
    assert_eq!((status, &problem["field"]), (422, &json!("exclude")), "{problem}");
    // A blank one would leave out everything.
    let order = json!({ "paths": [one], "exclude": [" "] });
    let (status, problem) = server.post("/v1/jobs", &order);
    assert_eq!((status, &problem["field"]), (422, &json!("exclude")), "{problem}");
    let (_, status) = server.get("/v1/status");
    let roots = json!([around, one, two]);
    assert_eq!((&status["images"], &status["roots"]), (&json!(2), &roots), "{status}");
    // Who forgets the folder around them forgets them.
    home.ek(&["remove", "around"]).exits(0);
    let (_, status) = server.get("/v1/status");
    assert_eq!((&status["images"], &status["roots"]), (&json!(0), &json!([])), "{status}");
}

#[test]
fn a_job_is_followed_as_it_goes() {
    let (home, server) = with_another_folder();
    let known = home.path().join("known");
    for i in 0..60u8 {
        picture(&known.join(format!("{i}.png")), [i * 4, 0, 255 - i]);
    }
    let (_, job) = server.post("/v1/jobs", &json!({ "path": known }));
    let id = job["id"].as_str().expect("a name");
    let reply = server.open(&format!("/v1/jobs/{id}/events"));
    assert_eq!(reply.headers().get("content-type").expect("said"), "text/event-stream");
    let lines = BufReader::new(reply.into_body().into_reader()).lines();
    let mut events = Vec::new();
    for line in lines.map(|line| line.expect("text")) {
        if let Some(name) = line.strip_prefix("event: ") {
            events.push((name.to_owned(), Value::Null));
        } else if let Some(data) = line.strip_prefix("data: ") {
            events.last_mut().expect("a name first").1 = serde_json::from_str(data).expect("JSON");
        }
    }
    let (last, before) = events.split_last().expect("at least one event");
    assert!(before.iter().all(|(name, _)| name == "progress"), "{events:?}");
    assert_eq!((last.0.as_str(), &last.1["state"]), ("done", &json!("done")), "{events:?}");
    assert_eq!(last.1["progress"]["seen"], 61, "{events:?}");
    server.wait_for_images(61);
}

#[test]
fn verbs_that_write_are_carried_out_by_the_server() {
    let (home, server) = with_another_folder();
    let other = home.path().join("other");
    // A library that is not there shows that no model is loaded here.
    let ek = |args: &[&str]| home.ek(&[args, &["--onnxruntime", "/no/library"]].concat());
    let report = ek(&["index", "other", "--json"]).exits(1).json();
    assert_eq!((&report["indexed"], &report["failed"]), (&json!(2), &json!(1)), "{report}");
    for name in ["seen", "unchanged", "removed", "seconds", "stages"] {
        assert!(!report[name].is_null(), "{name} in {report}");
    }
    assert_eq!(server.get("/v1/status").1["images"], 3);
    // The list of jobs is short: their files are told by the job itself.
    let job = server.get("/v1/jobs").1["jobs"][0].clone();
    assert_eq!(
        (&job["result"]["report"]["failed"], &job["result"]["failures"]),
        (&json!(1), &json!([])),
        "{job}"
    );
    let job = ended(&server, job["id"].as_str().expect("a name"));
    assert_eq!(job["result"]["failures"].as_array().map(Vec::len), Some(1), "{job}");
    let again = ek(&["index", "other"]).exits(1);
    assert!(again.stdout().contains("2 unchanged"), "{}", again.stdout());
    assert!(again.stderr().contains("bad.jpg"), "{}", again.stderr());

    fs_err::remove_file(other.join("bad.jpg")).expect("removed");
    picture(&other.join("bad.png"), [9, 9, 9]);
    fs_err::rename(other.join("bad.png"), other.join("bad.jpg")).expect("renamed");
    let retried = ek(&["retry", "--json"]).exits(0).json();
    assert_eq!(retried["indexed"], 1, "{retried}");

    let removed = ek(&["remove", "other/green.png", "--json"]).exits(0).json();
    assert_eq!(removed["removed"], 1);
    // The folder brings it back, which is said.
    assert_eq!(removed["within"], json!([other]), "{removed}");
    assert!(other.join("green.png").exists(), "no file is touched");
    ek(&["remove", "other/green.png"]).exits(1);
    ek(&["index", "nowhere"]).exits(2);
    ek(&["index", "other", "--exclude", "a{b"]).exits(2);

    // Options hold as if it had been done here.
    let captions = home.path().join("captions.jsonl");
    fs_err::write(&captions, "{\"path\":\"other/blue.png\",\"caption\":\"deep sea\"}\n")
        .expect("written");
    ek(&["index", "other", "--captions", "captions.jsonl", "--exclude", "green*"]).exits(0);
    let (_, found) = server.get("/v1/search?q=sea&mode=text");
    assert!(found["hits"][0]["path"].as_str().expect("found").ends_with("blue.png"), "{found}");
    assert_eq!(server.get("/v1/status").1["images"], 3, "red, blue, and what was bad");

    // Without the server, the same is done here.
    assert_eq!(server.terminate(), 0);
    assert!(!home.data().join("server.key").exists());
    let report = home.ek(&["index", "other", "--json"]).exits(0).json();
    assert_eq!(report["indexed"], 1, "green is wanted again: {report}");
}

#[test]
fn a_folder_that_was_forgotten_is_not_watched_any_more() {
    let home = Home::new();
    let (kept, gone) = (home.folder("kept"), home.folder("gone"));
    picture(&kept.join("red.png"), [255, 0, 0]);
    picture(&gone.join("green.png"), [0, 255, 0]);
    let server = Server::start(&home, &["up", "kept", "gone"]);
    server.wait_for_images(2);
    // Both folders are watched from here on.
    picture(&kept.join("yellow.png"), [255, 255, 0]);
    server.wait_for_images(3);
    let removed = home.ek(&["remove", "gone", "--json"]).exits(0).json();
    assert_eq!(removed["removed"], 1, "{removed}");
    // Changes are taken up in the order of the folders; what comes after shows that both were seen.
    picture(&gone.join("blue.png"), [0, 0, 255]);
    picture(&kept.join("white.png"), [255, 255, 255]);
    server.wait_for_images(3);
    picture(&kept.join("black.png"), [0, 0, 0]);
    server.wait_for_images(4);
    let (_, status) = server.get("/v1/status");
    assert_eq!((&status["images"], &status["roots"]), (&json!(4), &json!([kept])), "{status}");
}

#[test]
fn forgetting_says_what_it_waits_for_and_ends_what_is_pointless() {
    let home = Home::new();
    let (many, other) = (home.folder("many"), home.folder("other"));
    for i in 0..250u8 {
        picture(&many.join(format!("{i}.png")), [i, 255 - i, i / 2]);
    }
    picture(&other.join("green.png"), [0, 255, 0]);
    home.ek(&["index", "other"]).exits(0);
    let server = Server::start(&home, &["up", "many"]);
    server.wait_for("/v1/status", |status| status["indexing"]["indexed"].as_u64() > Some(0));
    let run = home.ek(&["remove", "other"]).exits(0);
    assert!(run.stderr().contains("it indexes just now"), "{}", run.stderr());
    assert!(run.stdout().starts_with("1 item forgotten"), "{}", run.stdout());
    assert_eq!(server.get("/v1/status").1["images"], 250, "the run was waited for");

    // An order to index what is then forgotten is taken back, be it waiting or running.
    for i in 0..250u8 {
        picture(&many.join(format!("{i}.png")), [255 - i, i, i]);
    }
    let ids: Vec<String> = (0..2)
        .map(|_| {
            server.post("/v1/jobs", &json!({ "paths": [many] })).1["id"]
                .as_str()
                .expect("a name")
                .to_owned()
        })
        .collect();
    home.ek(&["remove", "many"]).exits(0);
    let states: Vec<Value> = ids.iter().map(|id| ended(&server, id)["state"].clone()).collect();
    assert_eq!(states[1], "stopped", "{states:?}");
    let (_, status) = server.get("/v1/status");
    assert_eq!((&status["images"], &status["roots"]), (&json!(0), &json!([])), "{status}");
}

#[test]
fn a_server_that_only_reads_writes_nothing() {
    let (home, server) = with_another_folder();
    drop(server);
    let server = Server::start(&home, &["serve"]);
    let known = home.path().join("known");
    assert_eq!(server.post("/v1/jobs", &json!({ "paths": [known] })).0, 409);
    assert_eq!(server.post("/v1/items", &json!({ "text": "a" })).0, 409);
    let id = server.get("/v1/items").1["items"][0]["id"].as_str().expect("one").to_owned();
    assert_eq!(server.delete(&format!("/v1/items/{id}")).0, 409);
    // So the command line writes itself.
    let report = home.ek(&["index", "other", "--json"]).exits(1).json();
    assert_eq!(report["indexed"], 2);
    server.wait_for_images(3);
}

#[test]
fn items_are_added_and_forgotten() {
    use base64::Engine as _;
    let (home, server) = with_another_folder();
    let cat = fs_err::read(reference("images/cat_451x300.jpg")).expect("read");
    let image = base64::prelude::BASE64_STANDARD.encode(&cat);
    let body = json!({ "image": image, "name": "../../Mittens.jpg", "caption": "on the sofa", "tags": ["pet"] });
    let (status, item) = server.post("/v1/items", &body);
    assert_eq!(status, 201, "{item}");
    let path = item["path"].as_str().expect("a path").to_owned();
    assert!(path.starts_with(&*home.data().to_string_lossy()), "{path}");
    assert!(path.ends_with("/Mittens.jpg"), "{path}");
    assert_eq!((&item["caption"], &item["meta"]["tags"]), (&json!("on the sofa"), &json!(["pet"])));
    assert_eq!(server.post("/v1/items", &body).0, 200, "it is there already");
    let id = item["id"].as_str().expect("an id");
    let (_, found) = server.get("/v1/search?q=a%20cat&mode=vector&k=1");
    assert_eq!(found["hits"][0]["id"], id);
    let (_, _, file) = server.get_bytes(&format!("/v1/items/{id}/file"));
    assert!(file == cat, "as it was sent");
    assert_eq!(server.get_bytes(&format!("/v1/items/{id}/thumbnail")).0, 200);
    // A run over folders, even one around the store, leaves it alone.
    let around = home.path();
    home.ek(&["index", around.to_str().expect("UTF-8")]).exits(1);
    assert_eq!(server.get(&format!("/v1/items/{id}")).0, 200);

    let (status, text) =
        server.post("/v1/items", &json!({ "text": "a poem on rust", "tags": ["poem"] }));
    assert_eq!((status, &text["kind"]), (201, &json!("text")), "{text}");
    let (_, found) = server.get("/v1/search?q=poem&for=texts");
    assert_eq!(found["hits"][0]["id"], text["id"], "{found}");

    let (status, gone) = server.delete(&format!("/v1/items/{id}"));
    assert_eq!((status, &gone["removed"]), (200, &json!(1)), "{gone}");
    assert!(!std::path::Path::new(&path).exists(), "the store's own copy goes along");
    // So it does with the folder that it lies in.
    assert_eq!(server.post("/v1/items", &body).0, 201);
    let uploads = home.data().join("uploads");
    home.ek(&["remove", uploads.to_str().expect("UTF-8")]).exits(0);
    assert!(!std::path::Path::new(&path).exists(), "the store's own copy goes along");
    assert_eq!(server.delete(&format!("/v1/items/{id}")).0, 404);
    // A file of the user's stays where it lies, and out of the store until it changes.
    let (_, red) = server.get("/v1/items?filter=name:red*");
    let red = red["items"][0]["id"].as_str().expect("one").to_owned();
    let (_, gone) = server.delete(&format!("/v1/items/{red}"));
    assert!(!gone["within"].as_array().expect("folders").is_empty(), "{gone}");
    assert!(home.path().join("known/red.png").exists());
    let known = home.path().join("known");
    let known = known.to_str().expect("UTF-8");
    home.ek(&["index", known]).exits(1);
    assert_eq!(server.get(&format!("/v1/items/{red}")).0, 404, "a run does not bring it back");
    let (_, failures) = server.get("/v1/failures");
    assert!(failures.to_string().contains("forgotten on request"), "{failures}");
    home.ek(&["retry"]);
    assert_eq!(server.get(&format!("/v1/items/{red}")).0, 200, "asked for, it comes");

    for body in [
        json!({}),
        json!({ "text": " " }),
        json!({ "text": "a", "image": image }),
        json!({ "text": "a", "name": "b" }),
        json!({ "image": image, "tags": [""] }),
        json!({ "image": image, "size": 5 }),
    ] {
        assert_eq!(server.post("/v1/items", &body).0, 400, "{body}");
    }
    assert_eq!(server.post("/v1/items", &json!({ "image": "bm8=" })).0, 422);
}

#[test]
fn facets_models_and_metrics_are_told() {
    let (_home, server) = with_another_folder();
    let (status, facets) = server.get("/v1/facets");
    assert_eq!((status, &facets["total"]), (200, &json!(1)), "{facets}");
    let folder =
        facets["facets"].as_array().expect("a list").iter().find(|f| f["name"] == "folder");
    let filter = folder.expect("folders")["values"][0]["filter"].as_str().expect("a filter");
    let query: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let (_, narrowed) = server.get(&format!("/v1/facets?filter={query}"));
    assert_eq!(narrowed["total"], 1, "{filter}: {narrowed}");
    assert_eq!(server.get("/v1/facets?filter=x").0, 400);

    let (_, models) = server.get("/v1/models");
    assert_eq!(models["models"][0]["chosen"], true, "{models}");

    server.get("/v1/search?q=red&mode=vector");
    server.get("/v1/search?q=red&mode=vector&offset=1");
    let (status, kind, text) = server.get_bytes("/metrics");
    assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(text).expect("text");
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in\n{text}")).parse::<f64>().expect("a number")
    };
    assert_eq!(value("ekphrasis_stage_seconds_count{stage=\"encode_text\"}"), 1.0);
    assert_eq!(value("ekphrasis_kept_texts_total"), 1.0, "the second time nothing is encoded");
    assert_eq!(value("ekphrasis_items{kind=\"image\"}"), 1.0);
    assert!(value("ekphrasis_ingest_stage_seconds_total{stage=\"encode\"}") > 0.0);
    let searches =
        "ekphrasis_http_responses_total{method=\"GET\",route=\"/v1/search\",status=\"200\"}";
    assert_eq!(value(searches), 2.0);
}
