//! Given a real engine over a few pictures, does every route answer as promised?

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::Data;
use actix_web::{App, middleware};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ekphrasis_embed::testing::ColourEncoder;
use ekphrasis_engine::{
    Config, Engine, GivenTowers, Holder, HubSettings, IndexOptions, OpenFor, ProviderChoice,
    S3Settings, Serving,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::allowed::Allowed;
use crate::guard::{Guard, guard};
use crate::jobs::Jobs;
use crate::meter::Meter;
use crate::routes::{Followers, SEEN, routes};
use crate::{Listener, ServeError, ServeOptions};

mod limits;

/// An 8 × 6 picture of one colour, as a BMP file.
fn bmp([red, green, blue]: [u8; 3]) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    for word in [54 + 8 * 6 * 3, 0, 54, 40, 8, 6, 1 | 24 << 16, 0, 8 * 6 * 3, 0, 0, 0, 0u32] {
        file.extend(word.to_le_bytes());
    }
    file.extend([blue, green, red].repeat(8 * 6));
    file
}

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];

/// Three pictures of one colour each, and one broken file.
fn pictures() -> (TempDir, Arc<Serving>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let folder = dir.path().join("pictures");
    fs_err::create_dir(&folder).expect("writable");
    for (name, colour) in [("a.bmp", RED), ("b.bmp", GREEN), ("c \"ü\".bmp", BLUE)] {
        fs_err::write(folder.join(name), bmp(colour)).expect("writable");
    }
    fs_err::write(folder.join("broken.png"), "not a picture").expect("writable");
    let engine = engine(&dir.path().join("data"));
    let report = engine
        .current()
        .index(&[folder], &IndexOptions::default(), &|_, _| {}, &AtomicBool::new(false))
        .expect("indexes");
    assert_eq!((report.progress.indexed, report.progress.failed), (3, 1));
    (dir, engine)
}

fn engine(data: &Path) -> Arc<Serving> {
    let encoder = Arc::new(ColourEncoder::default());
    let towers = GivenTowers::new("colours", encoder.clone(), encoder).expect("one space");
    let holder = Holder { command: "a test".into(), address: None };
    let engine = Engine::open(data, Arc::new(towers), OpenFor::Writing(holder));
    Arc::new(Serving::new(engine.expect("a new store opens")))
}

/// Without any model's folder.
fn config(data: &Path) -> Config {
    Config {
        data: data.into(),
        model: data.join("no-model"),
        default_model: None,
        models: data.join("models"),
        gallery: None,
        cache: data.join("cache"),
        onnxruntime: None,
        onnxruntime_env: None,
        provider: ProviderChoice::default(),
        api_key: None,
        milvus_token: None,
        s3: S3Settings::default(),
        hub: HubSettings::default(),
    }
}

/// What came back: status, headers as text, body.
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            panic!("{e}: status {} with {:?}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The problem document, checked for its form.
    fn problem(&self, status: u16) -> Value {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["status"], status);
        for name in ["type", "title", "detail"] {
            assert!(body[name].as_str().is_some_and(|s| !s.is_empty()), "{name} in {body}");
        }
        body
    }
}

async fn send(engine: &Arc<Serving>, key: Option<&str>, request: TestRequest) -> Reply {
    ask_as("localhost:7733", engine, key, request).await
}

async fn ask_as(
    host: &str,
    engine: &Arc<Serving>,
    key: Option<&str>,
    request: TestRequest,
) -> Reply {
    let app = App::new()
        .app_data(Data::new(Guard::new([127, 0, 0, 1].into(), key)))
        .app_data(Data::from(Arc::clone(engine)))
        .app_data(Data::new(Jobs::new(Arc::clone(engine))))
        .app_data(Data::new(config(engine.current().data())))
        .app_data(Data::new(Allowed::default()))
        .app_data(Data::new(Meter::default()))
        .app_data(Data::new(Followers::default()))
        .wrap(middleware::Compress::default())
        .wrap(middleware::from_fn(guard))
        .configure(routes);
    let app = init_service(app).await;
    let request = request.insert_header(("host", host)).to_request();
    let reply = call_service(&app, request).await;
    let headers = reply.headers().iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let (status, headers) = (reply.status().as_u16(), headers.collect());
    Reply { status, headers, body: read_body(reply).await.to_vec() }
}

