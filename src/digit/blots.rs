//! Within the third stage: connected patches of ink, and where they lie.
//!
//! In come ink and its labels, out goes one [`Blot`] for each label. Judges nothing.

use image::{GrayImage, ImageBuffer, Luma};

/// One label for each pixel, 0 where there is no ink.
pub(super) type Labels = ImageBuffer<Luma<u32>, Vec<u32>>;

/// One connected patch of ink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blot {
    pub pixels: u32,
    pub darkest: u8,
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

impl Blot {
    pub(super) fn width(&self) -> u32 {
        self.right - self.left + 1
    }

    pub(super) fn height(&self) -> u32 {
        self.bottom - self.top + 1
    }

    pub(super) fn length(&self) -> u32 {
        self.width().max(self.height())
    }

    /// How far apart two patches are, in pixels, by their rectangles.
    pub(super) fn gap(&self, other: &Self) -> u32 {
        let across = (self.left.max(other.left)).saturating_sub(self.right.min(other.right));
        let down = (self.top.max(other.top)).saturating_sub(self.bottom.min(other.bottom));
        across.max(down)
    }

    /// Both patches as one.
    pub(super) fn join(self, other: &Self) -> Self {
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

/// One blot for each label, at the label's index. The one of label 0, no ink, has no pixels and no place.
pub(super) fn measure(ink: &GrayImage, labels: &Labels) -> Vec<Blot> {
    let count = labels.iter().max().copied().unwrap_or(0) as usize;
    let none = Blot {
        pixels: 0,
        darkest: 0,
        left: u32::MAX,
        top: u32::MAX,
        right: 0,
        bottom: 0,
    };
    let mut blots = vec![none; count + 1];
    let width = ink.width() as usize;
    let rows = ink
        .as_raw()
        .chunks_exact(width)
        .zip(labels.as_raw().chunks_exact(width));
    for (y, (ink, labels)) in (0..).zip(rows) {
        for (x, (&darkest, &label)) in (0..).zip(ink.iter().zip(labels)) {
            if label != 0 {
                let blot = &mut blots[label as usize];
                *blot = blot.join(&Blot {
                    pixels: 1,
                    darkest,
                    left: x,
                    top: y,
                    right: x,
                    bottom: y,
                });
            }
        }
    }
    blots
}
