//! How jobs end, and the stored form of that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a job ended. Stored once; the first outcome wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The model answered.
    Succeeded(Prediction),
    /// The job can't be classified; the client reads why.
    Failed {
        /// Why, for a program and for a person.
        error: Failure,
    },
    /// Nobody took the job before its deadline.
    Expired,
    /// The client took it back.
    Cancelled,
}

/// Version of [`Outcome::encode`].
const OUTCOME_VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    v: u8,
    #[serde(flatten)]
    outcome: T,
}

/// Why bytes from a store are no outcome.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    /// A newer executable wrote this.
    #[error("the outcome has version {0}, and this executable reads version {OUTCOME_VERSION}: update it")]
    Version(u8),
    /// Not JSON of ours.
    #[error("the stored outcome can't be read")]
    Unreadable(#[from] serde_json::Error),
}

impl Outcome {
    /// The stored form: a JSON object with its version.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            v: OUTCOME_VERSION,
            outcome: self,
        };
        // Only a map with keys that are no texts, or a failing writer, could fail: here is neither.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads a stored form.
    ///
    /// # Errors
    /// [`OutcomeError`] says why it can't be read.
    pub fn decode(stored: &[u8]) -> Result<Self, OutcomeError> {
        #[derive(Deserialize)]
        struct Version {
            v: u8,
        }
        let Version { v } = serde_json::from_slice(stored)?;
        if v != OUTCOME_VERSION {
            return Err(OutcomeError::Version(v));
        }
        Ok(serde_json::from_slice::<Stored<Self>>(stored)?.outcome)
    }
}

/// A model's answer to one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The most likely class, counted from 0.
    pub predicted_class: u16,
    /// One probability a class; they sum to 1.
    pub probabilities: Vec<f32>,
    /// Which weights answered.
    pub model: ModelName,
    /// Which worker took the job.
    pub worker: String,
    /// Where the forward pass ran, as `--device` names it.
    pub device: String,
    /// How many pictures shared the forward pass.
    pub batch_size: usize,
    /// Where the time went.
    pub timings: Timings,
}

impl Prediction {
    /// The probability of the predicted class.
    #[must_use]
    pub fn confidence(&self) -> f32 {
        self.probabilities
            .get(usize::from(self.predicted_class))
            .copied()
            .unwrap_or(0.0)
    }
}

/// Name of a model and of its weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelName {
    /// The architecture.
    pub name: String,
    /// SHA-256 of the weight file, in hexadecimal digits.
    pub weights_sha256: String,
}

/// Durations of the stages, one after the other, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// From the request to the picture in its upload: receiving and decoding.
    #[serde(default)]
    pub reading_ms: f64,
    /// From there to the start of the forward pass; across machines, as good as their clocks agree.
    pub queued_ms: f64,
    /// The forward pass of the whole batch.
    pub inference_ms: f64,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// For a program.
    pub code: FailureCode,
    /// For a person: one sentence.
    pub detail: String,
}

/// The kinds of failure that a program may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The model refused this picture, though it takes others.
    Rejected,
    /// Workers that took this job died.
    Poison,
    /// The bytes on the queue were no job that this version can read.
    Unreadable,
}
