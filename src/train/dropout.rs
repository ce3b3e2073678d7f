//! Dropout masks: which numbers are zeroed in which step, as a function of the seed and of where they are.
//!
//! A mask is computed, not drawn: the backward pass can ask again, a resumed run goes on as if it had never
//! stopped, and every learner drops the same numbers, however it deals out its work. Knows no network.

use super::Dropout;

/// Where numbers are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Behind the max-pool: element i of a picture is `channel * 144 + row * 12 + column`.
    Features,
    /// Behind fc1: element i of a picture is the hidden unit.
    Hidden,
}

impl Dropout {
    /// What is dropped from picture `picture` of a batch, in the step that follows `steps` steps.
    #[must_use]
    pub fn mask(&self, layer: Layer, steps: u64, picture: usize) -> Mask {
        let place = [steps, layer as u64, picture as u64];
        let key = place
            .into_iter()
            .fold(mix64(self.seed), |key, part| mix64(key ^ part));
        Mask {
            key: (key >> 32) as u32,
            threshold: (f64::from(self.rate(layer)) * 4_294_967_296.0) as u32,
            kept: self.kept(layer),
        }
    }

    /// What is kept is multiplied with this, so that the mean stays: 1 / (1 − rate).
    #[must_use]
    pub fn kept(&self, layer: Layer) -> f32 {
        1.0 / (1.0 - self.rate(layer))
    }

    fn rate(&self, layer: Layer) -> f32 {
        match layer {
            Layer::Features => self.features,
            Layer::Hidden => self.hidden,
        }
    }
}

/// What is dropped from one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mask {
    key: u32,
    threshold: u32,
    kept: f32,
}

impl Mask {
    /// What element i is multiplied with: 0 if it is dropped, 1 / (1 − rate) if not.
    #[inline(always)]
    #[must_use]
    pub fn factor(self, element: u32) -> f32 {
        if mix32(element.wrapping_mul(0x9E37_79B9) ^ self.key) >= self.threshold {
            self.kept
        } else {
            0.0
        }
    }
}

/// Chris Wellons' `lowbias32` (the Hash Prospector, 2018), in operations that vectorize.
#[inline(always)]
fn mix32(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// The step of SplitMix64 (Steele, Lea & Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
fn mix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPOUT: Dropout = Dropout {
        features: 0.25,
        hidden: 0.5,
        seed: 1,
    };

    fn factors(mask: Mask) -> Vec<f32> {
        (0..9216).map(|element| mask.factor(element)).collect()
    }

    #[test]
    fn the_rate_is_the_share_of_zeros_and_the_mean_stays_one() {
        for (layer, rate) in [(Layer::Features, 0.25), (Layer::Hidden, 0.5)] {
            let factors: Vec<f32> = (0..100)
                .flat_map(|i| factors(DROPOUT.mask(layer, 7, i)))
                .collect();
            let share = |sum: f64| sum / factors.len() as f64;
            let zeros = share(factors.iter().filter(|factor| **factor == 0.0).count() as f64);
            let mean = share(factors.iter().map(|factor| f64::from(*factor)).sum());
            assert!((zeros - rate).abs() < 0.003, "{layer:?}: {zeros}");
            assert!((mean - 1.0).abs() < 0.005, "{layer:?}: {mean}");
        }
    }

    #[test]
    fn seed_step_layer_and_picture_each_change_the_mask() {
        let mask = factors(DROPOUT.mask(Layer::Features, 7, 3));
        let same_rate = Dropout {
            hidden: 0.25,
            ..DROPOUT
        };
        for other in [
            Dropout { seed: 2, ..DROPOUT }.mask(Layer::Features, 7, 3),
            DROPOUT.mask(Layer::Features, 8, 3),
            DROPOUT.mask(Layer::Features, 7, 4),
            same_rate.mask(Layer::Hidden, 7, 3),
        ] {
            let equal = factors(other).iter().zip(&mask).filter(|(a, b)| a == b).count() as f32 / 9216.0;
            // Independent masks agree where both keep or both drop: 0.75² + 0.25².
            assert!((equal - 0.625).abs() < 0.03, "{equal}");
        }
        assert_eq!(factors(DROPOUT.mask(Layer::Features, 7, 3)), mask);
    }

    #[test]
    fn without_a_rate_nothing_is_dropped() {
        let none = Dropout {
            features: 0.0,
            hidden: 0.0,
            seed: 1,
        };
        assert!(
            factors(none.mask(Layer::Features, 0, 0))
                .iter()
                .all(|factor| *factor == 1.0)
        );
    }
}
