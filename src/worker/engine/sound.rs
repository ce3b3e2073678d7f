//! A model that is known to be sound: whatever makes that doubtful makes it answer its canary.
//!
//! In comes a model, out go its answers, or that it is broken. Knows no thread and no clock.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::canary::Canary;
use crate::model::{Memory, Model, ModelCard, ModelError, Pass};

/// A model that has answered its canary.
pub(super) struct Sound {
    model: Box<dyn Model>,
    canary: Canary,
}

impl Sound {
    /// The model, if it answers its canary. One without has a blank picture, and what it says to that first is right.
    pub(super) fn new(mut model: Box<dyn Model>) -> Result<Self, ModelError> {
        let canary = match model.canary() {
            Some(canary) => canary.clone(),
            None => {
                let card = model.card();
                let pixels = vec![0; usize::from(card.width) * usize::from(card.height)];
                Canary {
                    log_probabilities: model.predict(&pixels)?,
                    pixels,
                    tolerance: 1e-3,
                }
            }
        };
        let mut sound = Self { model, canary };
        sound.check()?;
        Ok(sound)
    }

    pub(super) fn card(&self) -> &ModelCard {
        self.model.card()
    }

    pub(super) fn depth(&self) -> usize {
        self.model.depth()
    }

    pub(super) fn memory(&self) -> Option<Memory> {
        self.model.memory()
    }

    /// Has it answer its canary.
    pub(super) fn check(&mut self) -> Result<(), ModelError> {
        let pixels = &self.canary.pixels;
        let wrong = match caught(|| self.model.predict(pixels)) {
            Ok(answer) if self.canary.is_answered_by(&answer) => return Ok(()),
            Ok(answer) => format!(
                "it answers a well-known digit with {answer:.4?} instead of {:.4?}",
                self.canary.log_probabilities
            ),
            Err(ModelError::Rejected(detail)) => format!("it rejects a well-known digit: {detail}"),
            Err(error) => return Err(error),
        };
        Err(self.broken(wrong.into()))
    }

    pub(super) fn begin(&mut self, pixels: &[u8]) -> Result<Pass, ModelError> {
        caught(|| self.model.begin(pixels))
    }

    /// Ends what was begun.
    pub(super) fn end(&mut self, pass: Result<Pass, ModelError>) -> Result<Vec<f32>, ModelError> {
        let answered = pass.and_then(|pass| caught(|| self.model.end(pass)));
        let error = match answered {
            // A device that is gone may answer with anything, and a network with numbers.
            Ok(answer) if answer.iter().any(|number| number.is_nan()) => {
                return self.check().map(|()| answer);
            }
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // A picture is to blame only if the model can answer others.
        match (self.check(), &error) {
            (Err(broken), ModelError::Rejected(_)) => Err(broken),
            (Err(again), _) => {
                tracing::error!(
                    error = &again as &dyn std::error::Error,
                    "nor is the canary answered"
                );
                Err(error)
            }
            (Ok(()), _) => Err(error),
        }
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> ModelError {
        ModelError::Broken {
            device: self.model.card().device.clone(),
            source,
        }
    }
}

/// A panic is blamed on the picture.
fn caught<T>(ask: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    catch_unwind(AssertUnwindSafe(ask))
        .unwrap_or_else(|panic| Err(ModelError::Rejected(message(panic.as_ref()))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied());
    format!("the model panicked: {}", text.unwrap_or("without a message"))
}
