//! MNISTNet learning in candle, on any of its devices: what GPUs use, and what the kernels are checked against.
//!
//! In come pictures, or once a whole data set that stays on the device, out go parameters. A step is recorded once for
//! each size of batch and started by one call after that, where the device can.

mod flat;
mod kept;
mod masks;
mod passes;

use std::collections::HashMap;
use std::rc::Rc;

use candle_core::{DType, Device, Result, Tensor};

use super::dataset::{Dataset, PICTURE};
use super::{Dropout, Epoch, Learner, LearnerState, Resident};
use crate::model::ModelError;
use crate::model::lane::{self, Lane, Work};
use crate::model::net::{Layers, normalize};
use crate::model::precision::Precision;
use flat::Flat;
use kept::{Kept, Prepared};
use masks::Unpacker;
use passes::{Batch, Constants};

/// Pictures asked about at once: candle's convolutions take 1.3 MB for each.
const ASKED: usize = 256;

/// A network, its optimizer and its dropout, on one device.
pub struct CandleLearner {
    name: String,
    device: Device,
    lane: Box<dyn Lane>,
    flat: Flat,
    /// The learning rate, as one number on the device.
    rate: Tensor,
    parts: Rc<Parts>,
    /// For each size of batch, a step on what lies in its inputs.
    steps_of: HashMap<usize, Rc<Step>>,
    dropout: Dropout,
    steps: u64,
    kept: Option<Kept>,
    prepared: Option<Prepared>,
}

/// What all steps share.
struct Parts {
    constants: Constants,
    unpacker: Unpacker,
}

