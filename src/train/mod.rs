//! Training: labelled pictures in, parameters out.
//!
//! Meets the rest of the system only in [`crate::model`]: knows no queue, no store and no HTTP.

pub mod dropout;
pub mod kernels;

use crate::model::ModelError;
use crate::model::parameters::Parameters;

/// A network that learns: the network, its optimizer (Adadelta, rho 0.9, eps 1e-6) and its dropout, as one.
///
/// Same seed, same implementation, same threads: the same parameters after the same steps.
pub trait Learner: Send {
    /// One optimizer step on n labelled pictures of 784 bytes; the mean negative log-likelihood before the step.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn step(&mut self, pixels: &[u8], labels: &[u8], learning_rate: f32) -> Result<f32, ModelError>;

    /// Log-probabilities of n pictures, n × 10, dropout off.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError>;

    /// All that learning has changed: enough to go on exactly where this is.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn state(&mut self) -> Result<LearnerState, ModelError>;
}

/// Where a learner is.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerState {
    /// The network's parameters.
    pub parameters: Parameters,
    /// Adadelta's running average of squared gradients, for each parameter.
    pub square_average: Parameters,
    /// Adadelta's running average of squared updates, for each parameter.
    pub accumulated_update: Parameters,
    /// How many steps were made; with the seed, what the dropout masks come from.
    pub steps: u64,
}

/// What a learner drops while it learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Share of pooled features set to zero; 0.25 in the reference.
    pub features: f32,
    /// Share of hidden units set to zero; 0.5 in the reference.
    pub hidden: f32,
    /// What the masks come from, with the step.
    pub seed: u64,
}
