//! Given an assistant that speaks the Model Context Protocol, what can it ask of a
//! store? Four tools, over standard input and output; pictures come back as small
//! JPEGs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ekphrasis_engine::{
    Engine, EngineError, Expr, ItemId, Kind, LabelRequest, Mode, OnnxTowers, OpenFor, Part,
    PartQuery, SearchRequest, Source,
};
use ekphrasis_web::wire;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, ServiceExt as _, schemars, tool, tool_handler, tool_router};
use serde::{Deserialize, Serialize};

/// Hits that an answer may have; each comes with a picture of some 20 kB.
const MOST_HITS: usize = 20;
/// Texts that an answer may have.
const MOST_TEXTS: usize = 100;

/// Answers an assistant until it has no more questions.
///
/// # Errors
/// If the protocol cannot be spoken at all.
pub(crate) fn serve(data: &Path, towers: Arc<OnnxTowers>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let assistant = Assistant { data: data.into(), towers, engine: Arc::default() };
    let ended = runtime.block_on(async move {
        let service = assistant.serve(rmcp::transport::stdio()).await.map_err(|e| e.to_string())?;
        service.waiting().await.map_err(|e| e.to_string())
    });
    // A read of standard input may be under way, which nothing ends.
    runtime.shutdown_background();
    ended.map(drop)
}

/// What answers.
#[derive(Clone)]
struct Assistant {
    data: PathBuf,
    towers: Arc<OnnxTowers>,
    /// Opened when first asked: there may be no store yet.
    engine: Arc<Mutex<Option<Arc<Engine>>>>,
}

/// A search.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Search {
    /// What to look for, in words, such as `a cup of coffee`.
    query: Option<String>,
    /// A picture to look for more like: the absolute path of a file, or an id of an earlier answer.
    image: Option<String>,
    /// Words for what to avoid.
    avoid: Option<String>,
    /// Only what fits, such as `taken:2019-05..2020 tag:beach -width:<1000`.
    filter: Option<String>,
    /// How many hits, 1 to 20; 5 if nothing is said.
    limit: Option<usize>,
    /// Whether small pictures come along; they do if nothing is said.
    pictures: Option<bool>,
}

/// A picture to find words for.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Describe {
    /// The absolute path of a picture file, or an id of an earlier answer.
    image: String,
    /// How many words or captions, 1 to 100; 10 if nothing is said.
    limit: Option<usize>,
}

/// A picture, and words of which one fits.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Label {
    /// The absolute path of a picture file, or an id of an earlier answer.
    image: String,
    /// At least two different words or phrases.
    labels: Vec<String>,
}

/// What a tool answers with, or a sentence on why not.
type Answer = Result<Vec<ContentBlock>, String>;

#[tool_router(router = tools)]
impl Assistant {
    #[tool(
        description = "Search the user's pictures by what they show, by a picture, or both. Gives paths, ids and scores as JSON, and a small picture of each hit.",
        annotations(read_only_hint = true)
    )]
    async fn search(&self, Parameters(ask): Parameters<Search>) -> CallToolResult {
        self.answer(move |this| this.find(&ask)).await
    }

    #[tool(
        description = "Find the words and captions that are nearest to a picture.",
        annotations(read_only_hint = true)
    )]
    async fn describe(&self, Parameters(ask): Parameters<Describe>) -> CallToolResult {
        self.answer(move |this| this.words_for(&ask)).await
    }

    #[tool(
        description = "Say which of some words fits a picture best, with probabilities. The words can be any; no training is needed.",
        annotations(read_only_hint = true)
    )]
    async fn label(&self, Parameters(ask): Parameters<Label>) -> CallToolResult {
        self.answer(move |this| this.judge(&ask)).await
    }

    #[tool(
        description = "Say how many pictures and texts are indexed, from which folders, and what the model can and cannot do.",
        annotations(read_only_hint = true)
    )]
    async fn status(&self) -> CallToolResult {
        self.answer(|this| {
            let status = this.engine()?.status().map_err(|e| e.to_string())?;
            Ok(vec![json(&wire::Status::from(&status))?])
        })
        .await
    }
}

#[tool_handler(router = Self::tools())]
impl ServerHandler for Assistant {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new("ekphrasis", env!("CARGO_PKG_VERSION"));
        info.instructions = Some(
            "Searches the pictures that the user has indexed on this machine. A search always \
             shows what is nearest, even if nothing fits; scores are no probabilities."
                .into(),
        );
        info
    }
}

