//! `ek model pull` against a hub on this machine: what comes, what is asked for again, and
//! what is said when it does not come.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::hub::{Asked, COMMIT, Hub, Trouble};
use crate::support::{Home, Run, repository};

const REPO: &str = "someone/some-clip";
const VISION: &str = "onnx/vision_model.onnx";

/// Bytes that repeat nowhere.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A repository in a public layout whose graphs are none, so that every way of coming here
/// ends before the model is used.
fn noisy() -> Hub {
    let files = [
        ("README.md", b"# A card".to_vec()),
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", noise(1, 40_000)),
        ("onnx/text_model.onnx", noise(2, 300_000)),
        (VISION, noise(3, 1_000_000)),
        ("onnx/vision_model_fp16.onnx", noise(4, 500_000)),
        ("model.safetensors", noise(5, 2_000_000)),
    ];
    let files: BTreeMap<_, _> = files.map(|(path, bytes)| (path.to_owned(), bytes)).into();
    Hub::new(REPO, files, json!({"license": "cc-by-nc-4.0"}))
}

/// `ek model pull`, with an environment of its own.
fn command(home: &Home, hub: &str, args: &[&str]) -> Command {
    let mut command = home.command(&[&["model", "pull"], args].concat());
    for name in [
        "HF_HOME",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HUB_OFFLINE",
        "HF_HUB_DOWNLOAD_TIMEOUT",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        command.env_remove(name);
    }
    command.env("HF_ENDPOINT", hub).env("HF_HUB_CACHE", home.path().join("hub"));
    command.env("HF_TOKEN_PATH", home.path().join("no-token"));
    command
}

fn run(mut command: Command) -> Run {
    let output = command.output().expect("ek starts");
    Run::of(&command, output)
}

fn pull(home: &Home, hub: &Hub, args: &[&str]) -> Run {
    run(command(home, &hub.url, args))
}

/// All files came; only that they are no graphs kept them from being imported.
fn came(run: &Run) {
    assert!(run.code() != 0 && run.stderr().contains("came whole"), "{}", run.stderr());
}

/// It did not come; what is said.
fn fails(run: Run, code: i32) -> String {
    let run = run.exits(code);
    let said = run.stderr();
    assert!(!said.contains("came whole") && !said.contains("panicked"), "{said}");
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("ek: ")).collect();
    assert_eq!(lines.len(), 1, "one sentence: {said}");
    lines[0].to_owned()
}

/// The repository's folder in the cache.
fn kept(home: &Home) -> PathBuf {
    home.path().join("hub").join(format!("models--{}", REPO.replace('/', "--")))
}

fn requests<'a>(asked: &'a [Asked], file: &str) -> Vec<&'a Asked> {
    asked.iter().filter(|a| a.path.ends_with(file) && a.sent > 0).collect()
}

/// The default model, as somebody would publish it.
fn lite() -> Hub {
    let mut files = BTreeMap::new();
    for entry in fs_err::read_dir(repository().join("models/lite")).expect("the default model") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        files.insert(name, fs_err::read(path).expect("readable"));
    }
    files.insert("old/weights.safetensors".into(), noise(6, 100_000));
    Hub::new(REPO, files, json!({"license": "apache-2.0"}))
}

#[test]
fn a_listed_model_has_the_languages_of_the_list() {
    let folder = repository().join("models/tests/fixtures/siglip");
    let mut files = BTreeMap::new();
    // Without its card, nothing else says them.
    for name in [
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "onnx/text_model.onnx",
        VISION,
    ] {
        if let Ok(bytes) = fs_err::read(folder.join(name)) {
            files.insert(name.to_owned(), bytes);
        }
    }
    let hub = Hub::new("Xenova/siglip-base-patch16-224", files, json!({"license": "apache-2.0"}));
    let home = Home::new();
    let listed = pull(&home, &hub, &["siglip-b16", "--json"]).exits(0).json();
    assert_eq!((&listed["name"], &listed["languages"]), (&json!("siglip-b16"), &json!(["en"])));
    let args = ["siglip-b16", "--language", "de", "--name", "german", "--json"];
    assert_eq!(pull(&home, &hub, &args).exits(0).json()["languages"], json!(["de"]));
}

