//! Given a request, may it come in at all? The checks that stand before every
//! route: whose name the browser thinks we have, which site sent it, the key.

use std::net::IpAddr;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, ResponseError as _, web};

use tokio::sync::OwnedSemaphorePermit;

use crate::assets;
use crate::gate::{GATE, LARGE_BODY};
use crate::log::Log;
use crate::meter::Meter;
use crate::problem::{Problem, Why};
use crate::unread::Unread;

/// Who may come in.
pub(crate) struct Guard {
    /// Nobody but this machine can reach us, so the name must be one of ours.
    loopback: bool,
    /// The hash of the key, if one is needed.
    key: Option<blake3::Hash>,
    /// The hash of the secret that lies with the store, if it may be written.
    secret: Option<blake3::Hash>,
}

/// Marks a request of somebody who can read the store's folder, and so may write there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner;

/// The header that carries the store's secret.
const STORE_KEY: HeaderName = HeaderName::from_static("x-ekphrasis-store-key");

impl Guard {
    /// The guard of a server bound to `bind`.
    pub(crate) fn new(bind: IpAddr, key: Option<&str>) -> Self {
        let hash = |key: &str| blake3::hash(key.as_bytes());
        Self { loopback: bind.is_loopback(), key: key.map(hash), secret: None }
    }

    /// The same for a store that has this secret.
    pub(crate) fn with_secret(self, secret: &str) -> Self {
        Self { secret: Some(blake3::hash(secret.as_bytes())), ..self }
    }

    /// Whether the store's secret came along.
    fn is_owner(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(STORE_KEY).map(|value| blake3::hash(value.as_bytes()));
        given.is_some() && given == self.secret
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if self.loopback {
            let named = uri.authority().map(|authority| authority.as_str());
            for name in named.into_iter().chain([host]) {
                if !is_loopback_name(name) {
                    // A site whose name was made to point at this machine (DNS rebinding).
                    return Err(Problem::forbidden(format!(
                        "this server answers as localhost only, not as {name:?}"
                    )));
                }
            }
        }
        if !method.is_safe() {
            check_origin(headers, host)?;
        }
        match &self.key {
            Some(key) if !is_public(uri.path()) && !self.is_owner(headers) => {
                check_key(key, headers)
            }
            _ => Ok(()),
        }
    }
}

/// Whether everyone may see it: liveness, and the pages (not what they show).
fn is_public(path: &str) -> bool {
    path == "/healthz" || assets::find(path).is_some()
}

/// Whether `authority` (`host` or `host:port`) names this machine and no other.
fn is_loopback_name(authority: &str) -> bool {
    let (host, after) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or_default(),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    // Nothing but a port: `[::1].evil.example` is somebody else.
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !after.is_empty() && !after.strip_prefix(':').is_some_and(is_port) {
        return false;
    }
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A page of another site may not make us work.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let refused = |who: &str| {
        Problem::forbidden(format!("pages of other sites may not send requests here (from {who})"))
    };
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let from = origin.split_once("://").map_or("", |(_, authority)| authority);
        if from.is_empty() || !from.eq_ignore_ascii_case(host) {
            return Err(refused(origin));
        }
    }
    let site = HeaderName::from_static("sec-fetch-site");
    match headers.get(site).map(HeaderValue::as_bytes) {
        Some(b"cross-site" | b"same-site") => Err(refused("another site")),
        _ => Ok(()),
    }
}

fn check_key(key: &blake3::Hash, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| {
        let (scheme, token) = v.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
    });
    match given {
        // Hashes, so that neither length nor content shows in the time it takes;
        // blake3 compares them in constant time.
        Some(token) if blake3::hash(token) == *key => Ok(()),
        Some(_) => Err(Problem::key_needed("the key is not the one this server was started with")),
        None => Err(Problem::key_needed(
            "send the server's key with the header Authorization: Bearer KEY",
        )),
    }
}

/// Of large bodies few are received at once; held until the request is answered.
fn place_for(request: &ServiceRequest) -> Result<Option<OwnedSemaphorePermit>, Problem> {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let large = length.is_some_and(|length: u64| length > LARGE_BODY)
        || headers.contains_key(header::TRANSFER_ENCODING);
    large.then(|| GATE.large_body()).transpose()
}

