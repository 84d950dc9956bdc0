//! `--blobs`: thumbnails and files in a folder or in a bucket, for servers that cannot read the
//! folder that pictures came from.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime};

use ekphrasis_engine::{
    BlobKind, BlobName, Blobs, FolderBlobs, S3Address, S3Blobs, S3Options, S3Settings,
};

fn name(kind: BlobKind, byte: u8) -> BlobName {
    BlobName { kind, content: [byte; 32] }
}

/// What every place for blobs has to do: two who have opened the same one, empty.
fn keeps_the_contract(one: &dyn Blobs, other: &dyn Blobs) {
    let (thumbnail, file) = (name(BlobKind::Thumbnail, 7), name(BlobKind::File, 7));
    assert_eq!(one.get(&thumbnail).expect("asked"), None);
    assert!(!one.has(&thumbnail).expect("asked"));
    one.put(&thumbnail, b"small").expect("kept");
    assert_eq!(other.get(&thumbnail).expect("asked").as_deref(), Some(&b"small"[..]));
    assert!(other.has(&thumbnail).expect("asked"));
    other.put(&thumbnail, b"other").expect("nothing to do");
    assert_eq!(one.get(&thumbnail).expect("asked").as_deref(), Some(&b"small"[..]));
    // The other kind is another thing, and so is other content.
    assert_eq!(other.get(&file).expect("asked"), None);
    assert!(!other.has(&name(BlobKind::Thumbnail, 8)).expect("asked"));
    // What many keep at once is there, whole.
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    std::thread::scope(|scope| {
        for blobs in [one, other, one, other] {
            scope.spawn(|| blobs.put(&file, &bytes).expect("kept"));
        }
    });
    assert!(other.get(&file).expect("asked") == Some(bytes), "to the byte");
}

#[test]
fn a_folder_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("not/there/yet");
    keeps_the_contract(&FolderBlobs::new(&root), &FolderBlobs::new(&root));
    // Nothing half written is left.
    let count = |of: &str| fs_err::read_dir(root.join(of)).expect("listed").count();
    assert_eq!((count("files/07"), count("partial")), (1, 0));
}

/// Whoever is killed while it writes leaves a file that nobody will want.
#[test]
fn what_was_left_half_written_is_removed_after_a_day() {
    let dir = tempfile::tempdir().expect("a folder");
    let partial = dir.path().join("partial");
    fs_err::create_dir_all(&partial).expect("made");
    for (name, hours) in [("1-0-old", 25), ("2-0-new", 23)] {
        let file = fs_err::File::create(partial.join(name)).expect("made");
        let at = SystemTime::now() - Duration::from_secs(hours * 3600);
        file.file().set_modified(at).expect("set");
    }
    let blobs = FolderBlobs::new(dir.path());
    blobs.put(&name(BlobKind::File, 7), b"bytes").expect("kept");
    let left = fs_err::read_dir(&partial).expect("listed").map(|entry| entry.expect("one"));
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["2-0-new"], "somebody may still be writing that");
}

fn bucket(endpoint: &str, address: &str, options: S3Options) -> S3Blobs {
    let settings = S3Settings {
        endpoint: Some(endpoint.into()),
        key: Some("tests".into()),
        secret: Some("hidden".into()),
        ..S3Settings::default()
    };
    let address: S3Address = address.parse().expect("an address");
    S3Blobs::new(address, &settings, options).expect("made")
}

/// A server that gives these answers in turn, each a status and a body, and then the first lines
/// and headers that it was sent.
fn scripted(answers: &'static [(&str, &str)]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let answering = std::thread::spawn(move || {
        let mut asked = vec![];
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().expect("asked");
            let mut lines = BufReader::new(stream.try_clone().expect("cloned"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                lines.read_line(&mut head).expect("a line");
            }
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            lines.read_exact(&mut vec![0; length.unwrap_or(0)]).expect("a body");
            let size = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n\
                 ETag: \"x\"\r\nLast-Modified: Sat, 28 Nov 2026 10:00:00 GMT\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).expect("sent");
            asked.push(head);
        }
        asked
    });
    (endpoint, answering)
}

