//! All parameters as one row of numbers on a device, and Adadelta's averages as two more: a step of the optimizer is a
//! few operations on the whole, instead of as many for each of eight tensors, most of them tiny.
//!
//! In come gradients, and parameters change in place. Knows no network.

use candle_core::{Device, Result, Tensor};

use crate::model::parameters::{Parameters, TENSORS};
use crate::train::LearnerState;

/// Share of the old average that each step keeps: PyTorch's default for Adadelta.
const RHO: f64 = 0.9;
/// Added before each root and division: PyTorch's default for Adadelta.
const EPSILON: f64 = 1e-6;

/// A network's parameters and its optimizer's averages. Clones are the same tensors.
#[derive(Clone)]
pub struct Flat {
    parameters: Tensor,
    square_average: Tensor,
    accumulated_update: Tensor,
}

impl Flat {
    /// Those of a state, on this device.
    pub fn new(state: &LearnerState, device: &Device) -> Result<Self> {
        let row = |parameters: &Parameters| Tensor::new(parameters.arrays().concat(), device);
        Ok(Self {
            parameters: row(&state.parameters)?,
            square_average: row(&state.square_average)?,
            accumulated_update: row(&state.accumulated_update)?,
        })
    }

    /// Takes over a state.
    pub fn set(&self, state: &LearnerState) -> Result<()> {
        let new = Self::new(state, self.parameters.device())?;
        self.parameters.slice_set(&new.parameters, 0, 0)?;
        self.square_average.slice_set(&new.square_average, 0, 0)?;
        self.accumulated_update.slice_set(&new.accumulated_update, 0, 0)
    }

    /// The state after so many steps.
    pub fn state(&self, steps: u64) -> Result<LearnerState> {
        Ok(LearnerState {
            parameters: parameters(&self.parameters)?,
            square_average: parameters(&self.square_average)?,
            accumulated_update: parameters(&self.accumulated_update)?,
            steps,
        })
    }

    /// The parameters, in the order of [`TENSORS`] and in their shapes: parts of the row, which change with it.
    pub fn tensors(&self) -> Result<[Tensor; 8]> {
        let mut start = 0;
        let mut tensors = Vec::with_capacity(TENSORS.len());
        for (_, shape) in TENSORS {
            let count = shape.iter().product();
            tensors.push(self.parameters.narrow(0, start, count)?.reshape(shape)?);
            start += count;
        }
        match tensors.try_into() {
            Ok(tensors) => Ok(tensors),
            Err(_) => candle_core::bail!("MNISTNet has eight tensors"),
        }
    }

    /// One step of Adadelta by these gradients, at a learning rate of one number.
    pub fn update(&self, gradients: &[Tensor; 8], rate: &Tensor) -> Result<()> {
        let rows = gradients.each_ref().map(Tensor::flatten_all);
        let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
        let gradient = Tensor::cat(&rows, 0)?;
        let square = ((&self.square_average * RHO)? + (gradient.sqr()? * (1.0 - RHO))?)?;
        let ratio = (&self.accumulated_update + EPSILON)?
            .div(&(&square + EPSILON)?)?
            .sqrt()?;
        let update = (ratio * gradient)?;
        let accumulated = ((&self.accumulated_update * RHO)? + (update.sqr()? * (1.0 - RHO))?)?;
        let parameters = (&self.parameters - update.broadcast_mul(rate)?)?;
        self.square_average.slice_set(&square, 0, 0)?;
        self.accumulated_update.slice_set(&accumulated, 0, 0)?;
        self.parameters.slice_set(&parameters, 0, 0)
    }
}

fn parameters(row: &Tensor) -> Result<Parameters> {
    let numbers = row.to_vec1::<f32>()?;
    let mut parameters = Parameters::zeros();
    let mut rest = &numbers[..];
    for array in parameters.arrays_mut() {
        let (own, others) = rest.split_at(array.len());
        array.copy_from_slice(own);
        rest = others;
    }
    Ok(parameters)
}
