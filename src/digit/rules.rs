//! Within the third stage: the printed lines of ruled and squared paper are taken off.
//!
//! In comes ink (0 paper, 255 ink), which is left without its rules. A rule is thin, straight, crosses the
//! whole picture, and has company; where a stroke crosses it, the stroke stays. Knows nothing of digits.

use image::imageops::{rotate90, rotate270};
use image::{GrayImage, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};

use super::blots::{self, Blot, Labels};

/// Takes off all rules that are at least as dark as `faint`.
pub(super) fn erase(ink: &mut GrayImage, faint: u8) {
    erase_across(ink, faint);
    let mut turned = rotate90(ink);
    if erase_across(&mut turned, faint) {
        *ink = rotate270(&turned);
    }
}

/// Takes off the rules that go from left to right; true if there were any.
fn erase_across(ink: &mut GrayImage, faint: u8) -> bool {
    let (width, height) = ink.dimensions();
    let runs = long_runs(ink, faint, (width / 32).max(8) as usize);
    if runs.iter().map(|&run| u32::from(run)).sum::<u32>() < width {
        return false;
    }
    let labels = connected_components(&runs, Connectivity::Eight, Luma([0]));
    let blots = blots::measure(ink, &labels);
    let crosses = |blot: &Blot| 20 * blot.width() >= 17 * width;
    let rules: Vec<(u32, u32)> = (0..)
        .zip(&blots)
        .skip(1)
        .filter(|(_, blot)| crosses(blot))
        .map(|(label, blot)| (label, thickness(ink, faint, &labels, (label, blot))))
        .filter(|&(_, thickness)| 24 * thickness <= height)
        .collect();
    if rules.len() < 2 {
        return false;
    }
    for (label, thickness) in rules {
        let blot = blots[label as usize];
        for y in blot.top..=blot.bottom {
            for x in 0..width {
                if labels.get_pixel(x, y)[0] == label {
                    let (top, bottom) = upright_run(ink, faint, (x, y));
                    if bottom - top <= thickness {
                        (top..=bottom).for_each(|y| ink.put_pixel(x, y, Luma([0])));
                    }
                }
            }
        }
    }
    true
}

/// 1 where ink runs from left to right for at least `length` pixels, else 0.
fn long_runs(ink: &GrayImage, faint: u8, length: usize) -> GrayImage {
    let mut runs = GrayImage::new(ink.width(), ink.height());
    let width = ink.width() as usize;
    let rows = ink.as_raw().chunks_exact(width).zip(runs.chunks_exact_mut(width));
    for (ink, runs) in rows {
        let mut start = 0;
        for run in ink.chunk_by(|&a, &b| (a >= faint) == (b >= faint)) {
            if run[0] >= faint && run.len() >= length {
                runs[start..start + run.len()].fill(1);
            }
            start += run.len();
        }
    }
    runs
}

/// The median height of the upright runs through one blot.
fn thickness(ink: &GrayImage, faint: u8, labels: &Labels, (label, blot): (u32, &Blot)) -> u32 {
    let mut heights: Vec<u32> = (blot.left..=blot.right)
        .filter_map(|x| {
            let y = (blot.top..=blot.bottom).find(|&y| labels.get_pixel(x, y)[0] == label)?;
            let (top, bottom) = upright_run(ink, faint, (x, y));
            Some(bottom - top + 1)
        })
        .collect();
    heights.sort_unstable();
    heights.get(heights.len() / 2).copied().unwrap_or(0)
}

/// The first and the last row of the ink above and below one pixel.
fn upright_run(ink: &GrayImage, faint: u8, (x, y): (u32, u32)) -> (u32, u32) {
    let is_ink = |y: &u32| ink.get_pixel(x, *y)[0] >= faint;
    let top = (0..y).rev().take_while(is_ink).last().unwrap_or(y);
    let bottom = (y..ink.height()).take_while(is_ink).last().unwrap_or(y);
    (top, bottom)
}