#[test]
fn a_model_comes_is_imported_and_is_there_offline() {
    let (home, hub) = (Home::new(), lite());
    hub.trouble(Trouble { token: Some("hf_secret"), ..Trouble::default() });
    let mut with_token =
        command(&home, &hub.url, &["someone/some-clip@v1", "--name", "mine", "--json"]);
    with_token.env("HF_TOKEN", "hf_secret");
    let first = run(with_token).exits(0);
    assert_eq!(first.json()["name"], "mine");
    assert_eq!(first.json()["was_there"], false);
    for told in [COMMIT, "licence: apache-2.0", "gated"] {
        assert!(first.stderr().contains(told), "{told} in {}", first.stderr());
    }
    assert!(home.data().join("models/mine/CARD.md").is_file());
    let asked = hub.asked();
    assert!(asked.iter().all(|a| !a.path.ends_with("weights.safetensors")), "only the model's");
    assert_eq!(Hub::sent(&asked, "text.onnx"), hub.file("text.onnx").len() as u64);
    // The token is the hub's; where it points to is another server.
    for ask in &asked {
        let expected = (!ask.cdn).then_some("Bearer hf_secret");
        assert_eq!(ask.token.as_deref(), expected, "{ask:?}");
    }
    assert!(asked.iter().any(|a| a.cdn), "large files lie elsewhere");
    // As the hub's own tools lay it out.
    let noted = fs_err::read_to_string(kept(&home).join("refs/v1")).expect("noted");
    assert_eq!(noted, COMMIT);
    let snapshot = kept(&home).join("snapshots").join(COMMIT);
    assert!(fs_err::read(snapshot.join("text.onnx")).expect("there") == hub.file("text.onnx"));
    assert!(kept(&home).join("blobs").join(hub.sum("text.onnx")).is_file());

    // Offline, nobody is asked.
    let offline = |args: &[&str]| {
        let mut command = command(&home, &hub.url, args);
        command.env("HF_HUB_OFFLINE", "1");
        run(command)
    };
    let again = offline(&["someone/some-clip@v1", "--name", "mine", "--json"]).exits(0);
    assert_eq!(again.json()["was_there"], true);
    let said = fails(offline(&["someone/some-clip"]), 3);
    assert!(said.contains("HF_HUB_OFFLINE") && said.contains("ek model import"), "{said}");
    let blob = kept(&home).join("blobs").join(hub.sum("vocabulary.txt"));
    fs_err::write(&blob, "other words").expect("written");
    let said = fails(offline(&["someone/some-clip@v1"]), 3);
    assert!(said.contains("vocabulary.txt is damaged"), "{said}");
    assert!(hub.asked().is_empty(), "nobody was asked");
    // Nothing else is left where the model was laid out.
    let left = fs_err::read_dir(kept(&home)).expect("readable").flatten();
    assert!(left.into_iter().all(|e| !e.file_name().to_string_lossy().starts_with(".pull-")));
}

#[test]
fn a_broken_connection_goes_on_where_it_ended() {
    let (home, hub) = (Home::new(), noisy());
    hub.trouble(Trouble { cut: Some((VISION, 300_000)), ..Trouble::default() });
    let through = pull(&home, &hub, &[REPO]);
    came(&through);
    let asked = hub.asked();
    let from: Vec<_> = requests(&asked, VISION).iter().map(|a| a.from).collect();
    assert_eq!(from, [0, 300_000, 600_000, 900_000].map(Some), "{}", through.stderr());
    assert_eq!(Hub::sent(&asked, VISION), 1_000_000, "each byte once");
    assert_eq!(Hub::sent(&asked, "fp16.onnx") + Hub::sent(&asked, "safetensors"), 0);
    assert!(through.stderr().contains("licence excludes commercial use"), "{}", through.stderr());
    assert!(through.stderr().contains("after 300000 of 1000000 bytes"), "{}", through.stderr());

    // What is whole is not asked for again.
    came(&pull(&home, &hub, &[REPO]));
    let asked = hub.asked();
    assert!(asked.iter().all(|a| a.sent == 0), "{asked:?}");
}

