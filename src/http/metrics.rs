//! `/metrics`: what this process counts, for Prometheus. At the front end, or on an address of its own.
//!
//! Knows what is told, and nothing of what it means.

use std::net::TcpListener;

use actix_web::web::{self, Data, Payload};
use actix_web::{App, HttpResponse, HttpServer};
use tokio_util::sync::CancellationToken;

use super::HttpError;
use super::error::{ApiError, PROBLEM, Problem};
use super::refusal::refuse;
use super::result::NO_STORE;
use super::routes::resource;
use super::state::State;
use crate::metrics::{Metrics, TEXT};

/// 200 with all metrics.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    summary = "What this process counts",
    description = "In the text form of Prometheus. Not here if the operator has given it an address of its own.",
    responses(
        (status = 200, description = "All metrics", body = String, content_type = TEXT),
        (status = 404, description = "It is elsewhere", body = Problem, content_type = PROBLEM),
    )
)]
pub async fn tell(state: Data<State>) -> Result<HttpResponse, ApiError> {
    state.metrics.as_ref().map(text).ok_or(ApiError::NoRoute)
}

/// Serves them alone, to whoever asks at `listener`, until `shutdown` is cancelled.
///
/// # Errors
/// [`HttpError`] if it can't serve, or ended without being told to.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), HttpError> {
    let tell = async |metrics: Data<Metrics>| text(&metrics);
    let app = move || {
        let nothing = web::to(async |unread: Payload| refuse(&ApiError::NoRoute, unread));
        App::new()
            .app_data(Data::new(metrics.clone()))
            .service(
                resource("/metrics", "GET, HEAD")
                    .route(web::get().to(tell))
                    .route(web::head().to(tell)),
            )
            .default_service(nothing)
    };
    let mut server = HttpServer::new(app)
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(HttpError::Listen)?
        .run();
    tokio::select! {
        ended = &mut server => return ended.map_err(HttpError::Serve).and(Err(HttpError::Ended)),
        () = shutdown.cancelled() => {}
    }
    drop(server.handle().stop(true));
    server.await.map_err(HttpError::Serve)
}

fn text(metrics: &Metrics) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(TEXT)
        .insert_header(NO_STORE)
        .body(metrics.text())
}