async fn get(engine: &Arc<Serving>, uri: &str) -> Reply {
    send(engine, None, TestRequest::get().uri(uri)).await
}

async fn post(engine: &Arc<Serving>, uri: &str, body: Value) -> Reply {
    send(engine, None, TestRequest::post().uri(uri).set_json(body)).await
}

/// The file names of the hits, in order.
fn names(reply: &Value) -> Vec<String> {
    let hits = reply["hits"].as_array().expect("hits");
    hits.iter()
        .filter_map(|hit| hit["path"].as_str()?.rsplit('/').next())
        .map(str::to_owned)
        .collect()
}

async fn id_of(engine: &Arc<Serving>, words: &str) -> String {
    let found = get(engine, &format!("/v1/search?q={words}&k=1&mode=vector")).await.json();
    found["hits"][0]["id"].as_str().expect("a hit").to_owned()
}

#[actix_web::test]
async fn a_phrase_finds_its_picture() {
    let (_dir, engine) = pictures();
    for (words, name) in [("red", "a.bmp"), ("green", "b.bmp"), ("blue", "c \"ü\".bmp")] {
        let link = get(&engine, &format!("/v1/search?q={words}&mode=vector&for=images")).await;
        assert_eq!(link.status, 200);
        assert_eq!(names(&link.json())[0], name);
        let body = json!({"text": words, "mode": "vector", "for": "images", "explain": true});
        let found = post(&engine, "/v1/search", body).await.json();
        assert_eq!(names(&found), names(&link.json()));
        let best = &found["hits"][0];
        assert_eq!((&best["rank"], &best["via"]), (&json!(1), &json!(["vector"])));
        assert_eq!(best["score"], best["parts"][0]["score"], "the cosine, in vector mode");
        assert_eq!(best["meta"]["width"], 8);
        assert_eq!(found["total_candidates"], 3);
    }
    let second = get(&engine, "/v1/search?q=red&mode=vector&k=1&offset=1").await.json();
    let all = get(&engine, "/v1/search?q=red&mode=vector").await.json();
    assert_eq!(names(&second), names(&all)[1..2]);
    assert_eq!(second["hits"][0]["rank"], 2);
}

#[actix_web::test]
async fn a_picture_finds_itself_however_it_is_sent() {
    let (_dir, engine) = pictures();
    let green = bmp(GREEN);
    let base64 = BASE64_STANDARD.encode(&green);
    let bodies = [
        json!({"image": base64, "mode": "vector"}),
        json!({"parts": [{"image": format!("data:image/bmp;base64,{base64}")}], "mode": "vector"}),
        json!({"id": id_of(&engine, "green").await, "mode": "vector"}),
        json!({"image": base64, "parts": [{"text": "red", "weight": -0.2}], "mode": "vector"}),
    ];
    for body in bodies {
        let found = post(&engine, "/v1/search", body.clone()).await.json();
        assert_eq!(names(&found)[0], "b.bmp", "{body}");
    }
    let mut form = Vec::new();
    for (head, value) in [
        ("name=\"mode\"", &b"vector"[..]),
        ("name=\"image\"; filename=\"x.bmp\"\r\ncontent-type: image/bmp", &green),
        ("name=\"k\"", b"1"),
    ] {
        form.extend(format!("--XX\r\ncontent-disposition: form-data; {head}\r\n\r\n").bytes());
        form.extend(value);
        form.extend(b"\r\n");
    }
    form.extend(b"--XX--\r\n");
    let request = TestRequest::post().uri("/v1/search").set_payload(form.clone());
    let request = request.insert_header(("content-type", "multipart/form-data; boundary=XX"));
    assert_eq!(names(&send(&engine, None, request).await.json()), ["b.bmp"]);

    let cut = TestRequest::post().uri("/v1/search").set_payload(form[..form.len() / 2].to_vec());
    let cut = cut.insert_header(("content-type", "multipart/form-data; boundary=XX"));
    send(&engine, None, cut).await.problem(400);
}

