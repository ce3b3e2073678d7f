//! What a service is about: what uploads become, and which model is asked about them. All else is the same for any.

use std::sync::Arc;

use super::seams;
use crate::config::Config;
use crate::digit::{DigitReader, Reader};
use crate::http::Offer;
use crate::model::{self, Model, ModelError};

/// Opens a model, on the thread that will use it.
pub type Opening = Box<dyn FnOnce() -> Result<Box<dyn Model>, ModelError> + Send>;

/// A model, and how it is asked.
#[derive(Clone)]
pub struct Service {
    /// The model, as clients of the Open Inference Protocol find it.
    pub offer: Offer,
    /// What makes pictures of uploads, by this configuration.
    pub reader: fn(&Config) -> Arc<dyn Reader>,
    /// Readies the model for each worker, by this configuration: says what is wrong with its files, opens no device.
    pub model: fn(&Config) -> anyhow::Result<Opening>,
}

impl Service {
    /// The digits of MNIST, and MNISTNet.
    #[must_use]
    pub fn mnist() -> Self {
        Self {
            offer: Offer::default(),
            reader: |config| Arc::new(DigitReader::new(&config.digit)),
            model: |config| {
                let weights = seams::weights(config)?;
                let (device, threads) = (config.model.device, config.model.threads);
                Ok(Box::new(move || model::open(&weights, device, threads)))
            },
        }
    }
}
