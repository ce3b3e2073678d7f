//! The course of a training run: epochs of shuffled batches, a falling learning rate, a test after each epoch.
//!
//! In come a learner and labelled pictures, out go weights after every whole epoch. Prints nothing: whoever
//! runs it is told how far it is.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::augment::Augmenter;
use super::checkpoint::{self, Checkpoint, CheckpointError};
use super::dataset::{Dataset, PICTURE};
use super::evaluation::Evaluation;
use super::random::order;
use super::{Learner, Settings};
use crate::model::ModelError;
use crate::model::weights::{Weights, WeightsError};

/// What a run goes through, and where its weights go.
pub struct Course<'a> {
    /// How.
    pub settings: &'a Settings,
    /// What is learned.
    pub train: &'a Dataset,
    /// What distorts it, if it is to be distorted.
    pub augmenter: Option<&'a Augmenter>,
    /// What is tested with.
    pub test: &'a Dataset,
    /// Where the weights go after each epoch; the state to resume from goes beside them.
    pub out: &'a Path,
    /// Whole epochs that lie behind the learner.
    pub done: u32,
}

/// One optimizer step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Counted from 1.
    pub epoch: u32,
    /// Batches of this epoch before this one.
    pub batch: usize,
    /// Pictures of this epoch before this batch.
    pub seen: usize,
    /// Pictures in this batch.
    pub pictures: usize,
    /// Pictures of an epoch.
    pub total: usize,
    /// Mean negative log-likelihood of this batch before the step.
    pub loss: f32,
}

/// Whoever wants to know how far a run is.
pub trait Progress {
    /// After each step.
    fn stepped(&mut self, step: &Step);
    /// After each epoch, once its weights are written.
    fn tested(&mut self, epoch: u32, evaluation: &Evaluation);
}

/// Why a run ended early. The weights of the last whole epoch are there.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The device failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights can't be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The state can't be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Trains to the end, or until `stop` is cancelled: then the weights of the last whole epoch are what is left.
/// Gives back how many whole epochs lie behind the learner now.
///
/// # Errors
/// [`TrainError`].
pub fn run(
    learner: &mut dyn Learner,
    course: &Course<'_>,
    progress: &mut dyn Progress,
    stop: &CancellationToken,
) -> Result<u32, TrainError> {
    let Course {
        settings,
        train,
        augmenter,
        test,
        out,
        done,
    } = course;
    for epoch in done + 1..=settings.epochs {
        let learning_rate = rate(settings, epoch);
        let order = order(settings.seed, epoch, train.len());
        for (batch, indices) in order.chunks(settings.batch_size).enumerate() {
            if stop.is_cancelled() {
                return Ok(epoch - 1);
            }
            let pixels = match augmenter {
                Some(augmenter) => augmenter.batch(train, epoch, indices),
                None => pictures(train, indices),
            };
            let labels: Vec<u8> = indices.iter().map(|index| train.labels()[*index]).collect();
            let loss = learner.step(&pixels, &labels, learning_rate)?;
            let seen = batch * settings.batch_size;
            progress.stepped(&Step {
                epoch,
                batch,
                seen,
                pictures: indices.len(),
                total: train.len(),
                loss,
            });
        }
        let evaluation = Evaluation::of(test, |pixels| learner.predict(pixels))?;
        let checkpoint = Checkpoint {
            learner: learner.state()?,
            epochs: epoch,
        };
        Weights::new(checkpoint.learner.parameters.clone())?.write(out)?;
        checkpoint.write(&checkpoint::path(out), settings)?;
        progress.tested(epoch, &evaluation);
    }
    Ok(settings.epochs)
}

fn pictures(dataset: &Dataset, indices: &[usize]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(indices.len() * PICTURE);
    for index in indices {
        pixels.extend_from_slice(dataset.image(*index));
    }
    pixels
}

/// The learning rate of an epoch counted from 1: StepLR(1, gamma), as PyTorch has it.
fn rate(settings: &Settings, epoch: u32) -> f32 {
    let falls = i32::try_from(epoch - 1).unwrap_or(i32::MAX);
    (settings.lr * settings.gamma.powi(falls)) as f32
}
