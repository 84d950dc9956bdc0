//! Given a method and an address, who answers? The table of routes and the
//! handlers, each of which asks the engine on a thread that may block.

mod answers;
mod identities;
mod items;
mod jobs;
mod label_sets;
mod models;
mod operation;
#[cfg(feature = "milvus")]
pub(crate) mod shared;

use actix_web::web::{self, Json, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};

use self::answers::{describe, embed, feedback, label, search, search_link};
pub(crate) use self::jobs::Followers;
use crate::current::Current;
use crate::fields::Fields;
use crate::gate::{GATE, Gate, LONG};
use crate::problem::Problem;
use crate::{assets, request, wire};

/// Adds every route. The app's data must hold a [`Serving`](ekphrasis_engine::Serving).
pub(crate) fn routes(config: &mut ServiceConfig) {
    for path in assets::paths() {
        config.service(read(path, web::get().to(asset), web::head().to(asset)));
    }
    config
        .service(read(
            "/healthz",
            web::get().to(operation::healthy),
            web::head().to(operation::healthy),
        ))
        .service(read("/readyz", web::get().to(operation::ready), web::head().to(operation::ready)))
        .service(read(
            "/metrics",
            web::get().to(operation::metrics),
            web::head().to(operation::metrics),
        ))
        .service(read(
            "/openapi.json",
            web::get().to(operation::openapi),
            web::head().to(operation::openapi),
        ))
        .service(read(
            "/v1/status",
            web::get().to(operation::status),
            web::head().to(operation::status),
        ))
        .service(read(
            "/v1/failures",
            web::get().to(operation::failures),
            web::head().to(operation::failures),
        ))
        .service(read("/v1/models", web::get().to(models::list), web::head().to(models::list)))
        .service(resource("/v1/models/{name}/use", "POST").route(web::post().to(models::use_it)))
        .service(read(
            "/v1/facets",
            web::get().to(operation::facets),
            web::head().to(operation::facets),
        ))
        .service(read("/v1/duplicates", web::get().to(duplicates), web::head().to(duplicates)))
        .service(
            resource("/v1/items", "GET, HEAD, POST")
                .route(web::get().to(items::list))
                .route(web::head().to(items::list))
                .route(web::post().to(items::create)),
        )
        .service(
            resource("/v1/items/{id}", "GET, HEAD, DELETE")
                .route(web::get().to(items::one))
                .route(web::head().to(items::one))
                .route(web::delete().to(items::remove)),
        )
        .service(read(
            "/v1/items/{id}/thumbnail",
            web::get().to(items::thumbnail),
            web::head().to(items::thumbnail),
        ))
        .service(read(
            "/v1/items/{id}/file",
            web::get().to(items::file),
            web::head().to(items::file),
        ))
        .service(
            resource("/v1/jobs", "GET, HEAD, POST")
                .route(web::get().to(jobs::list))
                .route(web::head().to(jobs::list))
                .route(web::post().to(jobs::create)),
        )
        .service(
            resource("/v1/jobs/{id}", "GET, HEAD, DELETE")
                .route(web::get().to(jobs::one))
                .route(web::head().to(jobs::one))
                .route(web::delete().to(jobs::stop)),
        )
        .service(resource("/v1/jobs/{id}/events", "GET").route(web::get().to(jobs::events)))
        .service(
            resource("/v1/search", "GET, HEAD, POST")
                .route(web::get().to(search_link::<Current>))
                .route(web::head().to(search_link::<Current>))
                .route(web::post().to(search::<Current>)),
        )
        .service(resource("/v1/feedback", "POST").route(web::post().to(feedback::<Current>)))
        .service(read(
            "/v1/identities",
            web::get().to(identities::list),
            web::head().to(identities::list),
        ))
        .service(
            resource("/v1/identities/{name}", "GET, HEAD, PUT, DELETE")
                .route(web::get().to(identities::one))
                .route(web::head().to(identities::one))
                .route(web::put().to(identities::put))
                .route(web::delete().to(identities::remove)),
        )
        .service(read(
            "/v1/label-sets",
            web::get().to(label_sets::list),
            web::head().to(label_sets::list),
        ))
        .service(
            resource("/v1/label-sets/{name}", "GET, HEAD, PUT, DELETE")
                .route(web::get().to(label_sets::one))
                .route(web::head().to(label_sets::one))
                .route(web::put().to(label_sets::put))
                .route(web::delete().to(label_sets::remove)),
        )
        .service(
            resource("/v1/label-sets/{name}/apply", "POST")
                .route(web::post().to(label_sets::apply)),
        )
        .service(
            resource("/v1/label-sets/{name}/labels/{label}", "DELETE")
                .route(web::delete().to(label_sets::remove_label)),
        )
        .service(resource("/v1/verify", "POST").route(web::post().to(identities::verify)))
        .service(resource("/v1/identify", "POST").route(web::post().to(identities::identify)))
        .service(resource("/v1/label", "POST").route(web::post().to(label::<Current>)))
        .service(resource("/v1/describe", "POST").route(web::post().to(describe::<Current>)))
        .service(resource("/v1/embed", "POST").route(web::post().to(embed::<Current>)))
        .default_service(web::to(nowhere));
}

