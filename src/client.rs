//! Given a store that a running server holds, how is it asked? A server has its
//! model loaded and answers in milliseconds, where this process would first have
//! to load one.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ekphrasis_engine::{
    Config, Engine, Example, ItemId, Kind, Mode, PartQuery, SearchRequest, Source, content_of_file,
};
use serde_json::{Value, json};

/// A server on this machine that does not answer a connection by then is not there.
const CONNECT: Duration = Duration::from_millis(300);
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
/// Pictures over this are looked at here and not sent.
const PICTURE_LIMIT: u64 = 8 << 20;

/// A server that holds a store, to be asked instead of opening the store here.
pub(crate) struct Server<'a> {
    address: String,
    key: Option<&'a str>,
}

impl<'a> Server<'a> {
    /// The one that says it holds the store; it may be gone since.
    pub(crate) fn of(config: &'a Config) -> Option<Self> {
        let address = Engine::server(&config.data)?;
        Some(Self { address, key: config.api_key.as_deref() })
    }

    /// What it answers to a POST of `body`, or to a GET if there is none; `None` for
    /// anything but a plain success, since asking here finds the right words for it.
    pub(crate) fn ask(&self, path: &str, body: Option<&Value>) -> Option<Vec<u8>> {
        let (url, agent) = (format!("{}{path}", self.address), agent(ANSWER));
        let key = self.key.map(|key| format!("Bearer {key}"));
        let reply = match body {
            Some(body) => with_key(agent.post(url), key).send_json(body),
            None => with_key(agent.get(url), key).call(),
        };
        let mut reply = reply.ok().filter(|reply| reply.status() == 200)?;
        reply.body_mut().read_to_vec().ok()
    }

    /// The item of its store that a file is, as it was indexed; then it does not count as found,
    /// and need neither be sent nor embedded.
    fn item_of(&self, what: &PartQuery) -> Option<ItemId> {
        let PartQuery::Image(Source::Path(path)) = what else { return None };
        let id = ItemId::for_path(&fs_err::canonicalize(path).ok()?);
        let item = self.ask(&format!("/v1/items/{id}"), None)?;
        let item: Value = serde_json::from_slice(&item).ok()?;
        let indexed = item["meta"]["blake3"].as_str()?;
        let now: String = content_of_file(path).ok()?.iter().map(|b| format!("{b:02x}")).collect();
        (indexed == now).then_some(id)
    }
}

fn with_key<B>(call: ureq::RequestBuilder<B>, key: Option<String>) -> ureq::RequestBuilder<B> {
    match key {
        Some(key) => call.header("Authorization", key),
        None => call,
    }
}

/// The server's answer to a search, as `ek search --json` prints it. `None` if
/// nobody serves this store, or the server does not answer: then the store is
/// searched here.
pub(crate) fn search(config: &Config, request: &SearchRequest) -> Option<Value> {
    let server = Server::of(config)?;
    let items: Vec<Option<ItemId>> =
        request.parts.iter().map(|part| server.item_of(&part.what)).collect();
    let reply = server.ask("/v1/search", Some(&body(request, &items)?))?;
    let mut reply: Value = serde_json::from_slice(&reply).ok()?;
    // The server was sent bytes or ids; who asked named files.
    for (i, (part, item)) in request.parts.iter().zip(&items).enumerate() {
        if let PartQuery::Image(Source::Path(path)) = &part.what {
            let told = reply.pointer_mut(&format!("/query/parts/{i}"))?.as_object_mut()?;
            told.remove("id");
            told.insert("image".into(), json!(path.to_string_lossy()));
        }
        let Some(item) = item.map(|item| item.to_string()) else { continue };
        for hit in reply["hits"].as_array_mut()? {
            if let Some(told) = hit.pointer_mut(&format!("/parts/{i}/part"))
                && *told == item
            {
                *told = json!("image");
            }
        }
    }
    reply["hits"].is_array().then_some(reply)
}

/// A picture file as requests carry it; `None` for what is better looked at here.
pub(crate) fn picture(path: &Path) -> Option<String> {
    // What is no file, such as a pipe, might never end.
    let facts = fs_err::metadata(path).ok()?;
    if !facts.is_file() || facts.len() > PICTURE_LIMIT {
        return None;
    }
    Some(BASE64_STANDARD.encode(fs_err::read(path).ok()?))
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

/// The search as `POST /v1/search` takes it; `None` for what is better done here. `items`: what
/// the parts' files are in the server's store.
fn body(request: &SearchRequest, items: &[Option<ItemId>]) -> Option<Value> {
    let part = |what: &PartQuery| match what {
        PartQuery::Text(text) => Some(json!({ "text": text })),
        PartQuery::Id(id) => Some(json!({ "id": id.to_string() })),
        PartQuery::Image(Source::Path(path)) => Some(json!({ "image": picture(path)? })),
        PartQuery::Image(Source::Sent { .. }) | PartQuery::Embedding(_) => None,
    };
    // The server takes ids; files are looked at here.
    let ids = |examples: &[Example]| -> Option<Vec<String>> {
        let id = |example: &Example| match example {
            Example::Item(id) => Some(id.to_string()),
            Example::Picture(_) => None,
        };
        examples.iter().map(id).collect()
    };
    let mut parts = Vec::new();
    for (given, item) in request.parts.iter().zip(items) {
        let known = item.map(PartQuery::Id);
        let mut part = part(known.as_ref().unwrap_or(&given.what))?;
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
        "liked": ids(&request.feedback.liked)?,
        "disliked": ids(&request.feedback.disliked)?,
        "k": request.k,
        "offset": request.offset,
        "mode": mode,
        "for": kind,
        "exact": request.exact,
        "explain": request.explain,
        "collapse": request.collapse,
        "diversity": request.diversity,
        "min_confidence": request.min_confidence,
        "why": request.why.map(|id| id.to_string()),
        "bridge": request.bridge,
        "filter": request.filter.as_ref().map(ToString::to_string),
    }))
}
