//! Given a store that a running server holds, how is it asked? A server has its
//! model loaded and answers in milliseconds, where this process would first have
//! to load one.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ekphrasis_engine::{Config, Engine, Kind, Mode, PartQuery, SearchRequest, Source};
use serde_json::{Value, json};

/// A server on this machine that does not answer a connection by then is not there.
const CONNECT: Duration = Duration::from_millis(300);
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
/// Pictures over this are looked at here and not sent.
const PICTURE_LIMIT: usize = 8 << 20;

/// The server's answer to a search, as `ek search --json` prints it. `None` if
/// nobody serves this store, or the server does not answer: then the store is
/// searched here, which also finds the right words for what is wrong.
pub(crate) fn search(config: &Config, request: &SearchRequest) -> Option<Value> {
    let address = Engine::server(&config.data)?;
    let body = body(request)?;
    let mut call = agent(ANSWER).post(format!("{address}/v1/search"));
    if let Some(key) = &config.api_key {
        call = call.header("Authorization", format!("Bearer {key}"));
    }
    let mut reply = call.send_json(body).ok().filter(|reply| reply.status() == 200)?;
    let mut reply: Value = reply.body_mut().read_json().ok()?;
    // The server was sent bytes; who asked named files.
    for (i, part) in request.parts.iter().enumerate() {
        if let PartQuery::Image(Source::Path(path)) = &part.what {
            *reply.pointer_mut(&format!("/query/parts/{i}/image"))? = json!(path.to_string_lossy());
        }
    }
    reply["hits"].is_array().then_some(reply)
}

/// What asks a server on this machine and waits so long for each answer.
pub(crate) fn agent(answer: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // It is on this machine; whatever proxy is set is for the world outside.
        .proxy(None)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(answer));
    config.build().into()
}

/// The search as `POST /v1/search` takes it; `None` for what is better done here.
fn body(request: &SearchRequest) -> Option<Value> {
    let part = |what: &PartQuery| match what {
        PartQuery::Text(text) => Some(json!({ "text": text })),
        PartQuery::Id(id) => Some(json!({ "id": id.to_string() })),
        PartQuery::Image(Source::Path(path)) => {
            let bytes = fs_err::read(path).ok().filter(|bytes| bytes.len() <= PICTURE_LIMIT)?;
            Some(json!({ "image": BASE64_STANDARD.encode(bytes) }))
        }
        PartQuery::Image(Source::Bytes(_)) | PartQuery::Embedding(_) => None,
    };
    let mut parts = Vec::new();
    for given in &request.parts {
        let mut part = part(&given.what)?;
        part["weight"] = json!(given.weight);
        parts.push(part);
    }
    let mode = match request.mode {
        Mode::Hybrid => "hybrid",
        Mode::Vector => "vector",
        Mode::Text => "text",
    };
    let kind = match request.kind {
        Some(Kind::Image) => "images",
        Some(Kind::Text) => "texts",
        None => "all",
    };
    Some(json!({
        "parts": parts,
        "k": request.k,
        "offset": request.offset,
        "mode": mode,
        "for": kind,
        "exact": request.exact,
        "explain": request.explain,
        "collapse": request.collapse,
        "min_confidence": request.min_confidence,
        "filter": request.filter.as_ref().map(ToString::to_string),
    }))
}