fn resource(path: &str, allow: &'static str) -> Resource {
    let refuse = move |request: HttpRequest| async move {
        let detail = format!("{} takes {allow}, not {}", request.path(), request.method());
        Err::<HttpResponse, _>(Problem::wrong_method(allow, detail))
    };
    #[cfg(test)]
    SEEN.with_borrow_mut(|seen| seen.push((path.to_owned(), allow)));
    web::resource(path).default_service(web::to(refuse))
}

#[cfg(test)]
thread_local! {
    /// Paths and methods that were added, for comparing with their description.
    pub(crate) static SEEN: std::cell::RefCell<Vec<(String, &'static str)>> = const { std::cell::RefCell::new(Vec::new()) };
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

/// Beyond so many texts or pictures to encode, a request takes its turn among the long ones.
const MANY: usize = 32;

/// Runs `work`, which takes the processor or the disk, where blocking is allowed and when
/// it is its turn.
async fn block<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    in_turn(&GATE, work).await
}

/// Runs `work`, which may take seconds, when it is its turn among others of the kind.
async fn long<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    in_turn(&LONG, work).await
}

async fn in_turn<T: Send + 'static>(
    gate: &Gate,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = gate.enter().await?;
    // The turn goes with the work: neither a client that goes away nor a deadline ends what
    // goes on here.
    let answer = on_a_thread(move || {
        let _turn = turn;
        work()
    });
    gate.answered(answer).await
}

/// Runs `work`, which takes a moment, where blocking is allowed, however busy the server is.
async fn quick<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    GATE.answered(on_a_thread(work)).await
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match web::block(work).await {
        Ok(result) => result,
        Err(_) => Err(Problem::bug("the request's work was cut off by a panic; it is in the log")),
    }
}

/// The fields of the address.
fn link(request: &HttpRequest) -> Result<Fields, Problem> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    let pairs =
        pairs.map_err(|e| Problem::malformed(format!("the address cannot be read: {e}")))?;
    Ok(Fields::from_query(pairs.into_inner()))
}

async fn duplicates(
    engine: Current,
    request: HttpRequest,
) -> Result<Json<wire::DuplicateReport>, Problem> {
    let wanted = request::duplicates(link(&request)?)?;
    long(move || {
        let report = engine.duplicates(wanted.identical, &wanted.filter)?;
        Ok(Json(wire::DuplicateReport::new(&report, wanted.offset, wanted.limit)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use actix_web::ResponseError as _;

    use super::*;

    #[actix_web::test]
    async fn an_answer_has_a_deadline_and_its_work_keeps_the_turn() {
        let soon = Duration::from_millis(20);
        let gate = Gate::new(1, 3, soon, soon);
        let (end, ended) = mpsc::channel::<()>();
        let work = move || {
            ended.recv().expect("told to end");
            Ok(())
        };
        let reply = in_turn(&gate, work).await.expect_err("too long").error_response();
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.headers().get("retry-after").expect("said"), "5");
        // What was begun still takes the only turn there is…
        let reply = in_turn(&gate, || Ok(())).await.expect_err("not yet").error_response();
        assert_eq!(reply.status(), 429);
        // …until it ends.
        end.send(()).expect("it waits for that");
        while in_turn(&gate, || Ok(())).await.is_err() {}
    }
}
