//! What clients read of a job: the body of a result, and how much of it a request wants.

use std::num::NonZeroU16;

use actix_web::HttpRequest;
use actix_web::web::Query;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use crate::job::{Failure, JobId, ModelName, Outcome, Prediction, Timings};

/// The word for what is not finished.
pub const QUEUED: &str = "queued";

/// What became of a job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = Result)]
pub enum Answer {
    /// Not finished yet.
    Queued(Plain),
    /// The model has answered.
    Succeeded(Success),
    /// It can't be classified.
    Failed(Unable),
    /// Nobody took it before its deadline.
    Expired(Plain),
    /// Its client took it back.
    Cancelled(Plain),
}

/// Nothing but whose.
#[derive(Debug, Serialize, ToSchema)]
pub struct Plain {
    inference_id: JobId,
}

/// A prediction.
#[derive(Debug, Serialize, ToSchema)]
pub struct Success {
    inference_id: JobId,
    /// The most likely class.
    predicted_class: u16,
    /// Its probability.
    #[schema(minimum = 0, maximum = 1)]
    confidence: f32,
    /// One a class, in the order of the classes.
    probabilities: Vec<f32>,
    /// As many as `top` asked for, the most likely first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    top: Option<Vec<Likely>>,
    model: ModelName,
    /// Which worker took the job.
    worker: String,
    /// Where the forward pass ran.
    device: String,
    /// How many pictures shared the forward pass.
    batch_size: usize,
    timings: Timings,
}

/// Why there is no prediction.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unable {
    inference_id: JobId,
    error: Failure,
}

/// A class and how likely it is.
#[derive(Debug, Serialize, ToSchema)]
struct Likely {
    class: u16,
    probability: f32,
}

/// What a request wants to see of an outcome, by its query.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Shown {
    /// Also tell the so many most likely classes.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 65535, example = 3)]
    top: Option<NonZeroU16>,
}

impl Shown {
    /// What this request wants.
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let query = Query::<Self>::from_query(request.query_string());
        Ok(query.map_err(|error| ApiError::Query(error.to_string()))?.0)
    }
}

impl Answer {
    /// What a finished job looks like.
    pub fn finished(inference_id: JobId, outcome: Outcome, shown: Shown) -> Self {
        match outcome {
            Outcome::Succeeded(prediction) => Self::Succeeded(Success::of(inference_id, prediction, shown)),
            Outcome::Failed { error } => Self::Failed(Unable { inference_id, error }),
            Outcome::Expired => Self::Expired(Plain { inference_id }),
            Outcome::Cancelled => Self::Cancelled(Plain { inference_id }),
        }
    }

    /// What a job looks like that is not finished.
    pub fn queued(inference_id: JobId) -> Self {
        Self::Queued(Plain { inference_id })
    }

    /// The word for what became of it.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Queued(_) => QUEUED,
            Self::Succeeded(_) => "succeeded",
            Self::Failed(_) => "failed",
            Self::Expired(_) => "expired",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

impl Success {
    fn of(inference_id: JobId, prediction: Prediction, shown: Shown) -> Self {
        Self {
            inference_id,
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

/// The stages for a browser's developer tools (W3C Server Timing), in milliseconds.
pub fn server_timing(timings: &Timings) -> (&'static str, String) {
    let Timings {
        reading_ms,
        queued_ms,
        inference_ms,
    } = timings;
    let stages = format!("reading;dur={reading_ms}, queued;dur={queued_ms}, inference;dur={inference_ms}");
    ("server-timing", stages)
}
