//! The dense layers: pooled features in, log-probabilities out.
//!
//! Knows neither threads nor what the features were.

use super::convolution::{Features, POOLED};
use super::dispatch::{Instructions, Kernel};
use super::lanes::{Channels64, Lanes, add_scaled, flat, relu};
use super::layout::Network;
use super::product::{Matrix, multiply_onto};

/// How many digits there are.
pub(crate) const CLASSES: usize = 10;
/// Numbers from the features of one picture to those of the next.
pub(crate) const FEATURES_STRIDE: usize = 2 * (POOLED + 1) * 64;
/// Pixels whose weights, 144 KiB, stay in a core's cache while all pictures pass by.
const PIXELS_AT_ONCE: usize = 9;

/// fc1, without its ReLU, for 64 of the 128 hidden units.
pub(crate) struct Fc1<'a> {
    pub(crate) network: &'a Network,
    /// Which 64 units.
    pub(crate) panel: usize,
    /// Two halves for each picture.
    pub(crate) features: &'a [Features],
    /// One row for each picture.
    pub(crate) hidden: &'a mut [Channels64],
}

impl Kernel for Fc1<'_> {
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let features = flat(self.features.as_flattened());
        self.hidden.fill(self.network.fc1_bias[self.panel]);
        for half in 0..2 {
            for pixel in (0..POOLED).step_by(PIXELS_AT_ONCE) {
                let features = Matrix {
                    numbers: &features[(half * (POOLED + 1) + pixel) * 64..],
                    stride: FEATURES_STRIDE,
                };
                let weights =
                    &self.network.fc1[self.panel][(half * POOLED + pixel) * 64..][..PIXELS_AT_ONCE * 64];
                multiply_onto::<I, 4, 4>(self.hidden, features, weights);
            }
        }
    }
}

/// The ReLU of fc1, fc2 and the log-softmax: ten log-probabilities for each picture.
pub(crate) struct Classify<'a> {
    pub(crate) network: &'a Network,
    /// What [`Fc1`] left, for both panels.
    pub(crate) hidden: [&'a [Channels64]; 2],
    pub(crate) answers: &'a mut [f32],
}

impl Kernel for Classify<'_> {
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let (answers, _) = self.answers.as_chunks_mut::<CLASSES>();
        for (picture, answer) in answers.iter_mut().enumerate() {
            let mut units = [0.0; 128];
            for panel in 0..2 {
                let panel_units = &mut units[panel * 64..][..64];
                for (unit, value) in panel_units
                    .iter_mut()
                    .zip(self.hidden[panel][picture].as_flattened())
                {
                    *unit = relu(*value);
                }
            }
            *answer = log_softmax(&fc2::<I>(self.network, &units));
        }
    }
}

/// fc2: the logits are the first ten numbers.
#[inline(always)]
pub(crate) fn fc2<I: Instructions>(network: &Network, units: &[f32; 128]) -> Lanes {
    let [mut logits] = network.fc2_bias;
    for unit in 0..128 {
        logits = add_scaled::<I>(logits, units[unit], &network.fc2[unit][0]);
    }
    logits
}

/// x − ln Σ eˣ, shifted by the largest x so that no power overflows.
pub(crate) fn log_softmax(logits: &Lanes) -> [f32; CLASSES] {
    let mut answer = [0.0; CLASSES];
    answer.copy_from_slice(&logits[..CLASSES]);
    let largest = answer.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = answer.iter().map(|logit| (logit - largest).exp()).sum();
    let shift = largest + sum.ln();
    answer.map(|logit| logit - shift)
}
