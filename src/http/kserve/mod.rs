//! The Open Inference Protocol (KServe v2) over the same queue: what its clients call works here too.
//!
//! Source: <https://github.com/kserve/open-inference-protocol>, REST, without its extensions. Knows of the model what
//! the operator says of it, and nothing of workers.

mod elements;
pub mod infer;
mod tensor;

use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::error::{ApiError, PROBLEM, Problem};
use super::health;
use super::result::NO_STORE;
use super::routes::resource;
use super::state::State;
use tensor::Description;

/// The model that a front end offers to clients of the Open Inference Protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name in paths.
    pub name: String,
    /// Pixels of a row of its input.
    pub width: u16,
    /// Rows of its input.
    pub height: u16,
    /// Classes that it tells apart.
    pub classes: u16,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            name: "mnist".to_owned(),
            width: 28,
            height: 28,
            classes: 10,
        }
    }
}

impl Offer {
    /// The offer, if a path names it.
    fn named(&self, name: &str) -> Result<&Self, ApiError> {
        if self.name == name {
            Ok(self)
        } else {
            Err(ApiError::UnknownModel {
                known: self.name.clone(),
            })
        }
    }
}

/// Registers its signs of life.
pub fn register_open(config: &mut ServiceConfig) {
    config
        .service(resource("/v2/health/live", "GET").route(web::get().to(live)))
        .service(resource("/v2/health/ready", "GET").route(web::get().to(ready)));
}

/// Registers its other paths.
pub fn register(config: &mut ServiceConfig) {
    config
        .service(resource("/v2", "GET").route(web::get().to(server)))
        .service(resource("/v2/models/{name}", "GET").route(web::get().to(model)))
        .service(resource("/v2/models/{name}/ready", "GET").route(web::get().to(model_ready)))
        .service(resource("/v2/models/{name}/infer", "POST").route(web::post().to(infer::infer)));
}

/// A refusal as the protocol wants it: the problem, and its detail once more.
#[derive(Serialize, ToSchema)]
#[schema(as = InferenceRefusal)]
struct Refused {
    error: String,
    #[serde(flatten)]
    problem: Problem,
}

impl Refused {
    fn of(error: &ApiError) -> Self {
        Self {
            error: error.to_string(),
            problem: error.problem(),
        }
    }
}

/// The server.
#[derive(Serialize, ToSchema)]
#[schema(as = InferenceServer)]
struct Server {
    name: &'static str,
    version: &'static str,
    #[schema(value_type = Vec<String>)]
    extensions: [&'static str; 0],
}

/// A model.
#[derive(Serialize, ToSchema)]
#[schema(as = InferenceModel)]
struct Model {
    name: String,
    platform: &'static str,
    #[schema(value_type = Vec<Description>)]
    inputs: [Description; 1],
    #[schema(value_type = Vec<Description>)]
    outputs: [Description; 2],
}

#[utoipa::path(get, path = "/v2", tag = "open inference protocol", summary = "The server",
    responses((status = 200, description = "Name and version", body = Server)))]
pub async fn server() -> HttpResponse {
    HttpResponse::Ok().json(Server {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        extensions: [],
    })
}

#[utoipa::path(get, path = "/v2/health/live", tag = "open inference protocol", summary = "Whether the process lives",
    operation_id = "inference_live",
    responses((status = 200, description = "It does", body = Object, example = json!({ "live": true }))))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(NO_STORE)
        .json(json!({ "live": true }))
}

#[utoipa::path(get, path = "/v2/health/ready", tag = "open inference protocol", summary = "Whether it can take work",
    operation_id = "inference_ready",
    responses(
        (status = 200, description = "It can", body = Object, example = json!({ "ready": true })),
        (status = 503, description = "It can't", body = Object, example = json!({ "ready": false }))))]
pub async fn ready(state: Data<State>) -> HttpResponse {
    let ready = health::is_ready(&state).await;
    readiness(ready).json(json!({ "ready": ready }))
}

#[utoipa::path(get, path = "/v2/models/{name}", tag = "open inference protocol", summary = "What a model takes and answers",
    params(("name" = String, Path, description = "Its name", example = "mnist")),
    responses(
        (status = 200, description = "Its tensors", body = Model),
        (status = 404, description = "No such model", body = Refused, content_type = PROBLEM)))]
pub async fn model(state: Data<State>, name: Path<String>) -> HttpResponse {
    match state.offer.named(&name) {
        Ok(offer) => HttpResponse::Ok().json(Model {
            name: offer.name.clone(),
            platform: "mnistq",
            inputs: [tensor::input(offer)],
            outputs: tensor::outputs(offer),
        }),
        Err(error) => error.response().json(Refused::of(&error)),
    }
}

#[utoipa::path(get, path = "/v2/models/{name}/ready", tag = "open inference protocol", summary = "Whether a model can take work",
    params(("name" = String, Path, description = "Its name", example = "mnist")),
    responses(
        (status = 200, description = "It can", body = Object, example = json!({ "name": "mnist", "ready": true })),
        (status = 404, description = "No such model", body = Refused, content_type = PROBLEM),
        (status = 503, description = "It can't", body = Object, example = json!({ "name": "mnist", "ready": false }))))]
pub async fn model_ready(state: Data<State>, name: Path<String>) -> HttpResponse {
    if let Err(error) = state.offer.named(&name) {
        return error.response().json(Refused::of(&error));
    }
    let ready = health::is_ready(&state).await;
    readiness(ready).json(json!({ "name": *name, "ready": ready }))
}

fn readiness(ready: bool) -> HttpResponseBuilder {
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.insert_header(NO_STORE);
    response
}
