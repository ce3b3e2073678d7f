//! Pictures as other people would have written them: shifted, turned, bent, thicker, thinner, blurred. Some stay as
//! they are, or the network would forget them.
//!
//! In come pictures and numbers that a seed decides, out go as many pictures with the same labels. The same seed,
//! epoch and picture give the same result, on any number of threads.

mod batch;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::dataset::{Dataset, PICTURE};
use super::random::SplitMix64;
use crate::model::ModelError;
pub(super) use batch::BatchAugmenter;

/// Pixels of a side.
const SIDE: usize = 28;
/// Background around a picture, so that no sample lies outside.
const MARGIN: usize = 16;
const PADDED: usize = SIDE + 2 * MARGIN;

/// The share of pictures that stay as they are.
const PLAIN: f64 = 0.6;
/// Turns, at most: a 6 that is turned further may be a 9.
const TURN_DEGREES: f64 = 11.0;
/// Larger or smaller in each direction by this factor, at most.
const SCALE: f64 = 0.14;
/// Sideways for each row, at most.
const SHEAR: f64 = 0.14;
/// Shifts in each direction, at most, in pixels: MNIST's digits leave a border of four.
const SHIFT: f64 = 1.5;
/// Points of a side of the grid that bends a picture, and how far each moves, at most, in pixels (Simard, Steinkraus,
/// Platt: Best Practices for Convolutional Neural Networks, ICDAR 2003).
const GRID: usize = 5;
const BEND: f64 = 1.4;
/// How far a stroke becomes that of its thinnest or thickest neighbour, at most.
const THINNER: f64 = 0.2;
const THICKER: f64 = 0.3;
/// How far a picture becomes its blurred self, at most.
const BLUR: f64 = 0.3;
/// Ink is darker or lighter by this factor, at most.
const INK: f64 = 0.1;

/// Makes new pictures for each epoch.
pub struct Augmenter {
    seed: u64,
    pool: ThreadPool,
}

impl Augmenter {
    /// Of this seed, on this many threads.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the threads can't be started.
    pub fn new(seed: u64, threads: usize) -> Result<Self, ModelError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| ModelError::Broken {
            device: "cpu".to_owned(),
            source: error.into(),
        })?;
        Ok(Self { seed, pool })
    }

    /// What its distortions come from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The pictures of a batch, anew for each epoch, one after the other.
    #[must_use]
    pub fn batch(&self, dataset: &Dataset, epoch: u32, indices: &[usize]) -> Vec<u8> {
        let mut pixels = vec![0; indices.len() * PICTURE];
        self.pool.install(|| {
            let pictures = pixels.par_chunks_mut(PICTURE).zip(indices);
            pictures.for_each(|(picture, &index)| {
                let distortion = Distortion::of(self.seed, epoch, index);
                if distortion.stays {
                    picture.copy_from_slice(dataset.image(index));
                } else {
                    picture.copy_from_slice(&distorted(dataset.image(index), &distortion));
                }
            });
        });
        pixels
    }
}

/// What happens to a picture.
struct Distortion {
    /// Whether nothing does: all that follows then says so too, for those who have no choice for each picture.
    stays: bool,
    field: Field,
    /// How far it becomes its thickest neighbours, or below 0 its thinnest.
    thickness: f64,
    /// How far it becomes its blurred self.
    blur: f64,
    /// What its ink is multiplied with.
    ink: f32,
}

impl Distortion {
    /// Of a picture in an epoch.
    fn of(seed: u64, epoch: u32, index: usize) -> Self {
        let numbers = &mut SplitMix64::for_picture(seed, epoch, index);
        let stays = numbers.between(0.0, 1.0) < PLAIN;
        let strength = if stays { 0.0 } else { 1.0 };
        Self {
            stays,
            field: Field::new(numbers, strength),
            thickness: strength * numbers.between(-THINNER, THICKER),
            // Half of those that are distorted stay sharp.
            blur: strength * numbers.between(-BLUR, BLUR).max(0.0),
            ink: 1.0 + (strength * numbers.between(-INK, INK)) as f32,
        }
    }
}

