//! Classifies in this process: the same decoding and the same model, with no queue between.

use std::sync::Mutex;

use anyhow::Context;
use serde_json::json;

use super::inputs::Input;
use super::printing::Answer;
use crate::config::Config;
use crate::digit::{DigitReader, Reader};
use crate::model::{self, Model};
use crate::roles::seams;

/// Reader and model, open.
pub struct Local {
    reader: DigitReader,
    model: Mutex<Box<dyn Model>>,
}

impl Local {
    /// Loads the model.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let weights = seams::weights(config)?;
        let model = model::open(&weights, config.place()?)?;
        Ok(Self {
            reader: DigitReader::new(&config.digit),
            model: Mutex::new(model),
        })
    }

    /// Classifies one picture; the answer's body has the keys of the server's.
    pub fn classify(&self, input: &Input) -> anyhow::Result<Answer> {
        let picture = self.reader.read(&input.read_blocking()?)?;
        let mut model = self
            .model
            .lock()
            .ok()
            .context("the model broke on an earlier picture")?;
        let log_probabilities = model.predict(picture.pixels())?;
        let probabilities: Vec<f64> = log_probabilities
            .iter()
            .map(|value| printable(value.exp()))
            .collect();
        let best = (0..probabilities.len()).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
        let card = model.card();
        let body = json!({
            "predicted_class": best,
            "status": "succeeded",
            "confidence": best.map(|best| probabilities[best]),
            "probabilities": probabilities,
            "model": { "name": card.name, "weights_sha256": card.weights_sha256 },
            "device": card.device,
        });
        Ok(Answer {
            body,
            picture: Some(picture),
        })
    }
}

/// The number that prints with the fewest digits that name the same `f32`: as a server answers.
fn printable(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}
