//! The forward pass of one half of a picture, in training: as in inference, but with dropout, and with a note of
//! where each feature came from.
//!
//! Knows neither threads nor the rest of the batch.

use crate::model::kernels::convolution::{
    Features, POOLED, Scratch, TILES, convolve, half_of, output_tile, pooled_pixel, window_output,
};
use crate::model::kernels::dispatch::{Instructions, Kernel};
use crate::model::kernels::lanes::{Channels64, LANES, relu};
use crate::model::kernels::layout::Network;
use crate::train::dropout::Mask;

/// For each feature of a half, the place 0 to 3 in its window whose gradient it takes, or [`NOBODY`].
pub(super) type Winners = [Channels64; POOLED];
/// ReLU or dropout let nothing through.
pub(super) const NOBODY: f32 = -1.0;

/// Features and winners of one half of a picture.
pub(super) struct ForwardHalf<'a> {
    pub(super) network: &'a Network,
    pub(super) picture: &'a [u8],
    pub(super) half: usize,
    pub(super) mask: Mask,
    pub(super) scratch: &'a mut Scratch,
    pub(super) features: &'a mut Features,
    pub(super) winners: &'a mut Winners,
}

impl Kernel for ForwardHalf<'_> {
    #[inline(always)]
    fn run<I: Instructions>(self) {
        convolve::<I>(self.network, half_of(self.picture, self.half), self.scratch);
        for tile in 0..TILES {
            for v in 0..4 {
                let y = output_tile::<I>(&self.scratch.products, tile, v);
                for window in 0..4 {
                    let pixel = pooled_pixel(tile, window);
                    let first_element = v * LANES * 144 + self.half * POOLED + pixel;
                    let bias = &self.network.conv2_bias[v];
                    let (features, winners) = (&mut self.features[pixel][v], &mut self.winners[pixel][v]);
                    for lane in 0..LANES {
                        let (mut largest, mut winner) = (y[window_output(window, 0)][lane], 0.0);
                        for place in 1..4 {
                            let output = y[window_output(window, place)][lane];
                            let larger = output > largest;
                            largest = if larger { output } else { largest };
                            winner = if larger { place as f32 } else { winner };
                        }
                        let factor = self.mask.factor((first_element + lane * 144) as u32);
                        let feature = relu(largest + bias[lane]) * factor;
                        features[lane] = feature;
                        winners[lane] = if feature > 0.0 { winner } else { NOBODY };
                    }
                }
            }
        }
    }
}
