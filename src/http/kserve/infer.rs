//! `POST /v2/models/{name}/infer`: pictures in, answers out, by the queue like any upload.
//!
//! The protocol waits for its answer; `Prefer: respond-async` gives the ids instead.

use std::time::{Duration, Instant};

use actix_web::http::header::LOCATION;
use actix_web::web::{self, Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::tensor::{self, Image, Output, Tensor, Wanted};
use super::{Offer, Refused};
use crate::http::accept::{self, Accepted, Terms};
use crate::http::access::Caller;
use crate::http::body;
use crate::http::error::{ApiError, PROBLEM, Problem};
use crate::http::page::DIGITS;
use crate::http::prefer;
use crate::http::refusal::refuse_with;
use crate::http::result;
use crate::http::state::State;
use crate::job::{JobId, Outcome, Prediction};
use crate::store::{Entry, First};

/// Pictures of one request that are in work at once.
const AT_ONCE: usize = 16;

/// Pictures to classify.
#[derive(Deserialize, ToSchema)]
#[schema(as = InferenceRequest)]
struct Request {
    /// Given back with the answer.
    id: Option<String>,
    /// One.
    #[schema(min_items = 1, max_items = 1)]
    inputs: Vec<Tensor>,
    /// Which outputs are wanted, if not all.
    outputs: Option<Vec<Wanted>>,
}

/// The answers.
#[derive(Serialize, ToSchema)]
#[schema(as = InferenceResponse)]
struct Response {
    model_name: String,
    /// SHA-256 of the weights; of several, if workers have different ones.
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<Output>,
}

/// A request that is answered with a 7.
fn example() -> Value {
    let file = BASE64_STANDARD.encode(DIGITS[7]);
    json!({ "inputs": [{ "name": "image", "shape": [1], "datatype": "BYTES", "data": [file] }] })
}

/// What a request asks, once it is understood.
struct Asked {
    id: Option<String>,
    images: Vec<Image>,
    outputs: Vec<&'static str>,
}

/// Takes a request.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/infer",
    tag = "open inference protocol",
    summary = "Classify pictures by the Open Inference Protocol",
    params(
        ("name" = String, Path, description = "The model", example = "mnist"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: ids instead of answers", example = "wait=5"),
    ),
    request_body(content((Request = "application/json", examples(
        ("file" = (summary = "A handwritten 7, as a PNG file in base64", value = json!(example()))),
    )))),
    responses(
        (status = 200, description = "The answers", body = Response),
        (status = 202, description = "Queued, by `Prefer: respond-async`: the ids are in `parameters.inference_ids`", body = Object),
        (status = 400, description = "It makes no sense to the model", body = Refused, content_type = PROBLEM),
        (status = 404, description = "No such model", body = Refused, content_type = PROBLEM),
        (status = 408, description = "The body came too slowly", body = Refused, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Refused, content_type = PROBLEM),
        (status = 415, description = "A file is no image", body = Refused, content_type = PROBLEM),
        (status = 422, description = "Too many pixels or pictures, or it can't be classified", body = Refused, content_type = PROBLEM),
        (status = 429, description = "The queue is full, or too many requests", body = Problem, content_type = PROBLEM),
        (status = 503, description = "Queue or store are away", body = Refused, content_type = PROBLEM),
        (status = 504, description = "No answer in time", body = Refused, content_type = PROBLEM),
    )
)]
pub async fn infer(
    request: HttpRequest,
    mut payload: Payload,
    state: Data<State>,
    name: Path<String>,
) -> HttpResponse {
    match take(&request, &mut payload, &state, &name).await {
        Ok(response) => response,
        Err(error) => {
            state.serving.note_refused(error.reason());
            refuse_with(&error, &Refused::of(&error), payload)
        }
    }
}

