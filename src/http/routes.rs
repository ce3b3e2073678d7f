//! Which path and method is answered by whom; everything else is a problem document too.

use actix_web::middleware::from_fn;
use actix_web::web::{self, Payload, QueryConfig, ServiceConfig};
use actix_web::{HttpResponse, Resource};

use super::access::guard;
use super::error::ApiError;
use super::refusal::refuse;
use super::watch::Route;
use super::{events, flood, health, kserve, live, metrics, normalize, openapi, page, result, upload};

/// Registers every path.
pub fn register(config: &mut ServiceConfig) {
    let unread = QueryConfig::default().error_handler(|error, _| ApiError::Query(error.to_string()).into());
    config
        .app_data(unread)
        .configure(register_open)
        .service(web::scope("").wrap(from_fn(guard)).configure(register_guarded));
}

/// What needs no key: signs of life, for those who start and stop processes, and what is the same everywhere.
fn register_open(config: &mut ServiceConfig) {
    config
        .service(
            resource("/livez", "GET, HEAD")
                .route(web::get().to(health::live))
                .route(web::head().to(health::live)),
        )
        .service(
            resource("/readyz", "GET, HEAD")
                .route(web::get().to(health::ready))
                .route(web::head().to(health::ready)),
        )
        .service(
            resource("/openapi.json", "GET, HEAD")
                .route(web::get().to(openapi::serve))
                .route(web::head().to(openapi::serve)),
        )
        .configure(kserve::register_open)
        .configure(page::register);
}

fn register_guarded(config: &mut ServiceConfig) {
    config
        .service(resource("/classify", "POST").route(web::post().to(upload::classify)))
        .service(
            resource("/result/{id}", "GET, HEAD, DELETE")
                .route(web::get().to(result::fetch))
                .route(web::head().to(result::fetch))
                .route(web::delete().to(result::delete)),
        )
        .service(resource("/result/{id}/events", "GET").route(web::get().to(events::follow)))
        .service(
            resource("/metrics", "GET, HEAD")
                .route(web::get().to(metrics::tell))
                .route(web::head().to(metrics::tell)),
        )
        .service(resource("/normalize", "POST").route(web::post().to(normalize::normalize)))
        .service(resource("/live", "GET").route(web::get().to(live::follow)))
        .service(resource("/flood", "POST").route(web::post().to(flood::flood)))
        .configure(kserve::register)
        .default_service(web::to(async |unread: Payload| {
            refuse(&ApiError::NoRoute, unread)
        }));
}

/// A path that takes the `allowed` methods, and says so to all others.
pub fn resource(path: &'static str, allowed: &'static str) -> Resource {
    let wrong_method = move |unread: Payload| async move {
        let refused: HttpResponse = refuse(&ApiError::Method { allowed }, unread);
        refused
    };
    web::resource(path)
        .app_data(Route(path))
        .default_service(web::to(wrong_method))
}
