//! Within the third stage: of all the ink in a picture, that of the digit.
//!
//! In comes ink (0 paper, 255 ink), out goes the part that is a digit, cropped. Drops specks, rules and what
//! lies along the border, and keeps a digit of several strokes whole. Knows nothing of sizes that a model
//! wants.

use image::{GrayImage, Luma};

use super::blots::{self, Blot, Blots};
use super::rules;

/// Ink that takes less than this off the paper's light can't be seen.
const FAINTEST: u8 = 20;

/// Finds the digit's ink: 255 where it is as dark as the darkest ink, 0 where there is none of the digit.
pub(super) fn find(mut ink: GrayImage) -> Option<GrayImage> {
    let darkest = darkest(&ink);
    if darkest < FAINTEST {
        return None;
    }
    let share = |percent: u32| (u32::from(darkest) * percent / 100) as u8;
    let (faint, sure) = (share(42), share(60));
    rules::erase(&mut ink, share(30));
    let found = blots::find(&ink, faint, 1);
    let Digit { strokes, whole } = choose(&found, sure, ink.dimensions())?;

    let mut is_stroke = vec![false; found.blots.len()];
    strokes.iter().for_each(|&blot| is_stroke[blot] = true);
    let mut digit = GrayImage::new(whole.width(), whole.height());
    for run in found.runs.iter().filter(|run| is_stroke[run.blot]) {
        for x in run.xs.clone() {
            let value = u32::from(ink.get_pixel(x, run.y)[0]) * 255 / u32::from(darkest);
            digit.put_pixel(x - whole.left, run.y - whole.top, Luma([value.min(255) as u8]));
        }
    }
    Some(digit)
}

/// How dark the ink is: as the darkest pixels are, as many as the smallest digit has.
fn darkest(ink: &GrayImage) -> u8 {
    let mut counts = [0_usize; 256];
    for &value in ink.as_raw() {
        counts[usize::from(value)] += 1;
    }
    let wanted = (ink.as_raw().len() / 12_000).max(6);
    let mut seen = 0;
    let level = (0..=255_u8).rev().find(|&value| {
        seen += counts[usize::from(value)];
        seen >= wanted
    });
    level.unwrap_or(0)
}

struct Digit {
    /// Indices of its strokes.
    strokes: Vec<usize>,
    /// All of them as one.
    whole: Blot,
}

/// The blot that stands out most, and with it what is near it and not small.
fn choose(found: &Blots, sure: u8, picture: (u32, u32)) -> Option<Digit> {
    let blots = &found.blots;
    let is_sure = |blot: &usize| blots[*blot].darkest >= sure;
    let all: Vec<usize> = (0..blots.len()).filter(is_sure).collect();
    let smallest = picture.0.max(picture.1) / 20;
    let is_frame = |blot: usize| blots[blot].length() >= smallest && found.is_frame(blot);
    let is_inner = |&blot: &usize| !is_edge(&blots[blot], picture) && !is_frame(blot);
    let mut inner: Vec<usize> = all.iter().copied().filter(is_inner).collect();
    if inner.iter().all(|&blot| blots[blot].length() < smallest) {
        inner = all;
    }
    let by_weight = |a: &usize, b: &usize| weight(&blots[*a]).total_cmp(&weight(&blots[*b]));
    let main = inner.iter().copied().max_by(by_weight)?;

    let mut strokes = vec![main];
    let mut whole = blots[main];
    let mut rest: Vec<usize> = inner
        .into_iter()
        .filter(|&blot| blot != main && 40 * blots[blot].pixels >= blots[main].pixels)
        .collect();
    let is_near = |whole: &Blot, blot: usize| 6 * whole.gap(&blots[blot]) <= whole.length();
    while let Some(at) = rest.iter().position(|&blot| is_near(&whole, blot)) {
        let stroke = rest.swap_remove(at);
        whole = whole.join(&blots[stroke]);
        strokes.push(stroke);
    }
    Some(Digit { strokes, whole })
}

/// How much a blot stands out: neither a hair nor a speck does.
fn weight(blot: &Blot) -> f64 {
    f64::from(blot.length()) * f64::from(blot.pixels).sqrt()
}

/// Whether a blot lies along the picture's border or goes across the picture: the edge of the paper, a shadow.
fn is_edge(blot: &Blot, (width, height): (u32, u32)) -> bool {
    let (at_left, at_right) = (blot.left == 0, blot.right + 1 == width);
    let (at_top, at_bottom) = (blot.top == 0, blot.bottom + 1 == height);
    let sides = [at_left, at_right, at_top, at_bottom]
        .iter()
        .filter(|&&at| at)
        .count();
    sides >= 2
        || ((at_left || at_right) && 2 * blot.height() > height)
        || ((at_top || at_bottom) && 2 * blot.width() > width)
}
