//! The real server, asked over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Home, Server, picture, reference};

fn with_three() -> (Home, Server) {
    let home = Home::new();
    let folder = home.folder("pictures");
    for name in ["cat_451x300.jpg", "rocket_640x427.jpg", "coffee_300x600.webp"] {
        fs_err::copy(reference(&format!("images/{name}")), folder.join(name)).expect("copied");
    }
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(3);
    (home, server)
}

#[test]
fn searching_by_words_and_by_picture() {
    let (_home, server) = with_three();
    let (status, reply) = server.get("/v1/search?q=a%20cup%20of%20coffee&mode=vector");
    assert_eq!(status, 200, "{reply}");
    let first = reply["hits"][0]["path"].as_str().expect("a path");
    assert!(first.ends_with("coffee_300x600.webp"), "{reply}");
    assert_eq!(reply["total_candidates"], 3);

    let cat = fs_err::read(reference("images/cat_exif_orientation6.jpg")).expect("read");
    let image = BASE64_STANDARD.encode(cat);
    let (status, reply) = server.post("/v1/search", &json!({ "image": image, "k": 1 }));
    assert_eq!(status, 200, "{reply}");
    let hit = &reply["hits"][0];
    assert!(hit["path"].as_str().expect("a path").ends_with("cat_451x300.jpg"), "{reply}");

    let id = hit["id"].as_str().expect("an id");
    let (status, like) = server.post("/v1/search", &json!({ "id": id, "k": 3 }));
    assert_eq!((status, &like["hits"][0]["id"]), (200, &hit["id"]), "{like}");
    let labels = json!({ "id": id, "labels": ["cat", "rocket", "cup of coffee"] });
    let (status, reply) = server.post("/v1/label", &labels);
    assert_eq!(
        (status, &reply["images"][0]["labels"][0]["label"]),
        (200, &json!("cat")),
        "{reply}"
    );
}

#[test]
fn the_command_line_asks_the_server_that_holds_the_store() {
    let (home, server) = with_three();
    let cat = reference("images/cat_exif_orientation6.jpg");
    let cat = cat.to_str().expect("UTF-8");
    let searches: [&[&str]; 4] = [
        &["search", "a cup of coffee", "--json"],
        &["search", "a cup of coffee", "--mode", "vector", "-n", "1", "--offset", "1", "--json"],
        &["search", "pet", "--image", cat, "--not", "a rocket", "--weight", "0.5", "--json"],
        &["search", "a cup of coffee", "--explain"],
    ];
    // A library that is not there shows that no model is loaded here.
    let without = |args: &[&str]| home.ek(&[args, &["--onnxruntime", "/no/library"]].concat());
    let asked: Vec<_> = searches.iter().map(|args| without(args).exits(0).stdout()).collect();
    drop(server);
    // Nobody to ask any more.
    without(searches[0]).exits(3);
    for (args, asked) in searches.iter().zip(asked) {
        let alone = home.ek(args).exits(0).stdout();
        if !args.contains(&"--json") {
            assert_eq!(asked, alone);
            continue;
        }
        let [mut asked, mut alone] =
            [asked, alone].map(|text| serde_json::from_str::<Value>(&text).expect("one object"));
        for reply in [&mut asked, &mut alone] {
            assert!(!reply["hits"].as_array().expect("a list").is_empty());
            reply["took_ms"] = json!(0);
        }
        assert_alike(&asked, &alone);
    }
}

/// Equal but for the last digits of numbers: a process that asks once lets ONNX Runtime add up
/// products in another order.
fn assert_alike(one: &Value, other: &Value) {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            let apart = a.as_f64().expect("a number") - b.as_f64().expect("a number");
            assert!(apart.abs() < 1e-6, "{a} and {b}");
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| assert_alike(a, b));
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.values().zip(b.values()).for_each(|(a, b)| assert_alike(a, b));
        }
        _ => assert_eq!(one, other),
    }
}

