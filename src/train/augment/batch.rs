//! The same distortions for many pictures at once, in operations on tensors: for learners that have their data set on a
//! device.
//!
//! In come pictures there and where they come from, out go as many there. The same seed, epoch and picture give what
//! [`super::Augmenter`] gives, but for a step of ink where two ways of rounding differ.

use candle_core::{DType, Device, Result, Tensor};

use super::{Distortion, GRID, MARGIN, PADDED, SIDE, cell};
use crate::train::dataset::PICTURE;

/// Numbers of a distortion that are the same for all pixels of a picture: the matrix, the shift, how far towards thicker
/// neighbours, towards thinner ones and towards the blurred picture, and the factor of ink.
const SINGLE: usize = 10;
/// Points of the grid that bends a picture.
const POINTS: usize = GRID * GRID;

/// Makes new pictures for each epoch, on a device.
pub struct BatchAugmenter {
    seed: u64,
    /// How far each pixel lies to the right of the centre and below it: 1 × 784 each.
    right: Tensor,
    down: Tensor,
    /// What each point of the grid does to each pixel: 25 × 784.
    grid: Tensor,
}

impl BatchAugmenter {
    /// Of this seed, on this device.
    ///
    /// # Errors
    /// Of the device.
    pub fn new(seed: u64, device: &Device) -> Result<Self> {
        let centre = (SIDE - 1) as f32 / 2.0;
        let along = |of: fn(usize) -> usize| {
            let numbers = (0..PICTURE).map(|place| of(place) as f32 - centre).collect();
            Tensor::from_vec(numbers, (1, PICTURE), device)
        };
        let mut grid = vec![0.0; POINTS * PICTURE];
        for place in 0..PICTURE {
            let ((column, right), (row, down)) = (cell((place % SIDE) as f32), cell((place / SIDE) as f32));
            for (point, share) in [
                (row * GRID + column, (1.0 - right) * (1.0 - down)),
                (row * GRID + column + 1, right * (1.0 - down)),
                ((row + 1) * GRID + column, (1.0 - right) * down),
                ((row + 1) * GRID + column + 1, right * down),
            ] {
                grid[point * PICTURE + place] = share;
            }
        }
        Ok(Self {
            seed,
            right: along(|place| place % SIDE)?,
            down: along(|place| place / SIDE)?,
            grid: Tensor::from_vec(grid, (POINTS, PICTURE), device)?,
        })
    }

    /// These pictures, n × 784 bytes, as they are in an epoch; `indices` are their places in the data set.
    ///
    /// # Errors
    /// Of the device.
    pub fn distorted(&self, pictures: &Tensor, epoch: u32, indices: &[usize]) -> Result<Tensor> {
        let count = indices.len();
        let device = pictures.device();
        let mut single = Vec::with_capacity(count * SINGLE);
        let mut bends = [Vec::new(), Vec::new()];
        for &index in indices {
            let distortion = Distortion::of(self.seed, epoch, index);
            single.extend(distortion.field.matrix);
            single.extend(distortion.field.shift);
            let (thicker, thinner) = (distortion.thickness.max(0.0), (-distortion.thickness).max(0.0));
            single.extend([
                thicker as f32,
                thinner as f32,
                distortion.blur as f32,
                distortion.ink,
            ]);
            for point in distortion.field.bends.as_flattened() {
                bends[0].push(point[0]);
                bends[1].push(point[1]);
            }
        }
        let single = Tensor::from_vec(single, (count, SINGLE), device)?;
        let of = |index: usize| single.narrow(1, index, 1)?.contiguous();
        let [bends_right, bends_down] =
            bends.map(|bends| Tensor::from_vec(bends, (count, POINTS), device)?.matmul(&self.grid));

        let centre = f64::from((SIDE - 1) as f32 / 2.0);
        let source = |across: &Tensor, along: &Tensor, shift: &Tensor, bend: &Tensor| {
            let turned = across
                .matmul(&self.right)?
                .add(&along.matmul(&self.down)?)?
                .broadcast_add(shift)?;
            ((turned + bend)? + (centre + MARGIN as f64))?.clamp(0.0, (PADDED - 2) as f64)
        };
        let x = source(&of(0)?, &of(1)?, &of(4)?, &bends_right?)?;
        let y = source(&of(2)?, &of(3)?, &of(5)?, &bends_down?)?;
        let ink = sampled(pictures, &x, &y)?;

        let ink = towards(
            &ink,
            &neighbourhood(&ink, |one, other| one.maximum(other))?,
            &of(6)?,
        )?;
        let ink = towards(
            &ink,
            &neighbourhood(&ink, |one, other| one.minimum(other))?,
            &of(7)?,
        )?;
        let ink = towards(&ink, &blurred(&ink)?, &of(8)?)?;
        let ink = ink.broadcast_mul(&of(9)?)?.round()?.clamp(0.0, 255.0)?;
        ink.to_dtype(DType::U8)
    }
}