/// What every reply says to browsers, unless its route says otherwise.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The middleware: checks, then the route, then the headers above.
pub(crate) async fn guard(
    rules: web::Data<Guard>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let since = Instant::now();
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let meter = request.app_data::<web::Data<Meter>>().cloned();
    let log = request.app_data::<web::Data<Log>>().cloned();
    let checked = rules.check(&method, request.uri(), request.headers());
    if checked.is_ok() && rules.is_owner(request.headers()) {
        request.extensions_mut().insert(Owner);
    }
    let _unread = Unread::of(&mut request);
    let place = checked.and_then(|()| place_for(&request));
    let mut reply = match place {
        Ok(_place) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => request.into_response(problem.error_response()),
    };
    let status = reply.status();
    if status.is_client_error()
        && let Some(log) = log
    {
        let why = reply.response().extensions().get::<Why>().map(|why| why.0);
        let why = why.or(status.canonical_reason()).unwrap_or_default();
        log.refused(method.as_str(), &path, status.as_u16(), why);
    }
    if let Some(meter) = meter {
        let route = reply.request().match_pattern();
        meter.note(method.as_str(), route.as_deref(), status.as_u16(), since.elapsed());
    }
    for (name, value) in HEADERS {
        if !reply.headers().contains_key(&name) {
            reply.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    fn status(guard: &Guard, request: TestRequest) -> u16 {
        let request = request.to_srv_request();
        match guard.check(request.method(), request.uri(), request.headers()) {
            Ok(()) => StatusCode::OK.as_u16(),
            Err(problem) => problem.status_code().as_u16(),
        }
    }

    fn local() -> Guard {
        Guard::new([127, 0, 0, 1].into(), None)
    }

    #[test]
    fn on_loopback_only_loopback_names_are_answered() {
        let ask = |host| status(&local(), TestRequest::get().insert_header(("host", host)));
        for host in ["localhost", "LOCALHOST:7733", "127.0.0.1:7733", "127.9.9.9", "[::1]:80"] {
            assert_eq!(ask(host), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7733",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "192.168.0.2",
            "[2001:db8::1]:7733",
            "[::1",
            "[::1].evil.example",
            "[::1]evil.example:80",
            "localhost:80:evil.example",
            "localhost:evil",
            "",
        ] {
            assert_eq!(ask(host), 403, "{host}");
        }
        assert_eq!(status(&local(), TestRequest::get()), 403, "no Host at all");
        let absolute = TestRequest::get().uri("http://evil.example/v1/status");
        assert_eq!(status(&local(), absolute.insert_header(("host", "localhost"))), 403);
        let open = Guard::new([0, 0, 0, 0].into(), None);
        assert_eq!(status(&open, TestRequest::get().insert_header(("host", "my.name"))), 200);
    }

    #[test]
    fn the_stores_secret_opens_and_nothing_like_it() {
        let guard = Guard::new([0, 0, 0, 0].into(), Some("key")).with_secret("secret");
        let ask = |value: &str| {
            let request = TestRequest::get().uri("/v1/status");
            let request = request.insert_header(("x-ekphrasis-store-key", value));
            (status(&guard, request.insert_header(("host", "x"))), value == "secret")
        };
        for value in ["secret", "", "secre", "secrets", "key"] {
            let (status, right) = ask(value);
            assert_eq!(status == 200, right, "{value:?}");
        }
        let without = Guard::new([127, 0, 0, 1].into(), None);
        assert!(!without.is_owner(TestRequest::get().to_srv_request().headers()));
    }

    #[test]
    fn other_sites_cannot_post() {
        let post = |name: &str, value: &str| {
            let request = TestRequest::post().insert_header(("host", "localhost:7733"));
            status(&local(), request.insert_header((name, value)))
        };
        assert_eq!(post("origin", "http://localhost:7733"), 200);
        assert_eq!(post("sec-fetch-site", "same-origin"), 200);
        for origin in ["http://evil.example", "http://localhost:8000", "null", "", "file://"] {
            assert_eq!(post("origin", origin), 403, "{origin}");
        }
        assert_eq!(post("sec-fetch-site", "cross-site"), 403);
        let get = TestRequest::get().insert_header(("host", "localhost:7733"));
        assert_eq!(status(&local(), get.insert_header(("origin", "http://evil.example"))), 200);
    }

    #[test]
    fn the_key_opens_everything_but_health_and_the_page() {
        let guard = Guard::new([0, 0, 0, 0].into(), Some("secret"));
        let ask = |path: &str, key: Option<&str>| {
            let mut request = TestRequest::get().uri(path);
            if let Some(key) = key {
                request = request.insert_header(("authorization", key));
            }
            status(&guard, request)
        };
        assert_eq!(ask("/healthz", None), 200);
        assert_eq!(ask("/", None), 200);
        for path in ["/v1/status", "/readyz", "/v1/items/x/file", "/nowhere", "/v1/../healthz"] {
            assert_eq!(ask(path, None), 401, "{path}");
            assert_eq!(ask(path, Some("Bearer secret")), 200, "{path}");
            assert_eq!(ask(path, Some("bearer secret ")), 200, "{path}");
            for wrong in ["Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret"] {
                assert_eq!(ask(path, Some(wrong)), 401, "{path} with {wrong}");
            }
        }
    }
}
