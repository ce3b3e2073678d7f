//! The convolutions on the way back: from the gradient of a half's features to the gradients of all their weights.
//!
//! conv2 is y = Aᵀ [U ⊙ V] A with V = Bᵀ d B, so its gradients are the adjoints of these steps:
//!
//! ```text
//! dM = A dy Aᵀ     dU += Vᵀ dM     dV = dM Uᵀ     dd = B dV Bᵀ, summed where tiles overlap
//! ```
//!
//! conv1 and its tiles are computed again: that is cheaper than to keep them. Both halves compute the two rows of
//! conv1 that they share, each with its own part of their gradient. Knows neither threads nor the update.

use super::forward::Winners;
use super::group::Group;
use crate::model::kernels::convolution::{
    CONV1_ROWS, CONV1_SIDE, SIDE, TILES, conv1, half_of, input_tiles, normalize, pooled_pixel, tile_corner,
    window_output, winograd_tile, winograd_tile_mut,
};
use crate::model::kernels::dispatch::{Instructions, Kernel};
use crate::model::kernels::lanes::{Channels32, Channels64, LANES, ZERO, ZERO32, add, add_scaled, flat};
use crate::model::kernels::layout::Network;
use crate::model::kernels::product::{Matrix, multiply, multiply_turned_onto};
use crate::model::kernels::winograd::{self, Grid, OUTPUTS, POSITIONS, TILE, both_axes};

/// Adds the gradients of one half of a picture.
pub(super) struct BackwardHalf<'a> {
    pub(super) network: &'a Network,
    /// Uᵀ, `[36 positions][64 outputs]` of 32 channels.
    pub(super) conv2_turned: &'a [Channels32],
    pub(super) picture: &'a [u8],
    pub(super) half: usize,
    pub(super) winners: &'a Winners,
    /// The gradient of the half's features before dropout's factor: pixel p is at `p * stride`.
    pub(super) feature_gradients: &'a [Channels64],
    pub(super) stride: usize,
    /// What dropout multiplies the features with that it keeps.
    pub(super) kept: f32,
    pub(super) group: &'a mut Group,
}

impl Kernel for BackwardHalf<'_> {
    #[inline(always)]
    fn run<I: Instructions>(mut self) {
        let scratch = &mut self.group.scratch;
        normalize(half_of(self.picture, self.half), &mut scratch.pixels);
        conv1::<I>(self.network, &scratch.pixels, &mut scratch.conv1);
        input_tiles::<I>(&scratch.conv1, &mut scratch.inputs);
        self.through_pool::<I>();
        self.through_products::<I>();
        self.through_input_tiles::<I>();
        self.through_conv1::<I>();
    }
}

impl BackwardHalf<'_> {
    /// dy, each feature's gradient at the place that won, and from it dM in `scratch.products`.
    #[inline(always)]
    fn through_pool<I: Instructions>(&mut self) {
        for tile in 0..TILES {
            for v in 0..4 {
                let mut dy = [ZERO; OUTPUTS * OUTPUTS];
                for window in 0..4 {
                    let pixel = pooled_pixel(tile, window);
                    let winners = self.winners[pixel][v];
                    let mut gradients = self.feature_gradients[pixel * self.stride][v];
                    for lane in 0..LANES {
                        gradients[lane] *= self.kept;
                    }
                    let bias = &mut self.group.gradients.conv2_bias[v];
                    for place in 0..4 {
                        let output = &mut dy[window_output(window, place)];
                        for lane in 0..LANES {
                            output[lane] = if winners[lane] == place as f32 {
                                gradients[lane]
                            } else {
                                0.0
                            };
                        }
                        *bias = add(*bias, output);
                    }
                }
                let from = Grid {
                    vectors: &dy[..],
                    row: OUTPUTS,
                    column: 1,
                };
                both_axes(
                    winograd::output_adjoint::<I>,
                    &from,
                    &mut winograd_tile_mut(&mut self.group.scratch.products, tile, v),
                );
            }
        }
    }

    /// dU, and dV in the place of V.
    #[inline(always)]
    fn through_products<I: Instructions>(&mut self) {
        for position in 0..POSITIONS {
            let inputs = &mut self.group.scratch.inputs[position * TILES..][..TILES];
            let products = &self.group.scratch.products[position * TILES..][..TILES];
            let weights = &mut self.group.gradients.conv2_winograd[position * 32..][..32];
            let (blocks, _) = weights.as_chunks_mut::<4>();
            for (block, weights) in blocks.iter_mut().enumerate() {
                let inputs = Matrix {
                    numbers: &flat(inputs)[block * 4..],
                    stride: 32,
                };
                multiply_turned_onto::<I, 4>(weights, inputs, products);
            }
            let products = Matrix {
                numbers: flat(products),
                stride: 64,
            };
            multiply::<I, 6, 2>(inputs, products, &self.conv2_turned[position * 64..][..64]);
        }
    }

    /// dd, summed where tiles overlap, in `conv1_gradient`.
    #[inline(always)]
    fn through_input_tiles<I: Instructions>(&mut self) {
        self.group.conv1_gradient.fill(ZERO32);
        for tile in 0..TILES {
            for v in 0..2 {
                let mut inputs = [ZERO; TILE * TILE];
                let mut to = Grid {
                    vectors: &mut inputs[..],
                    row: TILE,
                    column: 1,
                };
                both_axes(
                    winograd::input_adjoint::<I>,
                    &winograd_tile(&self.group.scratch.inputs, tile, v),
                    &mut to,
                );
                for y in 0..TILE {
                    let row = &mut self.group.conv1_gradient[tile_corner(tile) + y * CONV1_SIDE..][..TILE];
                    for x in 0..TILE {
                        row[x][v] = add(row[x][v], &inputs[y * TILE + x]);
                    }
                }
            }
        }
    }

    /// The gradients of conv1's weights and bias, where its ReLU was open.
    #[inline(always)]
    fn through_conv1<I: Instructions>(&mut self) {
        for v in 0..2 {
            let mut taps = [ZERO; 9];
            let mut bias = ZERO;
            for pixel in 0..CONV1_ROWS * CONV1_SIDE {
                let output = &self.group.scratch.conv1[pixel][v];
                let mut open = self.group.conv1_gradient[pixel][v];
                for lane in 0..LANES {
                    open[lane] = if output[lane] > 0.0 { open[lane] } else { 0.0 };
                }
                bias = add(bias, &open);
                let corner = pixel / CONV1_SIDE * SIDE + pixel % CONV1_SIDE;
                let pixels = &self.group.scratch.pixels[corner..][..2 * SIDE + 3];
                for tap in 0..9 {
                    taps[tap] = add_scaled::<I>(taps[tap], pixels[tap / 3 * SIDE + tap % 3], &open);
                }
            }
            self.group.gradients.conv1_bias[v] = add(self.group.gradients.conv1_bias[v], &bias);
            for tap in 0..9 {
                self.group.gradients.conv1[tap][v] = add(self.group.gradients.conv1[tap][v], &taps[tap]);
            }
        }
    }
}
