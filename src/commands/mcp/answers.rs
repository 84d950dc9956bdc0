//! Given what is asked for, who answers? The server that holds the store, if there is
//! one: its model is loaded. Otherwise the store and the model are opened here, when they
//! are first needed, and kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ekphrasis_engine::{
    Config, Engine, Example, Expr, Feedback, Kind, LabelRequest, OnnxTowers, OpenFor, Part,
    PartQuery, SearchRequest, Source,
};
use ekphrasis_web::wire;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::{config, towers};
use super::arguments::{Arguments, Picture};
use super::tools::{Ask, Search, Tool};
use crate::cli::Global;
use crate::client::{self, Server};
use crate::failure::Failure;

/// What something to avoid counts, as in `ek search --not`.
const AVOID: f32 = -0.5;

/// A piece of an answer.
pub(super) enum Content {
    /// JSON, or words.
    Text(String),
    /// A picture, in Base64.
    Jpeg(String),
}

/// What a tool answers with, or a sentence on why not.
pub(super) type Answer = Result<Vec<Content>, Failure>;

/// Who answers.
pub(super) struct Answers {
    global: Global,
    here: Mutex<Here>,
}

/// What was opened in this process.
struct Here {
    /// The model of this folder.
    towers: (PathBuf, Arc<OnnxTowers>),
    engine: Option<Arc<Engine>>,
}

impl Answers {
    /// Loads nothing yet.
    ///
    /// # Errors
    /// If there is no model or no place for a store: then no tool could ever answer.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let config = config(global)?;
        let towers = towers(global, &config, 1)?;
        let here = Here { towers: (config.model, towers), engine: None };
        Ok(Self { global: global.clone(), here: Mutex::new(here) })
    }

    /// What `tool` answers.
    pub(super) fn answer(&self, tool: &Tool, arguments: Arguments) -> Answer {
        let ask = tool.read(arguments)?;
        let config = config(&self.global)?;
        match ask {
            Ask::Search(ask) => self.search(&config, ask),
            Ask::Describe { image, limit } => self.describe(&config, &image, limit),
            Ask::Label { image, labels } => self.label(&config, &image, labels),
            Ask::Status => self.status(&config),
        }
    }

    /// The server that holds the store; none if a model was named, which is to be used then.
    fn server<'a>(&self, config: &'a Config) -> Option<Server<'a>> {
        self.global.model.is_none().then(|| Server::of(config)).flatten()
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn towers(&self, config: &Config, here: &mut Here) -> Result<Arc<OnnxTowers>, Failure> {
        // A store may have been made meanwhile with another model.
        if here.towers.0 != config.model {
            here.towers = (config.model.clone(), towers(&self.global, config, 1)?);
        }
        Ok(Arc::clone(&here.towers.1))
    }

    fn engine(&self, config: &Config) -> Result<Arc<Engine>, Failure> {
        let mut here = self.here();
        // The store may have been moved to another model meanwhile.
        here.engine.take_if(|engine| !engine.is_current().unwrap_or(true));
        if let Some(engine) = &here.engine {
            return Ok(Arc::clone(engine));
        }
        let towers = self.towers(config, &mut here)?;
        let engine = Arc::new(Engine::open(&config.data, towers, OpenFor::Reading)?);
        here.engine = Some(Arc::clone(&engine));
        Ok(engine)
    }

    fn source(&self, config: &Config, image: &Picture) -> Result<Source, Failure> {
        Ok(match image {
            Picture::Id(id) => self.engine(config)?.source_of(*id)?,
            Picture::File(path) => Source::Path(path.clone()),
        })
    }

    fn search(&self, config: &Config, ask: Search) -> Answer {
        let pictures = ask.pictures;
        let request = request(ask);
        let server = self.server(config);
        let found = server.as_ref().and_then(|_| client::search(config, &request));
        let (reply, server) = match found {
            Some(reply) => (reply, server),
            None => {
                let reply = self.engine(config)?.search(&request)?;
                // Through text, as a server's answer comes: a number has then the same digits.
                (value(&wire::SearchReply::new(&reply, &request))?, None)
            }
        };
        let mut content = vec![Content::Text(reply.to_string())];
        for hit in reply["hits"].as_array().into_iter().flatten().filter(|_| pictures) {
            let id = hit["id"].as_str().unwrap_or_default();
            let jpeg = match &server {
                Some(server) => server.ask(&format!("/v1/items/{id}/thumbnail"), None),
                None => id.parse().ok().and_then(|id| self.engine(config).ok()?.thumbnail(id).ok()),
            };
            // One whose file is gone is still a hit, and a text has no picture.
            let Some(jpeg) = jpeg else { continue };
            let name = hit["path"].as_str().unwrap_or(id);
            content.push(Content::Text(format!("{}. {name}", hit["rank"])));
            content.push(Content::Jpeg(BASE64_STANDARD.encode(jpeg)));
        }
        Ok(content)
    }

    fn describe(&self, config: &Config, image: &Picture, limit: usize) -> Answer {
        let asked = self.of_server(config, "/v1/describe", image, json!({ "k": limit }));
        if let Some(reply) = asked {
            return Ok(reply);
        }
        let found = match image {
            // Without a store the model's own vocabulary still answers.
            Picture::File(path) if !Engine::exists(&config.data)? => {
                let towers = self.towers(config, &mut self.here())?;
                ekphrasis_engine::describe(&*towers, &Source::Path(path.clone()), limit)?
            }
            _ => self.engine(config)?.describe(&self.source(config, image)?, limit)?,
        };
        let source = self.source(config, image)?;
        let images = vec![wire::DescribedImage::new(path_of(&source), &found)];
        text(&wire::DescribeReply { images })
    }

    fn label(&self, config: &Config, image: &Picture, labels: Vec<String>) -> Answer {
        let asked = self.of_server(config, "/v1/label", image, json!({ "labels": labels }));
        if let Some(reply) = asked {
            return Ok(reply);
        }
        // Labelling needs no store, so it works before anything is indexed.
        let source = self.source(config, image)?;
        let towers = self.towers(config, &mut self.here())?;
        let request = LabelRequest { labels, templates: vec![], multi: false };
        let mut replies =
            ekphrasis_engine::label_all(&*towers, std::slice::from_ref(&source), &request)?;
        // One for each picture.
        let reply = replies.swap_remove(0)?;
        let images = vec![wire::LabelledImage::new(path_of(&source), &reply)];
        let warnings = reply.doubt(false).into_iter().collect();
        text(&wire::LabelReply { images, warnings })
    }

    fn status(&self, config: &Config) -> Answer {
        let asked = self.server(config).and_then(|server| server.ask("/v1/status", None));
        if let Some(reply) = asked.and_then(|reply| String::from_utf8(reply).ok()) {
            return Ok(vec![Content::Text(reply)]);
        }
        text(&wire::Status::from(&self.engine(config)?.status()?))
    }

    /// A server's answer on one picture; `None` if there is none, or it answers otherwise
    /// than well.
    fn of_server(
        &self,
        config: &Config,
        path: &str,
        image: &Picture,
        mut body: Value,
    ) -> Option<Vec<Content>> {
        let server = self.server(config)?;
        match image {
            Picture::Id(id) => body["id"] = json!(id.to_string()),
            Picture::File(file) => body["image"] = json!(client::picture(file)?),
        }
        let reply = server.ask(path, Some(&body))?;
        let mut reply: Value = serde_json::from_slice(&reply).ok()?;
        // The server was sent bytes; who asked named a file.
        if let Some(file) = image.file() {
            *reply.pointer_mut("/images/0/path")? = json!(file.to_string_lossy());
        }
        Some(vec![Content::Text(reply.to_string())])
    }
}