/// The ink between four pixels, for each place.
fn sampled(pictures: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let count = pictures.dim(0)?;
    let padded = pictures
        .to_dtype(DType::F32)?
        .reshape((count, SIDE, SIDE))?
        .pad_with_zeros(1, MARGIN, MARGIN)?
        .pad_with_zeros(2, MARGIN, MARGIN)?
        .flatten_from(1)?;
    let (column, row) = (x.floor()?, y.floor()?);
    let (right, down) = ((x - &column)?, (y - &row)?);
    let at = ((row * PADDED as f64)? + column)?;
    let ink = |beyond: usize| padded.gather(&(&at + beyond as f64)?.to_dtype(DType::U32)?, 1);
    let between = |from: &Tensor, to: &Tensor, share: &Tensor| from + ((to - from)? * share)?;
    let above = between(&ink(0)?, &ink(1)?, &right)?;
    let below = between(&ink(PADDED)?, &ink(PADDED + 1)?, &right)?;
    between(&above, &below, &down)
}

/// Of each pixel and its four neighbours, what `choose` chooses; beyond the border there is no ink.
fn neighbourhood(ink: &Tensor, choose: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let count = ink.dim(0)?;
    let square = ink.reshape((count, SIDE, SIDE))?;
    let mut chosen = square.clone();
    for axis in [1, 2] {
        let padded = square.pad_with_zeros(axis, 1, 1)?;
        for start in [0, 2] {
            chosen = choose(&chosen, &padded.narrow(axis, start, SIDE)?)?;
        }
    }
    chosen.reshape((count, PICTURE))
}

/// Each pixel the mean of its neighbourhood, by the weights 1 2 1 in both directions.
fn blurred(ink: &Tensor) -> Result<Tensor> {
    let count = ink.dim(0)?;
    let mut square = ink.reshape((count, SIDE, SIDE))?;
    for axis in [2, 1] {
        let padded = square.pad_with_zeros(axis, 1, 1)?;
        let (before, after) = (padded.narrow(axis, 0, SIDE)?, padded.narrow(axis, 2, SIDE)?);
        square = (((before + (square * 2.0)?)? + after)? / 4.0)?;
    }
    square.reshape((count, PICTURE))
}

/// Each picture this far on its way to another.
fn towards(ink: &Tensor, other: &Tensor, share: &Tensor) -> Result<Tensor> {
    ink + (other - ink)?.broadcast_mul(share)?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::train::augment::Augmenter;
    use crate::train::dataset::Dataset;

    /// Strokes of all kinds, some of which touch the border.
    fn dataset() -> Dataset {
        let ink = |place: usize| {
            let (picture, column, row) = (place / PICTURE, place % SIDE, place % PICTURE / SIDE);
            let stroke = (column * (picture + 2) + row * 3) % 17;
            if stroke < 5 { 255 - (stroke * 40) as u8 } else { 0 }
        };
        let images = (0..40 * PICTURE).map(ink).collect();
        Dataset::new(images, vec![0; 40]).unwrap()
    }

    #[test]
    fn a_batch_on_a_device_is_what_picture_by_picture_gives() {
        let dataset = dataset();
        let indices: Vec<usize> = (0..40).rev().collect();
        let expected = Augmenter::new(7, 1).unwrap().batch(&dataset, 3, &indices);
        let plain: Vec<u8> = indices
            .iter()
            .flat_map(|index| dataset.image(*index))
            .copied()
            .collect();
        let plain = Tensor::from_vec(plain, (40, PICTURE), &Device::Cpu).unwrap();
        let augmenter = BatchAugmenter::new(7, &Device::Cpu).unwrap();
        let found = augmenter.distorted(&plain, 3, &indices).unwrap();
        let found = found.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let mut rounded_otherwise = 0;
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let difference = found.abs_diff(*expected);
            assert!(
                difference <= 1,
                "picture {}: {found}, not {expected}",
                place / PICTURE
            );
            rounded_otherwise += u32::from(difference);
        }
        assert!(
            rounded_otherwise < 40,
            "{rounded_otherwise} of {} pixels",
            found.len()
        );
    }
}
