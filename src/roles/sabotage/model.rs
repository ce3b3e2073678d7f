//! Models whose device is out of order.

use crate::model::canary::Canary;
use crate::model::{Memory, Model, ModelCard, ModelError, Pass};
use crate::roles::Opening;

/// What is wrong with a device. With all but the first it answers rightly for a while, as when a worker starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers with other numbers than it should.
    WrongAnswers,
    /// It fails.
    Dies,
    /// It answers with what is no number.
    NoNumbers,
    /// Whoever asks it panics.
    Panics,
}

impl Fault {
    /// The fault of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "wrong-answers" => Self::WrongAnswers,
            "device-dies" => Self::Dies,
            "no-numbers" => Self::NoNumbers,
            "device-panics" => Self::Panics,
            _ => return None,
        })
    }

    /// The same model on a device with this fault.
    pub fn befall(self, opening: Opening) -> Opening {
        Box::new(move || {
            Ok(Box::new(Faulty {
                inner: opening()?,
                fault: self,
                asked: 0,
            }))
        })
    }
}

/// How often a device with a fault answers rightly first.
const RIGHT: u32 = 2;

struct Faulty {
    inner: Box<dyn Model>,
    fault: Fault,
    /// How often it was asked.
    asked: u32,
}

impl Model for Faulty {
    fn card(&self) -> &ModelCard {
        self.inner.card()
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        self.asked += 1;
        let mut answers = self.inner.predict(pixels)?;
        if self.asked <= RIGHT && self.fault != Fault::WrongAnswers {
            return Ok(answers);
        }
        match self.fault {
            Fault::WrongAnswers => answers.rotate_right(1),
            Fault::NoNumbers => answers.fill(f32::NAN),
            Fault::Panics => panic!("the device does not answer"),
            Fault::Dies => {
                return Err(ModelError::Broken {
                    device: self.card().device.clone(),
                    source: "the device does not answer".into(),
                });
            }
        }
        Ok(answers)
    }

    fn warm_up(&mut self, largest: usize) -> Result<(), ModelError> {
        self.inner.warm_up(largest)
    }

    fn begin(&mut self, pixels: &[u8]) -> Result<Pass, ModelError> {
        self.predict(pixels).map(Pass::Answered)
    }

    fn canary(&self) -> Option<&Canary> {
        self.inner.canary()
    }

    fn memory(&self) -> Option<Memory> {
        self.inner.memory()
    }
}
