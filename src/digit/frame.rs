//! Within the third stage: a digit's ink is given the size, the strokes and the place that MNIST's digits have.
//!
//! In comes the cropped ink of one digit, of any size; out goes a picture of 28×28. Made as MNIST was: a
//! black-and-white digit is scaled into 20×20 with smoothed edges, and its centre of mass is put into the
//! middle (LeCun, Cortes, Burges: The MNIST database). Knows nothing of papers and pictures.

use image::imageops::crop_imm;
use image::{GrayImage, Luma};
use imageproc::distance_transform::euclidean_squared_distance_transform;

use super::{SIDE, scale};

/// Longest side of a digit in MNIST, in pixels.
const DIGIT: u32 = 20;

/// Longest side of the black-and-white digit: eight times as fine.
const FINE: u32 = 8 * DIGIT;

/// Room around the fine digit for strokes that are thickened.
const MARGIN: u32 = 2 * FINE / DIGIT;

/// Strokes in MNIST, in pixels: nine of ten are thicker than the first and thinner than the second.
const THIN: f64 = 2.2;
const THICK: f64 = 4.0;

/// Puts a digit into the middle of 28×28.
pub(super) fn frame(ink: &GrayImage) -> GrayImage {
    let (width, height) = scale::fit(ink.width(), ink.height(), FINE);
    let scaled = scale::resize(ink, width, height);
    let mut fine = GrayImage::new(width + 2 * MARGIN, height + 2 * MARGIN);
    for (x, y, pixel) in scaled.enumerate_pixels() {
        let is_ink = pixel[0] >= 115;
        fine.put_pixel(x + MARGIN, y + MARGIN, Luma([if is_ink { 255 } else { 0 }]));
    }
    let digit = crop_to_ink(&even_strokes(fine));
    let (width, height) = scale::fit(digit.width(), digit.height(), DIGIT);
    centre(&scale::resize(&digit, width, height))
}

/// Thickens strokes that are thinner than MNIST's, and thins those that are thicker.
fn even_strokes(fine: GrayImage) -> GrayImage {
    let fine_pixels = f64::from(FINE / DIGIT);
    let thickness = thickness(&fine);
    let grow = (THIN * fine_pixels - thickness) / 2.0;
    if grow > 0.0 {
        return within(&fine, grow);
    }
    let shrink = (thickness - THICK * fine_pixels) / 2.0;
    if shrink > 0.0 {
        let mut paper = fine;
        image::imageops::invert(&mut paper);
        let mut thinned = within(&paper, shrink);
        image::imageops::invert(&mut thinned);
        return thinned;
    }
    fine
}

/// Mean thickness of strokes, in pixels: a long stroke has two edges.
fn thickness(ink: &GrayImage) -> f64 {
    let (width, height) = ink.dimensions();
    let is_ink = |x: u32, y: u32| ink.get_pixel(x, y)[0] > 0;
    let (mut area, mut edge) = (0_u32, 0_u32);
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            if is_ink(x, y) {
                area += 1;
                let inside = is_ink(x - 1, y) && is_ink(x + 1, y) && is_ink(x, y - 1) && is_ink(x, y + 1);
                edge += u32::from(!inside);
            }
        }
    }
    2.0 * f64::from(area) / f64::from(edge.max(1))
}

/// All pixels that are no farther than `reach` from a lit one.
fn within(lit: &GrayImage, reach: f64) -> GrayImage {
    let distances = euclidean_squared_distance_transform(lit);
    let (width, height) = lit.dimensions();
    GrayImage::from_fn(width, height, |x, y| {
        let is_near = distances.get_pixel(x, y)[0] <= reach * reach;
        Luma([if is_near { 255 } else { 0 }])
    })
}

fn crop_to_ink(fine: &GrayImage) -> GrayImage {
    let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
    for (x, y, _) in fine.enumerate_pixels().filter(|(_, _, pixel)| pixel[0] > 0) {
        (left, right) = (left.min(x), right.max(x));
        (top, bottom) = (top.min(y), bottom.max(y));
    }
    if left > right {
        return fine.clone();
    }
    crop_imm(fine, left, top, right - left + 1, bottom - top + 1).to_image()
}

/// Puts the centre of mass on pixel 14, where MNIST has it, as far as the picture has room.
fn centre(digit: &GrayImage) -> GrayImage {
    let (mut mass, mut moment_x, mut moment_y) = (0_u32, 0_u32, 0_u32);
    for (x, y, pixel) in digit.enumerate_pixels() {
        mass += u32::from(pixel[0]);
        moment_x += u32::from(pixel[0]) * x;
        moment_y += u32::from(pixel[0]) * y;
    }
    let mass = mass.max(1);
    let offset = |moment: u32, length: u32| {
        let centre = (moment + mass / 2) / mass;
        (SIDE / 2).saturating_sub(centre).min(SIDE - length)
    };
    let left = offset(moment_x, digit.width());
    let top = offset(moment_y, digit.height());
    let mut framed = GrayImage::new(SIDE, SIDE);
    image::imageops::replace(&mut framed, digit, left.into(), top.into());
    framed
}
