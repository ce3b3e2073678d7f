//! The parts of a step, each dealt out to threads: groups of pictures to the convolutions, hidden units and pooled
//! pixels to fc1.
//!
//! The groups depend on the batch alone and are summed in their order, and no other sum crosses a share of work: so
//! the number of threads doesn't change a bit of what is learned.

use super::backward::BackwardHalf;
use super::fc1::Fc1Backward;
use super::forward::ForwardHalf;
use super::group::sum;
use super::head::Head;
use super::learner::WinogradLearner;
use super::update;
use crate::model::kernels::convolution::{PICTURE, POOLED};
use crate::model::kernels::forward::fc1;
use crate::train::dropout::Layer;

/// Into how many groups a batch is divided: as many threads as that can work on the convolutions.
pub(super) const GROUPS: usize = 8;

impl WinogradLearner {
    /// Features and winners of all pictures.
    pub(super) fn convolve(&mut self, pixels: &[u8]) {
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

    /// fc1's sums of all pictures.
    pub(super) fn fc1(&mut self) {
        fc1(
            &self.cores,
            &self.learned.network,
            &self.batch.features,
            &mut self.batch.hidden.each_mut().map(Vec::as_mut_slice),
        );
    }

    /// fc2 and the loss, forward and back; answers the mean loss.
    pub(super) fn head(&mut self, labels: &[u8], learning_rate: f32) -> f32 {
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

    /// The gradients of features and fc1, and its update.
    pub(super) fn fc1_backward(&mut self, learning_rate: f32) {
        let (cores, batch) = (&self.cores, &mut self.batch);
        let (features, hidden, by_unit) = (&batch.features, &batch.hidden, &batch.head.by_unit);
        let [first, second] = self.learned.fc1();
        let panels = first.chunks(64).zip(second.chunks(64));
        let pixels = panels
            .zip(batch.feature_gradients.chunks_mut(hidden[0].len()))
            .enumerate();
        cores.for_each(pixels, |(pixel, ((first, second), feature_gradients))| {
            cores.run(Fc1Backward {
                pixel,
                weights: [first, second],
                features,
                hidden,
                by_unit,
                feature_gradients,
                learning_rate,
            });
        });
    }

    /// The gradients of the convolutions, and their update.
    pub(super) fn convolve_backward(&mut self, pixels: &[u8], learning_rate: f32) {
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