#[test]
fn a_hub_that_goes_down_is_told_and_the_next_run_fetches_only_the_rest() {
    let (home, hub) = (Home::new(), noisy());
    hub.trouble(Trouble { cut: Some((VISION, 700_000)), then_down: true, ..Trouble::default() });
    let said = fails(pull(&home, &hub, &[REPO]), 3);
    assert!(said.contains("503") && said.contains("what came is kept"), "{said}");
    assert_eq!(Hub::sent(&hub.asked(), VISION), 700_000);
    assert!(!home.data().join("models").exists(), "nothing came in");

    hub.trouble(Trouble::default());
    came(&pull(&home, &hub, &[REPO]));
    let asked = hub.asked();
    assert_eq!(requests(&asked, VISION)[0].from, Some(700_000));
    assert_eq!(Hub::sent(&asked, VISION), 300_000);
    let blob = kept(&home).join("blobs").join(hub.sum(VISION));
    assert!(fs_err::read(blob).expect("there") == hub.file(VISION));
}

#[test]
fn a_run_that_is_killed_is_gone_on_with() {
    let (home, hub) = (Home::new(), noisy());
    hub.trouble(Trouble { stall: Some((VISION, 400_000)), ..Trouble::default() });
    let mut child = command(&home, &hub.url, &[REPO]);
    child.stderr(std::process::Stdio::null());
    let mut child = child.spawn().expect("ek starts");
    let part = kept(&home).join("blobs").join(format!("{}.ek-part", hub.sum(VISION)));
    let started = Instant::now();
    while fs_err::metadata(&part).map_or(0, |facts| facts.len()) < 400_000 {
        assert!(started.elapsed() < Duration::from_secs(20), "it began");
        std::thread::sleep(Duration::from_millis(5));
    }
    // SIGKILL, on Unix.
    child.kill().expect("killed");
    child.wait().expect("gone");
    hub.asked();
    hub.trouble(Trouble::default());
    came(&pull(&home, &hub, &[REPO]));
    let asked = hub.asked();
    assert_eq!(requests(&asked, VISION)[0].from, Some(400_000));
    assert_eq!(Hub::sent(&asked, VISION), 600_000);
    assert_eq!(Hub::sent(&asked, "text_model.onnx"), 0, "what was whole is kept");

    // Killed when all bytes were there, but nobody had looked at them yet.
    let blob = kept(&home).join("blobs").join(hub.sum(VISION));
    fs_err::rename(&blob, &part).expect("as before");
    came(&pull(&home, &hub, &[REPO]));
    assert_eq!(Hub::sent(&hub.asked(), VISION), 0);
    // And one that is longer than the file can be is not gone on with.
    fs_err::rename(&blob, &part).expect("as before");
    let mut longer = fs_err::read(&part).expect("readable");
    longer.push(0);
    fs_err::write(&part, longer).expect("written");
    came(&pull(&home, &hub, &[REPO]));
    assert_eq!(Hub::sent(&hub.asked(), VISION), 1_000_000);
}

