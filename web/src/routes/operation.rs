//! Operation: is it well, what does it have, what has it done?

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Json};

use super::{block, link, quick};
use crate::current::Current;
use crate::gate::{GATE, LONG};
use crate::meter::Meter;
use crate::openapi::DOCUMENT;
use crate::problem::Problem;
use crate::{assets, request, wire};

pub(super) async fn healthy() -> HttpResponse {
    HttpResponse::Ok().json(wire::Health { status: "ok" })
}

pub(super) async fn ready(engine: Current) -> Result<HttpResponse, Problem> {
    quick(move || Ok(engine.status()?)).await?;
    Ok(HttpResponse::Ok().json(wire::Health { status: "ready" }))
}

pub(super) async fn status(engine: Current) -> Result<Json<wire::Status>, Problem> {
    quick(move || Ok(Json(wire::Status::from(&engine.status()?)))).await
}

pub(super) async fn failures(engine: Current) -> Result<Json<wire::FailureList>, Problem> {
    quick(move || Ok(Json(wire::FailureList::new(&engine.failures()?)))).await
}

pub(super) async fn metrics(engine: Current, meter: Data<Meter>) -> Result<HttpResponse, Problem> {
    let text =
        quick(move || Ok(meter.text(&engine, &[("usual", &*GATE), ("long", &*LONG)])?)).await?;
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    Ok(HttpResponse::Ok().insert_header(kind).body(text))
}

/// The description of all this.
pub(super) async fn openapi(request: HttpRequest) -> HttpResponse {
    let text = &*DOCUMENT;
    let tag = assets::tag(text.as_bytes());
    assets::tagged(&request, &tag, "application/json", "no-cache", || text.as_str())
}

pub(super) async fn facets(
    engine: Current,
    request: HttpRequest,
) -> Result<Json<wire::Facets>, Problem> {
    let wanted = request::facets(link(&request)?)?;
    block(move || Ok(Json(engine.facets(&wanted.filter, wanted.limit)?.into()))).await
}
