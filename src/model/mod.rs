//! Seam between the worker and a network: many pictures in, their log-probabilities out.
//!
//! Put your own network behind [`Model`], and queue, batching, store and API stay as they are. Knows no
//! queue, no job and no image format.

pub mod device;
pub mod kernels;
pub mod net;
pub mod parameters;
mod pickle;
mod state_dict;
pub mod weights;

use std::thread::available_parallelism;

use device::{DeviceName, Opened};
use kernels::CpuNet;
use net::CandleNet;
use weights::Weights;

/// A network on its own thread, asked for one batch at a time.
///
/// The same picture gets the same answer alone and in a batch: to 1e-4 in log-probability on any CPU path,
/// to 1e-3 on a GPU.
pub trait Model: Send {
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
    /// The model can't go on: take it out of service.
    #[error("the model on {device} is broken")]
    Broken {
        /// Where it ran.
        device: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// MNISTNet with these weights, on this device: on a CPU by this crate's kernels, on a GPU by candle. Must be
/// called on the thread that will use it.
///
/// # Errors
/// [`ModelError::Broken`] if there is no such device.
pub fn open(
    weights: &Weights,
    device: DeviceName,
    thread_count: usize,
) -> Result<Box<dyn Model>, ModelError> {
    let (parameters, sha256) = (&weights.parameters, weights.sha256.clone());
    match device.open()? {
        Opened::Cpu => Ok(Box::new(CpuNet::new(parameters, sha256, threads(thread_count))?)),
        Opened::Cuda(name, device) => Ok(Box::new(CandleNet::new(parameters, sha256, name, device)?)),
    }
}

/// How many threads a model takes on a CPU: those asked for, or as many as there are cores for 0.
#[must_use]
pub fn threads(asked: usize) -> usize {
    match asked {
        0 => available_parallelism().map_or(1, usize::from),
        asked => asked,
    }
}
