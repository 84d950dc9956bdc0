//! The routes of a store that other machines share. Whatever needs a store in a folder is
//! refused by name; what is answered is answered as there.

use std::path::PathBuf;

use actix_web::http::header;
use actix_web::web::{self, Data, Json, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use ekphrasis_engine::{
    Description, Embedding, EngineError, Item, ItemId, LabelReply, SearchReply, SearchRequest,
    SharedEngine,
};

use super::answers::{Answers, OfPicture, describe, embed, feedback, label, search, search_link};
use super::items::{absent, harmless, id_in, media_type};
use super::{block, link, nowhere, operation, quick, read, resource};
use crate::gate::{GATE, LONG};
use crate::meter::Meter;
use crate::problem::Problem;
use crate::request::{self, Labels, Picture};
use crate::{assets, wire};

type Shared = Data<SharedEngine>;

/// Paths that a store in a folder answers, and what for.
const ELSEWHERE: [(&str, &str); 16] = [
    ("/", "the page"),
    ("/docs", "the page"),
    ("/openapi.json", "the description of routes, most of which are not here"),
    ("/v1/failures", "a list of failures; each ek index tells those of its own run"),
    ("/v1/models", "choosing among models"),
    ("/v1/models/{name}/use", "moving to another model"),
    ("/v1/facets", "counting what filters could ask for"),
    ("/v1/duplicates", "looking for copies"),
    ("/v1/jobs", "jobs; run ek index --store"),
    ("/v1/jobs/{rest:.*}", "jobs; run ek index --store"),
    ("/v1/identities", "identities"),
    ("/v1/identities/{name}", "identities"),
    ("/v1/verify", "identities"),
    ("/v1/identify", "identities"),
    ("/v1/label-sets", "label sets"),
    ("/v1/label-sets/{rest:.*}", "label sets"),
];

/// Adds every route. The app's data must hold a [`SharedEngine`].
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(read(
            "/healthz",
            web::get().to(operation::healthy),
            web::head().to(operation::healthy),
        ))
        .service(read("/readyz", web::get().to(ready), web::head().to(ready)))
        .service(read("/metrics", web::get().to(metrics), web::head().to(metrics)))
        .service(read("/v1/status", web::get().to(status), web::head().to(status)))
        .service(
            resource("/v1/items", "GET, HEAD")
                .route(web::get().to(list))
                .route(web::head().to(list))
                .route(web::post().to(refuse_change)),
        )
        .service(
            resource("/v1/items/{id}", "GET, HEAD")
                .route(web::get().to(one))
                .route(web::head().to(one))
                .route(web::delete().to(refuse_change)),
        )
        .service(read(
            "/v1/items/{id}/thumbnail",
            web::get().to(thumbnail),
            web::head().to(thumbnail),
        ))
        .service(read("/v1/items/{id}/file", web::get().to(file), web::head().to(file)))
        .service(
            resource("/v1/search", "GET, HEAD, POST")
                .route(web::get().to(search_link::<Shared>))
                .route(web::head().to(search_link::<Shared>))
                .route(web::post().to(search::<Shared>)),
        )
        .service(resource("/v1/feedback", "POST").route(web::post().to(feedback::<Shared>)))
        .service(resource("/v1/label", "POST").route(web::post().to(label::<Shared>)))
        .service(resource("/v1/describe", "POST").route(web::post().to(describe::<Shared>)))
        .service(resource("/v1/embed", "POST").route(web::post().to(embed::<Shared>)));
    for (path, what) in ELSEWHERE {
        config.service(web::resource(path).to(move || async move {
            let detail = format!("a store on a Milvus server has no {what}");
            Err::<HttpResponse, _>(Problem::unsupported(detail))
        }));
    }
    config.default_service(web::to(nowhere));
}

async fn refuse_change() -> Result<HttpResponse, Problem> {
    Err(Problem::unsupported(
        "whoever serves a store on a Milvus server changes nothing in it; run ek index --store",
    ))
}

async fn ready(engine: Shared) -> Result<HttpResponse, Problem> {
    quick(move || Ok(engine.ready()?)).await?;
    Ok(HttpResponse::Ok().json(wire::Health { status: "ready" }))
}

async fn status(engine: Shared) -> Result<Json<wire::SharedStatus>, Problem> {
    quick(move || Ok(Json(wire::SharedStatus::from(&engine.status()?)))).await
}

