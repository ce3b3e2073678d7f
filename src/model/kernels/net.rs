//! MNISTNet on the CPU, behind the seam [`Model`].
//!
//! Parameters in, predictions out; what is between is in the other files of this folder.

use rayon::ThreadPoolBuildError;

use super::convolution::PICTURE;
use super::cores::Cores;
use super::dense::CLASSES;
use super::dispatch::Level;
use super::forward::Forward;
use super::layout::Network;
use crate::model::parameters::Parameters;
use crate::model::{Memory, Model, ModelCard, ModelError};

/// MNISTNet with kernels for this CPU. Weights that hold NaN give NaN.
pub struct CpuNet {
    card: ModelCard,
    network: Network,
    cores: Cores,
    /// For a single picture: to wake other threads takes longer than they would save.
    alone: Cores,
    forward: Forward,
}

impl CpuNet {
    /// The network on this many threads (at least one), as fast as this CPU can.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the threads can't be started.
    pub fn new(parameters: &Parameters, weights_sha256: String, threads: usize) -> Result<Self, ModelError> {
        Self::at_level(Level::best(), parameters, weights_sha256, threads)
    }

    /// As [`new`](Self::new), with the instructions of this level.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the threads can't be started.
    pub fn at_level(
        level: Level,
        parameters: &Parameters,
        weights_sha256: String,
        threads: usize,
    ) -> Result<Self, ModelError> {
        let broken = |error: ThreadPoolBuildError| ModelError::Broken {
            device: DEVICE.to_owned(),
            source: error.into(),
        };
        let cores = Cores::new(threads, level).map_err(broken)?;
        let alone = Cores::new(1, level).map_err(broken)?;
        let mut network = Network::new(parameters);
        network.transform_weights(&cores);
        let card = ModelCard {
            name: "MNISTNet".to_owned(),
            weights_sha256,
            device: DEVICE.to_owned(),
            width: 28,
            height: 28,
            classes: CLASSES,
        };
        Ok(Self {
            card,
            network,
            forward: Forward::new(&cores),
            cores,
            alone,
        })
    }
}

const DEVICE: &str = "cpu";

impl Model for CpuNet {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        if !pixels.len().is_multiple_of(PICTURE) {
            return Err(ModelError::Rejected(format!(
                "{} bytes are no whole number of pictures of 28×28",
                pixels.len()
            )));
        }
        let cores = if pixels.len() == PICTURE {
            &self.alone
        } else {
            &self.cores
        };
        Ok(self.forward.run(cores, &self.network, pixels))
    }

    fn memory(&self) -> Option<Memory> {
        Memory::of_machine()
    }
}
