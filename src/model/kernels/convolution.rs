//! The convolutions: one half of a picture in, its pooled features out.
//!
//! A half is the unit of all work, so that two threads can share a single picture. Its twelve rows of conv2 need
//! fourteen rows of conv1 and sixteen rows of pixels:
//!
//! ```text
//! 16×28 pixels ─conv1─► 14×26 of 32 ─conv2─► 12×24 of 64 ─max-pool─► 6×12 of 64
//!                                   3×6 tiles
//! ```
//!
//! Between conv1 and the pool, bias, ReLU and max are applied while a tile is still in cache. Knows neither
//! threads nor the other half.

use super::dispatch::{Instructions, Kernel};
use super::lanes::{Channels32, Channels64, LANES, Lanes, ZERO, ZERO32, ZERO64, flat, multiply_add, relu};
use super::layout::Network;
use super::product::{Matrix, multiply};
use super::winograd::{self, Grid, OUTPUTS, POSITIONS, TILE, both_axes};

/// Pixels of a picture, and of a row of it.
pub(crate) const PICTURE: usize = 784;
pub(crate) const SIDE: usize = 28;
/// Rows of conv1's output that a half needs, and how wide they are.
pub(crate) const CONV1_ROWS: usize = 14;
pub(crate) const CONV1_SIDE: usize = 26;
/// Tiles of a half, and of a row of it.
pub(crate) const TILES: usize = 18;
pub(crate) const TILES_ROW: usize = 6;
/// Pooled pixels of a half, and of a row of it.
pub(crate) const POOLED: usize = 72;
pub(crate) const POOLED_SIDE: usize = 12;

/// The features of a half: its pooled pixels, and one that is never used, so that the same feature of different
/// pictures falls into different sets of a cache.
pub(crate) type Features = [Channels64; POOLED + 1];

/// What one thread needs on the way; its contents mean nothing between two halves.
#[derive(Clone)]
pub(crate) struct Scratch {
    /// Normalized pixels, 16×28.
    pub(crate) pixels: Vec<f32>,
    /// After conv1 and ReLU, 14×26.
    pub(crate) conv1: Vec<Channels32>,
    /// Tiles of `conv1` in the Winograd domain, `[36 positions][18 tiles]`.
    pub(crate) inputs: Vec<Channels32>,
    /// Their products with conv2's weights, `[36 positions][18 tiles]`.
    pub(crate) products: Vec<Channels64>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            pixels: vec![0.0; (CONV1_ROWS + 2) * SIDE],
            conv1: vec![ZERO32; CONV1_ROWS * CONV1_SIDE],
            inputs: vec![ZERO32; POSITIONS * TILES],
            products: vec![ZERO64; POSITIONS * TILES],
        }
    }
}

/// The features of one half of a picture of 784 bytes.
pub(crate) struct ConvolveHalf<'a> {
    pub(crate) network: &'a Network,
    pub(crate) picture: &'a [u8],
    /// 0 the upper half, 1 the lower one.
    pub(crate) half: usize,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) features: &'a mut Features,
}

impl Kernel for ConvolveHalf<'_> {
    #[inline(always)]
    fn run<I: Instructions>(self) {
        convolve::<I>(self.network, half_of(self.picture, self.half), self.scratch);
        for tile in 0..TILES {
            for v in 0..4 {
                let y = output_tile::<I>(&self.scratch.products, tile, v);
                let bias = &self.network.conv2_bias[v];
                // One by one, so that no index is left to be computed.
                let windows = [pool(&y, 0), pool(&y, 1), pool(&y, 2), pool(&y, 3)];
                for window in 0..4 {
                    let pooled = &mut self.features[pooled_pixel(tile, window)][v];
                    for lane in 0..LANES {
                        pooled[lane] = relu(windows[window][lane] + bias[lane]);
                    }
                }
            }
        }
    }
}

/// The largest outputs of a window.
#[inline(always)]
fn pool(y: &[Lanes; OUTPUTS * OUTPUTS], window: usize) -> Lanes {
    let upper = larger(y[window_output(window, 0)], &y[window_output(window, 1)]);
    let lower = larger(y[window_output(window, 2)], &y[window_output(window, 3)]);
    larger(upper, &lower)
}

/// The larger numbers, or those of `a` where they are NaN.
#[inline(always)]
fn larger(mut a: Lanes, b: &Lanes) -> Lanes {
    for lane in 0..LANES {
        let (x, y) = (a[lane], b[lane]);
        a[lane] = if y > x { y } else { x };
    }
    a
}

/// The rows of pixels that a half needs.
#[inline(always)]
pub(crate) fn half_of(picture: &[u8], half: usize) -> &[u8] {
    &picture[half * 12 * SIDE..][..(CONV1_ROWS + 2) * SIDE]
}

