//! Models: which are here, and moving the store to another one.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::{Data, Json, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ekphrasis_engine::{Config, OnnxTowers, Serving, UseOptions, known_models, model_to_use};

use super::quick;
use crate::fields::Fields;
use crate::jobs::{Jobs, Model, Order, writable};
use crate::problem::Problem;
use crate::{body, wire};

/// Pictures embedded at once, at most.
const MOST_THREADS: usize = 64;

pub(super) async fn list(
    serving: Data<Serving>,
    config: Data<Config>,
) -> Result<Json<wire::ModelList>, Problem> {
    quick(move || {
        let config = config.of_towers(&**serving.current().towers());
        Ok(Json(wire::ModelList::new(&known_models(&config)?)))
    })
    .await
}

/// Moves the store to a model, by a job of its own.
pub(super) async fn use_it(
    serving: Data<Serving>,
    jobs: Data<Jobs>,
    config: Data<Config>,
    name: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let raw = body::receive_if_any(&request, payload).await?;
    let job = quick(move || {
        writable(&serving.current())?;
        let options = options(Fields::from_any_body(raw)?)?;
        // A folder's name would tell clients what lies on the server's disk.
        if name.contains(['/', '\\']) {
            return Err(Problem::not_found(format!(
                "there is no model named {name:?} here; GET /v1/models lists those there are"
            )));
        }
        let dir = model_to_use(&config, &name)?;
        // As many sessions as searches may need once it is in use.
        let sessions = std::thread::available_parallelism().map_or(1, usize::from);
        let towers = OnnxTowers::at(&config, &dir, sessions, |_| {})?;
        let model = Model { name: name.into_inner(), towers: Arc::new(towers) };
        jobs.add(Order::Use { model, options })
    })
    .await?;
    let location = format!("/v1/jobs/{}", job.id);
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, location)).json(job))
}

fn options(mut fields: Fields) -> Result<UseOptions, Problem> {
    let rate = fields.number64("rate")?;
    let threads = fields.whole("threads", 1..=MOST_THREADS)?;
    let without_missing = fields.flag("without_missing")?;
    fields.finish()?;
    if let Some(rate) = rate.filter(|rate| !(0.01..=1e6).contains(rate)) {
        let detail = format!("rate is items a second, from 0.01 to 1000000; got {rate}");
        return Err(Problem::field("rate", detail));
    }
    // One beside the searches that go on, unless more is asked for.
    Ok(UseOptions { threads: threads.unwrap_or(1), rate, without_missing })
}