#[test]
fn a_server_that_is_too_busy_is_asked_again() {
    let busy = ("503 Slow Down", "<Error><Code>SlowDown</Code><Message>x</Message></Error>");
    let (endpoint, answering) =
        scripted(Box::leak(Box::new([busy, busy, ("200 OK", "small"), busy, busy])));
    let options = S3Options { attempts: 3, ..S3Options::default() };
    let blobs = bucket(&endpoint, "s3://pictures/a", options);
    let bytes = blobs.get(&name(BlobKind::Thumbnail, 7)).expect("at last");
    assert_eq!(bytes.as_deref(), Some(&b"small"[..]));
    let options = S3Options { attempts: 2, ..options };
    let blobs = bucket(&endpoint, "s3://pictures/a", options);
    let error = blobs.get(&name(BlobKind::Thumbnail, 7)).expect_err("no more").to_string();
    assert!(error.contains("SlowDown: x") && error.contains(&endpoint), "{error}");
    let asked = answering.join().expect("served");
    let first = format!("GET /pictures/a/{} HTTP/1.1\r\n", name(BlobKind::Thumbnail, 7));
    assert!(asked[0].starts_with(&first), "{}", asked[0]);
    assert!(asked[0].contains("Credential=tests/"), "{}", asked[0]);
}

#[test]
fn what_a_server_refuses_is_said_with_what_to_do() {
    let refused =
        ("403 Forbidden", "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>");
    let (endpoint, answering) = scripted(Box::leak(Box::new([refused])));
    let blobs = bucket(&endpoint, "s3://pictures/a", S3Options::default());
    let error = blobs.get(&name(BlobKind::File, 7)).expect_err("refused").to_string();
    for part in
        ["s3://pictures/a/files/07/", &endpoint, "SignatureDoesNotMatch: no", "AWS_ACCESS_KEY_ID"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("hidden"), "{error}");
    answering.join().expect("served");
}

/// Servers that do not know `If-None-Match`, or say "conflict" while somebody else writes: what
/// `put` has said to be kept is kept.
#[test]
fn bytes_are_kept_even_where_the_condition_is_not_known() {
    let unknown =
        ("501 Not Implemented", "<Error><Code>NotImplemented</Code><Message>x</Message></Error>");
    let conflict = ("409 Conflict", "<Error><Code>ConditionalRequestConflict</Code></Error>");
    let absent = ("404 Not Found", "");
    let fine = ("200 OK", "");
    let (endpoint, answering) =
        scripted(Box::leak(Box::new([unknown, fine, conflict, absent, fine, conflict, fine])));
    let options = S3Options { attempts: 1, ..S3Options::default() };
    let blobs = bucket(&endpoint, "s3://pictures", options);
    for byte in [1, 2, 3] {
        blobs.put(&name(BlobKind::File, byte), b"bytes").expect("kept");
    }
    let asked = answering.join().expect("served");
    let conditions = asked.iter().map(|head| {
        let method = head.split(' ').next().unwrap_or_default().to_owned();
        (method, head.to_ascii_lowercase().contains("if-none-match: *"))
    });
    let conditions: Vec<_> = conditions.collect();
    let conditions: Vec<_> = conditions.iter().map(|(m, c)| (&m[..], *c)).collect();
    let (create, plain) = (("PUT", true), ("PUT", false));
    assert_eq!(
        conditions,
        [create, plain, create, ("HEAD", false), plain, create, ("HEAD", false)]
    );
}

/// What needs a server of buckets; `test.sh` leaves it out by this name where none can be had.
mod on_s3 {
    use super::*;
    use crate::support::{Home, Milvus, Run, S3, Server, picture};

    #[test]
    fn a_bucket_keeps_the_contract() {
        let at = S3::shared().endpoint();
        let open = || bucket(&at, "s3://pictures/con/tract", S3Options::default());
        keeps_the_contract(&open(), &open());
        // Another prefix is another place.
        let other = bucket(&at, "s3://pictures/contract", S3Options::default());
        assert!(!other.has(&name(BlobKind::File, 7)).expect("asked"));
        let nowhere = bucket(&at, "s3://nowhere", S3Options::default());
        for error in [
            nowhere.get(&name(BlobKind::File, 7)).expect_err("no bucket"),
            nowhere.put(&name(BlobKind::File, 7), b"x").expect_err("no bucket"),
        ] {
            let error = error.to_string();
            assert!(error.contains("NoSuchBucket") && error.contains("s3://nowhere/"), "{error}");
        }
    }

