//! A network that learns on the CPU, behind the seam [`Learner`]: a state in, steps, a state out.
//!
//! What a step consists of is in `step`.

use super::adadelta::Learned;
use super::forward::{NOBODY, Winners};
use super::group::Group;
use super::head::HeadGradients;
use super::step::GROUPS;
use super::update;
use crate::model::ModelError;
use crate::model::kernels::Level;
use crate::model::kernels::convolution::{Features, PICTURE, POOLED};
use crate::model::kernels::cores::Cores;
use crate::model::kernels::dense::CLASSES;
use crate::model::kernels::forward::Forward;
use crate::model::kernels::lanes::{Channels32, Channels64, LANES, ZERO32, ZERO64};
use crate::model::kernels::layout::Network;
use crate::model::kernels::winograd::POSITIONS;
use crate::train::{Dropout, Learner, LearnerState};

/// MNISTNet, Adadelta and dropout with kernels for this CPU.
///
/// Same state, same batches: the same parameters to the bit, on any number of threads, and with AVX2 as with AVX-512.
pub struct WinogradLearner {
    pub(super) cores: Cores,
    pub(super) dropout: Dropout,
    pub(super) steps: u64,
    pub(super) learned: Learned,
    /// conv2's weights in the Winograd domain once more, turned for the way back.
    pub(super) conv2_turned: Vec<Channels32>,
    pub(super) batch: Batch,
    pub(super) groups: Vec<Group>,
    pub(super) forward: Forward,
}

/// What the way forward leaves for the way back.
pub(super) struct Batch {
    /// Two halves for each picture.
    pub(super) features: Vec<Features>,
    pub(super) winners: Vec<Winners>,
    /// Both panels, a row for each picture: fc1's sums, then their gradient.
    pub(super) hidden: [Vec<Channels64>; 2],
    pub(super) head: HeadGradients,
    /// `[144 pixels][pictures]`.
    pub(super) feature_gradients: Vec<Channels64>,
}

impl WinogradLearner {
    /// Goes on from a state, on this many threads (at least one), as fast as this CPU can.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the threads can't be started.
    pub fn new(state: &LearnerState, dropout: Dropout, threads: usize) -> Result<Self, ModelError> {
        Self::at_level(Level::best(), state, dropout, threads)
    }

    /// As [`new`](Self::new), with the instructions of this level.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the threads can't be started.
    pub fn at_level(
        level: Level,
        state: &LearnerState,
        dropout: Dropout,
        threads: usize,
    ) -> Result<Self, ModelError> {
        let cores = Cores::new(threads, level).map_err(|error| ModelError::Broken {
            device: "cpu".to_owned(),
            source: error.into(),
        })?;
        let mut learner = Self {
            dropout,
            steps: state.steps,
            learned: Learned {
                network: Network::new(&state.parameters),
                square_average: Network::new(&state.square_average),
                accumulated_update: Network::new(&state.accumulated_update),
            },
            conv2_turned: vec![ZERO32; POSITIONS * 64],
            batch: Batch::new(),
            groups: vec![Group::new(); GROUPS],
            forward: Forward::new(&cores),
            cores,
        };
        learner.transform_weights();
        Ok(learner)
    }

    /// To be called whenever conv2's weights have changed.
    pub(super) fn transform_weights(&mut self) {
        self.learned.network.transform_weights(&self.cores);
        update::turn(
            &self.cores,
            &self.learned.network.conv2_winograd,
            &mut self.conv2_turned,
        );
    }
}

impl Batch {
    fn new() -> Self {
        Self {
            features: Vec::new(),
            winners: Vec::new(),
            hidden: [Vec::new(), Vec::new()],
            head: HeadGradients::new(),
            feature_gradients: Vec::new(),
        }
    }

    fn resize(&mut self, pictures: usize) {
        self.features.resize(2 * pictures, [ZERO64; POOLED + 1]);
        self.winners.resize(2 * pictures, [[[NOBODY; LANES]; 4]; POOLED]);
        self.feature_gradients.resize(2 * POOLED * pictures, ZERO64);
        for panel in &mut self.hidden {
            panel.resize(pictures, ZERO64);
        }
    }
}

impl Learner for WinogradLearner {
    fn device(&self) -> &str {
        "cpu"
    }

    fn step(&mut self, pixels: &[u8], labels: &[u8], learning_rate: f32) -> Result<f32, ModelError> {
        if labels.is_empty() || pixels.len() != labels.len() * PICTURE {
            return Err(ModelError::Rejected(format!(
                "{} labels for {} bytes of pictures",
                labels.len(),
                pixels.len()
            )));
        }
        if let Some(label) = labels.iter().find(|label| usize::from(**label) >= CLASSES) {
            return Err(ModelError::Rejected(format!("label {label} is no digit")));
        }
        self.batch.resize(labels.len());
        let loss = self.cores.clone().enter(|| {
            self.convolve(pixels);
            self.fc1();
            let loss = self.head(labels, learning_rate);
            self.fc1_backward(learning_rate);
            self.convolve_backward(pixels, learning_rate);
            loss
        });
        self.steps += 1;
        Ok(loss)
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        Ok(self.forward.run(&self.cores, &self.learned.network, pixels))
    }

    fn state(&mut self) -> Result<LearnerState, ModelError> {
        Ok(LearnerState {
            parameters: self.learned.network.parameters(),
            square_average: self.learned.square_average.parameters(),
            accumulated_update: self.learned.accumulated_update.parameters(),
            steps: self.steps,
        })
    }
}