/// A picture as somebody else would have written it.
fn distorted(picture: &[u8], distortion: &Distortion) -> [u8; PICTURE] {
    let mut ink = [0.0; PICTURE];
    let Distortion {
        field,
        thickness,
        blur,
        ink: factor,
        ..
    } = distortion;
    let padded = padded(picture);
    for (place, ink) in ink.iter_mut().enumerate() {
        let (x, y) = field.source((place % SIDE) as f32, (place / SIDE) as f32);
        *ink = sample(&padded, x, y);
    }
    let neighbours = if *thickness > 0.0 {
        neighbourhood(&ink, f32::max)
    } else {
        neighbourhood(&ink, f32::min)
    };
    blend(&mut ink, &neighbours, thickness.abs());
    let blurred = blurred(&ink);
    blend(&mut ink, &blurred, *blur);
    // A float becomes the nearest byte that there is.
    ink.map(|ink| (ink * factor).round() as u8)
}

/// Where each pixel of a new picture comes from.
struct Field {
    matrix: [f32; 4],
    shift: [f32; 2],
    bends: [[[f32; 2]; GRID]; GRID],
}

impl Field {
    fn new(numbers: &mut SplitMix64, strength: f64) -> Self {
        let mut number = |most: f64| strength * numbers.between(-most, most);
        let angle = number(TURN_DEGREES).to_radians();
        let (sin, cos) = angle.sin_cos();
        let mut scale = || 1.0 / (1.0 + number(SCALE));
        let (wide, high) = (scale(), scale());
        let shear = number(SHEAR);
        let matrix = [
            cos * wide,
            (cos * shear - sin) * high,
            sin * wide,
            (sin * shear + cos) * high,
        ];
        let mut pair = |most: f64| [(); 2].map(|()| number(most) as f32);
        let shift = pair(SHIFT);
        let bends = [(); GRID].map(|()| [(); GRID].map(|()| pair(BEND)));
        Self {
            matrix: matrix.map(|number| number as f32),
            shift,
            bends,
        }
    }

    fn source(&self, x: f32, y: f32) -> (f32, f32) {
        let centre = (SIDE - 1) as f32 / 2.0;
        let (right, down) = (x - centre, y - centre);
        let [a, b, c, d] = self.matrix;
        let [bend_x, bend_y] = self.bend(x, y);
        (
            centre + a * right + b * down + self.shift[0] + bend_x,
            centre + c * right + d * down + self.shift[1] + bend_y,
        )
    }

    /// The grid's movement, linear between its points.
    fn bend(&self, x: f32, y: f32) -> [f32; 2] {
        let ((column, right), (row, down)) = (cell(x), cell(y));
        let between = |from: f32, to: f32, share: f32| from + (to - from) * share;
        [0, 1].map(|axis| {
            let at = |row: usize, column: usize| self.bends[row][column][axis];
            let above = between(at(row, column), at(row, column + 1), right);
            let below = between(at(row + 1, column), at(row + 1, column + 1), right);
            between(above, below, down)
        })
    }
}

/// Before which point of the grid a pixel lies, and how far behind it.
fn cell(along: f32) -> (usize, f32) {
    let along = along * (GRID - 1) as f32 / (SIDE - 1) as f32;
    let first = (along as usize).min(GRID - 2);
    (first, along - first as f32)
}

fn padded(picture: &[u8]) -> [f32; PADDED * PADDED] {
    let mut padded = [0.0; PADDED * PADDED];
    for (row, pixels) in picture.chunks(SIDE).enumerate() {
        let start = (row + MARGIN) * PADDED + MARGIN;
        for (ink, pixel) in padded[start..start + SIDE].iter_mut().zip(pixels) {
            *ink = f32::from(*pixel);
        }
    }
    padded
}

/// The ink between four pixels.
fn sample(padded: &[f32; PADDED * PADDED], x: f32, y: f32) -> f32 {
    let inside = |along: f32| (along + MARGIN as f32).clamp(0.0, (PADDED - 2) as f32);
    let (x, y) = (inside(x), inside(y));
    let (column, row) = (x as usize, y as usize);
    let (right, down) = (x - column as f32, y - row as f32);
    let at = row * PADDED + column;
    let above = padded[at] + (padded[at + 1] - padded[at]) * right;
    let below = padded[at + PADDED] + (padded[at + PADDED + 1] - padded[at + PADDED]) * right;
    above + (below - above) * down
}

