//! Items: what is in the store, one by one.

use std::path::Path;

use actix_web::body::SizedStream;
use actix_web::http::header::{
    self, Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue,
};
use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ekphrasis_engine::{ItemId, Serving};

use super::{block, link, quick};
use crate::current::Current;
use crate::fields::Fields;
use crate::jobs::writable;
use crate::orders::{self, Addition};
use crate::problem::Problem;
use crate::{assets, body, file_stream, request, wire};

pub(super) async fn list(
    engine: Current,
    request: HttpRequest,
) -> Result<Json<wire::ItemList>, Problem> {
    let wanted = request::listing(link(&request)?)?;
    block(move || {
        let items = engine.items(wanted.after, wanted.limit, &wanted.filter)?;
        let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
        let items: Vec<_> = items.into_iter().zip(engine.given_labels(&ids)?).collect();
        Ok(Json(wire::ItemList::new(&items, wanted.limit)))
    })
    .await
}

pub(super) async fn create(
    serving: Data<Serving>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let raw = body::receive(&request, payload).await?;
    let added = block(move || {
        serving.write(|engine| {
            writable(engine)?;
            Ok(match orders::addition(Fields::from_body(raw)?)? {
                Addition::Text { text, tags } => engine.add_text(&text, tags)?,
                Addition::Picture { bytes, name, words } => {
                    engine.add_picture(&bytes, name.as_deref(), words)?
                }
            })
        })
    })
    .await?;
    let mut reply = if added.new { HttpResponse::Created() } else { HttpResponse::Ok() };
    let location = format!("/v1/items/{}", added.item.id);
    Ok(reply.insert_header((header::LOCATION, location)).json(wire::Item::from(&added.item)))
}

pub(super) fn id_in(request: &HttpRequest) -> Result<ItemId, Problem> {
    let id = request.match_info().get("id").unwrap_or_default();
    let parsed: Result<ItemId, _> = id.parse();
    parsed.map_err(|e| Problem::field("id", e.to_string()))
}

pub(super) fn absent(id: ItemId) -> Problem {
    Problem::not_found(format!("there is no item {id}"))
}

pub(super) async fn one(
    engine: Current,
    request: HttpRequest,
) -> Result<Json<wire::Item>, Problem> {
    let id = id_in(&request)?;
    quick(move || match engine.item(id)? {
        Some(item) => {
            let given = engine.given_labels(&[id])?.pop().unwrap_or_default();
            Ok(Json(wire::Item::labelled(&item, &given)))
        }
        None => Err(absent(id)),
    })
    .await
}

pub(super) async fn remove(
    serving: Data<Serving>,
    request: HttpRequest,
) -> Result<Json<wire::Removed>, Problem> {
    let id = id_in(&request)?;
    block(move || {
        serving.write(|engine| {
            writable(engine)?;
            let item = engine.item(id)?.ok_or_else(|| absent(id))?;
            let mut within = engine.roots()?;
            within.retain(|root| item.path.as_ref().is_some_and(|path| path.starts_with(root)));
            if !engine.remove_item(id)? {
                return Err(absent(id));
            }
            Ok(Json(wire::Removed::new(1, &within)))
        })
    })
    .await
}

pub(super) async fn thumbnail(
    engine: Current,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = id_in(&request)?;
    let jpeg = block(move || Ok(engine.thumbnail(id)?)).await?;
    // The same id shows another picture once its file changes; a minute late is soon enough.
    let tag = assets::tag(&jpeg);
    Ok(assets::tagged(&request, &tag, "image/jpeg", "private, max-age=60", || jpeg))
}

pub(super) async fn file(engine: Current, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let id = id_in(&request)?;
    let found = block(move || Ok(engine.file(id)?)).await?;
    let (mime, shown) = media_type(&found.format);
    let tag = assets::tag_of(&blake3::Hash::from_bytes(found.content));
    let path = found.path.clone();
    let reply = assets::tagged(&request, &tag, mime, "private, no-cache", || {
        SizedStream::new(found.size, file_stream::pieces(found))
    });
    Ok(harmless(reply, &path, shown))
}

/// A reply with a file, so that it can do nothing when opened on its own; browsers may show it
/// or not.
pub(super) fn harmless(mut reply: HttpResponse, path: &Path, shown: bool) -> HttpResponse {
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
    reply
}

/// The media type of a format by content, and whether browsers show it.
/// Anything unknown, and whatever could hold a script, is for saving only.
pub(super) fn media_type(format: &str) -> (&'static str, bool) {
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