#[actix_web::test]
async fn pictures_are_labelled_described_and_embedded() {
    let (_dir, engine) = pictures();
    let blue = BASE64_STANDARD.encode(bmp(BLUE));
    let labels = json!(["red", "blue", "green"]);
    let sent = post(&engine, "/v1/label", json!({"image": blue, "labels": labels})).await.json();
    let image = &sent["images"][0];
    assert_eq!((&image["path"], &image["labels"][0]["label"]), (&Value::Null, &json!("blue")));
    let id = id_of(&engine, "blue").await;
    let stored = post(&engine, "/v1/label", json!({"id": id, "labels": labels})).await.json();
    assert_eq!(stored["images"][0]["labels"][0]["label"], "blue");
    assert!(stored["images"][0]["path"].as_str().is_some_and(|p| p.ends_with(".bmp")));
    let shares = stored["images"][0]["labels"].as_array().expect("labels");
    let sum: f64 = shares.iter().filter_map(|l| l["probability"].as_f64()).sum();
    let none = stored["images"][0]["none_of_these"].as_f64().unwrap_or_default();
    assert!((sum + none - 1.0).abs() < 1e-4, "{stored}");

    let described = post(&engine, "/v1/describe", json!({"id": id, "k": 3})).await;
    assert_eq!(described.status, 200, "{}", described.json());
    assert!(described.json()["images"][0]["descriptions"].is_array());

    let text = post(&engine, "/v1/embed", json!({"text": "blue"})).await.json();
    let picture = post(&engine, "/v1/embed", json!({"image": blue})).await.json();
    assert_eq!((&text["space"], &text["dim"]), (&json!("colour-1"), &json!(8)));
    let numbers = |reply: &Value| -> Vec<f64> {
        let list = reply["embedding"].as_array().expect("numbers").iter();
        list.filter_map(Value::as_f64).collect()
    };
    let cosine: f64 = numbers(&text).iter().zip(numbers(&picture)).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.9, "blue and blue: {cosine}");
}

#[actix_web::test]
async fn items_come_in_stretches_with_their_files() {
    let (_dir, engine) = pictures();
    let first = get(&engine, "/v1/items?limit=2").await.json();
    let next = first["next"].as_str().expect("there are three");
    let rest = get(&engine, &format!("/v1/items?limit=2&after={next}&for=images")).await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(rest["next"], Value::Null);
    assert_eq!(get(&engine, "/v1/items?for=texts").await.json()["items"], json!([]));

    let id = id_of(&engine, "blue").await;
    let item = get(&engine, &format!("/v1/items/{id}")).await.json();
    assert_eq!((&item["id"], &item["meta"]["format"]), (&json!(id), &json!("bmp")));
    let file = get(&engine, &format!("/v1/items/{id}/file")).await;
    assert_eq!(file.body, bmp(BLUE));
    assert_eq!(file.header("content-type"), "image/bmp");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert_eq!(file.header("content-security-policy"), "default-src 'none'; sandbox");
    let disposition = file.header("content-disposition");
    assert_eq!(disposition, "inline; filename*=UTF-8''c%20%22%C3%BC%22.bmp");

    let uri = format!("/v1/items/{id}/thumbnail");
    let thumbnail = get(&engine, &uri).await;
    assert_eq!(thumbnail.header("content-type"), "image/jpeg");
    assert!(thumbnail.body.starts_with(&[0xff, 0xd8, 0xff]), "a JPEG");
    let again = TestRequest::get().uri(&uri);
    let again = again.insert_header(("if-none-match", thumbnail.header("etag")));
    let again = send(&engine, None, again).await;
    assert_eq!((again.status, again.body.len()), (304, 0));

    let absent = "0".repeat(32);
    for uri in [
        format!("/v1/items/{absent}"),
        format!("/v1/items/{absent}/file"),
        format!("/v1/items/{absent}/thumbnail"),
    ] {
        get(&engine, &uri).await.problem(404);
    }
    post(&engine, "/v1/search", json!({"id": absent})).await.problem(404);
    assert_eq!(get(&engine, "/v1/items/abc").await.problem(400)["field"], "id");
}

