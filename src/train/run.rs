//! The course of a training run: epochs of shuffled batches, a falling learning rate, a test after each epoch.
//!
//! In come a learner and labelled pictures, out go weights after every whole epoch. Prints nothing: whoever
//! runs it is told how far it is.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::augment::Augmenter;
use super::average::averaged;
use super::checkpoint::{self, Checkpoint, CheckpointError};
use super::dataset::Dataset;
use super::evaluation::Evaluation;
use super::kept::{Best, Kept};
use super::random::order;
use super::report::ReportError;
use super::{Epoch, Learner, Resident, Settings};
use crate::model::parameters::Parameters;
use crate::model::weights::{Weights, WeightsError};
use crate::model::{ModelError, Place};

/// Steps whose losses a device may keep for itself: a progress bar moves often enough.
const UNTOLD: usize = 10;

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
    /// The mean of the parameters after those of them that are averaged.
    pub mean: Option<&'a Parameters>,
    /// Where weights are tested.
    pub place: Place,
    /// The best of them, if the weight file is to keep its weights until there is a better one.
    pub best: Option<&'a Best>,
}

/// One optimizer step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps of the whole run, with this one.
    pub step: u64,
    /// Batches of this epoch before this one.
    pub batch: usize,
    /// Pictures of this epoch before this batch.
    pub seen: usize,
    /// Pictures in this batch.
    pub pictures: usize,
    /// Pictures of an epoch.
    pub total: usize,
    /// What the step was made with.
    pub learning_rate: f32,
    /// Mean negative log-likelihood of this batch before the step.
    pub loss: f32,
}

/// An epoch that was learned and tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tested<'a> {
    /// Counted from 1.
    pub epoch: u32,
    /// Answers after it.
    pub evaluation: &'a Evaluation,
    /// The epoch whose weights are in the weight file: this one, or a better one before it.
    pub best: &'a Best,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After as many epochs as were asked for.
    Whole,
    /// Before that, because it got no better.
    NoBetter,
    /// Within an epoch, because it was told to.
    Stopped,
}

/// What a run leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub end: End,
    /// Whole epochs that lie behind the learner now.
    pub epochs: u32,
    /// The epoch whose weights are in the weight file; none: it is as it was.
    pub kept: Option<u32>,
}

/// Whoever wants to know how far a run is.
pub trait Progress {
    /// After each step.
    fn stepped(&mut self, step: &Step);

    /// After each epoch, once its weights are written, and before its state is: what is left half done here is done
    /// again when the run is resumed.
    ///
    /// # Errors
    /// [`ReportError`] ends the run.
    fn tested(&mut self, tested: &Tested<'_>) -> Result<(), ReportError>;
}

/// Two who want to know, one after the other.
impl<A: Progress, B: Progress> Progress for (A, B) {
    fn stepped(&mut self, step: &Step) {
        self.0.stepped(step);
        self.1.stepped(step);
    }