async fn take(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &State,
    name: &str,
) -> Result<HttpResponse, ApiError> {
    let headers = request.headers();
    let offer = state.offer.named(name)?.clone();
    let mut terms = Terms::of(request, &state.settings)?;
    let asynchronous = prefer::respond_async(headers);
    let longest = state.settings.max_wait();
    let patience = prefer::wait(headers, longest).unwrap_or(longest);
    if !asynchronous {
        // Nobody comes back for what is not answered in time.
        terms.deadline = terms.deadline.min(patience.max(Duration::from_millis(1)));
    }
    let limits = state.limits(state.settings.max_upload_bytes);
    let body = body::collect(payload, headers, &limits).await?;
    let limit = state.settings.max_files;
    let model_name = offer.name.clone();
    let understood = web::block(move || understand(&body, &offer)).await;
    let asked = understood
        .map_err(|_| ApiError::Broken)?
        .map_err(ApiError::Tensor)?;
    if asked.images.len() > limit {
        return Err(ApiError::TooManyFiles { limit });
    }
    let further = asked.images.len().saturating_sub(1);
    state.access.charge(&Caller::of(request), further)?;
    let begun = Instant::now();
    if !asynchronous && asked.images.len() == 1 {
        terms.wait = Some(patience);
    }
    let queued = queue_all(state, asked.images, &terms).await?;
    if asynchronous {
        let ids: Vec<JobId> = queued.iter().map(|queued| queued.id).collect();
        return Ok(accepted(model_name, asked.id, &ids));
    }
    let left = patience.saturating_sub(begun.elapsed());
    let predictions = wait_for_all(state, queued, left).await?;
    let mut versions: Vec<&str> = predictions
        .iter()
        .map(|one| one.model.weights_sha256.as_str())
        .collect();
    versions.sort_unstable();
    versions.dedup();
    Ok(HttpResponse::Ok().insert_header(result::NO_STORE).json(Response {
        model_name,
        model_version: versions.join(", "),
        id: asked.id,
        outputs: tensor::answers(&asked.outputs, &predictions),
    }))
}

/// How many pictures the body of a request has for this model, each of which may still be a file to be read.
///
/// # Errors
/// What is wrong with it, as its sender is told.
pub fn pictures_in(body: &[u8], offer: &Offer) -> Result<usize, String> {
    understand(body, offer).map(|asked| asked.images.len())
}

fn understand(body: &[u8], offer: &Offer) -> Result<Asked, String> {
    let request: Request = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let [input] = <[Tensor; 1]>::try_from(request.inputs)
        .map_err(|inputs| format!("the model has one input, and the request has {}", inputs.len()))?;
    let images = input.images(offer)?;
    if images.is_empty() {
        return Err("the input has no picture".to_owned());
    }
    Ok(Asked {
        id: request.id,
        images,
        outputs: tensor::names(request.outputs)?,
    })
}

/// All, or none: what is queued already is cancelled if another can't be.
async fn queue_all(state: &State, images: Vec<Image>, terms: &Terms) -> Result<Vec<Accepted>, ApiError> {
    let queueing = images.into_iter().enumerate().map(|(place, image)| {
        let terms = terms.at(place);
        async move {
            match image {
                Image::File(bytes) => accept::accept(state, bytes, terms).await,
                Image::Pixels(picture) => {
                    let source = Bytes::copy_from_slice(picture.pixels());
                    accept::queue(state, picture, source, terms).await
                }
            }
        }
    });
    let queued: Vec<_> = iter(queueing).buffered(AT_ONCE).collect().await;
    let mut taken = Vec::with_capacity(queued.len());
    let mut refused = None;
    for queued in queued {
        match queued {
            Ok(accepted) => taken.push(accepted),
            Err(error) => refused = Some(error),
        }
    }
    let Some(refused) = refused else {
        return Ok(taken);
    };
    // Under a key the request will come again, and its pictures with it.
    if terms.key.is_none() {
        for Accepted { id, .. } in taken {
            if let Err(error) = result::cancel(state, id).await {
                tracing::debug!(inference_id = %id, %error, "stays queued, though its request was refused");
            }
        }
    }
    Err(refused)
}

fn accepted(model_name: String, id: Option<String>, ids: &[JobId]) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    response.insert_header(("preference-applied", "respond-async"));
    if let [only] = ids {
        response.insert_header((LOCATION, format!("/result/{only}")));
    }
    let mut body = json!({ "model_name": model_name, "parameters": { "inference_ids": ids } });
    if let Some(id) = id {
        body["id"] = id.into();
    }
    response.json(body)
}

async fn wait_for_all(
    state: &State,
    queued: Vec<Accepted>,
    patience: Duration,
) -> Result<Vec<Prediction>, ApiError> {
    let mut predictions = Vec::with_capacity(queued.len());
    let waiting = queued
        .into_iter()
        .map(async |Accepted { id, outcome }| match outcome {
            Some(outcome) => Ok(Some(Entry::Finished(outcome))),
            None => state.wait(id, patience, First::Look).await,
        });
    for known in join_all(waiting).await {
        match known.map_err(ApiError::Store)? {
            Some(Entry::Finished(outcome)) => {
                state.seen.note(&outcome);
                match outcome {
                    Outcome::Succeeded(prediction) => predictions.push(prediction),
                    Outcome::Failed { error } => return Err(ApiError::Failed(error.detail)),
                    Outcome::Expired | Outcome::Cancelled => return Err(ApiError::Late),
                }
            }
            Some(Entry::Queued) | None => return Err(ApiError::Late),
        }
    }
    Ok(predictions)
}
