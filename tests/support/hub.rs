//! A model hub on this machine, as the real one answers: what it lists at `/api/models`,
//! small files as they are, large ones by a redirect to another server. It counts what it
//! is asked for and sends, and fails as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The only commit.
pub(crate) const COMMIT: &str = "3f68cd45302c7b4b532d933e71d9e6e54b1c7d5e";

/// A request for a file or a list.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// To the server that large files are sent from.
    pub(crate) cdn: bool,
    pub(crate) method: String,
    /// Without what follows a `?`.
    pub(crate) path: String,
    /// From which byte on.
    pub(crate) from: Option<u64>,
    /// `Authorization`.
    pub(crate) token: Option<String>,
    /// Bytes of the file that went out.
    pub(crate) sent: u64,
}

/// What goes wrong. Files are named by the end of their path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    /// The answer to every request for a list: status, headers, body.
    pub(crate) list: Option<(u16, String, String)>,
    /// The answer to every request for a file by that name: status and headers.
    pub(crate) file: Option<(&'static str, u16, String)>,
    /// The connection ends after so many bytes of a reply.
    pub(crate) cut: Option<(&'static str, u64)>,
    /// Once it was cut, files are answered with 503.
    pub(crate) then_down: bool,
    /// After so many bytes nothing more comes.
    pub(crate) stall: Option<(&'static str, u64)>,
    /// So many replies have one byte flipped.
    pub(crate) flip: Option<(&'static str, u32)>,
    /// The list has neither sizes nor sums.
    pub(crate) bare_list: bool,
    /// Ranges are not understood: always the whole file.
    pub(crate) no_ranges: bool,
    /// Who does not bring this token is told that the model is gated.
    pub(crate) token: Option<&'static str>,
    /// Nothing is answered to a request for the list.
    pub(crate) silent: bool,
}

struct State {
    repo: String,
    files: BTreeMap<String, Vec<u8>>,
    cdn: String,
    card: Value,
    trouble: Mutex<Trouble>,
    asked: Mutex<Vec<Asked>>,
}

pub(crate) struct Hub {
    pub(crate) url: String,
    state: Arc<State>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether git keeps a file elsewhere.
fn is_large(path: &str) -> bool {
    path.contains(".onnx") || path.ends_with(".safetensors")
}

fn sum(path: &str, bytes: &[u8]) -> String {
    if is_large(path) {
        return hex(&Sha256::digest(bytes));
    }
    let mut sha1 = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    sha1.update(bytes);
    hex(&sha1.finalize())
}

impl Hub {
    /// With one repository.
    pub(crate) fn new(repo: &str, files: BTreeMap<String, Vec<u8>>, card: Value) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = |listener: &TcpListener| {
            format!("http://{}", listener.local_addr().expect("an address"))
        };
        let (hub, cdn) = (listen(), listen());
        let state = Arc::new(State {
            repo: repo.into(),
            files,
            cdn: at(&cdn),
            card,
            trouble: Mutex::default(),
            asked: Mutex::default(),
        });
        let url = at(&hub);
        for (listener, is_cdn) in [(hub, false), (cdn, true)] {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    // What a client that is gone makes of it is nobody's business.
                    std::thread::spawn(move || state.serve(stream, is_cdn));
                }
            });
        }
        Self { url, state }
    }

    /// From now on.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        *locked(&self.state.trouble) = trouble;
    }

    /// All requests since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut locked(&self.state.asked))
    }

    /// Bytes of a file that went out, by these requests.
    pub(crate) fn sent(asked: &[Asked], file: &str) -> u64 {
        asked.iter().filter(|a| a.path.ends_with(file)).map(|a| a.sent).sum()
    }

    pub(crate) fn file(&self, path: &str) -> &[u8] {
        &self.state.files[path]
    }

    /// The name of a file in the cache.
    pub(crate) fn sum(&self, path: &str) -> String {
        sum(path, self.file(path))
    }
}