/// A step for batches of one size: where its inputs lie, and what is done with them.
struct Step {
    pictures: Tensor,
    labels: Tensor,
    dropped: Tensor,
    loss: Tensor,
    work: Work,
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
            let parts = Parts {
                constants: Constants::new(&device)?,
                unpacker: Unpacker::new(&dropout, &device)?,
            };
            let flat = Flat::new(state, &device)?;
            Ok((flat, Tensor::zeros(1, DType::F32, &device)?, parts))
        };
        let (flat, rate, parts) = open().map_err(|error| broken(&name, error))?;
        Ok(Self {
            name,
            lane: lane::to(&device),
            device,
            flat,
            rate,
            parts: Rc::new(parts),
            steps_of: HashMap::new(),
            dropout,
            steps: state.steps,
            kept: None,
            prepared: None,
        })
    }

    /// The step for batches of this size. It is done while it is recorded, so what that has changed is put back.
    fn step_of(&mut self, pictures: usize) -> Result<Rc<Step>> {
        if let Some(step) = self.steps_of.get(&pictures) {
            return Ok(Rc::clone(step));
        }
        let before = self.flat.state(self.steps)?;
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &self.device);
        let inputs = [
            zeros(&[pictures, 1, 28, 28], DType::U8)?,
            zeros(&[pictures], DType::U8)?,
            zeros(&[pictures, masks::PACKED], DType::U8)?,
        ];
        let loss = zeros(&[1], DType::F32)?;
        let (parts, flat, rate) = (Rc::clone(&self.parts), self.flat.clone(), self.rate.clone());
        let (from, to) = (inputs.clone(), loss.clone());
        let work: Work = Box::new(move || {
            let [pictures, labels, dropped] = &from;
            let (features, hidden) = parts.unpacker.unpack(dropped)?;
            let batch = Batch {
                pictures: &normalize(pictures)?,
                labels,
                features: &features,
                hidden: &hidden,
            };
            let (gradients, loss) = parts.constants.gradients(&flat.tensors()?, &batch)?;
            to.slice_set(&loss, 0, 0)?;
            flat.update(&gradients, &rate)
        });
        let work = self.lane.record(&work)?.unwrap_or(work);
        self.flat.set(&before)?;
        let [pictures_in, labels, dropped] = inputs;
        let step = Rc::new(Step {
            pictures: pictures_in,
            labels,
            dropped,
            loss,
            work,
        });
        self.steps_of.insert(pictures, Rc::clone(&step));
        Ok(step)
    }

    fn set_rate(&self, learning_rate: f32) -> Result<()> {
        self.rate
            .slice_set(&Tensor::new(&[learning_rate], &self.device)?, 0, 0)
    }

    fn learn(&mut self, pixels: &[u8], labels: &[u8], learning_rate: f32) -> Result<f32> {
        let pictures = labels.len();
        let step = self.step_of(pictures)?;
        self.set_rate(learning_rate)?;
        let places: Vec<_> = (0..pictures).map(|picture| (self.steps, picture)).collect();
        self.lane.upload(&step.pictures, pixels)?;
        self.lane.upload(&step.labels, labels)?;
        self.lane
            .upload(&step.dropped, &masks::pack(&self.dropout, &places))?;
        (step.work)()?;
        self.steps += 1;
        step.loss.get(0)?.to_scalar()
    }

    fn prepare(&mut self, epoch: &Epoch<'_>) -> Result<()> {
        let Some(kept) = &self.kept else {
            candle_core::bail!("no data set is kept");
        };
        let places = (0..epoch.order.len()).map(|place| {
            let step = (place / epoch.batch_size) as u64;
            (self.steps + step, place % epoch.batch_size)
        });
        let dropped = masks::pack(&self.dropout, &places.collect::<Vec<_>>());
        self.prepared = Some(kept.prepare(epoch, dropped)?);
        self.set_rate(epoch.learning_rate)
    }

    fn learn_prepared(&mut self, batch: usize) -> Result<()> {
        let range = match &self.prepared {
            Some(prepared) => prepared.range(batch),
            None => candle_core::bail!("no epoch has begun"),
        };
        let step = self.step_of(range.len())?;
        if let Some(prepared) = &mut self.prepared {
            prepared.fill(range, [&step.pictures, &step.labels, &step.dropped])?;
            (step.work)()?;
            prepared.note(&step.loss)?;
        }
        self.steps += 1;
        Ok(())
    }

    fn ask(&self, pixels: &[u8]) -> Result<Vec<f32>> {
        let parameters = self.flat.state(self.steps)?.parameters;
        let layers = Layers::new(&parameters, Precision::F32, &self.device)?;
        let mut answers = Vec::new();
        for pixels in pixels.chunks(ASKED * PICTURE) {
            let pictures = Tensor::from_slice(pixels, (pixels.len() / PICTURE, 1, 28, 28), &self.device)?;
            answers.extend(layers.forward(&pictures)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(answers)
    }

    fn broken(&self, error: candle_core::Error) -> ModelError {
        broken(&self.name, error)
    }
}

fn broken(device: &str, error: candle_core::Error) -> ModelError {
    ModelError::Broken {
        device: device.to_owned(),
        source: error.into(),
    }
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
        self.learn(pixels, labels, learning_rate)
            .map_err(|error| self.broken(error))
    }

    fn predict(&mut self, pixels: &[u8]) -> std::result::Result<Vec<f32>, ModelError> {
        self.ask(pixels).map_err(|error| self.broken(error))
    }

    fn state(&mut self) -> std::result::Result<LearnerState, ModelError> {
        self.flat.state(self.steps).map_err(|error| self.broken(error))
    }

    fn resident(&mut self) -> Option<&mut dyn Resident> {
        Some(self)
    }
}

impl Resident for CandleLearner {
    fn keep(&mut self, dataset: &Dataset, augment: Option<u64>) -> std::result::Result<(), ModelError> {
        let kept = Kept::new(dataset, augment, &self.device);
        self.kept = Some(kept.map_err(|error| self.broken(error))?);
        Ok(())
    }

    fn begin(&mut self, epoch: &Epoch<'_>) -> std::result::Result<(), ModelError> {
        self.prepare(epoch).map_err(|error| self.broken(error))
    }

    fn step_on_kept(&mut self, batch: usize) -> std::result::Result<(), ModelError> {
        self.learn_prepared(batch).map_err(|error| self.broken(error))
    }

    fn losses(&mut self) -> std::result::Result<Vec<f32>, ModelError> {
        let losses = self.prepared.as_mut().map_or(Ok(Vec::new()), Prepared::losses);
        losses.map_err(|error| self.broken(error))
    }
}
