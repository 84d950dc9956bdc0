//! What somebody with bad intentions sends to the real server: each is refused, and
//! the server goes on as before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::support::{Home, Server, picture, reference};

fn server() -> (Home, Server) {
    let home = Home::new();
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(1);
    (home, server)
}

/// Sends these bytes and reads until the server closes; status (0: none) and all that came.
fn raw(server: &Server, bytes: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(server.authority()).expect("connects");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    // The server may refuse and close before all is sent.
    let _ = socket.write_all(bytes);
    read_all(&mut socket)
}

fn read_all(socket: &mut TcpStream) -> (u16, String) {
    let mut reply = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => reply.extend(&chunk[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(e) => panic!("the server keeps the connection: {e}; it said {reply:?}"),
        }
    }
    let text = String::from_utf8_lossy(&reply).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), text)
}

/// A request with this head after its first line; the connection ends with the answer.
fn request(server: &Server, line: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let mut head = format!("{line} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("host: {}\r\n", server.authority()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("connection: close\r\n\r\n");
    raw(server, &[head.as_bytes(), body].concat())
}

fn is_fine(server: &Server) {
    assert_eq!(server.get("/healthz").0, 200);
    let (status, reply) = server.get("/v1/search?q=red&mode=vector");
    assert_eq!((status, &reply["total_candidates"]), (200, &json!(1)), "{reply}");
}

#[test]
fn paths_lead_nowhere() {
    let (home, server) = server();
    let secret = home.path().join("secret.txt");
    fs_err::write(&secret, "the secret").expect("written");
    let id = server.get("/v1/items").1["items"][0]["id"].as_str().expect("one").to_owned();
    let absolute = secret.to_string_lossy().into_owned();
    for path in [
        "/../secret.txt",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2fsecret.txt",
        "/v1/items/..%2f..%2fsecret.txt/file",
        "/v1/items/%00/file",
        &format!("/v1/items/{id}/../../../secret.txt"),
        &format!("/v1/items/{id}%2f..%2fsecret.txt/file"),
        &format!("//{absolute}"),
        &absolute,
        "/v1/jobs/..%2f..%2f/events",
    ] {
        let (status, text) = request(&server, &format!("GET {path}"), &[], b"");
        assert!((400..500).contains(&status), "{path}: {text}");
        assert!(!text.contains("the secret") && !text.contains("root:"), "{path}: {text}");
    }
    server.wait_for_line("refused: GET /../secret.txt (404)");
    is_fine(&server);
}

#[test]
fn a_file_that_only_looks_like_the_indexed_one_is_not_served() {
    let (home, server) = server();
    let id = server.get("/v1/items").1["items"][0]["id"].as_str().expect("one").to_owned();
    let path = home.path().join("pictures/red.png");
    let meta = fs_err::metadata(&path).expect("there");
    // As long and as old as the picture, and reached by a link.
    let secret = home.path().join("secret");
    fs_err::write(&secret, "s".repeat(meta.len() as usize)).expect("written");
    let file = fs_err::OpenOptions::new().write(true).open(&secret).expect("there");
    file.file().set_modified(meta.modified().expect("known")).expect("set");
    drop(server);
    let server = Server::start(&home, &["serve"]);
    fs_err::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink(&secret, &path).expect("linked");
    for what in ["file", "thumbnail"] {
        let (status, _, bytes) = server.get_bytes(&format!("/v1/items/{id}/{what}"));
        assert_eq!(status, 404, "{what}: {}", String::from_utf8_lossy(&bytes));
    }
    is_fine(&server);
}

#[test]
fn other_sites_and_other_names_are_refused() {
    let (_home, server) = server();
    let id = server.get("/v1/items").1["items"][0]["id"].as_str().expect("one").to_owned();
    let json = ("content-type", "application/json");
    let delete = format!("DELETE /v1/items/{id}");
    for (line, headers, body) in [
        ("GET /v1/status", vec![("host", "evil.example")], ""),
        ("GET /v1/status", vec![("host", "127.0.0.1.evil.example:80")], ""),
        ("GET /v1/status", vec![("host", "[::1].evil.example")], ""),
        ("GET http://evil.example/v1/status", vec![("host", "localhost")], ""),
        ("POST /v1/jobs", vec![("origin", "http://evil.example"), json], "{}"),
        ("POST /v1/items", vec![("origin", "null"), json], "{\"text\":\"a\"}"),
        ("POST /v1/items", vec![("sec-fetch-site", "cross-site"), json], "{\"text\":\"a\"}"),
        (&delete, vec![("origin", "https://evil.example")], ""),
        (&delete, vec![("sec-fetch-site", "same-site")], ""),
    ] {
        let length = body.len().to_string();
        let headers = [headers, vec![("content-length", &*length)]].concat();
        let (status, text) = request(&server, line, &headers, body.as_bytes());
        assert_eq!(status, 403, "{line} {headers:?}: {text}");
        assert!(!text.to_lowercase().contains("access-control-allow"), "{text}");
    }
    let twice = [("host", "localhost"), ("host", "evil.example")];
    assert!((400..500).contains(&request(&server, "GET /v1/status", &twice, b"").0));
    assert_eq!(server.get("/v1/status").1["texts"], 0);
    server.wait_for_line("(403): The request comes from elsewhere");
    is_fine(&server);
}

#[test]
fn without_the_key_nothing_but_the_page_is_shown() {
    let home = Home::new();
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    home.ek(&["index", "pictures"]).exits(0);
    let items = home.ek(&["search", "red", "--json"]).json();
    let id = items["hits"][0]["id"].as_str().expect("one").to_owned();
    let key = "a key of some length";
    let mut command = home.command(&["up", "--port", "0", "--json"]);
    command.env("EK_API_KEY", key);
    let server = Server::spawn(command);
    let paths = [
        "/metrics".to_owned(),
        "/openapi.json".into(),
        "/readyz".into(),
        "/v1/status".into(),
        "/v1/search?q=red".into(),
        "/v1/jobs".into(),
        format!("/v1/items/{id}/thumbnail"),
        format!("/v1/items/{id}/file"),
        "/nowhere".into(),
    ];
    for path in &paths {
        let line = format!("GET {path}");
        for wrong in ["", "Bearer", "Bearer ", "Bearer a key", "Basic a key of some length"] {
            let (status, text) = request(&server, &line, &[("authorization", wrong)], b"");
            assert_eq!(status, 401, "{path} with {wrong:?}");
            assert!(!text.contains(key));
        }
        for wrong in ["", "0", key] {
            let header = [("x-ekphrasis-store-key", wrong)];
            assert_eq!(request(&server, &line, &header, b"").0, 401, "{path} with {wrong:?}");
        }
        let bearer = format!("Bearer {key}");
        let (status, _) = request(&server, &line, &[("authorization", &bearer)], b"");
        assert_eq!(status, if path == "/nowhere" { 404 } else { 200 }, "{path}");
    }
    for path in ["/healthz", "/", "/app.js", "/docs"] {
        assert_eq!(request(&server, &format!("GET {path}"), &[], b"").0, 200, "{path}");
    }
    // The command line has its own way in, which is in the store's folder.
    picture(&home.path().join("pictures/green.png"), [0, 255, 0]);
    home.ek(&["index", "pictures", "--onnxruntime", "/no/library"]).exits(0);
}

#[test]
fn bodies_too_large_too_deep_and_too_odd() {
    let (_home, server) = server();
    let post = |kind: &str, body: &[u8]| {
        let length = body.len().to_string();
        let headers = [("content-type", kind), ("content-length", &*length)];
        request(&server, "POST /v1/search", &headers, body)
    };
    let json = |body: &str| post("application/json", body.as_bytes()).0;
    let deep = format!("{{\"parts\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(json(&deep), 400);
    assert_eq!(json(&"{\"a\":".repeat(100_000)), 400);
    assert_eq!(json("{\"text\":\"a\",\"k\":1e999}"), 400);
    assert_eq!(json("{\"text\":\"a\",\"k\":18446744073709551617}"), 400);
    assert_eq!(json("{\"text\":\"\\ud800\"}"), 400);
    assert_eq!(post("application/json", b"{\"text\":\"\xff\"}").0, 400);
    let parts = "{\"text\":\"a\"},".repeat(5_000);
    assert_eq!(json(&format!("{{\"parts\":[{}]}}", parts.trim_end_matches(','))), 400);
    let announced = [("content-type", "application/json"), ("content-length", "33554433")];
    assert_eq!(request(&server, "POST /v1/search", &announced, b"{").0, 413);
    let chunked = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    assert_eq!(request(&server, "POST /v1/search", &chunked, &chunk.repeat(33)).0, 413);
    // What unfolds to more than it seems.
    let zipped = {
        use std::io::Write as _;
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        zip.write_all(&vec![b' '; 64 << 20]).expect("in memory");
        zip.finish().expect("in memory")
    };
    let length = zipped.len().to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("content-length", &*length),
    ];
    assert_eq!(request(&server, "POST /v1/search", &headers, &zipped).0, 415);
    server.wait_for_line("refused: POST /v1/search (400): The request cannot be read");
    is_fine(&server);
}

#[test]
fn pictures_that_are_none_or_too_much() {
    let (_home, server) = server();
    // 100,000 x 100,000 pixels by its header, in 57 bytes.
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bomb.extend([0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0, 8, 2, 0, 0, 0]);
    let crc = crc32(&bomb[12..]);
    bomb.extend(crc.to_be_bytes());
    bomb.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82");
    let laughs = r#"<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;">]><svg xmlns="http://www.w3.org/2000/svg"><title>&f;</title></svg>"#;
    let link = r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"><image width="9" height="9" xlink:href="file:///etc/passwd"/><image width="9" height="9" href="http://169.254.169.254/latest"/></svg>"#;
    for (what, bytes, statuses) in [
        ("bomb", bomb, &[422][..]),
        ("laughs", laughs.as_bytes().to_vec(), &[422, 200]),
        ("link", link.as_bytes().to_vec(), &[422, 200]),
        ("text", b"no picture".to_vec(), &[422]),
        ("zip", b"PK\x03\x04".repeat(1_000), &[422]),
    ] {
        let image = BASE64_STANDARD.encode(bytes);
        for path in ["/v1/search", "/v1/describe", "/v1/embed"] {
            let (status, reply) = server.post(path, &json!({ "image": image }));
            assert!(statuses.contains(&status), "{what} to {path}: {status} {reply}");
        }
    }
    // Addresses are no pictures: nothing is ever fetched.
    for address in ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "//x"] {
        let (status, reply) = server.post("/v1/search", &json!({ "image": address }));
        assert!((400..500).contains(&status), "{address}: {reply}");
    }
    assert_eq!(server.post("/v1/jobs", &json!({ "paths": ["http://x/"] })).0, 400);
    let (_, reply) = server.post("/v1/describe", &json!({ "image": BASE64_STANDARD.encode("no") }));
    assert_eq!(reply["field"], "image", "{reply}");
    server.wait_for_line("refused: POST /v1/search (422)");
    is_fine(&server);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

#[test]
fn forms_that_are_none() {
    let (_home, server) = server();
    let form = |kind: &str, body: &[u8]| {
        let length = body.len().to_string();
        let headers = [("content-type", kind), ("content-length", &*length)];
        request(&server, "POST /v1/search", &headers, body).0
    };
    let kind = "multipart/form-data; boundary=B";
    let part = |head: &str, value: &str| format!("--B\r\n{head}\r\n\r\n{value}\r\n");
    let field = |name: &str| format!("content-disposition: form-data; name=\"{name}\"");
    let end = "--B--\r\n";
    let many: String = (0..2_000).map(|i| part(&field(&format!("f{i}")), "x")).collect();
    let headers: String = (0..200).map(|i| format!("x-{i}: y\r\n")).collect();
    let endless = format!("--B\r\nx: {}", "y".repeat(1 << 20));
    for (what, kind, body) in [
        ("no boundary", "multipart/form-data", part(&field("text"), "a") + end),
        ("empty boundary", "multipart/form-data; boundary=", part(&field("text"), "a") + end),
        ("another boundary", "multipart/form-data; boundary=C", part(&field("text"), "a") + end),
        ("no end", kind, part(&field("text"), "a")),
        ("nothing", kind, String::new()),
        ("many fields", kind, many + end),
        ("many headers", kind, part(&(headers + &field("text")), "a") + end),
        ("an endless header", kind, endless),
        ("no name", kind, part("content-disposition: form-data", "a") + end),
        ("no disposition", kind, part("content-type: text/plain", "a") + end),
        ("twice", kind, part(&field("text"), "a") + &part(&field("text"), "b") + end),
        ("unknown", kind, part(&field("../../etc"), "a") + end),
        ("a form of another kind", "application/x-www-form-urlencoded", "text=a".into()),
    ] {
        let status = form(kind, body.as_bytes());
        assert!((400..500).contains(&status), "{what}: {status}");
    }
    assert_eq!(form(kind, (part(&field("text"), "red") + end).as_bytes()), 200);
    is_fine(&server);
}

#[test]
fn heads_that_are_none() {
    let (_home, server) = server();
    let host = server.authority().to_owned();
    let long = "x".repeat(300_000);
    let many: String = (0..500).map(|i| format!("x-{i}: y\r\n")).collect();
    for (what, head) in [
        ("garbage", "\x16\x03\x01\x02\0\x01\0\r\n\r\n".to_owned()),
        ("no version", "GET /healthz\r\n\r\n".into()),
        ("another version", format!("GET / HTTP/9.9\r\nhost: {host}\r\n\r\n")),
        ("a long address", format!("GET /{long} HTTP/1.1\r\nhost: {host}\r\n\r\n")),
        ("a long header", format!("GET / HTTP/1.1\r\nhost: {host}\r\nx: {long}\r\n\r\n")),
        ("many headers", format!("GET / HTTP/1.1\r\nhost: {host}\r\n{many}\r\n")),
        (
            "two lengths",
            format!(
                "POST /v1/search HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\ncontent-length: 50\r\n\r\n{{}}"
            ),
        ),
        (
            "a length below zero",
            format!("POST /v1/search HTTP/1.1\r\nhost: {host}\r\ncontent-length: -2\r\n\r\n{{}}"),
        ),
        (
            "a broken chunk",
            format!(
                "POST /v1/search HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n"
            ),
        ),
        (
            "length and chunks, to smuggle a request",
            format!(
                "POST /v1/search HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\nX"
            ),
        ),
        ("a name with a space", format!("GET / HTTP/1.1\r\nhost : {host}\r\n\r\n")),
        ("no host", "GET /v1/status HTTP/1.1\r\nconnection: close\r\n\r\n".into()),
    ] {
        let (status, text) = raw(&server, head.as_bytes());
        assert!(status == 0 || (400..500).contains(&status), "{what}: {text}");
        assert_eq!(
            text.matches("HTTP/1.1 ").count().min(2),
            usize::from(status != 0),
            "{what}: {text}"
        );
    }
    for method in ["TRACE", "CONNECT", "OPTIONS", "PATCH", "PUT", "BREW", "DELETE"] {
        let (status, text) = request(&server, &format!("{method} /v1/status"), &[], b"");
        assert!((400..500).contains(&status), "{method}: {text}");
    }
    for encoding in
        ["br, zstd", "*;q=0", "identity;q=0", "gzip;q=99, \u{fc}", "x".repeat(9_000).as_str()]
    {
        let (status, text) =
            request(&server, "GET /v1/status", &[("accept-encoding", encoding)], b"");
        assert!(status == 200 || status == 406, "{encoding}: {text}");
    }
    for range in ["bytes=0-", "bytes=99999999999999999999-", "bytes=5-1", "lines=1"] {
        let (status, _) = request(&server, "GET /", &[("range", range)], b"");
        assert!(status == 200 || status == 416, "{range}: {status}");
    }
    is_fine(&server);
}

#[test]
fn who_dawdles_is_not_waited_for() {
    let (_home, server) = server();
    // Many begin a request and never end it.
    let mut loris: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut socket = TcpStream::connect(server.authority()).expect("connects");
            socket
                .write_all(b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\nx-a: ")
                .expect("sent");
            socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
            socket
        })
        .collect();
    is_fine(&server);
    // They are told that it took too long, or just dropped; a minute is more than enough.
    for socket in &mut loris {
        let (status, text) = read_all(socket);
        assert!(status == 0 || status == 408, "{text}");
    }
    is_fine(&server);
}

