//! The transforms of Winograd's convolution F(4×4, 3×3): 36 multiplications for 16 outputs instead of 144.
//!
//! Lavin & Gray, *Fast Algorithms for Convolutional Neural Networks*, 2015, arXiv:1509.09308, section 4:
//! with a tile d of 6×6 inputs, a kernel g of 3×3 weights and a tile y of 4×4 outputs,
//!
//! ```text
//! y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A
//! ```
//!
//! where ⊙, summed over the input channels, is one matrix product for each of the 36 positions of a tile. Each
//! function here is one of the matrices, applied to one column; [`both_axes`] applies it to the columns and then
//! the rows of a tile, sixteen channels at a time. Knows no layer.

use super::dispatch::Instructions;
use super::lanes::{LANES, Lanes, ZERO, multiply_add};

/// Rows and columns of a tile before and between the transforms.
pub(crate) const TILE: usize = 6;
/// Rows and columns of a tile of outputs.
pub(crate) const OUTPUTS: usize = 4;
/// Positions of a tile: how many matrix products a convolution is.
pub(crate) const POSITIONS: usize = TILE * TILE;

/// G: a column of weights into the Winograd domain.
const G: [[f32; 3]; TILE] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// What tap 0 to 8 of a kernel counts in position 0 to 35 of U = G g Gᵀ.
#[inline(always)]
pub(crate) fn weight_factor(position: usize, tap: usize) -> f32 {
    G[position / TILE][tap / 3] * G[position % TILE][tap % 3]
}

/// Bᵀ: a column of inputs into the Winograd domain.
#[inline(always)]
pub(crate) fn input<I: Instructions>(d: [f32; TILE]) -> [f32; TILE] {
    let multiply_add = multiply_add::<I>;
    let (even, odd) = (multiply_add(-4.0, d[2], d[4]), multiply_add(-4.0, d[1], d[3]));
    let (even2, odd2) = (d[4] - d[2], d[3] - d[1]);
    [
        multiply_add(4.0, d[0], multiply_add(-5.0, d[2], d[4])),
        even + odd,
        even - odd,
        multiply_add(2.0, odd2, even2),
        multiply_add(-2.0, odd2, even2),
        multiply_add(4.0, d[1], multiply_add(-5.0, d[3], d[5])),
    ]
}

/// Aᵀ: a column of products out of the Winograd domain.
#[inline(always)]
pub(crate) fn output<I: Instructions>(m: [f32; TILE]) -> [f32; OUTPUTS] {
    let multiply_add = multiply_add::<I>;
    let (even, odd) = (m[1] + m[2], m[1] - m[2]);
    let (even2, odd2) = (m[3] + m[4], m[3] - m[4]);
    [
        m[0] + even + even2,
        multiply_add(2.0, odd2, odd),
        multiply_add(4.0, even2, even),
        multiply_add(8.0, odd2, odd) + m[5],
    ]
}

/// A, the adjoint of [`output`]: a column of outputs' gradients into the Winograd domain.
#[inline(always)]
pub(crate) fn output_adjoint<I: Instructions>(y: [f32; OUTPUTS]) -> [f32; TILE] {
    let multiply_add = multiply_add::<I>;
    let (even, odd) = (y[0] + y[2], y[1] + y[3]);
    let (even2, odd2) = (multiply_add(4.0, y[2], y[0]), multiply_add(4.0, y[3], y[1]));
    [
        y[0],
        even + odd,
        even - odd,
        multiply_add(2.0, odd2, even2),
        multiply_add(-2.0, odd2, even2),
        y[3],
    ]
}

/// B, the adjoint of [`input`]: a column of gradients out of the Winograd domain, to the inputs.
#[inline(always)]
pub(crate) fn input_adjoint<I: Instructions>(v: [f32; TILE]) -> [f32; TILE] {
    let multiply_add = multiply_add::<I>;
    let (even, odd) = (v[1] + v[2], v[1] - v[2]);
    let (even2, odd2) = (v[3] + v[4], v[3] - v[4]);
    [
        4.0 * v[0],
        multiply_add(-2.0, odd2, 4.0 * (v[5] - odd)),
        multiply_add(-5.0, v[0], multiply_add(-4.0, even, -even2)),
        multiply_add(2.0, odd2, multiply_add(-5.0, v[5], odd)),
        v[0] + even + even2,
        v[5],
    ]
}

/// A grid of vectors inside a slice: row i, column j is at `i * row + j * column`.
pub(crate) struct Grid<S> {
    pub(crate) vectors: S,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

/// M x Mᵀ, where `matrix` applies M to a column: a Q×Q tile becomes a P×P tile.
#[inline(always)]
pub(crate) fn both_axes<const Q: usize, const P: usize>(
    matrix: impl Fn([f32; Q]) -> [f32; P],
    from: &Grid<&[Lanes]>,
    to: &mut Grid<&mut [Lanes]>,
) {
    let mut halfway = [[ZERO; Q]; P];
    for j in 0..Q {
        let mut column = [&ZERO; Q];
        for i in 0..Q {
            column[i] = &from.vectors[i * from.row + j * from.column];
        }
        for lane in 0..LANES {
            let mut numbers = [0.0; Q];
            for i in 0..Q {
                numbers[i] = column[i][lane];
            }
            let transformed = matrix(numbers);
            for i in 0..P {
                halfway[i][j][lane] = transformed[i];
            }
        }
    }
    for i in 0..P {
        let mut row = [ZERO; P];
        for lane in 0..LANES {
            let mut numbers = [0.0; Q];
            for j in 0..Q {
                numbers[j] = halfway[i][j][lane];
            }
            let transformed = matrix(numbers);
            for j in 0..P {
                row[j][lane] = transformed[j];
            }
        }
        for j in 0..P {
            to.vectors[i * to.row + j * to.column] = row[j];
        }
    }
}
