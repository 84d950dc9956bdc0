//! Given a method and an address, who answers? The table of routes and the
//! handlers, each of which asks the engine on a thread that may block.

use actix_web::http::header::{
    self, Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue,
};
use actix_web::web::{self, Data, Json, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};
use ekphrasis_engine::{Engine, EngineError, ItemId, Source};
use serde_json::json;

use crate::body;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::request::{self, Embeddable, Picture};
use crate::{assets, wire};

/// Adds every route. The app's data must hold an [`Engine`].
pub(crate) fn routes(config: &mut ServiceConfig) {
    for path in assets::paths() {
        config.service(read(path, web::get().to(asset), web::head().to(asset)));
    }
    config
        .service(read("/healthz", web::get().to(healthy), web::head().to(healthy)))
        .service(read("/readyz", web::get().to(ready), web::head().to(ready)))
        .service(read("/v1/status", web::get().to(status), web::head().to(status)))
        .service(read("/v1/failures", web::get().to(failures), web::head().to(failures)))
        .service(read("/v1/duplicates", web::get().to(duplicates), web::head().to(duplicates)))
        .service(read("/v1/items", web::get().to(items), web::head().to(items)))
        .service(read("/v1/items/{id}", web::get().to(item), web::head().to(item)))
        .service(read(
            "/v1/items/{id}/thumbnail",
            web::get().to(thumbnail),
            web::head().to(thumbnail),
        ))
        .service(read("/v1/items/{id}/file", web::get().to(file), web::head().to(file)))
        .service(
            resource("/v1/search", "GET, HEAD, POST")
                .route(web::get().to(search_link))
                .route(web::head().to(search_link))
                .route(web::post().to(search)),
        )
        .service(resource("/v1/label", "POST").route(web::post().to(label)))
        .service(resource("/v1/describe", "POST").route(web::post().to(describe)))
        .service(resource("/v1/embed", "POST").route(web::post().to(embed)))
        .default_service(web::to(nowhere));
}

fn resource(path: &str, allow: &'static str) -> Resource {
    let refuse = move |request: HttpRequest| async move {
        let detail = format!("{} takes {allow}, not {}", request.path(), request.method());
        Err::<HttpResponse, _>(Problem::wrong_method(allow, detail))
    };
    web::resource(path).default_service(web::to(refuse))
}

fn read(path: &str, get: actix_web::Route, head: actix_web::Route) -> Resource {
    resource(path, "GET, HEAD").route(get).route(head)
}

async fn nowhere(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(format!("there is nothing at {}", request.path())))
}

async fn asset(request: HttpRequest) -> Result<HttpResponse, Problem> {
    match assets::find(request.path()) {
        Some(asset) => Ok(asset.reply(&request)),
        None => nowhere(request).await,
    }
}

/// Runs `work` where blocking is allowed.
async fn block<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match web::block(work).await {
        Ok(result) => result,
        Err(_) => Err(Problem::bug("the request's work was cut off by a panic; it is in the log")),
    }
}

async fn healthy() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

async fn ready(engine: Data<Engine>) -> Result<HttpResponse, Problem> {
    block(move || Ok(engine.status()?)).await?;
    Ok(HttpResponse::Ok().json(json!({"status": "ready"})))
}

async fn status(engine: Data<Engine>) -> Result<Json<wire::Status>, Problem> {
    block(move || Ok(Json(wire::Status::from(&engine.status()?)))).await
}

async fn failures(engine: Data<Engine>) -> Result<Json<wire::FailureList>, Problem> {
    block(move || Ok(Json(wire::FailureList::new(&engine.failures()?)))).await
}

/// The fields of the address.
fn link(request: &HttpRequest) -> Result<Fields, Problem> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    let pairs =
        pairs.map_err(|e| Problem::malformed(format!("the address cannot be read: {e}")))?;
    Ok(Fields::from_query(pairs.into_inner()))
}

async fn search_link(
    engine: Data<Engine>,
    request: HttpRequest,
) -> Result<Json<wire::SearchReply>, Problem> {
    let request = request::search_link(link(&request)?)?;
    block(move || Ok(Json(wire::SearchReply::new(&engine.search(&request)?, &request)))).await
}

async fn search(
    engine: Data<Engine>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::SearchReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let request = request::search(Fields::from_body(raw)?)?;
        Ok(Json(wire::SearchReply::new(&engine.search(&request)?, &request)))
    })
    .await
}

fn source(engine: &Engine, picture: Picture) -> Result<Source, EngineError> {
    match picture {
        Picture::Sent(source) => Ok(source),
        Picture::Stored(id) => engine.source_of(id),
    }
}

fn path_of(source: &Source) -> Option<&std::path::Path> {
    match source {
        Source::Path(path) => Some(path),
        Source::Bytes(_) => None,
    }
}

