//! Within the third stage: connected patches of ink, and where they lie.
//!
//! In comes ink (0 paper, 255 ink), out go its patches and the runs that they are made of. Judges nothing.
//! Works on runs, of which a picture has few, since labels for each pixel take longer than all the rest.

use std::ops::Range;

use image::GrayImage;

/// Pixels side by side that are all ink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub y: u32,
    pub xs: Range<u32>,
    /// The index of its blot.
    pub blot: usize,
}

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

/// All ink of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blots {
    /// Row by row from the top, each row from the left.
    pub runs: Vec<Run>,
    pub blots: Vec<Blot>,
}

impl Blots {
    /// Whether a blot is a box drawn around something: hollow, with ink in all four corners.
    pub(super) fn is_frame(&self, index: usize) -> bool {
        let blot = &self.blots[index];
        let (width, height) = (blot.width(), blot.height());
        let corner = width.min(height) / 8;
        if corner == 0 || 4 * u64::from(blot.pixels) > u64::from(width) * u64::from(height) {
            return false;
        }
        let mut inked = [false; 4];
        for run in self.runs.iter().filter(|run| run.blot == index) {
            let at_left = run.xs.start < blot.left + corner;
            let at_right = run.xs.end > blot.right - corner;
            let at_top = run.y < blot.top + corner;
            let at_bottom = run.y > blot.bottom - corner;
            let corners = [
                at_top && at_left,
                at_top && at_right,
                at_bottom && at_left,
                at_bottom && at_right,
            ];
            inked.iter_mut().zip(corners).for_each(|(inked, at)| *inked |= at);
        }
        inked == [true; 4]
    }
}

/// Finds what is at least as dark as `faint`, in runs of at least `shortest` pixels. Runs that touch, be it at a
/// corner, are of one blot.
pub(super) fn find(ink: &GrayImage, faint: u8, shortest: u32) -> Blots {
    let mut runs: Vec<Run> = Vec::new();
    let mut parents: Vec<usize> = Vec::new();
    let mut above = 0..0;
    for (y, row) in (0..).zip(ink.as_raw().chunks_exact(ink.width() as usize)) {
        let start = runs.len();
        let mut x = 0;
        for pixels in row.chunk_by(|&a, &b| (a >= faint) == (b >= faint)) {
            let xs = x..x + pixels.len() as u32;
            x = xs.end;
            if pixels[0] >= faint && xs.len() as u32 >= shortest {
                parents.push(runs.len());
                runs.push(Run { y, xs, blot: 0 });
            }
        }
        let here = start..runs.len();
        unite_rows(&runs, above, here.clone(), &mut parents);
        above = here;
    }
    number(ink, runs, parents)
}

/// Notes which runs of one row touch which of the row above.
fn unite_rows(runs: &[Run], above: Range<usize>, here: Range<usize>, parents: &mut [usize]) {
    let mut upper = above.start;
    for lower in here {
        while upper < above.end && runs[upper].xs.end < runs[lower].xs.start {
            upper += 1;
        }
        let touching = (upper..above.end).take_while(|&run| runs[run].xs.start <= runs[lower].xs.end);
        for run in touching {
            let (a, b) = (root(parents, run), root(parents, lower));
            parents[a.max(b)] = a.min(b);
        }
    }
}

fn root(parents: &mut [usize], mut run: usize) -> usize {
    while parents[run] != run {
        parents[run] = parents[parents[run]];
        run = parents[run];
    }
    run
}

/// Gives each set of united runs one index, and measures it.
fn number(ink: &GrayImage, mut runs: Vec<Run>, mut parents: Vec<usize>) -> Blots {
    let width = ink.width() as usize;
    let mut blots: Vec<Blot> = Vec::new();
    for index in 0..runs.len() {
        let Run { y, xs, .. } = runs[index].clone();
        let start = y as usize * width;
        let pixels = &ink.as_raw()[start + xs.start as usize..start + xs.end as usize];
        let patch = Blot {
            pixels: xs.len() as u32,
            darkest: pixels.iter().max().copied().unwrap_or(0),
            left: xs.start,
            top: y,
            right: xs.end - 1,
            bottom: y,
        };
        // A root is the first run of its set, so that it has its index before the others ask.
        let first = root(&mut parents, index);
        runs[index].blot = if first == index {
            blots.push(patch);
            blots.len() - 1
        } else {
            let blot = runs[first].blot;
            blots[blot] = blots[blot].join(&patch);
            blot
        };
    }
    Blots { runs, blots }
}
