//! Lists of labels that the store keeps.

use actix_web::web::{Data, Json, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ekphrasis_engine::Serving;

use super::{block, long, quick};
use crate::current::Current;
use crate::fields::Fields;
use crate::jobs::writable;
use crate::orders::From;
use crate::problem::Problem;
use crate::{body, naming, wire};

pub(super) async fn list(engine: Current) -> Result<Json<wire::LabelSetList>, Problem> {
    quick(move || Ok(Json(wire::LabelSetList::new(&engine.label_sets()?)))).await
}

fn absent(name: &str) -> Problem {
    Problem::not_found(format!("there is no label set {name:?}"))
}

pub(super) async fn one(
    engine: Current,
    name: Path<String>,
) -> Result<Json<wire::LabelSet>, Problem> {
    quick(move || match engine.label_set(&name)? {
        Some(set) => Ok(Json(wire::LabelSet::from(&set))),
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
    let changed = long(move || {
        serving.write(|engine| {
            writable(engine)?;
            let (labels, writing) = naming::label_set(Fields::from_body(raw)?, from)?;
            Ok(engine.write_label_set(&name, &labels, writing)?)
        })
    })
    .await?;
    let mut reply = if changed.new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(reply.json(wire::ChangedLabelSet::from(&changed)))
}

pub(super) async fn apply(
    serving: Data<Serving>,
    name: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<wire::AppliedLabels>, Problem> {
    let raw = body::receive_if_any(&request, payload).await?;
    long(move || {
        serving.write(|engine| {
            writable(engine)?;
            let rule = naming::label_rule(Fields::from_any_body(raw)?)?;
            Ok(Json(wire::AppliedLabels::from(&engine.apply_label_set(&name, rule)?)))
        })
    })
    .await
}

pub(super) async fn remove(
    serving: Data<Serving>,
    name: Path<String>,
) -> Result<Json<wire::Forgotten>, Problem> {
    block(move || {
        serving.write(|engine| {
            writable(engine)?;
            if !engine.forget_label_set(&name)? {
                return Err(absent(&name));
            }
            Ok(Json(wire::Forgotten { forgotten: name.trim().to_owned() }))
        })
    })
    .await
}

pub(super) async fn remove_label(
    serving: Data<Serving>,
    path: Path<(String, String)>,
) -> Result<Json<wire::Forgotten>, Problem> {
    block(move || {
        serving.write(|engine| {
            writable(engine)?;
            let (name, label) = path.into_inner();
            if !engine.forget_label(&name, &label)? {
                return Err(Problem::not_found(format!(
                    "there is no label {label:?} in a label set {name:?}"
                )));
            }
            Ok(Json(wire::Forgotten { forgotten: label.trim().to_owned() }))
        })
    })
    .await
}
