//! Vectors of sixteen channels: what the kernels compute with instead of single numbers.
//!
//! Activations and parameters lie *channels last*: the channels of one pixel are neighbours, and channel c is
//! lane c % 16 of vector c / 16. Knows no layer.

use super::dispatch::Instructions;

/// How many numbers a vector holds: one register of AVX-512, two of AVX2, four of SSE2 and NEON.
pub(crate) const LANES: usize = 16;

/// Sixteen neighbouring channels.
pub(crate) type Lanes = [f32; LANES];
/// The ten classes and six zeros.
pub(crate) type Channels16 = [Lanes; 1];
/// The 32 channels of a pixel after conv1.
pub(crate) type Channels32 = [Lanes; 2];
/// The 64 channels of a pixel after conv2, or half of the 128 hidden units.
pub(crate) type Channels64 = [Lanes; 4];

pub(crate) const ZERO: Lanes = [0.0; LANES];
pub(crate) const ZERO16: Channels16 = [ZERO; 1];
pub(crate) const ZERO32: Channels32 = [ZERO; 2];
pub(crate) const ZERO64: Channels64 = [ZERO; 4];

/// The numbers of these vectors, in a row.
pub(crate) fn flat<const WIDTH: usize>(vectors: &[[Lanes; WIDTH]]) -> &[f32] {
    vectors.as_flattened().as_flattened()
}

/// a + b.
#[inline(always)]
pub(crate) fn add(mut a: Lanes, b: &Lanes) -> Lanes {
    for lane in 0..LANES {
        a[lane] += b[lane];
    }
    a
}

/// factor · lanes + sum.
#[inline(always)]
pub(crate) fn add_scaled<I: Instructions>(mut sum: Lanes, factor: f32, lanes: &Lanes) -> Lanes {
    for lane in 0..LANES {
        sum[lane] = multiply_add::<I>(factor, lanes[lane], sum[lane]);
    }
    sum
}

/// a · b + c, rounded once where the CPU can do that in one instruction.
#[inline(always)]
pub(crate) fn multiply_add<I: Instructions>(a: f32, b: f32, c: f32) -> f32 {
    if I::FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// max(x, 0), but NaN stays NaN: broken weights must not look like an answer.
#[inline(always)]
pub(crate) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}
