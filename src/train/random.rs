//! Numbers that a seed decides, the same on every machine and in every version: initial parameters, the order of the
//! pictures, and how they are distorted.
//!
//! SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014): the library
//! generators promise no fixed sequence, and weights must be reproducible from their seed.

use crate::model::parameters::{Parameters, TENSORS};

/// A sequence of numbers.
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    /// The sequence of a seed, one for each purpose.
    fn new(seed: u64, purpose: u64) -> Self {
        let mut start = Self(seed);
        Self(start.next() ^ purpose.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// The sequence of a picture in an epoch.
    pub(super) fn for_picture(seed: u64, epoch: u32, index: usize) -> Self {
        Self::new(
            seed ^ (index as u64).rotate_right(20),
            PICTURES | u64::from(epoch),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to 1, in steps of 2⁻⁵³.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `least` up to `most`.
    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + self.unit() * (most - least)
    }

    /// Less than `limit`; the bias is below 2⁻⁴⁰ for limits up to 2²⁴.
    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}

/// Purpose of the sequence that makes parameters; those of the epochs' orders count from 1.
const PARAMETERS: u64 = 0;
/// Purpose of the sequences that distort pictures, with the epoch.
const PICTURES: u64 = 1 << 32;

/// Initial parameters as PyTorch's layers draw them: uniform between ±1/√(inputs of a unit), for weights and
/// biases alike (`kaiming_uniform_` with a = √5, in `torch/nn/modules/conv.py` and `linear.py`).
#[must_use]
pub fn initial_parameters(seed: u64) -> Parameters {
    let mut numbers = SplitMix64::new(seed, PARAMETERS);
    let mut parameters = Parameters::zeros();
    let mut inputs = 1;
    for ((_, shape), array) in TENSORS.iter().zip(parameters.arrays_mut()) {
        // A layer's bias follows its weight, and has the same inputs.
        if shape.len() > 1 {
            inputs = shape[1..].iter().product();
        }
        let bound = 1.0 / f64::from(u32::try_from(inputs).unwrap_or(u32::MAX)).sqrt();
        array.fill_with(|| ((numbers.unit() * 2.0 - 1.0) * bound) as f32);
    }
    parameters
}

/// The order in which an epoch (counted from 1) goes through `count` pictures.
#[must_use]
pub fn order(seed: u64, epoch: u32, count: usize) -> Vec<usize> {
    let mut numbers = SplitMix64::new(seed, epoch.into());
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, numbers.below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // The reference implementation's first numbers for the seed 1234567 (Vigna, prng.di.unimi.it).
        let mut numbers = SplitMix64(1_234_567);
        assert_eq!(numbers.next(), 6_457_827_717_110_365_317);
        assert_eq!(numbers.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn an_order_has_each_picture_once_and_depends_on_seed_and_epoch() {
        let mut sorted = order(1, 1, 1000);
        assert_ne!(sorted, order(1, 2, 1000));
        assert_ne!(sorted, order(2, 1, 1000));
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn parameters_fill_their_range() {
        let parameters = initial_parameters(1);
        for (array, inputs) in parameters
            .arrays()
            .iter()
            .zip([9, 9, 288, 288, 9216, 9216, 128, 128])
        {
            let bound = 1.0 / f64::from(inputs).sqrt() as f32;
            let largest = array
                .iter()
                .fold(0.0_f32, |largest, number| largest.max(number.abs()));
            assert!(largest <= bound && largest > 0.7 * bound, "{largest} of {bound}");
        }
        assert_ne!(parameters, initial_parameters(2));
    }
}
