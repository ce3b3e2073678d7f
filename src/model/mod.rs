//! Seam between the worker and a network: many pictures in, their log-probabilities out.
//!
//! Put your own network behind [`Model`], and queue, batching, store and API stay as they are. Knows no
//! queue, no job and no image format.

mod buckets;
pub mod canary;
pub mod candle_net;
#[cfg(feature = "cuda")]
mod cuda;
pub mod device;
pub mod kernels;
pub(crate) mod lane;
pub mod limits;
mod memory;
pub mod net;
pub mod parameters;
mod pickle;
pub mod precision;
mod state_dict;
pub mod weights;

use std::thread::available_parallelism;

use canary::{Canary, WithCanary};
use candle_net::CandleNet;
use device::{DeviceName, Opened};
use kernels::CpuNet;
pub use memory::Memory;
use precision::Precision;
use weights::Weights;

/// A network on its own thread, which makes it and never lets go of it.
///
/// The same picture gets the same answer alone and in a batch: to 1e-4 in log-probability on any CPU path,
/// to 1e-3 on a GPU.
pub trait Model {
    /// What it is.
    fn card(&self) -> &ModelCard;

    /// One forward pass. `pixels` holds n pictures of `width * height` bytes each, one after the other, 0 the
    /// background and 255 ink; the answer holds n × `classes` log-probabilities, row by row. n = 0 answers
    /// nothing.
    ///
    /// # Errors
    /// [`ModelError::Rejected`] if a picture of the batch can't be classified, [`ModelError::Broken`] if the
    /// model or its device can't go on.
    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError>;

    /// Readies it for batches of up to `largest` pictures, so that none pays for being the first of its size.
    ///
    /// # Errors
    /// As [`Model::predict`].
    fn warm_up(&mut self, largest: usize) -> Result<(), ModelError> {
        let picture = usize::from(self.card().width) * usize::from(self.card().height);
        self.predict(&vec![0; largest.min(1) * picture]).map(drop)
    }

    /// How many forward passes can be in flight at once.
    fn depth(&self) -> usize {
        1
    }

    /// Starts a forward pass, of which at most [`Model::depth`] may be in flight, and returns before its end if the
    /// device can: then the next batch comes to the device while this one is computed.
    ///
    /// # Errors
    /// As [`Model::predict`].
    fn begin(&mut self, pixels: &[u8]) -> Result<Pass, ModelError> {
        self.predict(pixels).map(Pass::Answered)
    }

    /// The answer of the pass that was begun first of those in flight, once there is one.
    ///
    /// # Errors
    /// As [`Model::predict`].
    fn end(&mut self, pass: Pass) -> Result<Vec<f32>, ModelError> {
        match pass {
            Pass::Answered(answers) => Ok(answers),
            Pass::InFlight { .. } => Err(ModelError::Broken {
                device: self.card().device.clone(),
                source: "it was asked for an answer that it has never begun".into(),
            }),
        }
    }

    /// What tells whether it still answers rightly; none: what it answers first is taken for right.
    fn canary(&self) -> Option<&Canary> {
        None
    }

    /// The memory of its device, if that is known.
    fn memory(&self) -> Option<Memory> {
        None
    }
}

/// A forward pass that was begun.
#[derive(Debug)]
pub enum Pass {
    /// It has ended: its log-probabilities.
    Answered(Vec<f32>),
    /// It goes on, and its answers will be at this place of the device.
    InFlight {
        /// Which of the sizes of batches.
        bucket: usize,
        /// Which of the places of that size.
        place: usize,
        /// How many pictures it is about.
        pictures: usize,
    },
}

/// What a model is and takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCard {
    /// The architecture.
    pub name: String,
    /// SHA-256 of the weight file, in hexadecimal digits.
    pub weights_sha256: String,
    /// Where it runs, as `--device` names it.
    pub device: String,
    /// Pixels a row of its input.
    pub width: u16,
    /// Rows of its input.
    pub height: u16,
    /// How many classes it tells apart.
    pub classes: usize,
}

/// Why a batch got no answer, by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Something in this batch can't be classified; other pictures can.
    #[error("the model rejects a picture: {0}")]
    Rejected(String),
    /// There is no such device, or this build can't use it.
    #[error("there is no {device} to use")]
    Missing {
        /// Which.
        device: String,
        /// Why, and what to do.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The model can't go on: take it out of service.
    #[error("the model on {device} is broken")]
    Broken {
        /// Where it ran.
        device: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where a model is to run, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// On what.
    pub device: DeviceName,
    /// With which numbers.
    pub precision: Precision,
    /// On how many threads of a CPU; 0: as many as there are cores.
    pub threads: usize,
}

impl Place {
    /// On this device, with 32-bit numbers.
    #[must_use]
    pub fn new(device: DeviceName, threads: usize) -> Self {
        Self {
            device,
            precision: Precision::F32,
            threads,
        }
    }
}

/// MNISTNet with these weights, at this place: on a CPU by this crate's kernels, on a GPU and with 16-bit numbers by
/// candle. Must be called on the thread that will use it.
///
/// # Errors
/// [`ModelError::Missing`] if there is no such device, [`ModelError::Broken`] if it fails.
pub fn open(weights: &Weights, place: Place) -> Result<Box<dyn Model>, ModelError> {
    let (parameters, sha256) = (&weights.parameters, weights.sha256.clone());
    let canary = Canary::of(parameters, place.precision)?;
    let opened = place.device.open()?;
    if let (Opened::Cpu, Precision::F32) = (&opened, place.precision) {
        let model = CpuNet::new(parameters, sha256, threads(place.threads))?;
        return Ok(WithCanary::boxed(model, canary));
    }
    let model = CandleNet::new(parameters, sha256, place.precision, opened.on_candle())?;
    Ok(WithCanary::boxed(model, canary))
}

/// As [`open`], by candle on any device and without a canary: the code of GPUs, also where there is none.
///
/// # Errors
/// [`ModelError::Missing`] if there is no such device, [`ModelError::Broken`] if it fails.
pub fn open_by_candle(weights: &Weights, place: Place) -> Result<CandleNet, ModelError> {
    let (sha256, opened) = (weights.sha256.clone(), place.device.open()?);
    CandleNet::new(&weights.parameters, sha256, place.precision, opened.on_candle())
}

/// How many threads a model takes on a CPU: those asked for, or as many as there are cores for 0.
#[must_use]
pub fn threads(asked: usize) -> usize {
    match asked {
        0 => available_parallelism().map_or(1, usize::from),
        asked => asked,
    }
}