/// The search as the engine takes it.
fn request(ask: Search) -> SearchRequest {
    let words = |text, weight| Part { what: PartQuery::Text(text), weight };
    let mut parts = Vec::new();
    let picture = |image, weight| {
        let what = match image {
            Picture::Id(id) => PartQuery::Id(id),
            Picture::File(path) => PartQuery::Image(Source::Path(path)),
        };
        Part { what, weight }
    };
    parts.extend(ask.query.map(|text| words(text, 1.0)));
    parts.extend(ask.image.map(|image| picture(image, 1.0)));
    parts.extend(ask.avoid.map(|text| words(text, AVOID)));
    parts.extend(ask.avoid_image.map(|image| picture(image, AVOID)));
    let examples = |judged: Vec<Picture>| {
        let example = |image| match image {
            Picture::Id(id) => Example::Item(id),
            Picture::File(path) => Example::Picture(Source::Path(path)),
        };
        judged.into_iter().map(example).collect()
    };
    let feedback = Feedback { liked: examples(ask.liked), disliked: examples(ask.disliked) };
    // Who asks for a kind in the filter is not held to another.
    let any_kind = ask.filter.as_ref().is_some_and(Expr::asks_for_kind);
    SearchRequest {
        k: ask.limit,
        offset: ask.offset,
        kind: if any_kind { None } else { Some(Kind::Image) },
        filter: ask.filter,
        feedback,
        ..SearchRequest::new(parts)
    }
}

fn path_of(source: &Source) -> Option<&Path> {
    match source {
        Source::Path(path) => Some(path),
        Source::Sent { .. } => None,
    }
}

fn written(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|e| Failure::Bug(format!("the answer cannot be written as JSON: {e}")))
}

fn value(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::from_str(&written(value)?)
        .map_err(|e| Failure::Bug(format!("the answer is no JSON: {e}")))
}

fn text(value: &impl Serialize) -> Answer {
    Ok(vec![Content::Text(written(value)?)])
}