    fn tested(&mut self, tested: &Tested<'_>) -> Result<(), ReportError> {
        self.0.tested(tested)?;
        self.1.tested(tested)
    }
}

/// Why a run broke. The weights of the last whole epoch, or with patience of the best one, are there.
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
    /// The files to look at can't be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Trains to the end, until it gets no better, or until `stop` is cancelled. What is left are the weights of the last
/// whole epoch, or with patience of the best one.
///
/// # Errors
/// [`TrainError`].
pub fn run(
    learner: &mut dyn Learner,
    course: &Course<'_>,
    progress: &mut dyn Progress,
    stop: &CancellationToken,
) -> Result<Ended, TrainError> {
    let Course {
        settings, train, out, ..
    } = course;
    let batches = train.len().div_ceil(settings.batch_size) as u64;
    if let Some(learner) = learner.resident() {
        learner.keep(train, course.augmenter.map(Augmenter::seed))?;
    }
    let mut best = course.best.cloned();
    let mut mean = course.mean.cloned();
    if let Some(best) = &best {
        // Whatever has become of the file since the run was broken off.
        best.kept.weights.write(out)?;
    }
    let ended = |end, epochs, best: Option<Best>| Ended {
        end,
        epochs,
        kept: best.map(|best| best.kept.epoch),
    };
    for epoch in course.done + 1..=settings.epochs {
        let learning_rate = settings.rate(epoch);
        let order = order(settings.seed, epoch, train.len());
        let going_through = Epoch {
            number: epoch,
            order: &order,
            batch_size: settings.batch_size,
            learning_rate,
            is_distorted: settings.is_distorted(epoch),
        };
        let mut on_step = |batch: usize, loss| {
            let seen = batch * settings.batch_size;
            progress.stepped(&Step {
                epoch,
                step: u64::from(epoch - 1) * batches + batch as u64 + 1,
                batch,
                seen,
                pictures: settings.batch_size.min(train.len() - seen),
                total: train.len(),
                learning_rate,
                loss,
            });
        };
        let whole = match learner.resident() {
            Some(learner) => learn_kept(learner, &going_through, (&mut on_step, stop))?,
            None => learn(learner, course, &going_through, (&mut on_step, stop))?,
        };
        if !whole {
            return Ok(ended(End::Stopped, epoch - 1, best));
        }
        let state = learner.state()?;
        let averaged_epochs = settings.averaged(epoch);
        if averaged_epochs > 0 {
            mean = Some(averaged(mean, &state.parameters, averaged_epochs));
        }
        let weights = Weights::new(mean.as_ref().unwrap_or(&state.parameters).clone())?;
        let evaluation = Evaluation::of_weights(&weights, course.test, course.place)?;
        let now_best = match best {
            Some(best) if !settings.keeps(&evaluation, &best) => best,
            _ => {
                weights.write(out)?;
                let (kept, evaluation) = (Kept { epoch, weights }, evaluation.clone());
                Best { kept, evaluation }
            }
        };
        progress.tested(&Tested {
            epoch,
            evaluation: &evaluation,
            best: &now_best,
        })?;
        let checkpoint = Checkpoint {
            learner: state,
            epochs: epoch,
            mean: mean.clone(),
            kept: Some(now_best.kept.clone()),
        };
        checkpoint.write(&checkpoint::path(out), settings)?;
        if epoch < settings.epochs && settings.is_patience_over(epoch, now_best.kept.epoch) {
            return Ok(ended(End::NoBetter, epoch, Some(now_best)));
        }
        best = Some(now_best);
    }
    Ok(ended(End::Whole, settings.epochs, best))
}

/// Learns what an epoch goes through, and tells the loss of each batch. False: it was told to stop before the end.
fn learn(
    learner: &mut dyn Learner,
    course: &Course<'_>,
    epoch: &Epoch<'_>,
    (on_step, stop): (&mut dyn FnMut(usize, f32), &CancellationToken),
) -> Result<bool, TrainError> {
    for (batch, indices) in epoch.order.chunks(epoch.batch_size).enumerate() {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let (pixels, labels) = course.batch(epoch.number, indices);
        on_step(batch, learner.step(&pixels, &labels, epoch.learning_rate)?);
    }
    Ok(true)
}

/// The same of a learner that has the data set. Losses are asked for now and then: that waits for the device.
fn learn_kept(
    learner: &mut dyn Resident,
    epoch: &Epoch<'_>,
    (on_step, stop): (&mut dyn FnMut(usize, f32), &CancellationToken),
) -> Result<bool, TrainError> {
    learner.begin(epoch)?;
    let batches = epoch.order.len().div_ceil(epoch.batch_size);
    let mut told = 0;
    for batch in 0..batches {
        if stop.is_cancelled() {
            return Ok(false);
        }
        learner.step_on_kept(batch)?;
        if batch + 1 == batches || (batch + 1).is_multiple_of(UNTOLD) {
            for loss in learner.losses()? {
                on_step(told, loss);
                told += 1;
            }
        }
    }
    Ok(true)
}

impl Course<'_> {
    /// Pictures as they are in this epoch, one after the other, and their labels.
    fn batch(&self, epoch: u32, indices: &[usize]) -> (Vec<u8>, Vec<u8>) {
        let pixels = match self.augmenter {
            Some(augmenter) if self.settings.is_distorted(epoch) => {
                augmenter.batch(self.train, epoch, indices)
            }
            _ => {
                let pictures: Vec<&[u8]> = indices.iter().map(|index| self.train.image(*index)).collect();
                pictures.concat()
            }
        };
        let labels = indices.iter().map(|index| self.train.labels()[*index]);
        (pixels, labels.collect())
    }
}
