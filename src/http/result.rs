//! `GET` and `DELETE /result/{id}`: what became of a job.

use actix_web::http::header::{CACHE_CONTROL, HeaderName, RETRY_AFTER};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::error::ApiError;
use super::prefer;
use super::state::State;
use crate::job::{Failure, JobId, ModelName, Outcome, Timings};
use crate::store::{Entry, Finished};

/// A result changes once, and may be erased: nobody on the way keeps a copy.
pub const NO_STORE: (HeaderName, &str) = (CACHE_CONTROL, "no-store");

/// A result as clients see it.
#[derive(Debug, Serialize)]
pub struct Body {
    #[serde(flatten)]
    success: Option<Success>,
    inference_id: JobId,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct Success {
    predicted_class: u16,
    confidence: f32,
    probabilities: Vec<f32>,
    model: ModelName,
    worker: String,
    device: String,
    batch_size: usize,
    timings: Timings,
}

impl Body {
    /// What a finished job looks like.
    pub fn finished(inference_id: JobId, outcome: Outcome) -> Self {
        let plain = |status| Self {
            success: None,
            inference_id,
            status,
            error: None,
        };
        match outcome {
            Outcome::Succeeded(prediction) => {
                let success = Success {
                    confidence: prediction.confidence(),
                    predicted_class: prediction.predicted_class,
                    probabilities: prediction.probabilities,
                    model: prediction.model,
                    worker: prediction.worker,
                    device: prediction.device,
                    batch_size: prediction.batch_size,
                    timings: prediction.timings,
                };
                Self {
                    success: Some(success),
                    ..plain("succeeded")
                }
            }
            Outcome::Failed { error } => Self {
                error: Some(error),
                ..plain("failed")
            },
            Outcome::Expired => plain("expired"),
            Outcome::Cancelled => plain("cancelled"),
        }
    }

    /// What a job looks like that is not finished.
    pub fn queued(inference_id: JobId) -> Self {
        Self {
            success: None,
            inference_id,
            status: "queued",
            error: None,
        }
    }

    /// The word for what became of it.
    pub fn status(&self) -> &'static str {
        self.status
    }
}

/// What is known now, or after the time that the client would rather wait.
pub async fn fetch(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = requested(&request)?;
    let mut response = HttpResponse::Ok();
    response.insert_header(NO_STORE);
    let known = match prefer::wait(request.headers()) {
        None => state.store.fetch(id).await,
        Some(wait) => {
            let granted = wait.min(state.settings.max_wait());
            response.insert_header(prefer::applied(granted));
            state.wait(id, granted).await
        }
    };
    match known.map_err(ApiError::Store)? {
        Some(Entry::Finished(outcome)) => {
            state.seen.note(&outcome);
            Ok(response.json(Body::finished(id, outcome)))
        }
        Some(Entry::Queued) => Ok(response
            .insert_header((RETRY_AFTER, state.pace.until_answered()))
            .json(Body::queued(id))),
        None => Err(unknown(&state, id)),
    }
}

/// Cancels what is queued, erases what is stored.
pub async fn delete(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = requested(&request)?;
    match state.store.fetch(id).await.map_err(ApiError::Store)? {
        Some(Entry::Queued) => cancel(&state, id).await?,
        // While this stands, it keeps the job's own outcome out, should a worker still have the job.
        Some(Entry::Finished(Outcome::Cancelled)) => {}
        Some(Entry::Finished(_)) => {
            state.store.erase(id).await.map_err(ApiError::Store)?;
        }
        None => return Err(unknown(&state, id)),
    }
    Ok(HttpResponse::NoContent().finish())
}

async fn cancel(state: &State, id: JobId) -> Result<(), ApiError> {
    let cancelled = Finished {
        id,
        outcome: Outcome::Cancelled,
        ttl: state.settings.result_ttl(),
    };
    let stored = state.store.finish(&[cancelled]).await;
    stored
        .into_iter()
        .collect::<Result<(), _>>()
        .map_err(ApiError::Store)
}

/// The id that a request is about; a text that is none was never issued.
pub fn requested(request: &HttpRequest) -> Result<JobId, ApiError> {
    let text = request.match_info().get("id").unwrap_or_default();
    text.parse().map_err(|_| ApiError::UnknownId)
}

/// Why nothing is known of an id: its own time tells whether its result may have expired.
pub fn unknown(state: &State, id: JobId) -> ApiError {
    if id.age() > state.settings.result_ttl() {
        ApiError::ExpiredId
    } else {
        ApiError::UnknownId
    }
}
