//! Within the third stage: ink is lifted off its paper.
//!
//! In comes a grey picture in any light, out goes ink alone: 0 is paper, 255 the darkest that ink can be on
//! it. Tells dark ink from light. Knows nothing of strokes and digits.

use image::GrayImage;
use imageproc::contrast::otsu_level;
use imageproc::filter::{box_filter, median_filter};

use super::scale;

/// Longest side at which dark ink is told from light: noise averages out, strokes still show.
const POLARITY_SIDE: u32 = 64;

/// Longest side at which light is estimated.
const LIGHT_SIDE: u32 = 96;

/// Lifts dark ink off its light paper, evenly under uneven light.
pub(super) fn lift_ink(grey: &GrayImage) -> GrayImage {
    let mut ink = smooth(grey);
    let light = estimate_light(&ink);
    let brightest = light.as_raw().iter().max().copied().unwrap_or(255);
    // In the deepest shade noise would be taken for ink.
    let least = u32::from(brightest / 3).max(1);
    for (pixel, light) in ink.iter_mut().zip(light.iter()) {
        let missing = u32::from(light.saturating_sub(*pixel));
        *pixel = (missing * 255 / u32::from(*light).max(least)).min(255) as u8;
    }
    ink
}

/// Averages noise out, the more of it there is; leaves a clean picture as it is.
fn smooth(grey: &GrayImage) -> GrayImage {
    let noise = estimate_noise(grey);
    let longest = grey.width().max(grey.height());
    if noise < 3 || longest < 64 {
        return grey.clone();
    }
    let once = box_filter(grey, 1, 1);
    if noise < 10 {
        return once;
    }
    let radius = if longest < 400 { 1 } else { 2 };
    box_filter(&once, radius, radius)
}

/// Standard deviation of the noise, in grey levels: neighbours differ by its √2-fold, and the median of that
/// is 0.954 of it.
fn estimate_noise(grey: &GrayImage) -> u32 {
    let mut counts = [0_u32; 256];
    let width = grey.width() as usize;
    for row in grey.as_raw().chunks_exact(width) {
        for pair in row.windows(2) {
            counts[usize::from(pair[0].abs_diff(pair[1]))] += 1;
        }
    }
    let half = counts.iter().sum::<u32>() / 2;
    let mut below = 0;
    let median = counts.iter().position(|count| {
        below += count;
        below > half
    });
    median.unwrap_or(0) as u32
}

/// Whether the ink is darker than its paper.
///
/// What a median takes away is thin: if it is much darker than what stays, or much lighter, that is the ink. A
/// large median leaves no clear answer where the digit fills the picture: then the border is paper; nor where
/// there is a table beside the paper: then a small median tells.
pub(super) fn is_ink_dark(grey: &GrayImage) -> bool {
    let small = scale::shrink(grey, POLARITY_SIDE);
    let longest = small.width().max(small.height());
    let large = skewness_of_thin(&small, longest / 4);
    if large.abs() > 1.5 {
        return large < 0.0;
    }
    let (light, dark) = count_border(&small);
    if light.max(dark) > 3 * light.min(dark) {
        return light > dark;
    }
    skewness_of_thin(&small, longest / 16) < 0.0
}

/// Skewness of what a median of this radius takes away: negative where that is dark. Zero for a blank picture.
fn skewness_of_thin(grey: &GrayImage, radius: u32) -> f64 {
    let scene = median_filter(grey, radius, radius);
    let thin = || {
        grey.iter()
            .zip(scene.iter())
            .map(|(&pixel, &scene)| f64::from(pixel) - f64::from(scene))
    };
    let count = f64::from(grey.width() * grey.height());
    let mean = thin().sum::<f64>() / count;
    let variance = thin().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    if variance == 0.0 {
        return 0.0;
    }
    thin().map(|value| (value - mean).powi(3)).sum::<f64>() / count / variance.powf(1.5)
}

/// How many pixels of the border are light, and how many are dark.
fn count_border(grey: &GrayImage) -> (u32, u32) {
    let level = otsu_level(grey);
    let (width, height) = grey.dimensions();
    let border = grey
        .enumerate_pixels()
        .filter(|(x, y, _)| *x == 0 || *y == 0 || x + 1 == width || y + 1 == height);
    let (mut light, mut dark) = (0, 0);
    for (_, _, pixel) in border {
        *(if pixel[0] > level { &mut light } else { &mut dark }) += 1;
    }
    (light, dark)
}

/// The paper without its ink, at full size: a closing, which fills all that is dark and narrower than a third
/// of the picture, and keeps the edges of shadows.
fn estimate_light(dark_ink: &GrayImage) -> GrayImage {
    let small = scale::shrink(dark_ink, LIGHT_SIDE);
    let small = box_filter(&small, 1, 1);
    let radius = (small.width().max(small.height()) / 6) as usize;
    let filled = spread(&spread(&small, radius, u8::max), radius, u8::min);
    let filled = box_filter(&filled, 2, 2);
    scale::resize(&filled, dark_ink.width(), dark_ink.height())
}

/// Each pixel becomes the most extreme of the square around it, of `radius` in every direction.
fn spread(grey: &GrayImage, radius: usize, extreme: fn(u8, u8) -> u8) -> GrayImage {
    let along_rows = |grey: &GrayImage| {
        let (width, height) = grey.dimensions();
        // Rows become columns, so that the second pass goes the other way.
        let mut turned = GrayImage::new(height, width);
        for (y, row) in grey.as_raw().chunks_exact(width as usize).enumerate() {
            for x in 0..row.len() {
                let window = &row[x.saturating_sub(radius)..(x + radius + 1).min(row.len())];
                let value = window.iter().copied().fold(row[x], extreme);
                turned.put_pixel(y as u32, x as u32, image::Luma([value]));
            }
        }
        turned
    };
    along_rows(&along_rows(grey))
}