#[test]
fn a_flipped_byte_is_refused_and_fetched_again() {
    let (home, hub) = (Home::new(), noisy());
    // In a large file, known by SHA-256, and in a small one, known by git's sum.
    for (file, kind) in [(VISION, "sha256"), ("tokenizer.json", "git's sha1")] {
        let blob = kept(&home).join("blobs").join(hub.sum(file));
        if blob.exists() {
            fs_err::remove_file(&blob).expect("of the round before");
        }
        hub.asked();
        hub.trouble(Trouble { flip: Some((file, 1)), ..Trouble::default() });
        let once = pull(&home, &hub, &[REPO]);
        came(&once);
        let words = format!("{file}: expected {kind} {}", hub.sum(file));
        assert!(once.stderr().contains(&words), "{words} in {}", once.stderr());
        assert_eq!(Hub::sent(&hub.asked(), file), 2 * hub.file(file).len() as u64);

        // Always: given up, and nothing of it is kept.
        fs_err::remove_file(&blob).expect("there");
        hub.trouble(Trouble { flip: Some((file, u32::MAX)), ..Trouble::default() });
        let said = fails(pull(&home, &hub, &[REPO]), 3);
        assert!(said.contains(kind) && said.contains("twice"), "{said}");
        assert!(!blob.exists() && !blob.with_extension("ek-part").exists());
    }
    // A copy in the cache that is damaged afterwards.
    hub.trouble(Trouble::default());
    came(&pull(&home, &hub, &[REPO]));
    hub.asked();
    let blob = kept(&home).join("blobs").join(hub.sum(VISION));
    let mut bytes = fs_err::read(&blob).expect("there");
    bytes[77] ^= 1;
    fs_err::write(&blob, bytes).expect("written");
    let healed = pull(&home, &hub, &[REPO]);
    came(&healed);
    assert!(healed.stderr().contains("copy is damaged"), "{}", healed.stderr());
    let asked = hub.asked();
    assert_eq!(asked.iter().map(|a| a.sent).sum::<u64>(), 1_000_000, "only that file");
}

#[test]
fn each_refusal_has_its_sentence() {
    let (home, hub) = (Home::new(), noisy());
    let header = |code: &str| format!("X-Error-Code: {code}\r\nX-Error-Message: its own words\r\n");
    for (status, headers, token, code, words) in [
        (401, header("RepoNotFound"), None, 3, "no public model"),
        (401, header("RepoNotFound"), Some("hf_bad"), 3, "token of HF_TOKEN is not accepted"),
        (401, header("GatedRepo"), None, 3, "terms have to be accepted first"),
        (403, header("GatedRepo"), Some("hf_x"), 3, "has not been let in"),
        (403, String::new(), None, 3, "may not be had"),
        (404, header("RepoNotFound"), None, 2, "no such model"),
        (404, header("RevisionNotFound"), None, 2, "no revision main"),
        (429, "Retry-After: 120\r\n".into(), None, 3, "again in 120 s"),
        (429, "Retry-After: 0\r\n".into(), None, 3, "too many requests"),
        (500, "Retry-After: 0\r\n".into(), None, 3, "the hub has trouble"),
        (418, String::new(), None, 3, "not expected"),
    ] {
        hub.trouble(Trouble {
            list: Some((status, headers.clone(), "{}".into())),
            ..Trouble::default()
        });
        let mut command = command(&home, &hub.url, &[REPO]);
        token.map(|token| command.env("HF_TOKEN", token));
        let said = fails(run(command), code);
        let known =
            said.contains(words) && said.contains(&status.to_string()) && said.contains(REPO);
        assert!(known, "{words:?} in {said}");
        assert!(!said.contains("hf_"), "{said}");
        if headers.contains("own words") {
            assert!(said.contains("own words"), "{said}");
        }
        // What may pass is tried three times, the rest once.
        let tries = if headers.contains("After: 0") { 3 } else { 1 };
        assert_eq!(hub.asked().len(), tries, "{status}");
    }
    // A file that may not be had, after a list that may.
    for (status, code, words) in [(403, 3, "may not be had"), (404, 2, "no such model")] {
        hub.trouble(Trouble { file: Some((VISION, status, String::new())), ..Trouble::default() });
        let said = fails(pull(&home, &hub, &[REPO]), code);
        assert!(said.contains(words) && said.contains(VISION), "{said}");
    }
    hub.trouble(Trouble::default());
    let said = fails(pull(&home, &hub, &["someone/some-clip@v9"]), 2);
    assert!(said.contains("no revision v9"), "{said}");
    let said = fails(pull(&home, &hub, &["someone/else"]), 2);
    assert!(said.contains("no such model"), "{said}");
}