/// From pixels to `scratch.products`; all other parts of the scratch hold what their names say.
#[inline(always)]
pub(crate) fn convolve<I: Instructions>(network: &Network, pixels: &[u8], scratch: &mut Scratch) {
    normalize(pixels, &mut scratch.pixels);
    conv1::<I>(network, &scratch.pixels, &mut scratch.conv1);
    input_tiles::<I>(&scratch.conv1, &mut scratch.inputs);
    for position in 0..POSITIONS {
        let inputs = Matrix {
            numbers: flat(&scratch.inputs[position * TILES..][..TILES]),
            stride: 32,
        };
        let products = &mut scratch.products[position * TILES..][..TILES];
        multiply::<I, 6, 4>(products, inputs, &network.conv2_winograd[position * 32..][..32]);
    }
}

/// Grey values to zero mean and unit deviation over MNIST; the constants are those of PyTorch's MNIST example.
#[inline(always)]
pub(crate) fn normalize(pixels: &[u8], normalized: &mut [f32]) {
    for (out, pixel) in normalized.iter_mut().zip(pixels) {
        *out = (f32::from(*pixel) / 255.0 - 0.1307) / 0.3081;
    }
}

/// conv1 and ReLU.
#[inline(always)]
pub(crate) fn conv1<I: Instructions>(network: &Network, pixels: &[f32], out: &mut [Channels32]) {
    for y in 0..CONV1_ROWS {
        let rows = &pixels[y * SIDE..][..3 * SIDE];
        let out = &mut out[y * CONV1_SIDE..][..CONV1_SIDE];
        for x in 0..CONV1_SIDE {
            let mut sums = network.conv1_bias;
            for tap in 0..9 {
                let pixel = rows[tap / 3 * SIDE + x + tap % 3];
                for v in 0..2 {
                    for lane in 0..LANES {
                        sums[v][lane] = multiply_add::<I>(pixel, network.conv1[tap][v][lane], sums[v][lane]);
                    }
                }
            }
            for v in 0..2 {
                for lane in 0..LANES {
                    out[x][v][lane] = relu(sums[v][lane]);
                }
            }
        }
    }
}

/// The overlapping 6×6 tiles of conv1's output, in the Winograd domain.
#[inline(always)]
pub(crate) fn input_tiles<I: Instructions>(conv1: &[Channels32], inputs: &mut [Channels32]) {
    for tile in 0..TILES {
        for v in 0..2 {
            let from = Grid {
                vectors: &conv1[tile_corner(tile)..].as_flattened()[v..],
                row: CONV1_SIDE * 2,
                column: 2,
            };
            both_axes(
                winograd::input::<I>,
                &from,
                &mut winograd_tile_mut(inputs, tile, v),
            );
        }
    }
}

/// Where a tile begins in conv1's output.
#[inline(always)]
pub(crate) fn tile_corner(tile: usize) -> usize {
    tile / TILES_ROW * OUTPUTS * CONV1_SIDE + tile % TILES_ROW * OUTPUTS
}

/// One vector of a tile in the Winograd domain.
#[inline(always)]
pub(crate) fn winograd_tile<const WIDTH: usize>(
    tiles: &[[Lanes; WIDTH]],
    tile: usize,
    v: usize,
) -> Grid<&[Lanes]> {
    Grid {
        vectors: &tiles.as_flattened()[tile * WIDTH + v..],
        row: TILE * TILES * WIDTH,
        column: TILES * WIDTH,
    }
}

/// As [`winograd_tile`], to write into.
#[inline(always)]
pub(crate) fn winograd_tile_mut<const WIDTH: usize>(
    tiles: &mut [[Lanes; WIDTH]],
    tile: usize,
    v: usize,
) -> Grid<&mut [Lanes]> {
    Grid {
        vectors: &mut tiles.as_flattened_mut()[tile * WIDTH + v..],
        row: TILE * TILES * WIDTH,
        column: TILES * WIDTH,
    }
}

/// The 4×4 outputs of conv2, without bias, of one tile and vector.
#[inline(always)]
pub(crate) fn output_tile<I: Instructions>(
    products: &[Channels64],
    tile: usize,
    v: usize,
) -> [Lanes; OUTPUTS * OUTPUTS] {
    let mut y = [ZERO; OUTPUTS * OUTPUTS];
    let mut to = Grid {
        vectors: &mut y[..],
        row: OUTPUTS,
        column: 1,
    };
    both_axes(winograd::output::<I>, &winograd_tile(products, tile, v), &mut to);
    y
}

/// The outputs that a pooled pixel, one of a tile's 2×2, is the largest of: the place, 0 to 3, of each in its window.
#[inline(always)]
pub(crate) fn window_output(window: usize, place: usize) -> usize {
    let (y, x) = (window / 2 * 2 + place / 2, window % 2 * 2 + place % 2);
    y * OUTPUTS + x
}

/// Where a tile's pooled pixel, one of 2×2, lies in its half.
#[inline(always)]
pub(crate) fn pooled_pixel(tile: usize, window: usize) -> usize {
    let (row, column) = (
        tile / TILES_ROW * 2 + window / 2,
        tile % TILES_ROW * 2 + window % 2,
    );
    row * POOLED_SIDE + column
}
