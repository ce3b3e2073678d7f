//! `GET` and `DELETE /result/{id}`: what became of a job.

use std::num::NonZeroU16;

use actix_web::http::header::{CACHE_CONTROL, HeaderName, RETRY_AFTER};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::prefer;
use super::state::State;
use crate::job::{Failure, JobId, ModelName, Outcome, Prediction, Timings};
use crate::store::{Entry, Finished};

/// A result changes once, and may be erased: nobody on the way keeps a copy.
pub const NO_STORE: (HeaderName, &str) = (CACHE_CONTROL, "no-store");

/// The word for what is not finished.
pub const QUEUED: &str = "queued";

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
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<Vec<Likely>>,
    model: ModelName,
    worker: String,
    device: String,
    batch_size: usize,
    timings: Timings,
}

impl Success {
    fn of(prediction: Prediction, shown: Shown) -> Self {
        Self {
            confidence: prediction.confidence(),
            top: shown.top.map(|count| top(&prediction.probabilities, count)),
            predicted_class: prediction.predicted_class,
            probabilities: prediction.probabilities,
            model: prediction.model,
            worker: prediction.worker,
            device: prediction.device,
            batch_size: prediction.batch_size,
            timings: prediction.timings,
        }
    }
}

/// The word for an outcome.
pub fn status(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded(_) => "succeeded",
        Outcome::Failed { .. } => "failed",
        Outcome::Expired => "expired",
        Outcome::Cancelled => "cancelled",
    }
}

/// A class and how likely it is.
#[derive(Debug, Serialize)]
struct Likely {
    class: u16,
    probability: f32,
}

/// What a request wants to see of an outcome, by its query.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Shown {
    /// So many classes, the most likely first.
    top: Option<NonZeroU16>,
}

impl Shown {
    /// What this request wants.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let query = Query::<Self>::from_query(request.query_string());
        Ok(query.map_err(|error| ApiError::Query(error.to_string()))?.0)
    }
}

fn top(probabilities: &[f32], count: NonZeroU16) -> Vec<Likely> {
    let likely = |(class, probability): (u16, &f32)| Likely {
        class,
        probability: *probability,
    };
    let mut classes: Vec<Likely> = (0..).zip(probabilities).map(likely).collect();
    // Of equals, the lower class comes first: the sort is stable.
    classes.sort_by(|one, other| other.probability.total_cmp(&one.probability));
    classes.truncate(count.get().into());
    classes
}

impl Body {
    /// What a finished job looks like.
    pub fn finished(inference_id: JobId, outcome: Outcome, shown: Shown) -> Self {
        let status = status(&outcome);
        let (success, error) = match outcome {
            Outcome::Succeeded(prediction) => (Some(Success::of(prediction, shown)), None),
            Outcome::Failed { error } => (None, Some(error)),
            Outcome::Expired | Outcome::Cancelled => (None, None),
        };
        Self {
            success,
            inference_id,
            status,
            error,
        }
    }

    /// What a job looks like that is not finished.
    pub fn queued(inference_id: JobId) -> Self {
        Self {
            success: None,
            inference_id,
            status: QUEUED,
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
    let shown = Shown::of(&request)?;
    let mut response = HttpResponse::Ok();
    let known = match prefer::wait(request.headers()) {
        None => state.store.fetch(id).await,
        Some(wait) => {
            let granted = wait.min(state.settings.max_wait());
            response.insert_header(prefer::applied(granted));
            state.wait(id, granted).await
        }
    };
    match known.map_err(ApiError::Store)? {
        Some(Entry::Finished(outcome)) => Ok(state.tell(response, id, outcome, shown)),
        Some(Entry::Queued) => Ok(response
            .insert_header(NO_STORE)
            .insert_header((RETRY_AFTER, state.pace.until_answered()))
            .json(Body::queued(id))),
        None => Err(unknown(&state, id)),
    }
}

impl State {
    /// An outcome as a client is told of it, with the time that each stage took.
    pub fn tell(
        &self,
        mut response: HttpResponseBuilder,
        id: JobId,
        outcome: Outcome,
        shown: Shown,
    ) -> HttpResponse {
        self.seen.note(&outcome);
        if let Outcome::Succeeded(prediction) = &outcome {
            response.insert_header(server_timing(&prediction.timings));
        }
        response
            .insert_header(NO_STORE)
            .json(Body::finished(id, outcome, shown))
    }
}

/// The stages for a browser's developer tools (W3C Server Timing), in milliseconds.
fn server_timing(timings: &Timings) -> (&'static str, String) {
    let Timings {
        reading_ms,
        queued_ms,
        inference_ms,
    } = timings;
    let stages = format!("reading;dur={reading_ms}, queued;dur={queued_ms}, inference;dur={inference_ms}");
    ("server-timing", stages)
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

/// Makes a queued job cancelled.
pub async fn cancel(state: &State, id: JobId) -> Result<(), ApiError> {
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
