//! Identities: who is known by examples, and who a picture shows.

use std::path::PathBuf;

use actix_web::web::{Data, Json, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ekphrasis_engine::{Engine, Example, Serving, Source};

use super::{MANY, block, long, quick};
use crate::current::Current;
use crate::fields::Fields;
use crate::jobs::writable;
use crate::orders::From;
use crate::problem::Problem;
use crate::{body, naming, wire};

pub(super) async fn list(engine: Current) -> Result<Json<wire::IdentityList>, Problem> {
    quick(move || Ok(Json(wire::IdentityList::new(&engine.identities()?)))).await
}

fn absent(name: &str) -> Problem {
    Problem::not_found(format!("nobody is enrolled as {name:?}"))
}

pub(super) async fn one(
    engine: Current,
    name: Path<String>,
) -> Result<Json<wire::Identity>, Problem> {
    quick(move || match engine.identity(&name)? {
        Some(identity) => Ok(Json(wire::Identity::from(&identity))),
        None => Err(absent(&name)),
    })
    .await
}

pub(super) async fn put(
    serving: Data<Serving>,
    name: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let from = From::of(&request);
    let raw = body::receive(&request, payload).await?;
    let order = block(move || naming::enrol(Fields::from_body(raw)?, from)).await?;
    let many = order.examples.len() > MANY;
    let work = move || {
        serving.write(|engine| {
            writable(engine)?;
            Ok(engine.enrol(&name, &order.examples, !order.add)?)
        })
    };
    let enrolment = if many { long(work).await? } else { block(work).await? };
    let mut reply = if enrolment.new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(reply.json(wire::Enrolment::from(&enrolment)))
}

pub(super) async fn remove(
    serving: Data<Serving>,
    name: Path<String>,
) -> Result<Json<wire::Forgotten>, Problem> {
    block(move || {
        serving.write(|engine| {
            writable(engine)?;
            if !engine.forget_identity(&name)? {
                return Err(absent(&name));
            }
            Ok(Json(wire::Forgotten { forgotten: name.trim().to_owned() }))
        })
    })
    .await
}

/// Where a picture of the store lies.
fn path_of(engine: &Engine, picture: &Example) -> Result<Option<PathBuf>, Problem> {
    Ok(match picture {
        Example::Item(id) => engine.item(*id)?.and_then(|item| item.path),
        Example::Picture(Source::Path(path)) => Some(path.clone()),
        Example::Picture(Source::Sent { .. }) => None,
    })
}

pub(super) async fn verify(
    engine: Current,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::VerifyReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let asked = naming::verify(Fields::from_body(raw)?)?;
        let verified = engine.verify(&asked.name, &asked.picture, asked.accepting)?;
        let path = path_of(&engine, &asked.picture)?;
        Ok(Json(wire::VerifyReply::new(path.as_deref(), &verified)))
    })
    .await
}

pub(super) async fn identify(
    engine: Current,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::IdentifyReply>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        let (picture, options) = naming::identify(Fields::from_body(raw)?)?;
        let found = engine.identify(&picture, &options)?;
        let path = path_of(&engine, &picture)?;
        let images = vec![wire::IdentifiedImage::new(path.as_deref(), &found)];
        Ok(Json(wire::IdentifyReply { images }))
    })
    .await
}