#[actix_web::test]
async fn state_and_failures_are_told() {
    let (dir, engine) = pictures();
    let status = get(&engine, "/v1/status").await.json();
    assert_eq!((&status["images"], &status["failures"]), (&json!(3), &json!(1)));
    assert_eq!((&status["space"], &status["indexing"]), (&json!("colour-1"), &Value::Null));
    assert_eq!(status["data"], dir.path().join("data").to_string_lossy().as_ref());
    let failures = get(&engine, "/v1/failures").await.json();
    let failure = &failures["failures"][0];
    assert!(failure["path"].as_str().is_some_and(|p| p.ends_with("broken.png")), "{failures}");
    assert!(failure["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{failures}");
    assert_eq!(get(&engine, "/healthz").await.status, 200);
    assert_eq!(get(&engine, "/readyz").await.status, 200);
}

#[actix_web::test]
async fn wrong_requests_get_problem_documents() {
    let (_dir, engine) = pictures();
    get(&engine, "/nowhere").await.problem(404);
    get(&engine, "/v1/").await.problem(404);
    let wrong = get(&engine, "/v1/label").await;
    wrong.problem(405);
    assert_eq!(wrong.header("allow"), "POST");
    post(&engine, "/v1/status", json!({})).await.problem(405);
    assert_eq!(get(&engine, "/v1/search?k=3").await.problem(400)["field"], "q");
    assert_eq!(get(&engine, "/v1/search?q=a&k=2000").await.problem(400)["field"], "k");
    let unknown = post(&engine, "/v1/search", json!({"text": "a", "filter": "x"})).await;
    assert_eq!(unknown.problem(400)["field"], "filter");
    // null is for fields that there are.
    let unknown = post(&engine, "/v1/search", json!({"text": "a", "mode": null, "x": null})).await;
    assert_eq!(unknown.problem(400)["field"], "x");
    assert_eq!(post(&engine, "/v1/search", json!({"text": "a", "mode": null})).await.status, 200);
    post(&engine, "/v1/search?k=1", json!({"text": "a"})).await.problem(400);
    let text_file = BASE64_STANDARD.encode("no picture");
    post(&engine, "/v1/describe", json!({"image": text_file})).await.problem(422);
    post(&engine, "/v1/label", json!({"image": text_file, "labels": ["one"]})).await.problem(422);

    let raw = |body: Vec<u8>, kind: &'static str| {
        let request = TestRequest::post().uri("/v1/search").set_payload(body);
        send(&engine, None, request.insert_header(("content-type", kind)))
    };
    raw(b"{".to_vec(), "application/json").await.problem(400);
    raw(b"[]".to_vec(), "application/json; charset=utf-8").await.problem(400);
    raw(b"{}".to_vec(), "text/plain").await.problem(415);
    raw(b"x".to_vec(), "multipart/form-data").await.problem(400);
    raw(vec![b' '; (32 << 20) + 1], "application/json").await.problem(413);
}

#[actix_web::test]
async fn what_cannot_be_answered_names_its_field() {
    let (_dir, engine) = pictures();
    let found = post(&engine, "/v1/search", json!({"text": "red"})).await.json();
    let id = found["hits"][0]["id"].as_str().expect("an id").to_owned();
    let text = post(&engine, "/v1/items", json!({"text": "a text of its own"})).await.json();
    let text = text["id"].as_str().expect("an id").to_owned();
    let put = |uri: &'static str, body: Value| {
        send(&engine, None, TestRequest::put().uri(uri).set_json(body))
    };
    assert_eq!(put("/v1/label-sets/s", json!({"labels": ["one"]})).await.status, 201);
    let picture = BASE64_STANDARD.encode(bmp(RED));
    let no_picture = BASE64_STANDARD.encode("no picture");
    for (path, body, field) in [
        ("search", json!({"id": id, "mode": "text"}), "mode"),
        ("search", json!({"text": "a", "min_confidence": 0.5}), "min_confidence"),
        ("search", json!({"parts": [{"id": id}, {"id": id, "weight": -1}]}), "parts"),
        ("search", json!({"text": "a", "collapse": true, "k": 1000, "offset": 9500}), "offset"),
        ("label", json!({"id": id, "labels": ["one"]}), "labels"),
        ("label", json!({"id": id, "labels": ["one", "one"]}), "labels"),
        ("label", json!({"id": id, "labels": ["one", "two"], "templates": ["x"]}), "templates"),
        ("label", json!({"id": id, "labels": ["one", "two"], "multi": true}), "multi"),
        ("label", json!({"id": id, "set": "s"}), "multi"),
        ("describe", json!({"image": no_picture}), "image"),
        ("search", json!({"parts": [{"id": id}, {"image": no_picture}]}), "parts[1].image"),
        ("jobs", json!({"path": "/p", "exclude": [" "]}), "exclude"),
        ("jobs", json!({"path": "/p", "exclude": ["["]}), "exclude"),
        ("jobs", json!({"path": "p"}), "path"),
        ("items", json!({"text": "a", "caption": "b"}), "caption"),
        ("label-sets/s/apply", json!({}), "multi"),
        ("verify", json!({"name": "n", "id": text, "threshold": 0.5}), "id"),
        ("verify", json!({"name": "n", "image": picture, "threshold": 7}), "threshold"),
        ("verify", json!({"name": "n", "image": picture, "false_accept_rate": 0.1}), "threshold"),
    ] {
        // Somebody to compare with.
        put("/v1/identities/n", json!({"ids": [id]})).await;
        let reply = post(&engine, &format!("/v1/{path}"), body.clone()).await;
        assert!((400..=422).contains(&reply.status), "{path} {body}: {}", reply.json());
        assert_eq!(reply.json()["field"], field, "{path} {body}: {}", reply.json());
    }
    for (uri, body, field) in [
        ("/v1/label-sets/s", json!({"labels": ["a", "A"]}), "labels"),
        ("/v1/label-sets/s", json!({"labels": ["a"], "create": true}), "create"),
        ("/v1/label-sets/t", json!({"labels": ["a", "b\nc"]}), "labels[1]"),
        ("/v1/label-sets/t", json!({"entries": [{"label": "a\nb"}]}), "entries[0].label"),
        (
            "/v1/label-sets/t",
            json!({"entries": [{"label": "a", "images": [no_picture], "wordless": true}]}),
            "entries[0].images",
        ),
        ("/v1/label-sets/a%5Cb", json!({"labels": ["a"]}), "name"),
        ("/v1/identities/m", json!({"ids": [text]}), "id"),
    ] {
        let reply = put(uri, body.clone()).await;
        assert_eq!(reply.problem(422)["field"], field, "{uri} {body}");
    }
}

