//! `GET /openapi.json`: the interface as OpenAPI 3.1, made from the code that answers it.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use utoipa::OpenApi;

use super::{events, flood, health, kserve, live, normalize, result, upload};

#[derive(OpenApi)]
#[openapi(
    info(description = "Pictures go on a queue, workers classify them in batches, results are fetched by their ids."),
    paths(
        upload::classify,
        result::fetch,
        events::follow,
        result::delete,
        normalize::normalize,
        kserve::server,
        kserve::live,
        kserve::ready,
        kserve::model,
        kserve::model_ready,
        kserve::infer::infer,
        health::live,
        health::ready,
        live::follow,
        flood::flood,
    ),
    tags(
        (name = "uploads", description = "Pictures in"),
        (name = "results", description = "Answers out"),
        (name = "open inference protocol", description = "The same for clients of KServe v2"),
        (name = "operation", description = "For those who run it"),
    )
)]
struct Interface;

/// Gives it out.
pub async fn serve() -> HttpResponse {
    // Only a map with keys that are no texts could fail.
    static TEXT: LazyLock<String> = LazyLock::new(|| Interface::openapi().to_json().unwrap_or_default());
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(TEXT.as_str())
}
