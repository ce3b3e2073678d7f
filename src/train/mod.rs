//! Training: labelled pictures in, parameters out.
//!
//! Meets the rest of the system only in [`crate::model`]: knows no queue, no store and no HTTP.

pub mod augment;
pub mod average;
pub mod candle_learner;
pub mod checkpoint;
pub mod dataset;
pub mod download;
pub mod dropout;
pub mod evaluation;
pub mod golden;
pub mod kept;
pub mod kernels;
pub mod random;
pub mod report;
mod run;

use serde::Deserialize;

pub use run::{Course, End, Ended, Progress, Step, Tested, TrainError, run};

use crate::model::device::Opened;
use crate::model::parameters::Parameters;
use crate::model::{ModelError, Place, threads};
use candle_learner::CandleLearner;
use dataset::Dataset;
use kernels::WinogradLearner;

/// How to train: the defaults are those of PyTorch's MNIST example.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often to go through the training set.
    pub epochs: u32,
    /// Pictures in one step.
    pub batch_size: usize,
    /// Learning rate of the first epoch.
    pub lr: f64,
    /// What the learning rate is multiplied by after each epoch.
    pub gamma: f64,
    /// What the learning rate does not fall below.
    pub lr_floor: f64,
    /// From which epoch on the weights are the mean of those of all epochs; 0: they are those of the last.
    pub average_from: u32,
    /// What initial parameters, order, dropout and distortions come from.
    pub seed: u64,
    /// Whether to distort some of the pictures, anew in each epoch.
    pub augment: bool,
    /// From which epoch on they are distorted no more; 0: they are to the last.
    pub plain_from: u32,
    /// How many of the last training pictures to hold back, and to test with instead of the test pictures.
    pub hold_out: usize,
    /// After how many epochs that are no better than the best one to end, and to keep its weights; 0: never.
    pub patience: u32,
    /// Where the MNIST files are fetched from, the first that has them.
    pub mirrors: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let mirrors = [
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ];
        Self {
            epochs: 14,
            batch_size: 64,
            lr: 1.0,
            gamma: 0.7,
            lr_floor: 0.0,
            average_from: 0,
            seed: 1,
            augment: false,
            plain_from: 0,
            hold_out: 0,
            patience: 0,
            mirrors: mirrors.map(str::to_owned).to_vec(),
        }
    }
}

impl Settings {
    /// Whether the pictures are distorted in an epoch, counted from 1.
    #[must_use]
    pub fn is_distorted(&self, epoch: u32) -> bool {
        self.augment && (self.plain_from == 0 || epoch < self.plain_from)
    }

    /// The learning rate of an epoch counted from 1: StepLR(1, gamma), as PyTorch has it, down to the floor.
    #[must_use]
    pub fn rate(&self, epoch: u32) -> f32 {
        let falls = i32::try_from(epoch - 1).unwrap_or(i32::MAX);
        (self.lr * self.gamma.powi(falls)).max(self.lr_floor) as f32
    }
}

/// A learner on this device, which goes on from `state`, with the reference's dropout. Must be called on the
/// thread that will use it.
///
/// # Errors
/// [`ModelError::Missing`] if there is no such device.
pub fn learner(state: &LearnerState, seed: u64, place: Place) -> Result<Box<dyn Learner>, ModelError> {
    let dropout = Dropout::reference(seed);
    match place.device.open()? {
        Opened::Cpu => Ok(Box::new(WinogradLearner::new(
            state,
            dropout,
            threads(place.threads),
        )?)),
        Opened::Cuda(name, device) => Ok(Box::new(CandleLearner::new(state, dropout, name, device)?)),
    }
}

/// As [`learner`], by candle on any device, and with this dropout: the code of GPUs, also where there is none.
///
/// # Errors
/// [`ModelError::Missing`] if there is no such device.
pub fn learner_by_candle(
    state: &LearnerState,
    dropout: Dropout,
    place: Place,
) -> Result<Box<dyn Learner>, ModelError> {
    let (name, device) = place.device.open()?.on_candle();
    Ok(Box::new(CandleLearner::new(state, dropout, name, device)?))
}

/// A network that learns: the network, its optimizer (Adadelta, rho 0.9, eps 1e-6) and its dropout, as one.
///
/// Same seed, same implementation, same threads: the same parameters after the same steps.
pub trait Learner {
    /// Where it runs, as `--device` names it.
    fn device(&self) -> &str;

    /// One optimizer step on n labelled pictures of 784 bytes; the mean negative log-likelihood before the step.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn step(&mut self, pixels: &[u8], labels: &[u8], learning_rate: f32) -> Result<f32, ModelError>;

    /// Log-probabilities of n pictures, n × 10, dropout off.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError>;

    /// All that learning has changed: enough to go on exactly where this is.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn state(&mut self) -> Result<LearnerState, ModelError>;

    /// The same learner as one that has its data set beside the network, if it can.
    fn resident(&mut self) -> Option<&mut dyn Resident> {
        None
    }
}

/// A learner that is given a data set once, and then only told what to learn: for devices to which every transfer
/// takes its time. Its steps are those of [`Learner::step`].
pub trait Resident {
    /// Takes a data set over. With a seed, each epoch has some of it distorted anew, as [`augment::Augmenter`] does it.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn keep(&mut self, dataset: &Dataset, augment: Option<u64>) -> Result<(), ModelError>;

    /// Readies an epoch.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails, or has no data set.
    fn begin(&mut self, epoch: &Epoch<'_>) -> Result<(), ModelError>;

    /// One optimizer step on a batch of the epoch, counted from 0. Returns before its end, if the device can.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn step_on_kept(&mut self, batch: usize) -> Result<(), ModelError>;

    /// The losses of the steps since this was last asked, at most 64: waits for their end.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    fn losses(&mut self) -> Result<Vec<f32>, ModelError>;
}

/// What an epoch goes through.
#[derive(Debug, Clone, Copy)]
pub struct Epoch<'a> {
    /// Counted from 1.
    pub number: u32,
    /// The pictures' places in the data set, in the order in which they are learned.
    pub order: &'a [usize],
    /// Pictures in a batch; the last may have fewer.
    pub batch_size: usize,
    /// What its steps are made with.
    pub learning_rate: f32,
    /// Whether its pictures are distorted, if any are.
    pub is_distorted: bool,
}

/// Where a learner is.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerState {
    /// The network's parameters.
    pub parameters: Parameters,
    /// Adadelta's running average of squared gradients, for each parameter.
    pub square_average: Parameters,
    /// Adadelta's running average of squared updates, for each parameter.
    pub accumulated_update: Parameters,
    /// How many steps were made; with the seed, what the dropout masks come from.
    pub steps: u64,
}

impl Dropout {
    /// What PyTorch's MNIST example drops.
    #[must_use]
    pub fn reference(seed: u64) -> Self {
        Self {
            features: 0.25,
            hidden: 0.5,
            seed,
        }
    }
}

impl LearnerState {
    /// Where a learner with these parameters begins.
    #[must_use]
    pub fn new(parameters: Parameters) -> Self {
        let (square_average, accumulated_update) = (Parameters::zeros(), Parameters::zeros());
        Self {
            parameters,
            square_average,
            accumulated_update,
            steps: 0,
        }
    }
}

/// What a learner drops while it learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Share of pooled features set to zero; 0.25 in the reference.
    pub features: f32,
    /// Share of hidden units set to zero; 0.5 in the reference.
    pub hidden: f32,
    /// What the masks come from, with the step.
    pub seed: u64,
}