/// Megabytes that a process keeps in memory.
#[cfg(target_os = "linux")]
fn resident(pid: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kilobytes: u64 =
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kilobytes >> 10
}

#[cfg(target_os = "linux")]
#[test]
fn who_reads_nothing_takes_no_room() {
    let home = Home::new();
    let large = home.folder("pictures").join("large.bmp");
    // 12 MB, since nothing of it is packed.
    image::RgbImage::from_fn(2_000, 2_000, |x, y| image::Rgb([x as u8, y as u8, 7]))
        .save(&large)
        .expect("written");
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(1);
    let id = server.get("/v1/items").1["items"][0]["id"].as_str().expect("one").to_owned();
    let ask = format!("GET /v1/items/{id}/file HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let before = resident(server.pid());
    let mut slow: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut socket = TcpStream::connect(server.authority()).expect("connects");
            socket.write_all(ask.as_bytes()).expect("sent");
            socket
        })
        .collect();
    // All of them are being answered by now.
    for socket in &mut slow {
        let mut first = [0; 16];
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        socket.read_exact(&mut first).expect("answered");
        assert_eq!(&first[..12], b"HTTP/1.1 200");
    }
    let grown = resident(server.pid()).saturating_sub(before);
    assert!(grown < 100, "{grown} MB for 40 who read nothing of 12 MB each");
    // Whoever does read gets all of it, as it is.
    let file = ureq::get(format!("{}/v1/items/{id}/file", server.url)).call().expect("served");
    let got = file.into_body().with_config().limit(20 << 20).read_to_vec().expect("read");
    assert!(got == fs_err::read(&large).expect("there"));
    let (status, reply) = server.get("/v1/search?q=red&mode=vector");
    assert_eq!((status, &reply["total_candidates"]), (200, &json!(1)), "{reply}");
}