    #[test]
    fn a_bucket_is_reached_by_tls_if_its_authority_is_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = S3::start_with_tls(folder.path());
        let settings = |authorities| S3Settings {
            endpoint: Some(server.endpoint()),
            key: Some("tests".into()),
            secret: Some("hidden".into()),
            authorities,
            ..S3Settings::default()
        };
        let open = |settings: &S3Settings| {
            let address = "s3://pictures/tls".parse().expect("an address");
            S3Blobs::new(address, settings, S3Options::default()).expect("made")
        };
        let believing = settings(Some(folder.path().join("ca.pem")));
        keeps_the_contract(&open(&believing), &open(&believing));
        let error = open(&settings(None)).get(&name(BlobKind::File, 7)).expect_err("unknown");
        let error = error.to_string();
        assert!(error.contains("certificate") && error.contains("https://127.0.0.1"), "{error}");
    }

    #[test]
    fn after_a_restart_it_goes_on_by_itself() {
        let mut server = S3::start();
        let options =
            S3Options { pause: Duration::from_millis(300), attempts: 2, ..S3Options::default() };
        let blobs = bucket(&server.endpoint(), "s3://pictures/a", options);
        let file = name(BlobKind::File, 7);
        blobs.put(&file, b"bytes").expect("kept");
        server.kill();
        let begun = Instant::now();
        let errors: Vec<_> =
            (0..20).map(|_| blobs.get(&file).expect_err("away").to_string()).collect();
        assert!(errors.iter().all(|error| error.contains("cannot be reached")), "{errors:#?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        server.start_again();
        while begun.elapsed() < Duration::from_millis(700) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(blobs.get(&file).expect("asked"), None, "moto forgets");
        blobs.put(&file, b"bytes").expect("kept");
        assert!(blobs.has(&file).expect("asked"));
    }

    /// Runs `ek` with the variables of a bucket.
    fn ek(home: &Home, s3: &S3, args: &[&str]) -> Run {
        let mut command = home.command(args);
        let output = command.envs(s3.environment()).output().expect("ek starts");
        Run::of(&command, output)
    }

    fn serve(home: &Home, s3: &S3, store: &str, blobs: &str) -> Server {
        let mut command = home.command(&["serve", "--store", store, "--blobs", blobs]);
        command.args(["--port", "0", "--json"]).envs(s3.environment());
        Server::spawn(command)
    }

    #[test]
    fn a_server_shows_what_workers_kept_in_a_bucket() {
        let (home, mut s3) = (Home::new(), S3::start());
        let folder = home.folder("pictures");
        picture(&folder.join("red.png"), [200, 20, 20]);
        picture(&folder.join("blue.png"), [20, 20, 200]);
        let file = fs_err::read(folder.join("red.png")).expect("read");
        let store = &Milvus::new_address();
        let blobs = "s3://pictures/of/tests";
        let index = ["index", "pictures", "--store", store, "--blobs", blobs, "--keep-files"];
        let said = home.ek(&index).exits(2).stderr();
        assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
        let wrong = ["index", "pictures", "--store", store, "--blobs", "gs://pictures"];
        assert!(ek(&home, &s3, &wrong).exits(2).stderr().contains("s3://BUCKET/PREFIX"));
        ek(&home, &s3, &[&index[..], &["--quiet"]].concat()).exits(0);

        let items = serve(&home, &s3, store, blobs);
        let (_, page) = items.get("/v1/items");
        let red = page["items"].as_array().expect("items").iter();
        let red = red.filter(|item| item["path"].as_str().is_some_and(|p| p.ends_with("red.png")));
        let id = red.map(|item| item["id"].as_str().expect("an id")).next().expect("the red one");
        fs_err::rename(&folder, home.path().join("away")).expect("moved");
        let [thumbnail, original] =
            ["thumbnail", "file"].map(|what| format!("/v1/items/{id}/{what}"));
        let (status, kind, jpeg) = items.get_bytes(&thumbnail);
        assert_eq!((status, &kind[..]), (200, "image/jpeg"));
        let shown = image::load_from_memory(&jpeg).expect("a picture").to_rgb8();
        let [red, _, blue] = shown.get_pixel(20, 20).0;
        assert!(red > 150 && blue < 80, "{red} {blue}");
        assert_eq!(items.get_bytes(&original), (200, "image/png".into(), file.clone()));

        // Without the bucket's server: what can be had is, and the rest says why not, soon.
        s3.kill();
        let begun = Instant::now();
        for path in [&thumbnail, &original, &thumbnail] {
            let (status, problem) = items.get(path);
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert_eq!(status, 503, "{problem}");
            assert!(detail.contains(blobs) && detail.contains(&s3.endpoint()), "{problem}");
        }
        assert_eq!(items.get("/v1/search?q=red&mode=vector").0, 200);
        fs_err::rename(home.path().join("away"), &folder).expect("moved back");
        assert_eq!(items.get_bytes(&thumbnail).0, 200, "the file is here");
        assert_eq!(items.get_bytes(&original), (200, "image/png".into(), file));
        for n in 0..30 {
            picture(&folder.join(format!("{n}.png")), [n, 2 * n, 3 * n]);
        }
        let said = ek(&home, &s3, &[&index[..], &["--quiet"]].concat()).exits(3).stderr();
        assert!(said.contains(blobs) && said.contains("cannot be reached"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    }
}
