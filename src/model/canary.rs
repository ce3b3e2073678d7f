//! The canary: a handwritten digit whose answer is known, since another way of computing it gave it. Whoever asks about
//! it learns whether the model and its device still compute what they should.
//!
//! In come parameters, out goes what is to be answered. Knows no clock and no worker.

use candle_core::{Device, Result, Tensor};

use super::net::Layers;
use super::parameters::Parameters;
use super::precision::Precision;
use super::{Memory, Model, ModelCard, ModelError, Pass};

/// The first of MNIST's test pictures, a seven, row by row.
const SEVEN: &[u8; 28 * 28] = include_bytes!("seven.gray");

/// A picture and the answer to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// As a model takes it.
    pub pixels: Vec<u8>,
    /// What it must answer.
    pub log_probabilities: Vec<f32>,
    /// How far each of them may be off, in parts of itself and one.
    pub tolerance: f32,
}

impl Canary {
    /// What MNISTNet with these parameters answers to a seven, by candle on the CPU with 32-bit numbers.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the CPU can't do that.
    pub fn of(parameters: &Parameters, precision: Precision) -> std::result::Result<Self, ModelError> {
        let log_probabilities = answer(parameters).map_err(|error| ModelError::Broken {
            device: "cpu".to_owned(),
            source: error.into(),
        })?;
        Ok(Self {
            pixels: SEVEN.to_vec(),
            log_probabilities,
            tolerance: precision.tolerance(),
        })
    }

    /// Whether this is the known answer. What is no number is one where no number is known.
    #[must_use]
    pub fn is_answered_by(&self, log_probabilities: &[f32]) -> bool {
        let close = |(found, known): (&f32, &f32)| {
            let off = (found - known).abs() / (1.0 + known.abs());
            // Of what is infinite there is no difference.
            found == known || off <= self.tolerance || (found.is_nan() && known.is_nan())
        };
        log_probabilities.len() == self.log_probabilities.len()
            && log_probabilities.iter().zip(&self.log_probabilities).all(close)
    }
}

fn answer(parameters: &Parameters) -> Result<Vec<f32>> {
    let layers = Layers::new(parameters, Precision::F32, &Device::Cpu)?;
    let seven = Tensor::from_slice(SEVEN, (1, 1, 28, 28), &Device::Cpu)?;
    layers.forward(&seven)?.flatten_all()?.to_vec1()
}

/// A model and its canary.
pub(super) struct WithCanary<M> {
    model: M,
    canary: Canary,
}

impl<M: Model + 'static> WithCanary<M> {
    /// Both as one.
    pub(super) fn boxed(model: M, canary: Canary) -> Box<dyn Model> {
        Box::new(Self { model, canary })
    }
}

impl<M: Model> Model for WithCanary<M> {
    fn card(&self) -> &ModelCard {
        self.model.card()
    }

    fn predict(&mut self, pixels: &[u8]) -> std::result::Result<Vec<f32>, ModelError> {
        self.model.predict(pixels)
    }

    fn warm_up(&mut self, largest: usize) -> std::result::Result<(), ModelError> {
        self.model.warm_up(largest)
    }

    fn depth(&self) -> usize {
        self.model.depth()
    }

    fn begin(&mut self, pixels: &[u8]) -> std::result::Result<Pass, ModelError> {
        self.model.begin(pixels)
    }

    fn end(&mut self, pass: Pass) -> std::result::Result<Vec<f32>, ModelError> {
        self.model.end(pass)
    }

    fn canary(&self) -> Option<&Canary> {
        Some(&self.canary)
    }

    fn memory(&self) -> Option<Memory> {
        self.model.memory()
    }
}