impl Assistant {
    /// Runs `work` on a thread of its own: it takes the processor.
    async fn answer(&self, work: impl FnOnce(&Self) -> Answer + Send + 'static) -> CallToolResult {
        let this = self.clone();
        let answer = tokio::task::spawn_blocking(move || work(&this)).await;
        match answer.unwrap_or_else(|_| Err("it was cut off by a panic".into())) {
            Ok(content) => CallToolResult::success(content),
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        }
    }

    fn engine(&self) -> Result<Arc<Engine>, String> {
        let mut kept = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*kept {
            return Ok(Arc::clone(engine));
        }
        let towers = self.towers.clone();
        let opened = Engine::open(&self.data, towers, OpenFor::Reading);
        let engine = Arc::new(opened.map_err(|e| e.to_string())?);
        *kept = Some(Arc::clone(&engine));
        Ok(engine)
    }

    /// The store, if there is one: words for a picture can be had without.
    fn engine_if_any(&self) -> Result<Option<Arc<Engine>>, String> {
        match Engine::exists(&self.data) {
            Ok(true) => self.engine().map(Some),
            Ok(false) => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    fn source(&self, image: &str) -> Result<Source, String> {
        match image.parse::<ItemId>() {
            Ok(id) => self.engine()?.source_of(id).map_err(|e| e.to_string()),
            Err(_) if Path::new(image).is_absolute() => Ok(Source::Path(image.into())),
            Err(_) => Err(format!("image must be an absolute path or an id, got {image:?}")),
        }
    }

    fn find(&self, ask: &Search) -> Answer {
        let mut parts = Vec::new();
        let words = |text: &str, weight| Part { what: PartQuery::Text(text.into()), weight };
        parts.extend(ask.query.as_deref().map(|text| words(text, 1.0)));
        if let Some(image) = &ask.image {
            let what = match image.parse() {
                Ok(id) => PartQuery::Id(id),
                Err(_) => PartQuery::Image(self.source(image)?),
            };
            parts.push(Part { what, weight: 1.0 });
        }
        parts.extend(ask.avoid.as_deref().map(|text| words(text, -0.5)));
        let mut request = SearchRequest::new(parts);
        request.k = limit(ask.limit, 5, MOST_HITS)?;
        request.kind = Some(Kind::Image);
        request.mode = Mode::Hybrid;
        let filter = ask.filter.as_deref().filter(|text| !text.trim().is_empty());
        let filter = filter.map(str::parse::<Expr>).transpose();
        request.filter = filter.map_err(|e| format!("filter: {e}"))?;
        let engine = self.engine()?;
        let reply = engine.search(&request).map_err(|e| e.to_string())?;
        let mut content = vec![json(&wire::SearchReply::new(&reply, &request))?];
        if ask.pictures.unwrap_or(true) {
            for hit in &reply.hits {
                // One whose file is gone is still a hit.
                if let Ok(jpeg) = engine.thumbnail(hit.item.id) {
                    content.push(ContentBlock::image(BASE64_STANDARD.encode(jpeg), "image/jpeg"));
                }
            }
        }
        Ok(content)
    }

    fn words_for(&self, ask: &Describe) -> Answer {
        let source = self.source(&ask.image)?;
        let k = limit(ask.limit, 10, MOST_TEXTS)?;
        let found: Result<_, EngineError> = match self.engine_if_any()? {
            Some(engine) => engine.describe(&source, k),
            None => ekphrasis_engine::describe(&*self.towers, None, &source, k),
        };
        let found = found.map_err(|e| e.to_string())?;
        let images = vec![wire::DescribedImage::new(path_of(&source), &found)];
        Ok(vec![json(&wire::DescribeReply { images })?])
    }

    fn judge(&self, ask: &Label) -> Answer {
        let source = self.source(&ask.image)?;
        let request = LabelRequest { labels: ask.labels.clone(), templates: vec![] };
        let sources = std::slice::from_ref(&source);
        let mut replies = ekphrasis_engine::label_all(&*self.towers, sources, &request)
            .map_err(|e| e.to_string())?;
        let reply = replies.swap_remove(0).map_err(|e| e.to_string())?;
        let images = vec![wire::LabelledImage::new(path_of(&source), &reply)];
        Ok(vec![json(&wire::LabelReply { images })?])
    }
}

fn limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, String> {
    match asked.unwrap_or(usual) {
        n if (1..=most).contains(&n) => Ok(n),
        n => Err(format!("limit is 1 to {most}, got {n}")),
    }
}

fn path_of(source: &Source) -> Option<&Path> {
    match source {
        Source::Path(path) => Some(path),
        Source::Bytes(_) => None,
    }
}

fn json(value: &impl Serialize) -> Result<ContentBlock, String> {
    serde_json::to_string(value).map(ContentBlock::text).map_err(|e| e.to_string())
}