#[actix_web::test]
async fn strangers_stay_outside() {
    let (_dir, engine) = pictures();
    let rebound = TestRequest::get().uri("/v1/status");
    ask_as("evil.example:7733", &engine, None, rebound).await.problem(403);
    let cross = TestRequest::post().uri("/v1/search").set_json(json!({"text": "red"}));
    let cross = cross.insert_header(("origin", "https://evil.example"));
    send(&engine, None, cross).await.problem(403);

    let key = Some("a long key");
    let ask = |uri: &'static str| TestRequest::get().uri(uri);
    let locked = send(&engine, key, ask("/v1/status")).await;
    locked.problem(401);
    assert!(locked.header("www-authenticate").starts_with("Bearer"));
    let opened = ask("/v1/status").insert_header(("authorization", "Bearer a long key"));
    assert_eq!(send(&engine, key, opened).await.status, 200);
    let wrong = ask("/v1/status").insert_header(("authorization", "Bearer another"));
    send(&engine, key, wrong).await.problem(401);
    for uri in ["/healthz", "/", "/app.js"] {
        assert_eq!(send(&engine, key, ask(uri)).await.status, 200, "{uri}");
    }
}

#[actix_web::test]
async fn the_page_is_served_with_its_policy() {
    let (_dir, engine) = pictures();
    let page = get(&engine, "/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").starts_with("default-src 'self';"));
    let again = TestRequest::get().uri("/").insert_header(("if-none-match", page.header("etag")));
    assert_eq!(send(&engine, None, again).await.status, 304);
    let head = TestRequest::default().method(actix_web::http::Method::HEAD).uri("/style.css");
    assert_eq!(send(&engine, None, head).await.status, 200);
}

#[test]
fn a_taken_port_and_an_open_door_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let addr = taken.local_addr().expect("bound");
    let options = ServeOptions { bind: addr.ip(), port: addr.port(), api_key: None };
    let refused = Listener::bind(options).map(|l| l.address());
    assert!(matches!(refused, Err(ServeError::PortInUse { addr: a }) if a == addr), "{refused:?}");
    for api_key in [None, Some(String::new().into())] {
        let options = ServeOptions { bind: [0, 0, 0, 0].into(), port: 0, api_key };
        let refused = Listener::bind(options).map(|l| l.address());
        assert!(matches!(refused, Err(ServeError::KeyNeeded { .. })), "{refused:?}");
    }
    assert!(!data.exists());
}