#[test]
fn bodies_that_are_begun_and_never_ended_keep_nobody_out() {
    let (_home, server) = server();
    let begin = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: 500\r\n\r\n{";
    let mut begun: Vec<TcpStream> = (0..600)
        .map(|_| {
            let mut socket = TcpStream::connect(server.authority()).expect("connects");
            socket.write_all(begin.as_bytes()).expect("sent");
            socket
        })
        .collect();
    is_fine(&server);
    // Those over the limit were sent away at once.
    let mut refused = 0;
    for socket in &mut begun {
        socket.set_read_timeout(Some(Duration::from_millis(1))).expect("set");
        let mut first = [0; 12];
        if socket.read_exact(&mut first).is_ok() {
            assert_eq!(&first, b"HTTP/1.1 429");
            refused += 1;
        }
    }
    assert!((300..=400).contains(&refused), "{refused} of 600");
}

#[test]
fn many_labels_at_once_leave_searches_their_turns() {
    let (_home, server) = server();
    let id = server.get("/v1/items").1["items"][0]["id"].as_str().expect("one").to_owned();
    let labels: Vec<String> = (0..300).map(|i| format!("thing {i}")).collect();
    let ask = json!({"id": id, "labels": labels, "templates": ["a {}", "the {}", "one {}"]});
    let body = ask.to_string();
    let head = format!(
        "POST /v1/label HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    // They go away without waiting for the answer, and their work may go on for a while.
    let begun: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut socket = TcpStream::connect(server.authority()).expect("connects");
            socket.write_all(&[head.as_bytes(), body.as_bytes()].concat()).expect("sent");
            socket
        })
        .collect();
    is_fine(&server);
    drop(begun);
    let more = json!({"id": id, "labels": labels, "templates": vec!["a {}"; 4]});
    let (status, reply) = server.post("/v1/label", &more);
    assert_eq!((status, &reply["field"]), (400, &json!("templates")), "{reply}");
}

