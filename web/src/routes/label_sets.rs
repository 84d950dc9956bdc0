//! Lists of labels that the store keeps.

use actix_web::web::{Data, Json, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ekphrasis_engine::Engine;

use super::{block, quick};
use crate::fields::Fields;
use crate::jobs::writable;
use crate::orders::From;
use crate::problem::Problem;
use crate::{body, naming, wire};

pub(super) async fn list(engine: Data<Engine>) -> Result<Json<wire::LabelSetList>, Problem> {
    quick(move || Ok(Json(wire::LabelSetList::new(&engine.label_sets()?)))).await
}

fn absent(name: &str) -> Problem {
    Problem::not_found(format!("there is no label set {name:?}"))
}

pub(super) async fn one(
    engine: Data<Engine>,
    name: Path<String>,
) -> Result<Json<wire::LabelSet>, Problem> {
    quick(move || match engine.label_set(&name)? {
        Some(set) => Ok(Json(wire::LabelSet::from(&set))),
        None => Err(absent(&name)),
    })
    .await
}

pub(super) async fn put(
    engine: Data<Engine>,
    name: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let from = From::of(&request);
    let raw = body::receive(&request, payload).await?;
    let changed = block(move || {
        writable(&engine)?;
        let (labels, writing) = naming::label_set(Fields::from_body(raw)?, from)?;
        Ok(engine.write_label_set(&name, &labels, writing)?)
    })
    .await?;
    let mut reply = if changed.new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(reply.json(wire::ChangedLabelSet::from(&changed)))
}

pub(super) async fn apply(
    engine: Data<Engine>,
    name: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::AppliedLabels>, Problem> {
    let raw = body::receive(&request, payload).await?;
    block(move || {
        writable(&engine)?;
        let rule = naming::label_rule(Fields::from_body(raw)?)?;
        Ok(Json(wire::AppliedLabels::from(&engine.apply_label_set(&name, rule)?)))
    })
    .await
}

pub(super) async fn remove(
    engine: Data<Engine>,
    name: Path<String>,
) -> Result<Json<wire::Forgotten>, Problem> {
    block(move || {
        writable(&engine)?;
        if !engine.forget_label_set(&name)? {
            return Err(absent(&name));
        }
        Ok(Json(wire::Forgotten { forgotten: name.trim().to_owned() }))
    })
    .await
}

pub(super) async fn remove_label(
    engine: Data<Engine>,
    path: Path<(String, String)>,
) -> Result<Json<wire::Forgotten>, Problem> {
    block(move || {
        writable(&engine)?;
        let (name, label) = path.into_inner();
        if !engine.forget_label(&name, &label)? {
            return Err(Problem::not_found(format!(
                "there is no label {label:?} in a label set {name:?}"
            )));
        }
        Ok(Json(wire::Forgotten { forgotten: label.trim().to_owned() }))
    })
    .await
}