#[test]
fn thumbnails_and_files() {
    let (home, server) = with_three();
    let (_, reply) = server.get("/v1/search?q=cat&mode=vector&k=1");
    let id = reply["hits"][0]["id"].as_str().expect("an id").to_owned();
    let (status, kind, bytes) = server.get_bytes(&format!("/v1/items/{id}/thumbnail"));
    assert_eq!((status, kind.as_str()), (200, "image/jpeg"));
    let thumbnail = image::load_from_memory(&bytes).expect("a JPEG");
    assert!(thumbnail.width() <= 400 && thumbnail.height() <= 400);
    let (status, kind, bytes) = server.get_bytes(&format!("/v1/items/{id}/file"));
    let file = fs_err::read(home.path().join("pictures/cat_451x300.jpg")).expect("read");
    assert_eq!((status, kind.as_str()), (200, "image/jpeg"));
    assert!(bytes == file, "the file as it lies on disk");
    let nobody = "0".repeat(32);
    for path in ["", "/thumbnail", "/file"] {
        assert_eq!(server.get(&format!("/v1/items/{nobody}{path}")).0, 404);
    }
}

#[test]
fn a_file_that_was_replaced_is_not_shown() {
    let (home, server) = with_three();
    let (_, reply) = server.get("/v1/search?q=cat&mode=vector&k=1");
    let id = reply["hits"][0]["id"].as_str().expect("an id").to_owned();
    let path = home.path().join("pictures/cat_451x300.jpg");
    fs_err::remove_file(&path).expect("removed");
    let fifo = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(fifo.success());
    for _ in 0..20 {
        assert_eq!(server.get(&format!("/v1/items/{id}/file")).0, 404);
    }
    assert_eq!(server.get("/v1/status").0, 200, "nobody waits for the pipe");
}

#[test]
fn labels_without_measure_are_refused() {
    let (_home, server) = with_three();
    let (_, reply) = server.get("/v1/search?q=cat&mode=vector&k=1");
    let id = &reply["hits"][0]["id"];
    let many: Vec<String> = (0..999).map(|i| format!("label {i}")).collect();
    let templates: Vec<String> = (0..99).map(|i| format!("{i} {{}}")).collect();
    let twice = "{}".repeat(5_000);
    for body in [
        json!({ "id": id, "labels": many, "templates": templates }),
        json!({ "id": id, "labels": ["a", "b"], "templates": [twice] }),
        json!({ "id": id, "labels": ["a", "b".repeat(9_000)] }),
    ] {
        let (status, problem) = server.post("/v1/label", &body);
        assert!((400..500).contains(&status), "{status} {problem}");
    }
}

#[test]
fn wrong_requests_are_problems_and_harm_nothing() {
    let (_home, server) = with_three();
    let long = "x".repeat(100_000);
    for body in [
        json!({}),
        json!({ "text": "" }),
        json!({ "text": "a", "k": 0 }),
        json!({ "text": "a", "k": "ten" }),
        json!({ "text": "a", "frobnicate": 1 }),
        json!({ "image": "not base64!" }),
        json!({ "image": BASE64_STANDARD.encode(b"no picture") }),
        json!({ "id": "xyz" }),
        json!({ "text": "a", "mode": "telepathy" }),
        json!([1, 2, 3]),
        json!({ "parts": [{ "text": "a", "weight": 0 }] }),
    ] {
        let (status, problem) = server.post("/v1/search", &body);
        assert!((400..500).contains(&status), "{body}: {status} {problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
    }
    // Long words are cut by the model; only absurdly long ones are refused.
    assert_eq!(server.post("/v1/search", &json!({ "text": &long[..5_000] })).0, 200);
    assert_eq!(server.post("/v1/search", &json!({ "text": long })).0, 400);
    assert_eq!(server.get("/v1/nowhere").0, 404);
    assert_eq!(server.get("/healthz").0, 200);
}

/// What a raw request gets, and the rest of a body that it was told to wait for.
fn answer(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).expect("answered");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn what_was_begun_is_answered_before_the_end() {
    let (_home, server) = with_three();
    let authority = server.authority().to_owned();
    let body = json!({ "text": "a cat", "mode": "vector" }).to_string();
    let mut socket = TcpStream::connect(&authority).expect("connected");
    write!(
        socket,
        "POST /v1/search HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{}",
        body.len(),
        &body[..5]
    )
    .expect("sent");
    std::thread::sleep(Duration::from_millis(200));
    let ending = std::thread::spawn(move || server.terminate());
    std::thread::sleep(Duration::from_millis(300));
    socket.write_all(&body.as_bytes()[5..]).expect("still listened to");
    let answer = answer(&mut socket);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("cat_451x300.jpg"), "{answer}");
    assert_eq!(ending.join().expect("it ends"), 0);
}

