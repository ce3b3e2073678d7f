//! What a service is about: what uploads become, and which model is asked about them. All else is the same for any.

use std::sync::Arc;

use super::{digits, seams};
use crate::config::Config;
use crate::digit::{DigitReader, Reader};
use crate::http::Offer;
use crate::model::{self, Model, ModelError};
use crate::worker::canary::KnownPicture;

/// Opens a model, on the thread that will use it.
pub type Opening = Box<dyn FnOnce() -> Result<Box<dyn Model>, ModelError> + Send>;

/// A model, and how it is asked.
#[derive(Clone)]
pub struct Service {
    /// The model, as clients of the Open Inference Protocol find it.
    pub offer: Offer,
    /// What makes pictures of uploads, by this configuration.
    pub reader: fn(&Config) -> Arc<dyn Reader>,
    /// Readies the model for each worker, by this configuration, which names one device: says what is wrong with its files, opens no device.
    /// Called again, and beside a model that works, when there are new weights.
    pub model: fn(&Config) -> anyhow::Result<Opening>,
    /// Pictures that every good model tells apart: new weights must do so before they take the old ones' place. None:
    /// it is enough that they answer with log-probabilities.
    pub known: fn() -> Vec<KnownPicture>,
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
                let place = config.place()?;
                Ok(Box::new(move || model::open(&weights, place)))
            },
            known: digits::known,
        }
    }
}