#[test]
fn silence_is_not_waited_for() {
    let (home, hub) = (Home::new(), noisy());
    let impatient = |args: &[&str]| {
        let mut command = command(&home, &hub.url, args);
        command.env("HF_HUB_DOWNLOAD_TIMEOUT", "0.2");
        let started = Instant::now();
        let said = fails(run(command), 3);
        assert!(started.elapsed() < Duration::from_secs(10), "{said}");
        assert!(said.contains("nothing came for 0.2 s"), "{said}");
        said
    };
    hub.trouble(Trouble { silent: true, ..Trouble::default() });
    let said = impatient(&[REPO]);
    assert!(said.contains("HF_ENDPOINT") && said.contains("ek model import"), "{said}");
    hub.trouble(Trouble { stall: Some((VISION, 250_000)), ..Trouble::default() });
    // Each time a little comes, so it goes on.
    hub.asked();
    let mut command = command(&home, &hub.url, &[REPO]);
    command.env("HF_HUB_DOWNLOAD_TIMEOUT", "0.2");
    came(&run(command));
    assert_eq!(Hub::sent(&hub.asked(), VISION), 1_000_000);
}

#[test]
fn nobody_there_is_one_plain_sentence() {
    let (home, hub) = (Home::new(), noisy());
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", port.local_addr().expect("an address"));
    drop(port);
    let said = fails(run(command(&home, &nobody, &[REPO])), 3);
    for word in ["is not reached", "HF_ENDPOINT", "ek model import"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(!said.contains("HF_HUB_OFFLINE"), "it was never here: {said}");
    came(&pull(&home, &hub, &[REPO]));
    let said = fails(run(command(&home, &nobody, &[REPO])), 3);
    assert!(said.contains("HF_HUB_OFFLINE=1"), "it is in the cache: {said}");
}

#[test]
fn lists_and_redirects_that_lead_elsewhere_are_refused() {
    let (home, hub) = (Home::new(), noisy());
    let list = |files: serde_json::Value| json!({"sha": COMMIT, "siblings": files}).to_string();
    let blob = "0".repeat(40);
    let graph = |size: u64| {
        json!([
            {"rfilename": "model.onnx", "lfs": {"sha256": "0".repeat(64), "size": size}},
        ])
    };
    let many: Vec<_> = (0..6_000).map(|i| json!({"rfilename": format!("f{i}")})).collect();
    for (body, words) in [
        (
            list(json!([{"rfilename": "../../../x", "size": 1, "blobId": blob}])),
            "no path inside a folder",
        ),
        (
            list(json!([{"rfilename": "/tmp/x", "size": 1, "blobId": blob}])),
            "no path inside a folder",
        ),
        (list(graph(40 << 30)), "42949672960 bytes"),
        (list(json!(many)), "6000 files"),
        ("<html>".into(), "no JSON"),
        (json!({"sha": "../../x", "siblings": []}).to_string(), "40 hexadecimal digits"),
        (" ".repeat(17 << 20), "more than 16777216 bytes"),
    ] {
        hub.trouble(Trouble { list: Some((200, String::new(), body)), ..Trouble::default() });
        let said = fails(pull(&home, &hub, &[REPO]), 3);
        assert!(said.contains(words), "{words:?} in {said}");
    }
    for (location, words) in [
        ("file:///etc/passwd", "a redirect to"),
        ("ftp://127.0.0.1/x", "a redirect to"),
        (
            "/someone/some-clip/resolve/3f68cd45302c7b4b532d933e71d9e6e54b1c7d5e/config.json",
            "more than 5 redirects",
        ),
    ] {
        let headers = format!("Location: {location}\r\n");
        hub.trouble(Trouble { file: Some(("config.json", 302, headers)), ..Trouble::default() });
        let said = fails(pull(&home, &hub, &[REPO]), 3);
        assert!(said.contains(words), "{words:?} in {said}");
    }
    // Another part of the file than was asked for.
    let headers = "Content-Range: bytes 7-99/100\r\n".to_owned();
    hub.trouble(Trouble { file: Some(("config.json", 206, headers)), ..Trouble::default() });
    let said = fails(pull(&home, &hub, &[REPO]), 3);
    assert!(said.contains("bytes 7-99/100"), "{said}");
}

#[test]
fn plain_mirrors_and_proxies_do() {
    let (home, hub) = (Home::new(), noisy());
    // A list without sizes and sums: the files' own headers have them.
    hub.trouble(Trouble { bare_list: true, ..Trouble::default() });
    came(&pull(&home, &hub, &[REPO, "--precision", "fp32"]));
    assert!(hub.asked().iter().any(|a| a.method == "HEAD"));
    assert!(kept(&home).join("blobs").join(hub.sum(VISION)).is_file());

    // One that does not go on from a place sends the whole again.
    let blob = kept(&home).join("blobs").join(hub.sum(VISION));
    fs_err::rename(&blob, blob.with_extension("ek-part")).expect("as if cut");
    let part = fs_err::OpenOptions::new().write(true).open(blob.with_extension("ek-part"));
    part.expect("there").set_len(123_456).expect("shorter");
    hub.trouble(Trouble { no_ranges: true, ..Trouble::default() });
    came(&pull(&home, &hub, &[REPO]));
    assert!(fs_err::read(&blob).expect("there") == hub.file(VISION));

    // No host has that name; the proxy knows it.
    hub.trouble(Trouble::default());
    hub.asked();
    let mut proxied = command(&home, "http://hub.invalid/", &[REPO]);
    proxied.env("ALL_PROXY", &hub.url);
    came(&run(proxied));
    assert!(!hub.asked().is_empty());
}

#[test]
fn what_can_be_typed_is_told() {
    let home = Home::new();
    let list = home.ek(&["model", "pull"]).exits(0).stdout();
    for word in ["clip-vit-b32", "licence: ", "source: https://", "not measured here"] {
        assert!(list.contains(word), "{word} in {list}");
    }
    let models = home.ek(&["model", "pull", "--json"]).exits(0).json();
    let models = models["models"].as_array().expect("models").clone();
    assert!(models.len() >= 6, "{models:?}");
    assert!(models.iter().all(|m| m["sources"][0].is_string() && m["measured_here"] == false));
    assert!(models.iter().any(|m| m["non_commercial"] == true));

    let hub = noisy();
    for (args, code, words) in [
        (&["clip"][..], 2, "OWNER/NAME"),
        (&["../x"], 2, "OWNER/NAME"),
        (&["a/b@../c"], 2, "no revision"),
        (&[REPO, "--precision", "q4"], 2, "--precision from: fp32"),
    ] {
        let said = fails(pull(&home, &hub, args), code);
        assert!(said.contains(words), "{words:?} in {said}");
    }
    assert!(
        home.ek(&["model", "pull", REPO, "--precision", "fp7"]).exits(2).stderr().contains("fp16")
    );
    for (name, value) in
        [("HF_ENDPOINT", "hub"), ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"), ("HF_TOKEN", "a b")]
    {
        let mut command = command(&home, &hub.url, &[REPO]);
        command.env(name, value);
        let said = fails(run(command), 3);
        assert!(said.contains(name), "{name} in {said}");
    }
    let weights = BTreeMap::from([("model.safetensors".to_owned(), noise(7, 100))]);
    let said = fails(pull(&home, &Hub::new(REPO, weights, json!({})), &[REPO]), 2);
    assert!(said.contains("no ONNX graph"), "{said}");
}
