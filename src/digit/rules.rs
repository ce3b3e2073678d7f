//! Within the third stage: the printed lines of ruled and squared paper are taken off.
//!
//! In comes ink (0 paper, 255 ink), which is left without its rules. A rule is thin, straight, and crosses the
//! whole picture; where a stroke crosses it, the stroke stays. Knows nothing of digits.

use image::imageops::{rotate90, rotate270};
use image::{GrayImage, Luma};

use super::blots::{self, Blot, Blots};

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
    let width = ink.width();
    // A rule of three pixels that leans by five degrees still has runs of this length.
    let long = blots::find(ink, faint, (width / 32).max(8));
    let crosses = |blot: &usize| 20 * long.blots[*blot].width() >= 17 * width;
    let rules: Vec<(usize, u32)> = (0..long.blots.len())
        .filter(crosses)
        .map(|blot| (blot, thickness(ink, faint, &long, blot)))
        .filter(|&(_, thickness)| thickness <= thickest(ink))
        .collect();
    // The bar of a tightly cropped 7 crosses the picture too, but it is alone, and thicker than a line.
    let is_line = |&(blot, thickness): &(usize, u32)| {
        let Blot { left, right, .. } = long.blots[blot];
        left == 0 && right + 1 == width && 2 * thickness <= thickest(ink)
    };
    if rules.len() < 2 && !rules.iter().any(is_line) {
        return false;
    }
    for (rule, thickness) in rules {
        for run in long.runs.iter().filter(|run| run.blot == rule) {
            for x in run.xs.clone() {
                let (top, bottom) = upright_run(ink, faint, (x, run.y));
                if bottom - top <= thickness {
                    (top..=bottom).for_each(|y| ink.put_pixel(x, y, Luma([0])));
                }
            }
        }
    }
    true
}

/// How thick a rule is: the median, over its columns, of the lowest upright run, since strokes cross it.
fn thickness(ink: &GrayImage, faint: u8, long: &Blots, blot: usize) -> u32 {
    let mut lowest = vec![u32::MAX; ink.width() as usize];
    for run in long.runs.iter().filter(|run| run.blot == blot) {
        for x in run.xs.clone() {
            let (top, bottom) = upright_run(ink, faint, (x, run.y));
            let height = &mut lowest[x as usize];
            *height = (*height).min(bottom - top + 1);
        }
    }
    lowest.sort_unstable();
    lowest[lowest.len() / 2]
}

/// The first and the last row of the ink above and below one pixel, as far as a rule can reach.
fn upright_run(ink: &GrayImage, faint: u8, (x, y): (u32, u32)) -> (u32, u32) {
    let is_ink = |y: &u32| ink.get_pixel(x, *y)[0] >= faint;
    let reach = thickest(ink) + 1;
    let above = (y.saturating_sub(reach)..y).rev();
    let below = y + 1..(y + 1 + reach).min(ink.height());
    let top = above.take_while(is_ink).last().unwrap_or(y);
    let bottom = below.take_while(is_ink).last().unwrap_or(y);
    (top, bottom)
}

/// A rule is not thicker than this, in pixels.
fn thickest(ink: &GrayImage) -> u32 {
    ink.height() / 24
}
