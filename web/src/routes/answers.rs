//! What a store in a folder and one that is shared are asked alike: searches, the words for a
//! picture, vectors. One handler each; the engines differ in where they find a picture.

use std::path::PathBuf;

use actix_web::web::{Json, Payload};
use actix_web::{FromRequest, HttpRequest};
use ekphrasis_engine::{
    Description, Embedding, Engine, EngineError, Fault, LabelReply, SearchReply, SearchRequest,
    Source,
};

use super::{MANY, block, link, long};
use crate::current::Current;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::request::{self, Embeddable, Labels, Picture};
use crate::{body, wire};

/// What is known of a picture, and where it lies, if it does.
pub(super) type OfPicture<T> = (Option<PathBuf>, T);

/// Whoever answers.
pub(super) trait Answers: FromRequest + Send + 'static {
    fn search(&self, request: &SearchRequest) -> Result<SearchReply, EngineError>;

    fn embed_text(&self, text: &str) -> Result<Embedding, EngineError>;

    fn embed_picture(&self, picture: Picture) -> Result<Embedding, Problem>;

    fn describe(&self, picture: Picture, k: usize) -> Result<OfPicture<Vec<Description>>, Problem>;

    fn label(&self, picture: Picture, labels: Labels) -> Result<OfPicture<LabelReply>, Problem>;
}

impl Answers for Current {
    fn search(&self, request: &SearchRequest) -> Result<SearchReply, EngineError> {
        Engine::search(self, request)
    }

    fn embed_text(&self, text: &str) -> Result<Embedding, EngineError> {
        Engine::embed_text(self, text)
    }

    fn embed_picture(&self, picture: Picture) -> Result<Embedding, Problem> {
        let about = about(&picture);
        self.embed_image(&source(self, picture)?).map_err(about)
    }

    fn describe(&self, picture: Picture, k: usize) -> Result<OfPicture<Vec<Description>>, Problem> {
        let about = about(&picture);
        let source = source(self, picture)?;
        let found = Engine::describe(self, &source, k).map_err(about)?;
        Ok((path_of(source), found))
    }

    fn label(&self, picture: Picture, labels: Labels) -> Result<OfPicture<LabelReply>, Problem> {
        let about = about(&picture);
        let source = source(self, picture)?;
        let reply = match labels {
            Labels::Words(request) => Engine::label(self, &source, &request).map_err(about)?,
            Labels::Set(set, multi) => {
                let mut all = self.label_by_set(std::slice::from_ref(&source), &set, multi)?;
                all.swap_remove(0).map_err(about)?
            }
        };
        Ok((path_of(source), reply))
    }
}

fn source(engine: &Engine, picture: Picture) -> Result<Source, EngineError> {
    match picture {
        Picture::Sent(source) => Ok(source),
        Picture::Stored(id) => engine.source_of(id),
    }
}

/// What went wrong with a picture: one of the store is what `id` names, one that was sent says
/// itself how it came.
fn about(picture: &Picture) -> impl Fn(EngineError) -> Problem + use<> {
    let stored = matches!(picture, Picture::Stored(_));
    move |error| match (stored, error.fault()) {
        (true, Fault::User) if error.field().is_none() => Problem::about("id", error),
        _ => error.into(),
    }
}

fn path_of(source: Source) -> Option<PathBuf> {
    match source {
        Source::Path(path) => Some(path),
        Source::Sent { .. } => None,
    }
}

pub(super) async fn search_link<E: Answers>(
    engine: E,
    request: HttpRequest,
) -> Result<Json<wire::SearchReply>, Problem> {
    let request = request::search_link(link(&request)?)?;
    block(move || Ok(Json(wire::SearchReply::new(&engine.search(&request)?, &request)))).await
}

pub(super) async fn search<E: Answers>(
    engine: E,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::SearchReply>, Problem> {
    searched(engine, request, payload, request::search).await
}

/// A search that goes on from judgements of its hits. All of it is in the request: nothing is
/// kept here, so any client may ask any server of the store.
pub(super) async fn feedback<E: Answers>(
    engine: E,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::SearchReply>, Problem> {
    searched(engine, request, payload, request::feedback).await
}

async fn searched<E: Answers>(
    engine: E,
    request: HttpRequest,
    payload: Payload,
    read: fn(Fields) -> Result<SearchRequest, Problem>,
) -> Result<Json<wire::SearchReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let request = read(Fields::from_body(raw)?)?;
        Ok(Json(wire::SearchReply::new(&engine.search(&request)?, &request)))
    })
    .await
}

pub(super) async fn label<E: Answers>(
    engine: E,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::LabelReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    let (picture, labels) = block(move || request::label(Fields::from_body(raw)?)).await?;
    let many = matches!(&labels, Labels::Words(words)
        if words.labels.len() * words.templates.len().max(1) > MANY);
    let multi = match &labels {
        Labels::Words(request) => request.multi,
        Labels::Set(_, multi) => *multi,
    };
    let work = move || {
        let (path, reply) = engine.label(picture, labels)?;
        let images = vec![wire::LabelledImage::new(path.as_deref(), &reply)];
        let warnings = reply.doubt(multi).into_iter().collect();
        Ok(Json(wire::LabelReply { images, warnings }))
    };
    if many { long(work).await } else { block(work).await }
}

pub(super) async fn describe<E: Answers>(
    engine: E,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::DescribeReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let (picture, k) = request::describe(Fields::from_body(raw)?)?;
        let (path, found) = engine.describe(picture, k)?;
        let images = vec![wire::DescribedImage::new(path.as_deref(), &found)];
        Ok(Json(wire::DescribeReply { images }))
    })
    .await
}

pub(super) async fn embed<E: Answers>(
    engine: E,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::EmbedReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let embedding = match request::embed(Fields::from_body(raw)?)? {
            Embeddable::Text(text) => engine.embed_text(&text)?,
            Embeddable::Picture(picture) => engine.embed_picture(picture)?,
        };
        Ok(Json(wire::EmbedReply::from(&embedding)))
    })
    .await
}
