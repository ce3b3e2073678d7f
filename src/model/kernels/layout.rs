//! MNISTNet's parameters as the kernels read them: channels last.
//!
//! PyTorch stores a layer as `[outputs][channels][positions]`, where positions are the 3×3 taps of a kernel or
//! the 12×12 pixels that fc1 reads. Here the axes are reversed, `[positions][channels][outputs]`, so that the
//! outputs of one input are neighbours. Knows no arithmetic but the Winograd transform of conv2's weights.

use std::slice::{from_mut, from_ref};

use super::cores::Cores;
use super::dispatch::{Instructions, Kernel};
use super::lanes::{Channels16, Channels32, Channels64, LANES, Lanes, ZERO16, ZERO32, ZERO64, add_scaled};
use super::winograd::{POSITIONS, TILE, weight_factor};
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
    pub(crate) fc2: Vec<Channels16>,
    pub(crate) fc2_bias: Channels16,
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
            fc2: vec![ZERO16; 128],
            fc2_bias: ZERO16,
        };
        channels_last(conv1, 1, &mut network.conv1);
        channels_last(conv1_bias, 1, from_mut(&mut network.conv1_bias));
        channels_last(conv2, 32, &mut network.conv2);
        channels_last(conv2_bias, 1, from_mut(&mut network.conv2_bias));
        for (panel, weights) in network.fc1.iter_mut().zip(fc1.chunks(64 * 9216)) {
            channels_last(weights, 64, panel);
        }
        for (panel, biases) in network.fc1_bias.iter_mut().zip(fc1_bias.chunks(64)) {
            channels_last(biases, 1, from_mut(panel));
        }
        channels_last(fc2, 128, &mut network.fc2);
        channels_last(fc2_bias, 1, from_mut(&mut network.fc2_bias));
        network
    }

    /// The way back: the same numbers in PyTorch's order.
    pub(crate) fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::zeros();
        let [conv1, conv1_bias, conv2, conv2_bias, fc1, fc1_bias, fc2, fc2_bias] = parameters.arrays_mut();
        outputs_first(&self.conv1, 1, conv1);
        outputs_first(from_ref(&self.conv1_bias), 1, conv1_bias);
        outputs_first(&self.conv2, 32, conv2);
        outputs_first(from_ref(&self.conv2_bias), 1, conv2_bias);
        for (panel, weights) in self.fc1.iter().zip(fc1.chunks_mut(64 * 9216)) {
            outputs_first(panel, 64, weights);
        }
        for (panel, biases) in self.fc1_bias.iter().zip(fc1_bias.chunks_mut(64)) {
            outputs_first(from_ref(panel), 1, biases);
        }
        outputs_first(&self.fc2, 128, fc2);
        outputs_first(from_ref(&self.fc2_bias), 1, fc2_bias);
        parameters
    }
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

/// `[positions][channels]` of outputs into `[outputs][channels][positions]`.
fn outputs_first<const WIDTH: usize>(rows: &[[Lanes; WIDTH]], channels: usize, layer: &mut [f32]) {
    let positions = rows.len() / channels;
    for (output, weights) in layer.chunks_mut(rows.len()).enumerate() {
        for (i, weight) in weights.iter_mut().enumerate() {
            let (channel, position) = (i / positions, i % positions);
            *weight = rows[position * channels + channel][output / LANES][output % LANES];
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
                    let factor = weight_factor(self.row * TILE + column, tap);
                    for v in 0..4 {
                        sum[v] = add_scaled::<I>(sum[v], factor, &self.conv2[tap * 32 + channel][v]);
                    }
                }
                self.out[column * 32 + channel] = sum;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::parameters::TENSORS;

    #[test]
    fn parameters_survive_the_change_of_order() {
        let mut count = 0.0;
        let arrays = TENSORS.map(|(_, shape)| {
            let array: Vec<f32> = (0..shape.iter().product())
                .map(|i: usize| count + i as f32)
                .collect();
            count += array.len() as f32;
            array
        });
        let parameters = Parameters::new(arrays).unwrap();
        assert!(Network::new(&parameters).parameters() == parameters);
    }
}
