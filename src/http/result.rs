//! `GET` and `DELETE /result/{id}`: what became of a job.

use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::error::ApiError;
use super::upload::COME_BACK;
use super::{State, prefer};
use crate::job::{Failure, JobId, ModelName, Outcome, Timings};
use crate::store::{Entry, Finished};

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
    pub fn new(inference_id: JobId, outcome: Outcome) -> Self {
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
pub async fn fetch(
    request: HttpRequest,
    path: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, ApiError> {
    let id = parse(&path)?;
    let mut response = HttpResponse::Ok();
    let known = match prefer::wait(&request) {
        None => state.store.fetch(id).await?,
        Some(preferred) => {
            let granted = preferred.min(state.settings.max_wait());
            response.insert_header(("Preference-Applied", format!("wait={}", granted.as_secs())));
            tokio::select! {
                waited = state.store.wait(id, granted) => waited?,
                () = state.shutdown.cancelled() => state.store.fetch(id).await?,
            }
        }
    };
    match known {
        Some(Entry::Finished(outcome)) => Ok(response.json(Body::new(id, outcome))),
        Some(Entry::Queued) => Ok(response
            .insert_header((RETRY_AFTER, COME_BACK))
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(Body::queued(id))),
        None => Err(unknown(&state, id)),
    }
}

/// Cancels what is queued, erases what is stored.
pub async fn delete(path: Path<String>, state: Data<State>) -> Result<HttpResponse, ApiError> {
    let id = parse(&path)?;
    match state.store.fetch(id).await? {
        Some(Entry::Finished(_)) => {
            state.store.erase(id).await?;
        }
        Some(Entry::Queued) => {
            let ttl = state.settings.result_ttl();
            let cancelled = Finished {
                id,
                outcome: Outcome::Cancelled,
                ttl,
            };
            state
                .store
                .finish(&[cancelled])
                .await
                .into_iter()
                .collect::<Result<(), _>>()?;
        }
        None => return Err(unknown(&state, id)),
    }
    Ok(HttpResponse::NoContent().finish())
}

/// The id in a path; what is none was never issued.
pub fn parse(text: &str) -> Result<JobId, ApiError> {
    text.parse().map_err(|_| ApiError::UnknownId)
}

/// An id's own time tells whether its result may have expired.
pub fn unknown(state: &State, id: JobId) -> ApiError {
    if id.age() > state.settings.result_ttl() {
        ApiError::ExpiredId
    } else {
        ApiError::UnknownId
    }
}