async fn metrics(engine: Shared, meter: Data<Meter>) -> Result<HttpResponse, Problem> {
    let gates = [("usual", &*GATE), ("long", &*LONG)];
    let text = quick(move || Ok(meter.text_of_shared(&engine, &gates)?)).await?;
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    Ok(HttpResponse::Ok().insert_header(kind).body(text))
}

async fn list(engine: Shared, request: HttpRequest) -> Result<Json<wire::ItemList>, Problem> {
    let wanted = request::listing(link(&request)?)?;
    block(move || {
        let items = engine.items(wanted.after, wanted.limit, &wanted.filter)?;
        let items: Vec<(Item, Vec<_>)> = items.into_iter().map(|item| (item, vec![])).collect();
        Ok(Json(wire::ItemList::new(&items, wanted.limit)))
    })
    .await
}

async fn one(engine: Shared, request: HttpRequest) -> Result<Json<wire::Item>, Problem> {
    let id = id_in(&request)?;
    quick(move || match engine.item(id)? {
        Some(item) => Ok(Json(wire::Item::from(&item))),
        None => Err(absent(id)),
    })
    .await
}

async fn thumbnail(engine: Shared, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let id = id_in(&request)?;
    let jpeg = block(move || Ok(engine.thumbnail(id)?)).await?;
    let tag = assets::tag(&jpeg);
    Ok(assets::tagged(&request, &tag, "image/jpeg", "private, max-age=60", || jpeg))
}

async fn file(engine: Shared, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let id = id_in(&request)?;
    let found = block(move || Ok(engine.file(id)?)).await?;
    let (mime, shown) = media_type(&found.facts.format);
    let tag = assets::tag_of(&blake3::Hash::from_bytes(found.facts.content));
    let path = found.item.path.unwrap_or_default();
    let reply = assets::tagged(&request, &tag, mime, "private, no-cache", || found.bytes);
    Ok(harmless(reply, &path, shown))
}

impl Answers for Shared {
    fn search(&self, request: &SearchRequest) -> Result<SearchReply, EngineError> {
        self.get_ref().search(request)
    }

    fn embed_text(&self, text: &str) -> Result<Embedding, EngineError> {
        self.get_ref().embed_text(text)
    }

    fn embed_picture(&self, picture: Picture) -> Result<Embedding, Problem> {
        Ok(vector(self, picture)?.1)
    }

    fn describe(&self, picture: Picture, k: usize) -> Result<OfPicture<Vec<Description>>, Problem> {
        let (id, image) = vector(self, picture)?;
        let found = self.get_ref().describe(&image, k)?;
        Ok((path_in(self, id)?, found))
    }

    fn label(&self, picture: Picture, labels: Labels) -> Result<OfPicture<LabelReply>, Problem> {
        let Labels::Words(labels) = labels else {
            return Err(Problem::unsupported("a store on a Milvus server has no label sets"));
        };
        let (id, image) = vector(self, picture)?;
        let reply = self.get_ref().label(&image, &labels)?;
        Ok((path_in(self, id)?, reply))
    }
}

/// The vector of a picture that was sent, or of one in the store: that of an item is known.
fn vector(engine: &SharedEngine, picture: Picture) -> Result<(Option<ItemId>, Embedding), Problem> {
    let about = |error: EngineError| Problem::about("id", error);
    match picture {
        Picture::Sent(source) => Ok((None, engine.embed_image(&source)?)),
        Picture::Stored(id) => Ok((Some(id), engine.embedding_of(id).map_err(about)?)),
    }
}

/// Where a picture of the store lies.
fn path_in(engine: &SharedEngine, id: Option<ItemId>) -> Result<Option<PathBuf>, Problem> {
    let item = id.map(|id| engine.item(id)).transpose()?.flatten();
    Ok(item.and_then(|item| item.path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::SEEN;
    use super::*;

    /// Whatever a store in a folder answers is answered here or refused by name.
    #[test]
    fn nothing_is_merely_missing() {
        let seen = |routes: fn(&mut ServiceConfig)| -> BTreeSet<String> {
            SEEN.take();
            let _ = actix_web::App::new().configure(routes);
            SEEN.take().into_iter().map(|(path, _)| path).collect()
        };
        let here = seen(routes);
        for path in seen(super::super::routes) {
            let refused = ELSEWHERE.iter().any(|(known, _)| match known.split_once("{rest") {
                Some((above, _)) => path.starts_with(above),
                None => *known == path,
            });
            let is_asset = assets::find(&path).is_some();
            assert!(here.contains(&path) || refused || is_asset, "{path}");
        }
    }
}
