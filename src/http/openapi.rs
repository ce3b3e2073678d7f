//! `GET /openapi.json`: the interface as OpenAPI 3.1, made from the code that answers it.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Description, PathItem, Ref, Response};
use utoipa::{Modify, OpenApi};

use super::error::PROBLEM;
use super::{events, flood, health, kserve, live, metrics, normalize, result, upload};

#[derive(OpenApi)]
#[openapi(
    modifiers(&Guarded),
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
        metrics::tell,
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

/// What holds for all that a key may be needed for: every operation but the signs of life.
struct Guarded;

impl Modify for Guarded {
    fn modify(&self, interface: &mut Description) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = interface.components.get_or_insert_default();
        components.add_security_scheme("key", scheme);
        for (path, item) in &mut interface.paths.paths {
            if path.ends_with("z") || path.contains("/health/") {
                continue;
            }
            let PathItem {
                get, post, delete, ..
            } = item;
            for operation in [get, post, delete].into_iter().flatten() {
                guard(operation);
            }
        }
    }
}

fn guard(operation: &mut Operation) {
    // Nothing is needed where the operator has made no keys.
    operation.security = Some(vec![
        SecurityRequirement::default(),
        SecurityRequirement::new("key", [""; 0]),
    ]);
    let problem = || Content::new(Some(Ref::from_schema_name("Problem")));
    let refusals = [
        ("401", "No key, or one that is not known here"),
        ("429", "Too many requests"),
    ];
    for (status, words) in refusals {
        let refusal = Response::builder().description(words).content(PROBLEM, problem());
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.to_owned())
            .or_insert_with(|| refusal.build().into());
    }
}

/// Gives it out.
pub async fn serve() -> HttpResponse {
    // Only a map with keys that are no texts could fail.
    static TEXT: LazyLock<String> = LazyLock::new(|| Interface::openapi().to_json().unwrap_or_default());
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(TEXT.as_str())
}
