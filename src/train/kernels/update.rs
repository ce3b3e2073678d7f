//! The update of all layers but fc1's weights: gradients in, parameters changed.
//!
//! conv2's gradient comes in the Winograd domain, and leaves it by the adjoint of U = G g Gᵀ, dg = Gᵀ dU G.
//! Knows no picture.

use std::slice::from_mut;

use super::adadelta::{Learned, Piece};
use super::group::Gradients;
use super::head::HeadGradients;
use crate::model::kernels::cores::Cores;
use crate::model::kernels::dispatch::{Instructions, Kernel};
use crate::model::kernels::lanes::{Channels32, Channels64, LANES, Lanes, ZERO64, add_scaled};
use crate::model::kernels::winograd::{POSITIONS, TILE, weight_factor};

/// Moves the convolutions.
pub(super) fn convolutions(cores: &Cores, learned: &mut Learned, gradients: &Gradients, learning_rate: f32) {
    rows(
        cores,
        learned.piece(|network| &mut network.conv1),
        &gradients.conv1,
        learning_rate,
    );
    rows(
        cores,
        learned.piece(|network| from_mut(&mut network.conv1_bias)),
        &[gradients.conv1_bias],
        learning_rate,
    );
    rows(
        cores,
        learned.piece(|network| from_mut(&mut network.conv2_bias)),
        &[gradients.conv2_bias],
        learning_rate,
    );
    let taps = learned.piece(|network| &mut network.conv2).chunks(32).enumerate();
    cores.for_each(taps, |(tap, weights)| {
        cores.run(UpdateTap {
            tap,
            weights,
            gradients: &gradients.conv2_winograd,
            learning_rate,
        });
    });
}

/// Moves fc2 and the bias of fc1.
pub(super) fn head(cores: &Cores, learned: &mut Learned, gradients: &HeadGradients, learning_rate: f32) {
    rows(
        cores,
        learned.piece(|network| &mut network.fc1_bias),
        &gradients.fc1_bias,
        learning_rate,
    );
    rows(
        cores,
        learned.piece(|network| &mut network.fc2),
        &gradients.fc2,
        learning_rate,
    );
    rows(
        cores,
        learned.piece(|network| from_mut(&mut network.fc2_bias)),
        &[gradients.fc2_bias],
        learning_rate,
    );
}

fn rows<const WIDTH: usize>(
    cores: &Cores,
    weights: Piece<'_, WIDTH>,
    gradients: &[[Lanes; WIDTH]],
    learning_rate: f32,
) {
    cores.run(UpdateRows {
        weights,
        gradients,
        learning_rate,
    });
}

struct UpdateRows<'a, const WIDTH: usize> {
    weights: Piece<'a, WIDTH>,
    gradients: &'a [[Lanes; WIDTH]],
    learning_rate: f32,
}

impl<const WIDTH: usize> Kernel for UpdateRows<'_, WIDTH> {
    #[inline(always)]
    fn run<I: Instructions>(mut self) {
        for row in 0..self.gradients.len() {
            self.weights.update(row, &self.gradients[row], self.learning_rate);
        }
    }
}

/// One of the nine taps of conv2's kernels.
struct UpdateTap<'a> {
    tap: usize,
    /// A row for each of 32 channels.
    weights: Piece<'a, 4>,
    /// dU, `[36 positions][32 channels]` of 64 outputs.
    gradients: &'a [Channels64],
    learning_rate: f32,
}

impl Kernel for UpdateTap<'_> {
    #[inline(always)]
    fn run<I: Instructions>(mut self) {
        for channel in 0..32 {
            let mut gradient = ZERO64;
            for position in 0..POSITIONS {
                let factor = weight_factor(position, self.tap);
                for v in 0..4 {
                    gradient[v] =
                        add_scaled::<I>(gradient[v], factor, &self.gradients[position * 32 + channel][v]);
                }
            }
            self.weights.update(channel, &gradient, self.learning_rate);
        }
    }
}

/// Uᵀ: `[36 positions][32 channels]` of 64 outputs into `[36 positions][64 outputs]` of 32 channels.
pub(super) fn turn(cores: &Cores, conv2_winograd: &[Channels64], turned: &mut [Channels32]) {
    let positions = conv2_winograd.chunks(TILE * 32).zip(turned.chunks_mut(TILE * 64));
    cores.for_each(positions, |(weights, turned)| {
        for (weights, turned) in weights.chunks(32).zip(turned.chunks_mut(64)) {
            for (output, row) in turned.iter_mut().enumerate() {
                for (channel, number) in row.as_flattened_mut().iter_mut().enumerate() {
                    *number = weights[channel][output / LANES][output % LANES];
                }
            }
        }
    });
}