#[actix_web::test]
async fn every_route_is_described_and_nothing_else() {
    let (_dir, engine) = pictures();
    get(&engine, "/healthz").await;
    let pages: Vec<&str> = crate::assets::paths().filter(|path| *path != "/docs").collect();
    let mut routes = std::collections::BTreeSet::new();
    for (path, allow) in SEEN.take() {
        if pages.contains(&path.as_str()) {
            continue;
        }
        // HEAD is GET without its answer's body.
        for method in allow.split(", ").filter(|method| *method != "HEAD") {
            routes.insert((method.to_owned(), path.clone()));
        }
    }
    assert!(!routes.is_empty());
    assert_eq!(routes, crate::openapi::tests::operations());
}

#[actix_web::test]
async fn what_may_be_sent_has_an_example_that_is_understood() {
    let (_dir, engine) = pictures();
    let id = id_of(&engine, "red").await;
    let document = get(&engine, "/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let content = &operation["requestBody"]["content"]["application/json"];
            if content.is_null() {
                continue;
            }
            let example = content["example"].to_string();
            assert_ne!(example, "null", "{method} {path}");
            let body = example.replace("0123456789abcdef0123456789abcdef", &id);
            let request = if method == "put" { TestRequest::put() } else { TestRequest::post() };
            let request = request
                .uri(&path.replace("{name}", "Mittens"))
                .insert_header(("content-type", "application/json"))
                .set_payload(body);
            let status = send(&engine, None, request).await.status;
            // 400 is for what cannot be understood; nobody is enrolled here, and such.
            assert!(status != 400 && status < 500, "{method} {path}: {status}");
        }
    }
}

/// The fields that a POST takes, as the refusal of an unknown one lists them, are
/// those that are described.
#[actix_web::test]
async fn described_fields_are_those_that_are_taken() {
    let (_dir, engine) = pictures();
    let document = get(&engine, "/openapi.json").await.json();
    let mut seen = 0;
    let paths = document["paths"].as_object().expect("paths");
    for (path, item) in paths {
        let method = if item["put"].is_object() { "put" } else { "post" };
        let schema = &item[method]["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let Some(name) = schema.as_str() else { continue };
        let schema = document.pointer(name.trim_start_matches('#')).expect("a schema");
        let described: std::collections::BTreeSet<&str> =
            schema["properties"].as_object().expect("fields").keys().map(String::as_str).collect();
        // With what is needed to come as far as the unknown field.
        let mut body = json!({"frobnicate": 1});
        if described.contains("labels") || described.contains("k") && !described.contains("mode") {
            body["id"] = json!("0".repeat(32));
        }
        if described.contains("threshold") {
            body["id"] = json!("0".repeat(32));
        }
        if path == "/v1/embed" {
            body["text"] = json!("a");
        }
        let uri = path.replace("{name}", "x");
        let request = match method {
            "put" => TestRequest::put(),
            _ => TestRequest::post(),
        };
        let request = request.uri(&uri).set_json(body.clone());
        let problem = send(&engine, None, request).await.problem(400);
        let detail = problem["detail"].as_str().expect("words");
        let (_, list) =
            detail.split_once("the fields here are ").unwrap_or_else(|| panic!("{path}: {detail}"));
        let taken = list.split(", ").collect();
        assert_eq!(described, taken, "{path}");
        seen += 1;
    }
    assert_eq!(seen, 13);
    let find = |path: &str| document["paths"][path]["get"]["parameters"].clone();
    for path in ["/v1/search", "/v1/items", "/v1/facets", "/v1/duplicates"] {
        let described = find(path);
        let described: std::collections::BTreeSet<&str> = described
            .as_array()
            .expect("parameters")
            .iter()
            .filter_map(|p| p["name"].as_str())
            .collect();
        let asked = get(&engine, &format!("{path}?q=a&frobnicate=1")).await.problem(400);
        let mut detail = asked["detail"].as_str().expect("words").to_owned();
        if !detail.contains("frobnicate") {
            let asked = get(&engine, &format!("{path}?frobnicate=1")).await.problem(400);
            detail = asked["detail"].as_str().expect("words").to_owned();
        }
        let (_, list) =
            detail.split_once("the fields here are ").unwrap_or_else(|| panic!("{path}: {detail}"));
        assert_eq!(described, list.split(", ").collect(), "{path}");
    }
}