#[test]
fn more_than_can_be_done_is_sent_away_and_the_rest_answered() {
    let (_home, server) = server();
    let url = format!("{}/v1/embed", server.url);
    // More of them wait their turn where there are more cores.
    let requests = 40 * std::thread::available_parallelism().map_or(1, usize::from) + 100;
    let answers: Vec<(u16, bool)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..requests)
            .map(|i| {
                let url = &url;
                scope.spawn(move || {
                    let config = ureq::Agent::config_builder()
                        .http_status_as_error(false)
                        .timeout_global(Some(Duration::from_secs(120)));
                    let agent: ureq::Agent = config.build().into();
                    // None is like another, and each takes its time.
                    let text = format!("number {i} {}", "of very many words ".repeat(200));
                    let reply =
                        agent.post(url).send_json(json!({ "text": text })).expect("answered");
                    (reply.status().as_u16(), reply.headers().contains_key("retry-after"))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let served = answers.iter().filter(|(status, _)| *status == 200).count();
    let refused = answers.iter().filter(|answer| **answer == (429, true)).count();
    assert_eq!(served + refused, answers.len(), "{answers:?}");
    assert!(served > 0 && refused > 0, "{served} served, {refused} refused");
    is_fine(&server);
}

#[test]
fn a_drawing_is_for_saving_and_does_nothing() {
    let home = Home::new();
    let folder = home.folder("pictures");
    let script = r#"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><script>alert(1)</script><rect width="40" height="40" fill="red"/></svg>"#;
    fs_err::write(folder.join("x\r\nset-cookie: a=b.svg"), script).expect("written");
    fs_err::copy(reference("images/cat_451x300.jpg"), folder.join("cat.jpg")).expect("copied");
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(2);
    let items = server.get("/v1/items").1["items"].clone();
    for item in items.as_array().expect("items") {
        let id = item["id"].as_str().expect("an id");
        let (status, text) = request(&server, &format!("GET /v1/items/{id}/file"), &[], b"");
        assert_eq!(status, 200);
        let head = text.split("\r\n\r\n").next().expect("a head").to_lowercase();
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'; sandbox"), "{head}");
        assert!(!head.contains("\r\nset-cookie"), "{head}");
        let svg = item["meta"]["format"] == "svg";
        assert_eq!(head.contains("content-disposition: attachment"), svg, "{head}");
    }
}
