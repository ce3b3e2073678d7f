//! Adadelta (Zeiler 2012, arXiv:1212.5701) with a learning rate, as PyTorch has it: gradients in, parameters
//! changed.
//!
//! ```text
//! E[g²] ← ρ E[g²] + (1−ρ) g²
//! Δ     = g · √(E[Δ²] + ε) / √(E[g²] + ε)
//! E[Δ²] ← ρ E[Δ²] + (1−ρ) Δ²
//! w     ← w − rate · Δ
//! ```
//!
//! Knows no layer.

use crate::model::kernels::lanes::{LANES, Lanes};
use crate::model::kernels::layout::Network;

const RHO: f32 = 0.9;
const EPSILON: f32 = 1e-6;

/// The network with Adadelta's two averages of each parameter, in the same layout.
pub(super) struct Learned {
    pub(super) network: Network,
    pub(super) square_average: Network,
    pub(super) accumulated_update: Network,
}

impl Learned {
    /// One layer, or its bias.
    pub(super) fn piece<const WIDTH: usize>(
        &mut self,
        layer: fn(&mut Network) -> &mut [[Lanes; WIDTH]],
    ) -> Piece<'_, WIDTH> {
        Piece {
            weights: layer(&mut self.network),
            square_average: layer(&mut self.square_average),
            accumulated_update: layer(&mut self.accumulated_update),
        }
    }

    /// Both panels of fc1.
    pub(super) fn fc1(&mut self) -> [Piece<'_, 4>; 2] {
        let [weights, more_weights] = &mut self.network.fc1;
        let [square_average, more_square_average] = &mut self.square_average.fc1;
        let [accumulated_update, more_accumulated_update] = &mut self.accumulated_update.fc1;
        [
            Piece {
                weights,
                square_average,
                accumulated_update,
            },
            Piece {
                weights: more_weights,
                square_average: more_square_average,
                accumulated_update: more_accumulated_update,
            },
        ]
    }
}

/// Some rows of parameters, with their averages.
pub(super) struct Piece<'a, const WIDTH: usize> {
    pub(super) weights: &'a mut [[Lanes; WIDTH]],
    square_average: &'a mut [[Lanes; WIDTH]],
    accumulated_update: &'a mut [[Lanes; WIDTH]],
}

impl<'a, const WIDTH: usize> Piece<'a, WIDTH> {
    /// Pieces of `rows` rows each.
    pub(super) fn chunks(self, rows: usize) -> impl Iterator<Item = Self> + Send + use<'a, WIDTH> {
        let averages = self
            .square_average
            .chunks_mut(rows)
            .zip(self.accumulated_update.chunks_mut(rows));
        self.weights
            .chunks_mut(rows)
            .zip(averages)
            .map(|(weights, (square_average, accumulated_update))| Self {
                weights,
                square_average,
                accumulated_update,
            })
    }

    /// Moves one row against its gradient.
    #[inline(always)]
    pub(super) fn update(&mut self, row: usize, gradient: &[Lanes; WIDTH], learning_rate: f32) {
        let (weights, square_average, accumulated_update) = (
            &mut self.weights[row],
            &mut self.square_average[row],
            &mut self.accumulated_update[row],
        );
        for v in 0..WIDTH {
            for lane in 0..LANES {
                let g = gradient[v][lane];
                let square = RHO * square_average[v][lane] + (1.0 - RHO) * g * g;
                let accumulated = accumulated_update[v][lane];
                let delta = g * ((accumulated + EPSILON) / (square + EPSILON)).sqrt();
                square_average[v][lane] = square;
                accumulated_update[v][lane] = RHO * accumulated + (1.0 - RHO) * delta * delta;
                weights[v][lane] -= learning_rate * delta;
            }
        }
    }
}
