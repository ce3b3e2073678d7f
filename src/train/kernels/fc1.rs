//! fc1 on the way back: its gradients for the 64 features of one pooled pixel, and its update.
//!
//! With X the features, W the weights and dH the gradient of the sums: dX = dH Wᵀ and dW = Xᵀ dH. W is ten times
//! as large as all else together, so dW is never stored: four rows of it are computed, used for the update, and
//! forgotten. Knows neither threads nor where the features came from.

use super::adadelta::Piece;
use super::head::PICTURES_BY_UNIT;
use crate::model::kernels::convolution::{Features, POOLED};
use crate::model::kernels::dense::FEATURES_STRIDE;
use crate::model::kernels::dispatch::{Instructions, Kernel};
use crate::model::kernels::lanes::{Channels64, LANES, ZERO64, flat};
use crate::model::kernels::product::{Matrix, multiply, multiply_onto, multiply_turned_onto};

/// One pooled pixel of all pictures.
pub(super) struct Fc1Backward<'a> {
    /// 0 to 143.
    pub(super) pixel: usize,
    /// The pixel's 64 rows of both panels.
    pub(super) weights: [Piece<'a, 4>; 2],
    /// Two halves for each picture.
    pub(super) features: &'a [Features],
    /// The gradient of fc1's sums, a row for each picture.
    pub(super) hidden: &'a [Vec<Channels64>; 2],
    /// The same, `[blocks of 64 pictures][128 units]` of 64 pictures.
    pub(super) by_unit: &'a [Channels64],
    /// For the gradient of the features, a row for each picture.
    pub(super) feature_gradients: &'a mut [Channels64],
    pub(super) learning_rate: f32,
}

impl Kernel for Fc1Backward<'_> {
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let [first, second] = &self.weights;
        let blocks = self
            .feature_gradients
            .chunks_mut(PICTURES_BY_UNIT)
            .zip(self.by_unit.chunks(128));
        for (gradients, by_unit) in blocks {
            let mut by_feature = [ZERO64; 64];
            let weights =
                [flat(first.weights), flat(second.weights)].map(|numbers| Matrix { numbers, stride: 64 });
            multiply::<I, 4, 4>(&mut by_feature, weights[0], &by_unit[..64]);
            multiply_onto::<I, 4, 4>(&mut by_feature, weights[1], &by_unit[64..]);
            turn(&by_feature, gradients);
        }

        let first_feature = (self.pixel / POOLED * (POOLED + 1) + self.pixel % POOLED) * 64;
        let features = &flat(self.features.as_flattened())[first_feature..];
        for (mut weights, hidden) in self.weights.into_iter().zip(self.hidden) {
            for feature in (0..64).step_by(4) {
                let mut gradients = [ZERO64; 4];
                let features = Matrix {
                    numbers: &features[feature..],
                    stride: FEATURES_STRIDE,
                };
                multiply_turned_onto::<I, 4>(&mut gradients, features, hidden);
                for row in 0..4 {
                    weights.update(feature + row, &gradients[row], self.learning_rate);
                }
            }
        }
    }
}

/// `[64 features]` of 64 pictures into as many pictures of 64 features.
#[inline(always)]
fn turn(by_feature: &[Channels64; 64], by_picture: &mut [Channels64]) {
    for picture in 0..by_picture.len() {
        for feature in 0..64 {
            by_picture[picture][feature / LANES][feature % LANES] =
                by_feature[feature][picture / LANES][picture % LANES];
        }
    }
}
