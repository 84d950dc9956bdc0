//! Given an address on the hub, how do its bytes get here? Redirects are followed by hand,
//! so that the token goes to the hub's own server only; a file goes on from where it was;
//! whoever sends nothing is not waited for.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use super::Watch;
use super::address::{Address, encode};
use super::checksum::Checksum;
use super::error::HubError;
use super::listing::{MAX_LIST, Remote, shortened};
use super::name::Wanted;
use super::retry::{Trip, patiently};

/// How many redirects one request may take.
const REDIRECTS: usize = 5;

/// What speaks with the hub.
pub(super) struct Client {
    agent: ureq::Agent,
    hub: Address,
    token: Option<String>,
    patience: Duration,
}

/// A file of a repository at a commit.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) commit: &'a str,
    pub(super) path: &'a str,
}

/// Told how many bytes of a file are here.
type Counted<'a> = &'a mut dyn FnMut(u64);

impl Client {
    /// `patience` is how long a connection may take, and how long nothing may come.
    pub(super) fn new(hub: Address, token: Option<String>, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("ekphrasis/", env!("CARGO_PKG_VERSION")))
            // Lengths, places and sums are those of the file.
            .accept_encoding("identity")
            .timeout_connect(Some(patience))
            .timeout_resolve(Some(patience))
            .timeout_per_read(Some(patience))
            .timeout_per_write(Some(patience))
            .timeout_recv_response(Some(patience * 3));
        Self { agent: config.build().into(), hub, token, patience }
    }

    pub(super) fn host(&self) -> &str {
        self.hub.host()
    }

    /// The hub's answer about a repository, as it is.
    pub(super) fn list(&self, wanted: &Wanted, watch: &dyn Watch) -> Result<Vec<u8>, HubError> {
        let revision = wanted.revision().replace('/', "%2F");
        let address =
            self.below(&format!("api/models/{}/revision/{revision}?blobs=true", wanted.repo()));
        patiently(watch, || {
            let reply = match self.send("GET", &address, None, wanted, wanted.repo()) {
                // Whoever is not there now is not there in a second.
                Err(Trip::Passing { error: error @ HubError::Unreachable { .. }, .. }) => {
                    return Err(Trip::Final(error));
                }
                reply => reply?,
            };
            if reply.status() != StatusCode::OK {
                return Err(self.refused(wanted.repo(), wanted, &reply));
            }
            let mut bytes = Vec::new();
            let mut body = reply.into_body().into_reader().take(MAX_LIST + 1);
            body.read_to_end(&mut bytes)
                .map_err(|e| Trip::passing(self.unreachable(wanted.repo(), self.words(&e))))?;
            if bytes.len() as u64 > MAX_LIST {
                let got = format!("more than {MAX_LIST} bytes");
                return Err(self.nonsense(wanted.repo(), got, "a list of files").into());
            }
            Ok(bytes)
        })
    }

    /// Size and sum of a file, by the headers of its address; for mirrors whose lists
    /// leave them out.
    pub(super) fn facts(&self, wish: Wish<'_>, watch: &dyn Watch) -> Result<Remote, HubError> {
        let address = self.file(wish);
        patiently(watch, || {
            let reply = self.send("HEAD", &address, None, wish.wanted, wish.path)?;
            let text = |name: &str| reply.headers().get(name).and_then(|v| v.to_str().ok());
            let linked = text("x-linked-etag");
            if linked.is_none() && reply.status() != StatusCode::OK {
                return Err(self.refused(wish.path, wish.wanted, &reply));
            }
            let size = match linked {
                Some(_) => text("x-linked-size"),
                None => text(header::CONTENT_LENGTH.as_str()),
            };
            let tag = linked.or_else(|| text(header::ETAG.as_str()));
            Ok(Remote {
                size: size.and_then(|size| size.parse().ok()),
                sum: tag.and_then(Checksum::parse),
            })
        })
    }

    /// Brings the file at `part` to `size` bytes. What is there already is kept and not
    /// asked for again.
    pub(super) fn download(
        &self,
        wish: Wish<'_>,
        size: u64,
        part: &Path,
        watch: &dyn Watch,
        counted: Counted<'_>,
    ) -> Result<(), HubError> {
        if length(part)? > size {
            fs_err::remove_file(part)?;
        }
        patiently(watch, || {
            let before = length(part)?;
            counted(before);
            match self.go_on(wish, size, part, before, &mut *counted) {
                Err(Trip::Passing { error, pause, .. }) => {
                    let progressed = length(part)? > before;
                    Err(Trip::Passing { error, pause, progressed })
                }
                done => done,
            }
        })
    }

    /// One request for what is missing from `have` on.
    fn go_on(
        &self,
        wish: Wish<'_>,
        size: u64,
        part: &Path,
        have: u64,
        counted: Counted<'_>,
    ) -> Result<(), Trip> {
        let path = wish.path;
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(part)?;
        if have == size {
            return Ok(file.sync_all()?);
        }
        let reply = self.send("GET", &self.file(wish), Some(have), wish.wanted, path)?;
        let mut have = have;
        match reply.status() {
            StatusCode::PARTIAL_CONTENT => {
                let expected = format!("bytes {have}-{}/{size}", size - 1);
                let range = reply.headers().get(header::CONTENT_RANGE);
                let range = range.map_or("", |range| range.to_str().unwrap_or_default());
                if range != expected {
                    let got = format!("the range {:?}", shortened(range));
                    return Err(self.nonsense(path, got, &expected).into());
                }
            }
            // It does not go on from a place: from the start, then.
            StatusCode::OK => {
                file.set_len(0)?;
                have = 0;
            }
            _ => return Err(self.refused(path, wish.wanted, &reply)),
        }
        let mut body = reply.into_body().into_reader();
        let mut piece = vec![0; 1 << 16];
        while have < size {
            let want = usize::try_from(size - have).unwrap_or(usize::MAX).min(piece.len());
            let broken = |why: String| {
                Trip::passing(HubError::Broken { file: path.into(), why, have, size })
            };
            match body.read(&mut piece[..want]) {
                Ok(0) => return Err(broken("the connection ended".into())),
                Ok(read) => {
                    file.write_all(&piece[..read])?;
                    have += read as u64;
                    counted(have);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(broken(self.words(&e))),
            }
        }
        Ok(file.sync_all()?)
    }

    /// One request and the redirects that it takes. To servers other than the hub's goes
    /// no token; from a secure one to one that is not goes nothing. A HEAD stops where the
    /// hub says what the file is.
    fn send(
        &self,
        method: &str,
        address: &Address,
        from: Option<u64>,
        wanted: &Wanted,
        what: &str,
    ) -> Result<Response<Body>, Trip> {
        let mut at = address.clone();
        for _ in 0..=REDIRECTS {
            let mut call = match method {
                "HEAD" => self.agent.head(at.as_str()),
                _ => self.agent.get(at.as_str()),
            };
            if let Some(token) = self.token.as_ref().filter(|_| at.origin() == self.hub.origin()) {
                call = call.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            if let Some(from) = from {
                call = call.header(header::RANGE, format!("bytes={from}-"));
            }
            let reply = call.call().map_err(|e| {
                let why = self.words(&e.into_io());
                Trip::passing(HubError::Unreachable {
                    host: at.host().into(),
                    why,
                    repo: wanted.repo().into(),
                    cached: false,
                })
            })?;
            let told = method == "HEAD" && reply.headers().contains_key("x-linked-etag");
            let moved = matches!(reply.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if told || !moved {
                return Ok(reply);
            }
            let location = reply.headers().get(header::LOCATION);
            let location = location.and_then(|l| l.to_str().ok()).unwrap_or_default();
            let next = at.join(location).filter(|next| next.is_secure() || !at.is_secure());
            let Some(next) = next else {
                let got = format!("a redirect to {:?}", shortened(location));
                return Err(self
                    .nonsense(what, got, "one to a web address as secure as its own")
                    .into());
            };
            at = next;
        }
        let got = format!("more than {REDIRECTS} redirects");
        Err(self.nonsense(what, got, "the file").into())
    }

    /// What a status other than success means.
    fn refused(&self, what: &str, wanted: &Wanted, reply: &Response<Body>) -> Trip {
        let text = |name: &str| {
            reply.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
        };
        let (code, status) = (text("x-error-code"), reply.status().as_u16());
        let repo = wanted.repo();
        let pause = text(header::RETRY_AFTER.as_str()).parse().ok().map(Duration::from_secs);
        let token = self.token.is_some();
        let advice = match (status, code) {
            (401 | 403, "GatedRepo") if token => format!(
                "the account of HF_TOKEN has not been let in; accept the terms at {}/{repo} with it",
                self.hub.as_str()
            ),
            (401 | 403, "GatedRepo") => format!(
                "its terms have to be accepted first, at {}/{repo}; then set HF_TOKEN to a token of that account",
                self.hub.as_str()
            ),
            (401, _) if token => "the token of HF_TOKEN is not accepted, or there is no such model; check both".into(),
            (401, _) => "there is no public model of that name (a private one answers alike); check the spelling, or set HF_TOKEN".into(),
            (403, _) => "it may not be had from here or by this account; set HF_TOKEN to a token that may".into(),
            (404, "RevisionNotFound") => format!("there is no revision {}; leave out the @ for the newest", wanted.revision()),
            (404, "EntryNotFound") => "the file is gone from the repository; run the same command again".into(),
            (404, _) => "there is no such model; check the spelling".into(),
            (429, _) => match pause {
                Some(pause) => format!("too many requests; run the same command again in {} s, or set HF_TOKEN", pause.as_secs()),
                None => "too many requests; run the same command again later, or set HF_TOKEN".into(),
            },
            (500..=599, _) => "the hub has trouble; run the same command again later, what came is kept".into(),
            _ => "that was not expected; if HF_ENDPOINT names a mirror, try another".into(),
        };
        let error = HubError::Refused {
            what: what.into(),
            host: self.host().into(),
            status,
            said: shortened(text("x-error-message")),
            advice,
        };
        match status {
            408 | 425 | 429 | 500..=599 => Trip::Passing { error, pause, progressed: false },
            _ => Trip::Final(error),
        }
    }

    fn unreachable(&self, repo: &str, why: String) -> HubError {
        HubError::Unreachable { host: self.host().into(), why, repo: repo.into(), cached: false }
    }

    fn nonsense(&self, what: &str, got: String, expected: &str) -> HubError {
        HubError::Nonsense {
            what: what.into(),
            host: self.host().into(),
            got,
            expected: expected.into(),
        }
    }

    /// Why a connection failed.
    fn words(&self, error: &io::Error) -> String {
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<ureq::Error>());
        match inner {
            Some(ureq::Error::Timeout(_)) => self.silence(),
            Some(ureq::Error::HostNotFound) => "there is no host of that name".into(),
            Some(inner) => shortened(&inner.to_string()),
            None if error.kind() == io::ErrorKind::TimedOut => self.silence(),
            None => shortened(&error.to_string()),
        }
    }

    fn silence(&self) -> String {
        format!("nothing came for {} s (HF_HUB_DOWNLOAD_TIMEOUT)", self.patience.as_secs_f64())
    }

    /// An address on the hub.
    fn below(&self, path: &str) -> Address {
        let text = format!("{}/{path}", self.hub.as_str());
        // What is joined is encoded, so it is an address if the hub's is.
        Address::parse(&text).unwrap_or_else(|| self.hub.clone())
    }

    fn file(&self, wish: Wish<'_>) -> Address {
        self.below(&format!("{}/resolve/{}/{}", wish.wanted.repo(), wish.commit, encode(wish.path)))
    }
}

/// Bytes of a file; 0 if it is not there.
pub(super) fn length(path: &Path) -> io::Result<u64> {
    match fs_err::metadata(path) {
        Ok(facts) => Ok(facts.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
    }
}