/// Of each pixel and its four neighbours, what `choose` chooses; beyond the border there is no ink.
fn neighbourhood(ink: &[f32; PICTURE], choose: impl Fn(f32, f32) -> f32) -> [f32; PICTURE] {
    std::array::from_fn(|place| {
        let (column, row) = (place % SIDE, place / SIDE);
        let left = if column > 0 { ink[place - 1] } else { 0.0 };
        let right = if column < SIDE - 1 { ink[place + 1] } else { 0.0 };
        let above = if row > 0 { ink[place - SIDE] } else { 0.0 };
        let below = if row < SIDE - 1 { ink[place + SIDE] } else { 0.0 };
        [left, right, above, below].into_iter().fold(ink[place], &choose)
    })
}

/// Each pixel the mean of its neighbourhood, by the weights 1 2 1 in both directions.
fn blurred(ink: &[f32; PICTURE]) -> [f32; PICTURE] {
    let smoothed = |ink: &[f32; PICTURE], step: usize, along: fn(usize) -> usize| -> [f32; PICTURE] {
        std::array::from_fn(|place| {
            let before = if along(place) > 0 { ink[place - step] } else { 0.0 };
            let after = if along(place) < SIDE - 1 {
                ink[place + step]
            } else {
                0.0
            };
            (before + 2.0 * ink[place] + after) / 4.0
        })
    };
    let across = smoothed(ink, 1, |place| place % SIDE);
    smoothed(&across, SIDE, |place| place / SIDE)
}

fn blend(ink: &mut [f32; PICTURE], towards: &[f32; PICTURE], share: f64) {
    let share = share as f32;
    for (ink, towards) in ink.iter_mut().zip(towards) {
        *ink += (towards - *ink) * share;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Two pictures: a bar that stands in the middle, and nothing.
    fn dataset() -> Dataset {
        let mut images = vec![0; 2 * PICTURE];
        for row in 6..22 {
            images[row * SIDE + 13..row * SIDE + 15].fill(255);
        }
        Dataset::new(images, vec![1, 0]).unwrap()
    }

    /// A picture as it is in many epochs.
    fn epochs(seed: u64, first: u32, threads: usize) -> Vec<Vec<u8>> {
        let (augmenter, dataset) = (Augmenter::new(seed, threads).unwrap(), dataset());
        let epochs = first..first + 500;
        epochs
            .map(|epoch| augmenter.batch(&dataset, epoch, &[0]))
            .collect()
    }

    #[test]
    fn a_seed_decides_every_picture_on_any_number_of_threads() {
        let batch = |threads| {
            Augmenter::new(1, threads)
                .unwrap()
                .batch(&dataset(), 1, &[0, 1, 0, 1])
        };
        assert_eq!(batch(1), batch(3));
        let pictures = epochs(1, 1, 1);
        assert_eq!(pictures, epochs(1, 1, 3));
        assert_ne!(pictures, epochs(2, 1, 1));
        assert_ne!(pictures, epochs(1, 2, 1));
    }

    #[test]
    fn a_share_of_the_pictures_stays_as_it_is() {
        let (pictures, dataset) = (epochs(1, 1, 1), dataset());
        let plain = pictures.iter().filter(|picture| *picture == dataset.image(0));
        let share = plain.count() as f64 / pictures.len() as f64;
        assert!((share - PLAIN).abs() < 0.1, "{share}");
    }

    #[test]
    fn a_bar_stays_a_bar_somewhere_near_the_middle() {
        let dataset = dataset();
        let whole: u32 = dataset.image(0).iter().map(|ink| u32::from(*ink)).sum();
        for (epoch, picture) in epochs(1, 1, 1).iter().enumerate() {
            let ink: u32 = picture.iter().map(|ink| u32::from(*ink)).sum();
            assert!(
                (whole / 4..whole * 4).contains(&ink),
                "epoch {epoch}: {ink} of {whole}"
            );
            let moment = |along: fn(usize) -> usize| -> f64 {
                let weighted = picture.iter().enumerate();
                let sum: f64 = weighted
                    .map(|(place, ink)| along(place) as f64 * f64::from(*ink))
                    .sum();
                sum / f64::from(ink) - 13.5
            };
            let (right, down) = (moment(|place| place % SIDE), moment(|place| place / SIDE));
            assert!(
                right.abs() < 6.0 && down.abs() < 6.0,
                "epoch {epoch}: {right} {down}"
            );
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        let augmenter = Augmenter::new(1, 1).unwrap();
        for epoch in 1..10 {
            assert_eq!(augmenter.batch(&dataset(), epoch, &[1]), vec![0; PICTURE]);
        }
    }
}
