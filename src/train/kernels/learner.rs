//! A network that learns on the CPU, behind the seam [`Learner`].
//!
//! Deals a step out to threads: groups of pictures to the convolutions, hidden units and pooled pixels to fc1. The
//! groups depend on the batch alone and are summed in their order, and no other sum crosses a share of work, so
//! the number of threads doesn't change a bit of what is learned.

use super::adadelta::Learned;
use super::backward::{BackwardHalf, Group, sum};
use super::fc1::Fc1Backward;
use super::forward::{ForwardHalf, NOBODY, Winners};
use super::head::{Head, HeadGradients};
use super::update;
use crate::model::ModelError;
use crate::model::kernels::Level;
use crate::model::kernels::convolution::{Features, PICTURE, POOLED};
use crate::model::kernels::cores::Cores;
use crate::model::kernels::dense::CLASSES;
use crate::model::kernels::forward::{Forward, fc1};
use crate::model::kernels::lanes::{Channels32, Channels64, LANES, ZERO32, ZERO64};
use crate::model::kernels::layout::Network;
use crate::model::kernels::winograd::POSITIONS;
use crate::train::dropout::Layer;
use crate::train::{Dropout, Learner, LearnerState};

/// Into how many groups a batch is divided: as many threads as that can work on the convolutions.
const GROUPS: usize = 8;

/// MNISTNet, Adadelta and dropout with kernels for this CPU.
///
/// Same state, same batches: the same parameters to the bit on any number of threads, and on any CPU with a fused
/// multiply-add.
pub struct WinogradLearner {
    cores: Cores,
    dropout: Dropout,
    steps: u64,
    learned: Learned,
    /// conv2's weights in the Winograd domain once more, turned for the way back.
    conv2_turned: Vec<Channels32>,
    batch: Batch,
    groups: Vec<Group>,
    forward: Forward,
}

/// What the way forward leaves for the way back.
struct Batch {
    /// Two halves for each picture.
    features: Vec<Features>,
    winners: Vec<Winners>,
    /// Both panels, a row for each picture: fc1's sums, then their gradient.
    hidden: [Vec<Channels64>; 2],
    head: HeadGradients,
    /// `[144 pixels][pictures]`.
    feature_gradients: Vec<Channels64>,
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
    fn transform_weights(&mut self) {
        self.learned.network.transform_weights(&self.cores);
        update::turn(
            &self.cores,
            &self.learned.network.conv2_winograd,
            &mut self.conv2_turned,
        );
    }

    fn convolve(&mut self, pixels: &[u8]) {
        let (network, dropout, steps, cores) = (&self.learned.network, self.dropout, self.steps, &self.cores);
        let share = share(pixels);
        let halves = self
            .batch
            .features
            .chunks_mut(2 * share)
            .zip(self.batch.winners.chunks_mut(2 * share));
        let groups = self
            .groups
            .iter_mut()
            .zip(halves)
            .zip(pixels.chunks(share * PICTURE))
            .enumerate();
        cores.for_each(groups, |(i, ((group, (features, winners)), pixels))| {
            for (half, (features, winners)) in features.iter_mut().zip(winners).enumerate() {
                cores.run(ForwardHalf {
                    network,
                    picture: &pixels[half / 2 * PICTURE..][..PICTURE],
                    half: half % 2,
                    mask: dropout.mask(Layer::Features, steps, i * share + half / 2),
                    scratch: &mut group.scratch,
                    features,
                    winners,
                });
            }
        });
    }

    /// fc2 and the loss, forward and back; answers the mean loss.
    fn head(&mut self, labels: &[u8], learning_rate: f32) -> f32 {
        self.cores.run(Head {
            network: &self.learned.network,
            labels,
            dropout: self.dropout,
            steps: self.steps,
            hidden: &mut self.batch.hidden,
            gradients: &mut self.batch.head,
        });
        update::head(&self.cores, &mut self.learned, &self.batch.head, learning_rate);
        (self.batch.head.loss / labels.len() as f64) as f32
    }

    fn fc1_backward(&mut self, learning_rate: f32) {
        let (
            cores,
            Batch {
                features,
                hidden,
                head,
                feature_gradients,
                ..
            },
        ) = (&self.cores, &mut self.batch);
        let [first, second] = self.learned.fc1();
        let panels = first.chunks(64).zip(second.chunks(64));
        let pixels = panels
            .zip(feature_gradients.chunks_mut(hidden[0].len()))
            .enumerate();
        cores.for_each(pixels, |(pixel, ((first, second), feature_gradients))| {
            cores.run(Fc1Backward {
                pixel,
                weights: [first, second],
                features,
                hidden,
                by_unit: &head.by_unit,
                feature_gradients,
                learning_rate,
            });
        });
    }

    fn convolve_backward(&mut self, pixels: &[u8], learning_rate: f32) {
        let (network, conv2_turned, cores) = (&self.learned.network, &self.conv2_turned, &self.cores);
        let (kept, feature_gradients) = (self.dropout.kept(Layer::Features), &self.batch.feature_gradients);
        let (share, pictures) = (share(pixels), pixels.len() / PICTURE);
        let winners = self.batch.winners.chunks(2 * share);
        let groups = self
            .groups
            .iter_mut()
            .zip(winners)
            .zip(pixels.chunks(share * PICTURE))
            .enumerate();
        let used = groups.len();
        cores.for_each(groups, |(i, ((group, winners), pixels))| {
            group.gradients.clear();
            for (half, winners) in winners.iter().enumerate() {
                let first = half % 2 * POOLED * pictures + i * share + half / 2;
                cores.run(BackwardHalf {
                    network,
                    conv2_turned,
                    picture: &pixels[half / 2 * PICTURE..][..PICTURE],
                    half: half % 2,
                    winners,
                    feature_gradients: &feature_gradients[first..],
                    stride: pictures,
                    kept,
                    group,
                });
            }
        });
        sum(cores, &mut self.groups[..used]);
        update::convolutions(cores, &mut self.learned, &self.groups[0].gradients, learning_rate);
        self.transform_weights();
    }
}

/// How many pictures of a batch a group gets; the last may get fewer.
fn share(pixels: &[u8]) -> usize {
    (pixels.len() / PICTURE).div_ceil(GROUPS)
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
        self.convolve(pixels);
        fc1(
            &self.cores,
            &self.learned.network,
            &self.batch.features,
            &mut self.batch.hidden,
        );
        let loss = self.head(labels, learning_rate);
        self.fc1_backward(learning_rate);
        self.convolve_backward(pixels, learning_rate);
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
