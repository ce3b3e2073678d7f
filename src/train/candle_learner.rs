//! MNISTNet learning in candle, on any of its devices: what GPUs use, and what the kernels are checked against.

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::loss::nll;

use super::dropout::{Layer, Mask};
use super::{Dropout, Learner, LearnerState};
use crate::model::ModelError;
use crate::model::net::{Layers, Masks, normalize, tensors};
use crate::model::parameters::{Parameters, TENSORS};

/// Share of the old average that each step keeps: PyTorch's default for Adadelta.
const RHO: f64 = 0.9;
/// Added before each root and division: PyTorch's default for Adadelta.
const EPSILON: f64 = 1e-6;

/// A network, its optimizer and its dropout, on one device.
pub struct CandleLearner {
    name: String,
    device: Device,
    parameters: Vec<Var>,
    square_average: Vec<Tensor>,
    accumulated_update: Vec<Tensor>,
    dropout: Dropout,
    steps: u64,
}

impl CandleLearner {
    /// Goes on from a state, on the device that `name` names. Must be called on the thread that will use it.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    pub fn new(
        state: &LearnerState,
        dropout: Dropout,
        name: String,
        device: Device,
    ) -> std::result::Result<Self, ModelError> {
        let open = || {
            let parameters = tensors(&state.parameters, &device)?;
            Ok((
                parameters
                    .iter()
                    .map(Var::from_tensor)
                    .collect::<Result<Vec<_>>>()?,
                tensors(&state.square_average, &device)?,
                tensors(&state.accumulated_update, &device)?,
            ))
        };
        let (parameters, square_average, accumulated_update) =
            open().map_err(|error| broken(&name, error))?;
        let steps = state.steps;
        Ok(Self {
            name,
            device,
            parameters,
            square_average,
            accumulated_update,
            dropout,
            steps,
        })
    }

    fn layers(&self) -> Result<Layers> {
        let tensors: Vec<Tensor> = self
            .parameters
            .iter()
            .map(|var| var.as_tensor().clone())
            .collect();
        match <[Tensor; 8]>::try_from(tensors) {
            Ok(tensors) => Ok(Layers::new(tensors)),
            Err(_) => candle_core::bail!("MNISTNet has eight tensors"),
        }
    }

    fn masks(&self, pictures: usize) -> Result<Masks> {
        let factors = |layer: Layer, elements: u32| -> Vec<f32> {
            let of_picture = |picture| self.dropout.mask(layer, self.steps, picture);
            let row = move |mask: Mask| (0..elements).map(move |element| mask.factor(element));
            (0..pictures).map(of_picture).flat_map(row).collect()
        };
        Ok(Masks {
            features: Tensor::from_vec(
                factors(Layer::Features, 9216),
                (pictures, 64, 12, 12),
                &self.device,
            )?,
            hidden: Tensor::from_vec(factors(Layer::Hidden, 128), (pictures, 128), &self.device)?,
        })
    }

    fn learn(&mut self, pixels: &[u8], labels: &[u8], learning_rate: f64) -> Result<f32> {
        let masks = self.masks(labels.len())?;
        let log_probabilities = self
            .layers()?
            .forward(&normalize(pixels, &self.device)?, Some(&masks))?;
        let labels = labels.iter().map(|label| u32::from(*label)).collect::<Vec<_>>();
        let loss = nll(&log_probabilities, &Tensor::new(labels, &self.device)?)?;
        let gradients = loss.backward()?;
        for (index, parameter) in self.parameters.iter().enumerate() {
            let Some(gradient) = gradients.get(parameter) else {
                continue;
            };
            let square = &mut self.square_average[index];
            *square = ((&*square * RHO)? + (gradient.sqr()? * (1.0 - RHO))?)?.detach();
            let accumulated = &mut self.accumulated_update[index];
            let ratio = (&*accumulated + EPSILON)?
                .sqrt()?
                .div(&(&*square + EPSILON)?.sqrt()?)?;
            let update = (ratio * gradient)?.detach();
            *accumulated = ((&*accumulated * RHO)? + (update.sqr()? * (1.0 - RHO))?)?;
            parameter.set(&(parameter.as_tensor() - (update * learning_rate)?)?)?;
        }
        self.steps += 1;
        loss.to_scalar()
    }
}

fn broken(device: &str, error: candle_core::Error) -> ModelError {
    ModelError::Broken {
        device: device.to_owned(),
        source: error.into(),
    }
}

fn parameters<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<Parameters> {
    let mut parameters = Parameters::zeros();
    for (tensor, array) in tensors.zip(parameters.arrays_mut()) {
        array.copy_from_slice(&tensor.flatten_all()?.to_vec1()?);
    }
    Ok(parameters)
}

impl Learner for CandleLearner {
    fn device(&self) -> &str {
        &self.name
    }

    fn step(
        &mut self,
        pixels: &[u8],
        labels: &[u8],
        learning_rate: f32,
    ) -> std::result::Result<f32, ModelError> {
        self.learn(pixels, labels, learning_rate.into())
            .map_err(|error| broken(&self.name, error))
    }

    fn predict(&mut self, pixels: &[u8]) -> std::result::Result<Vec<f32>, ModelError> {
        if pixels.is_empty() {
            return Ok(Vec::new());
        }
        let predict = || {
            let log_probabilities = self.layers()?.forward(&normalize(pixels, &self.device)?, None)?;
            log_probabilities.flatten_all()?.to_vec1()
        };
        predict().map_err(|error| broken(&self.name, error))
    }

    fn state(&mut self) -> std::result::Result<LearnerState, ModelError> {
        debug_assert_eq!(self.parameters.len(), TENSORS.len());
        let read = || {
            Ok(LearnerState {
                parameters: parameters(self.parameters.iter().map(Var::as_tensor))?,
                square_average: parameters(self.square_average.iter())?,
                accumulated_update: parameters(self.accumulated_update.iter())?,
                steps: self.steps,
            })
        };
        read().map_err(|error| broken(&self.name, error))
    }
}