#[test]
fn told_twice_a_server_waits_for_nobody() {
    let (_home, server) = with_three();
    let authority = server.authority().to_owned();
    let mut socket = TcpStream::connect(&authority).expect("connected");
    // The body never comes.
    let head = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    write!(socket, "POST /v1/search HTTP/1.1\r\nhost: {authority}\r\n{head}").expect("sent");
    std::thread::sleep(Duration::from_millis(200));
    server.tell_to_end();
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    assert_eq!(server.terminate(), 0);
    // Far less than requests are given when it is told once.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn texts_are_compressed_and_what_is_known_is_not_sent_again() {
    let (_home, server) = with_three();
    let authority = server.authority();
    let get = |path: &str, headers: &str| {
        let mut socket = TcpStream::connect(authority).expect("connected");
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{headers}\r\n"
        )
        .expect("sent");
        answer(&mut socket).to_lowercase()
    };
    let header = |answer: &str, name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::to_owned)
    };
    let id = server.get("/v1/items?limit=1").1["items"][0]["id"].as_str().expect("one").to_owned();
    let thumbnail = format!("/v1/items/{id}/thumbnail");
    for (path, compressed) in [("/", true), ("/v1/status", true), (&*thumbnail, false)] {
        // Brotli is not spoken, though it is liked best.
        let answer = get(path, "accept-encoding: br, gzip\r\n");
        assert!(answer.starts_with("http/1.1 200"), "{path}: {answer}");
        let coding = header(&answer, "content-encoding");
        assert_eq!(coding.as_deref(), compressed.then_some("gzip"), "{path}");
        assert_eq!(header(&get(path, ""), "content-encoding"), None, "{path}");
        if path == "/v1/status" {
            continue;
        }
        assert!(header(&answer, "cache-control").is_some(), "{path}");
        let tag = header(&answer, "etag").expect("a tag");
        for known in
            [format!("if-none-match: {tag}\r\n"), format!("if-none-match: \"x\", W/{tag}\r\n")]
        {
            let again = get(path, &known);
            assert!(again.starts_with("http/1.1 304"), "{path}: {again}");
        }
        assert!(get(path, "if-none-match: \"x\"\r\n").starts_with("http/1.1 200"), "{path}");
    }
}

#[test]
fn changes_are_followed_and_the_end_is_orderly() {
    let (home, server) = with_three();
    picture(&home.path().join("pictures/new.png"), [255, 0, 0]);
    server.wait_for_images(4);
    fs_err::remove_file(home.path().join("pictures/new.png")).expect("removed");
    fs_err::write(home.path().join("pictures/bad.jpg"), "no picture").expect("written");
    server.wait_for_images(3);
    server.wait_for("/v1/failures", |failures| failures.to_string().contains("bad.jpg"));
    assert_eq!(server.terminate(), 0);
    let status = home.ek(&["status", "--json"]).exits(0).json();
    assert_eq!((&status["images"], &status["failures"]), (&3.into(), &1.into()), "{status}");
}