impl State {
    fn serve(&self, stream: TcpStream, cdn: bool) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut first = String::new();
            lines.read_line(&mut first).ok()?;
            let mut words = first.split_whitespace();
            let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
            let (mut from, mut token) = (None, None);
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).ok()?;
                if line.trim().is_empty() {
                    break;
                }
                let (name, value) = line.split_once(':')?;
                match name.to_ascii_lowercase().as_str() {
                    "range" => {
                        from = value.trim().strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok();
                    }
                    "authorization" => token = Some(value.trim().to_owned()),
                    _ => {}
                }
            }
            if method == "CONNECT" {
                // As a proxy: whatever is asked for is here.
                (&stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                continue;
            }
            let path = target.split('?').next()?.to_owned();
            let path = path.strip_prefix("http://hub.invalid").unwrap_or(&path).to_owned();
            let asked = Asked { cdn, method, path, from, token, sent: 0 };
            return self.answer(&stream, asked);
        }
    }

    fn answer(&self, stream: &TcpStream, mut asked: Asked) -> Option<()> {
        let trouble = locked(&self.trouble).clone();
        let let_in = trouble.token.is_none_or(|token| {
            asked.cdn || asked.token.as_deref() == Some(&format!("Bearer {token}"))
        });
        let list = format!("/api/models/{}/revision/", self.repo);
        let resolve = format!("/{}/resolve/{COMMIT}/", self.repo);
        let name = if asked.cdn {
            asked.path.strip_prefix("/cdn/")
        } else {
            asked.path.strip_prefix(&resolve)
        };
        let name = name.map(|name| name.replace("%20", " "));
        if asked.path.starts_with(&list) {
            locked(&self.asked).push(asked.clone());
            if trouble.silent {
                hold(stream);
            }
            return match trouble.list {
                Some((status, headers, body)) => reply(stream, status, &headers, body.as_bytes()),
                None if !let_in => reply(stream, 401, "X-Error-Code: GatedRepo\r\n", b"{}"),
                None if !matches!(&asked.path[list.len()..], "main" | "v1" | COMMIT) => {
                    reply(stream, 404, "X-Error-Code: RevisionNotFound\r\n", b"{}")
                }
                None => reply(stream, 200, "", self.list(&trouble).to_string().as_bytes()),
            };
        }
        let Some((name, bytes)) =
            name.and_then(|name| Some((name.clone(), self.files.get(&name)?)))
        else {
            locked(&self.asked).push(asked);
            return reply(stream, 404, "X-Error-Code: RepoNotFound\r\n", b"{}");
        };
        let is = |file: &str| name.ends_with(file);
        if !let_in {
            locked(&self.asked).push(asked);
            return reply(stream, 401, "X-Error-Code: GatedRepo\r\n", b"");
        }
        if let Some((file, status, headers)) = &trouble.file
            && is(file)
        {
            locked(&self.asked).push(asked);
            return reply(stream, *status, headers, b"");
        }
        let tag = sum(&name, bytes);
        if is_large(&name) && !asked.cdn {
            locked(&self.asked).push(asked);
            let headers = format!(
                "X-Repo-Commit: {COMMIT}\r\nX-Linked-Size: {}\r\nX-Linked-Etag: \"{tag}\"\r\nLocation: {}/cdn/{name}?Signature=x\r\n",
                bytes.len(),
                self.cdn
            );
            return reply(stream, 302, &headers, b"Found. Redirecting");
        }
        // A file's bytes, from where they are asked for.
        let from = if trouble.no_ranges { 0 } else { asked.from.unwrap_or(0) };
        let start = usize::try_from(from).ok()?;
        if start >= bytes.len() && asked.from.is_some() && !trouble.no_ranges {
            locked(&self.asked).push(asked);
            return reply(stream, 416, "", b"");
        }
        let mut body = bytes[start..].to_vec();
        if let Some((file, times)) = trouble.flip
            && is(file)
            && times > 0
            && asked.method == "GET"
        {
            locked(&self.trouble).flip = Some((file, times - 1));
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        let (status, range) = match asked.from {
            Some(_) if !trouble.no_ranges => (
                206,
                format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len()),
            ),
            _ => (200, String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\nX-Repo-Commit: {COMMIT}\r\nETag: \"{tag}\"\r\n{range}\r\n",
            body.len()
        );
        { stream }.write_all(head.as_bytes()).ok()?;
        if asked.method == "HEAD" {
            locked(&self.asked).push(asked);
            return Some(());
        }
        let limit = |kind: Option<(&str, u64)>| kind.filter(|(file, _)| is(file)).map(|(_, n)| n);
        let (cut, stall) = (limit(trouble.cut), limit(trouble.stall));
        let end = cut.or(stall).map_or(body.len(), |n| body.len().min(n as usize));
        if cut.is_some() && trouble.then_down {
            let mut trouble = locked(&self.trouble);
            trouble.cut = None;
            trouble.file = Some(("", 503, "Retry-After: 0\r\n".into()));
        }
        // Noted before it goes out: who has it may look at once.
        asked.sent = end as u64;
        locked(&self.asked).push(asked);
        { stream }.write_all(&body[..end]).ok()?;
        if stall.is_some() && end < body.len() {
            hold(stream);
        }
        Some(())
    }

    fn list(&self, trouble: &Trouble) -> Value {
        let files = self.files.iter().map(|(path, bytes)| {
            let tag = sum(path, bytes);
            if trouble.bare_list {
                json!({ "rfilename": path })
            } else if is_large(path) {
                json!({
                    "rfilename": path, "size": bytes.len(), "blobId": "0".repeat(40),
                    "lfs": {"sha256": tag, "size": bytes.len(), "pointerSize": 130},
                })
            } else {
                json!({ "rfilename": path, "size": bytes.len(), "blobId": tag })
            }
        });
        json!({
            "id": self.repo, "sha": COMMIT, "gated": trouble.token.map(|_| "auto"),
            "cardData": self.card, "siblings": files.collect::<Vec<_>>(),
        })
    }
}

/// A whole answer.
fn reply(stream: &TcpStream, status: u16, headers: &str, body: &[u8]) -> Option<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}

/// Keeps the connection until the client ends it.
fn hold(stream: &TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let _ = std::io::Read::read(&mut { stream }, &mut [0]);
}