async fn label(
    engine: Data<Engine>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::LabelReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let (picture, request) = request::label(Fields::from_body(raw)?)?;
        let source = source(&engine, picture)?;
        let reply = engine.label(&source, &request)?;
        let images = vec![wire::LabelledImage::new(path_of(&source), &reply)];
        Ok(Json(wire::LabelReply { images }))
    })
    .await
}

async fn describe(
    engine: Data<Engine>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::DescribeReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let (picture, k) = request::describe(Fields::from_body(raw)?)?;
        let source = source(&engine, picture)?;
        let found = engine.describe(&source, k)?;
        let images = vec![wire::DescribedImage::new(path_of(&source), &found)];
        Ok(Json(wire::DescribeReply { images }))
    })
    .await
}

async fn embed(
    engine: Data<Engine>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::EmbedReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let embedding = match request::embed(Fields::from_body(raw)?)? {
            Embeddable::Text(text) => engine.embed_text(&text)?,
            Embeddable::Picture(picture) => engine.embed_image(&source(&engine, picture)?)?,
        };
        Ok(Json(wire::EmbedReply::from(&embedding)))
    })
    .await
}

async fn items(
    engine: Data<Engine>,
    request: HttpRequest,
) -> Result<Json<wire::ItemList>, Problem> {
    let wanted = request::listing(link(&request)?)?;
    block(move || {
        let items = engine.items(wanted.after, wanted.limit, &wanted.filter)?;
        Ok(Json(wire::ItemList::new(&items, wanted.limit)))
    })
    .await
}

async fn duplicates(
    engine: Data<Engine>,
    request: HttpRequest,
) -> Result<Json<wire::DuplicateReport>, Problem> {
    let wanted = request::duplicates(link(&request)?)?;
    block(move || {
        let report = engine.duplicates(wanted.identical, &wanted.filter)?;
        Ok(Json(wire::DuplicateReport::new(&report, wanted.offset, wanted.limit)))
    })
    .await
}

fn id_in(request: &HttpRequest) -> Result<ItemId, Problem> {
    let id = request.match_info().get("id").unwrap_or_default();
    let parsed: Result<ItemId, _> = id.parse();
    parsed.map_err(|e| Problem::field("id", e.to_string()))
}

async fn item(engine: Data<Engine>, request: HttpRequest) -> Result<Json<wire::Item>, Problem> {
    let id = id_in(&request)?;
    block(move || match engine.item(id)? {
        Some(item) => Ok(Json(wire::Item::from(&item))),
        None => Err(Problem::not_found(format!("there is no item {id}"))),
    })
    .await
}

async fn thumbnail(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let id = id_in(&request)?;
    let jpeg = block(move || Ok(engine.thumbnail(id)?)).await?;
    // The same id shows another picture once its file changes; a minute late is soon enough.
    let tag = assets::tag(&jpeg);
    Ok(assets::tagged(&request, &tag, "image/jpeg", "private, max-age=60", || jpeg.into()))
}

async fn file(engine: Data<Engine>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let id = id_in(&request)?;
    let (path, bytes, format) = block(move || Ok(engine.file(id)?)).await?;
    let (mime, shown) = media_type(&format);
    let tag = assets::tag(&bytes);
    let mut reply = assets::tagged(&request, &tag, mime, "private, no-cache", || bytes.into());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let disposition = ContentDisposition {
        disposition: if shown { DispositionType::Inline } else { DispositionType::Attachment },
        parameters: vec![DispositionParam::FilenameExt(ExtendedValue {
            charset: Charset::Ext("UTF-8".into()),
            language_tag: None,
            value: name.into_bytes(),
        })],
    };
    let headers = reply.headers_mut();
    if let Ok(value) = header::TryIntoHeaderValue::try_into_value(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    // Whatever the file holds, it may do nothing when opened on its own.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        header::HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    Ok(reply)
}

/// The media type of a format by content, and whether browsers show it.
/// Anything unknown, and whatever could hold a script, is for saving only.
fn media_type(format: &str) -> (&'static str, bool) {
    match format {
        "jpeg" | "jpg" => ("image/jpeg", true),
        "png" => ("image/png", true),
        "gif" => ("image/gif", true),
        "webp" => ("image/webp", true),
        "bmp" => ("image/bmp", true),
        "ico" => ("image/x-icon", true),
        "avif" => ("image/avif", true),
        "tiff" => ("image/tiff", false),
        "heic" | "heif" => ("image/heic", false),
        "jxl" => ("image/jxl", false),
        // It may hold scripts.
        "svg" => ("image/svg+xml", false),
        _ => ("application/octet-stream", false),
    }
}
