//! Jobs: what goes on in the background.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::rt::time::sleep;
use actix_web::web::{Bytes, Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::quick;
use crate::allowed::Allowed;
use crate::current::Current;
use crate::fields::Fields;
use crate::jobs::{Job, Jobs, writable};
use crate::orders::{self, From};
use crate::problem::Problem;
use crate::{body, wire};

/// How often a follower looks for news.
const TICK: Duration = Duration::from_millis(100);
/// The least time between two events.
const PACE: Duration = Duration::from_millis(200);
/// A sign of life, so that nobody on the way takes the connection for dead.
const ALIVE: Duration = Duration::from_secs(15);
/// Followers at once.
const MOST_FOLLOWERS: usize = 64;

/// Places for those who follow jobs.
pub(crate) struct Followers(Arc<Semaphore>);

impl Default for Followers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_FOLLOWERS)))
    }
}

pub(super) async fn create(
    engine: Current,
    jobs: Data<Jobs>,
    allowed: Data<Allowed>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let from = From::of(&request);
    let raw = body::receive(&request, payload).await?;
    let job = quick(move || {
        writable(&engine)?;
        let order = orders::job(Fields::from_body(raw)?, from, &engine, &allowed)?;
        jobs.add(order)
    })
    .await?;
    let location = format!("/v1/jobs/{}", job.id);
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, location)).json(job))
}

pub(super) async fn list(jobs: Data<Jobs>) -> Json<wire::JobList> {
    Json(jobs.list())
}

fn id_in(request: &HttpRequest) -> &str {
    request.match_info().get("id").unwrap_or_default()
}

pub(super) async fn one(
    jobs: Data<Jobs>,
    request: HttpRequest,
) -> Result<Json<wire::Job>, Problem> {
    Ok(Json(jobs.get(id_in(&request))?.wire()))
}

pub(super) async fn stop(
    jobs: Data<Jobs>,
    request: HttpRequest,
) -> Result<Json<wire::Job>, Problem> {
    Ok(Json(jobs.stop(id_in(&request))?))
}

/// Server-sent events: `progress` with the job whenever something changed, `done` when
/// it has ended, which is the last.
pub(super) async fn events(
    jobs: Data<Jobs>,
    followers: Data<Followers>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let job = jobs.get(id_in(&request))?;
    let place = Arc::clone(&followers.0).try_acquire_owned();
    let place = place.map_err(|_| {
        Problem::too_busy(format!("{MOST_FOLLOWERS} follow jobs already; ask for the job itself"))
    })?;
    let follower =
        Follower { job, jobs, seen: None, last: Instant::now(), ended: false, _place: place };
    let stream = unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(event)), follower))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Not to be gathered for compression.
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .streaming(stream))
}

struct Follower {
    job: Arc<Job>,
    jobs: Data<Jobs>,
    /// The version that was told.
    seen: Option<u64>,
    last: Instant,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        if self.seen.is_some() {
            sleep(PACE).await;
        }
        loop {
            // Before it is looked at: a change meanwhile is told next time.
            let version = self.job.version();
            if self.seen != Some(version) {
                (self.seen, self.last) = (Some(version), Instant::now());
                self.ended = self.job.has_ended();
                let name = if self.ended { "done" } else { "progress" };
                // Plain data is always JSON, and that has no line breaks.
                let data = serde_json::to_string(&self.job.wire()).unwrap_or_default();
                return Some(format!("event: {name}\nid: {version}\ndata: {data}\n\n"));
            }
            if self.jobs.is_closing() && self.job.has_ended() {
                return None;
            }
            if self.last.elapsed() > ALIVE {
                self.last = Instant::now();
                return Some(":\n\n".into());
            }
            sleep(TICK).await;
        }
    }
}
