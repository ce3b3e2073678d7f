//! Within the third stage: of all the ink in a picture, that of the digit.
//!
//! In comes ink (0 paper, 255 ink), out goes the part that is a digit, cropped. Drops specks, the edges of
//! paper and what lies at the border, and keeps a digit of several strokes whole. Knows nothing of sizes that
//! a model wants.

use image::imageops::crop_imm;
use image::{GrayImage, Luma};
use imageproc::region_labelling::{Connectivity, connected_components};

/// Ink that takes less than this off the paper's light can't be seen.
const FAINTEST: u8 = 20;

/// What was found.
pub(super) struct Found {
    /// The digit's ink, cropped: 255 where it is as dark as most of it, 0 elsewhere.
    pub ink: GrayImage,
    area: Area,
    picture: (u32, u32),
}

/// A rectangle of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Found {
    /// The inside of a sheet of paper, if that is what was found: large, and filling its own rectangle.
    pub(super) fn as_sheet(&self) -> Option<Area> {
        let Area {
            left,
            top,
            width,
            height,
        } = self.area;
        let (picture_width, picture_height) = self.picture;
        let rectangle = u64::from(width) * u64::from(height);
        let ink = self.ink.iter().filter(|&&value| value >= 128).count() as u64;
        let is_large = 6 * rectangle >= u64::from(picture_width) * u64::from(picture_height);
        if !is_large || 4 * ink < 3 * rectangle {
            return None;
        }
        let inset = width.min(height) / 12 + 1;
        let inside = |length: u32| length.checked_sub(2 * inset).filter(|&length| length >= 8);
        Some(Area {
            left: left + inset,
            top: top + inset,
            width: inside(width)?,
            height: inside(height)?,
        })
    }
}

/// Finds the digit's ink.
pub(super) fn find(ink: &GrayImage) -> Option<Found> {
    let darkest = darkest(ink);
    if darkest < FAINTEST {
        return None;
    }
    let share = |percent: u32| (u32::from(darkest) * percent / 100) as u8;
    let (faint, sure) = (share(40), share(60));
    let mut mask = ink.clone();
    mask.iter_mut()
        .for_each(|value| *value = u8::from(*value >= faint));
    let labels = connected_components(&mask, Connectivity::Eight, Luma([0]));
    let blots = measure(ink, &labels);
    let digit = choose(&blots, sure, ink.dimensions())?;

    let area = bounds(digit.iter().map(|&label| &blots[label]));
    let mut chosen = vec![false; blots.len()];
    digit.iter().for_each(|&label| chosen[label] = true);
    let mut cropped = crop_imm(ink, area.left, area.top, area.width, area.height).to_image();
    for (x, y, pixel) in cropped.enumerate_pixels_mut() {
        let label = labels.get_pixel(area.left + x, area.top + y)[0] as usize;
        pixel[0] = if chosen[label] {
            (u32::from(pixel[0]) * 255 / u32::from(darkest)).min(255) as u8
        } else {
            0
        };
    }
    Some(Found {
        ink: cropped,
        area,
        picture: ink.dimensions(),
    })
}

/// How dark the ink is: as the darkest pixels are, as many as the smallest digit has.
fn darkest(ink: &GrayImage) -> u8 {
    let mut counts = [0_usize; 256];
    for &value in ink.as_raw() {
        counts[usize::from(value)] += 1;
    }
    let wanted = (ink.as_raw().len() / 5000).max(6);
    let mut seen = 0;
    let level = (0..=255_u8).rev().find(|&value| {
        seen += counts[usize::from(value)];
        seen >= wanted
    });
    level.unwrap_or(0)
}

/// One connected patch of ink.
#[derive(Debug, Clone, Copy)]
struct Blot {
    pixels: u32,
    darkest: u8,
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
}

impl Blot {
    fn width(&self) -> u32 {
        self.right - self.left + 1
    }

