//! MNISTNet's parameters as the kernels read them: channels last.
//!
//! PyTorch stores a layer as `[outputs][channels][positions]`, where positions are the 3×3 taps of a kernel or
//! the 12×12 pixels that fc1 reads. Here the axes are reversed, `[positions][channels][outputs]`, so that the
//! outputs of one input are neighbours. Knows no arithmetic but the Winograd transform of conv2's weights.

use super::cores::Cores;
use super::dispatch::{Instructions, Kernel};
use super::lanes::{Channels32, Channels64, LANES, Lanes, ZERO, ZERO32, ZERO64, add_scaled};
use super::winograd::{G, POSITIONS, TILE};
use crate::model::parameters::Parameters;

/// All parameters of MNISTNet, or one number for each of them, such as an optimizer's averages.
#[derive(Clone)]
pub(crate) struct Network {
    /// `[9 taps]` of 32 outputs.
    pub(crate) conv1: [Channels32; 9],
    pub(crate) conv1_bias: Channels32,
    /// `[9 taps][32 channels]` of 64 outputs.
    pub(crate) conv2: Vec<Channels64>,
    pub(crate) conv2_bias: Channels64,
    /// `conv2` in the Winograd domain, `[36 positions][32 channels]` of 64 outputs: derived, not a parameter.
    pub(crate) conv2_winograd: Vec<Channels64>,
    /// Two panels for 64 hidden units each: `[144 pixels][64 channels]` of 64 outputs.
    pub(crate) fc1: [Vec<Channels64>; 2],
    pub(crate) fc1_bias: [Channels64; 2],
    /// `[128 hidden units]` of 10 outputs and 6 zeros.
    pub(crate) fc2: Vec<Lanes>,
    pub(crate) fc2_bias: Lanes,
}

impl Network {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let [conv1, conv1_bias, conv2, conv2_bias, fc1, fc1_bias, fc2, fc2_bias] = parameters.arrays();
        let mut network = Self {
            conv1: [ZERO32; 9],
            conv1_bias: ZERO32,
            conv2: vec![ZERO64; 9 * 32],
            conv2_bias: ZERO64,
            conv2_winograd: vec![ZERO64; POSITIONS * 32],
            fc1: [vec![ZERO64; 144 * 64], vec![ZERO64; 144 * 64]],
            fc1_bias: [ZERO64; 2],
            fc2: vec![ZERO; 128],
            fc2_bias: ZERO,
        };
        channels_last(conv1, 1, &mut network.conv1);
        channels_last(conv1_bias, 1, std::slice::from_mut(&mut network.conv1_bias));
        channels_last(conv2, 32, &mut network.conv2);
        channels_last(conv2_bias, 1, std::slice::from_mut(&mut network.conv2_bias));
        for (panel, weights) in network.fc1.iter_mut().zip(fc1.chunks(64 * 9216)) {
            channels_last(weights, 64, panel);
        }
        for (panel, biases) in network.fc1_bias.iter_mut().zip(fc1_bias.chunks(64)) {
            channels_last(biases, 1, std::slice::from_mut(panel));
        }
        channels_last(fc2, 128, as_rows(&mut network.fc2));
        channels_last(fc2_bias, 1, as_rows(std::slice::from_mut(&mut network.fc2_bias)));
        network
    }
}

/// Rows of one vector each.
fn as_rows(vectors: &mut [Lanes]) -> &mut [[Lanes; 1]] {
    vectors.as_chunks_mut().0
}

/// `[outputs][channels][positions]` into `[positions][channels]` of outputs.
fn channels_last<const WIDTH: usize>(layer: &[f32], channels: usize, rows: &mut [[Lanes; WIDTH]]) {
    let positions = rows.len() / channels;
    for (output, weights) in layer.chunks(rows.len()).enumerate() {
        for (i, weight) in weights.iter().enumerate() {
            let (channel, position) = (i / positions, i % positions);
            rows[position * channels + channel][output / LANES][output % LANES] = *weight;
        }
    }
}

impl Network {
    /// Computes `conv2_winograd` from `conv2`: to be called whenever that has changed.
    pub(crate) fn transform_weights(&mut self, cores: &Cores) {
        let conv2 = &self.conv2;
        let shares = self.conv2_winograd.chunks_mut(TILE * 32).enumerate();
        cores.for_each(shares, |(row, out)| {
            cores.run(TransformWeights { row, conv2, out })
        });
    }
}

/// U = G g Gᵀ of all conv2's kernels g, for one row of U.
struct TransformWeights<'a> {
    row: usize,
    /// `[9 taps][32 channels]` of 64 outputs.
    conv2: &'a [Channels64],
    /// `[6 columns][32 channels]` of 64 outputs.
    out: &'a mut [Channels64],
}

impl Kernel for TransformWeights<'_> {
    #[inline(always)]
    fn run<I: Instructions>(self) {
        for column in 0..TILE {
            for channel in 0..32 {
                let mut sum = ZERO64;
                for tap in 0..9 {
                    let factor = G[self.row][tap / 3] * G[column][tap % 3];
                    for v in 0..4 {
                        sum[v] = add_scaled::<I>(sum[v], factor, &self.conv2[tap * 32 + channel][v]);
                    }
                }
                self.out[column * 32 + channel] = sum;
            }
        }
    }
}
