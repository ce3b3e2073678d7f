//! Products of small matrices: a block of sums stays in registers while the shared dimension runs.
//!
//! The right matrix and the result are rows of vectors; the left one is read number by number, each number
//! spread over a vector. A sum is always taken in the order of the shared dimension, so neither the number of
//! rows nor the width of registers changes a bit of it. Knows no layer.

use super::dispatch::Instructions;
use super::lanes::{Lanes, ZERO, add_scaled};

/// A matrix of single numbers: row r starts at `r * stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) stride: usize,
}

/// out\[r\] = Σₖ left\[r\]\[k\] · right\[k\], for `ROWS` rows at a time.
#[inline(always)]
pub(crate) fn multiply<I: Instructions, const ROWS: usize, const WIDTH: usize>(
    out: &mut [[Lanes; WIDTH]],
    left: Matrix<'_>,
    right: &[[Lanes; WIDTH]],
) {
    in_blocks::<I, ROWS, WIDTH, false>(out, left, right);
}

/// out\[r\] += Σₖ left\[r\]\[k\] · right\[k\], for `ROWS` rows at a time.
#[inline(always)]
pub(crate) fn multiply_onto<I: Instructions, const ROWS: usize, const WIDTH: usize>(
    out: &mut [[Lanes; WIDTH]],
    left: Matrix<'_>,
    right: &[[Lanes; WIDTH]],
) {
    in_blocks::<I, ROWS, WIDTH, true>(out, left, right);
}

/// out\[r\] += Σₖ left\[k\]\[r\] · right\[k\], for four rows: the product with the transposed left matrix.
#[inline(always)]
pub(crate) fn multiply_turned_onto<I: Instructions, const WIDTH: usize>(
    out: &mut [[Lanes; WIDTH]; 4],
    left: Matrix<'_>,
    right: &[[Lanes; WIDTH]],
) {
    if I::WIDE {
        turned_block::<I, WIDTH, WIDTH>(out, left, right);
    } else {
        turned_block::<I, WIDTH, 1>(out, left, right);
    }
}

#[inline(always)]
fn in_blocks<I: Instructions, const ROWS: usize, const WIDTH: usize, const ONTO: bool>(
    out: &mut [[Lanes; WIDTH]],
    left: Matrix<'_>,
    right: &[[Lanes; WIDTH]],
) {
    let (blocks, rest) = out.as_chunks_mut::<ROWS>();
    let mut rows = left.numbers;
    for block in blocks {
        block_by_registers::<I, ROWS, WIDTH, ONTO>(
            block,
            Matrix {
                numbers: rows,
                ..left
            },
            right,
        );
        rows = rows.get(ROWS * left.stride..).unwrap_or_default();
    }
    for row in rest {
        let block = std::array::from_mut(row);
        block_by_registers::<I, 1, WIDTH, ONTO>(
            block,
            Matrix {
                numbers: rows,
                ..left
            },
            right,
        );
        rows = rows.get(left.stride..).unwrap_or_default();
    }
}

/// As many vectors of each row at once as there are registers for.
#[inline(always)]
fn block_by_registers<I: Instructions, const ROWS: usize, const WIDTH: usize, const ONTO: bool>(
    out: &mut [[Lanes; WIDTH]; ROWS],
    left: Matrix<'_>,
    right: &[[Lanes; WIDTH]],
) {
    if I::WIDE {
        block::<I, ROWS, WIDTH, WIDTH, ONTO>(out, left, right);
    } else {
        block::<I, ROWS, WIDTH, 1, ONTO>(out, left, right);
    }
}

#[inline(always)]
fn block<I: Instructions, const ROWS: usize, const WIDTH: usize, const AT_ONCE: usize, const ONTO: bool>(
    out: &mut [[Lanes; WIDTH]; ROWS],
    left: Matrix<'_>,
    right: &[[Lanes; WIDTH]],
) {
    let mut rows = [left.numbers; ROWS];
    for r in 0..ROWS {
        rows[r] = &left.numbers[r * left.stride..][..right.len()];
    }
    for first in (0..WIDTH).step_by(AT_ONCE) {
        let mut sums = [[ZERO; AT_ONCE]; ROWS];
        if ONTO {
            for r in 0..ROWS {
                sums[r].copy_from_slice(&out[r][first..first + AT_ONCE]);
            }
        }
        for k in 0..right.len() {
            for r in 0..ROWS {
                for n in 0..AT_ONCE {
                    sums[r][n] = add_scaled::<I>(sums[r][n], rows[r][k], &right[k][first + n]);
                }
            }
        }
        for r in 0..ROWS {
            out[r][first..first + AT_ONCE].copy_from_slice(&sums[r]);
        }
    }
}

#[inline(always)]
fn turned_block<I: Instructions, const WIDTH: usize, const AT_ONCE: usize>(
    out: &mut [[Lanes; WIDTH]; 4],
    left: Matrix<'_>,
    right: &[[Lanes; WIDTH]],
) {
    for first in (0..WIDTH).step_by(AT_ONCE) {
        let mut sums = [[ZERO; AT_ONCE]; 4];
        for r in 0..4 {
            sums[r].copy_from_slice(&out[r][first..first + AT_ONCE]);
        }
        for k in 0..right.len() {
            let column = &left.numbers[k * left.stride..][..4];
            for r in 0..4 {
                for n in 0..AT_ONCE {
                    sums[r][n] = add_scaled::<I>(sums[r][n], column[r], &right[k][first + n]);
                }
            }
        }
        for r in 0..4 {
            out[r][first..first + AT_ONCE].copy_from_slice(&sums[r]);
        }
    }
}