    fn height(&self) -> u32 {
        self.bottom - self.top + 1
    }

    fn length(&self) -> u32 {
        self.width().max(self.height())
    }

    /// How much it stands out: neither a hair nor a speck does.
    fn weight(&self) -> f64 {
        f64::from(self.length()) * f64::from(self.pixels).sqrt()
    }

    /// Whether it runs along the picture's border, or across the picture: the edge of the paper, a rule.
    fn is_edge(&self, (width, height): (u32, u32)) -> bool {
        let (at_left, at_right) = (self.left == 0, self.right + 1 == width);
        let (at_top, at_bottom) = (self.top == 0, self.bottom + 1 == height);
        (at_left && at_right)
            || (at_top && at_bottom)
            || ((at_left || at_right) && 2 * self.height() > height)
            || ((at_top || at_bottom) && 2 * self.width() > width)
    }

    /// How far apart two patches are, in pixels, by their rectangles.
    fn gap(&self, other: &Self) -> u32 {
        let across = (self.left.max(other.left)).saturating_sub(self.right.min(other.right));
        let down = (self.top.max(other.top)).saturating_sub(self.bottom.min(other.bottom));
        across.max(down)
    }

    fn join(self, other: &Self) -> Self {
        Self {
            pixels: self.pixels + other.pixels,
            darkest: self.darkest.max(other.darkest),
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// One blot for each label; the first is the paper, and empty.
fn measure(ink: &GrayImage, labels: &image::ImageBuffer<Luma<u32>, Vec<u32>>) -> Vec<Blot> {
    let count = labels.iter().max().copied().unwrap_or(0) as usize;
    let empty = Blot {
        pixels: 0,
        darkest: 0,
        left: u32::MAX,
        top: u32::MAX,
        right: 0,
        bottom: 0,
    };
    let mut blots = vec![empty; count + 1];
    for ((x, y, label), &value) in labels.enumerate_pixels().zip(ink.as_raw()) {
        if label[0] == 0 {
            continue;
        }
        let pixel = Blot {
            pixels: 1,
            darkest: value,
            left: x,
            top: y,
            right: x,
            bottom: y,
        };
        let blot = &mut blots[label[0] as usize];
        *blot = blot.join(&pixel);
    }
    blots
}

/// The labels of the digit's strokes: the blot that stands out most, and what is near it and not small.
fn choose(blots: &[Blot], sure: u8, picture: (u32, u32)) -> Option<Vec<usize>> {
    let ink = |label: &usize| blots[*label].pixels > 0 && blots[*label].darkest >= sure;
    let all: Vec<usize> = (1..blots.len()).filter(ink).collect();
    let inner = |label: &&usize| !blots[**label].is_edge(picture);
    let smallest = picture.0.max(picture.1) / 20;
    let mut strokes: Vec<usize> = all.iter().filter(inner).copied().collect();
    if strokes.iter().all(|&label| blots[label].length() < smallest) {
        strokes = all;
    }
    let main = strokes
        .iter()
        .copied()
        .max_by(|&a, &b| blots[a].weight().total_cmp(&blots[b].weight()))?;

    let mut digit = vec![main];
    let mut whole = blots[main];
    loop {
        let near = strokes.iter().copied().find(|label| {
            let blot = &blots[*label];
            !digit.contains(label)
                && 6 * whole.gap(blot) <= whole.length()
                && 40 * blot.pixels >= blots[main].pixels
        });
        let Some(label) = near else {
            return Some(digit);
        };
        digit.push(label);
        whole = whole.join(&blots[label]);
    }
}

fn bounds<'a>(mut blots: impl Iterator<Item = &'a Blot>) -> Area {
    let first = *blots.next().expect("a digit has at least one stroke");
    let whole = blots.fold(first, |whole, blot| whole.join(blot));
    Area {
        left: whole.left,
        top: whole.top,
        width: whole.width(),
        height: whole.height(),
    }
}
