//! Dropout masks on their way to a device: a bit for each number, unpacked there.
//!
//! In come the masks of [`Dropout`](crate::train::Dropout), which every learner shares, out go factors on a device. As
//! bits, they are a thirty-second of what they become.

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::train::Dropout;
use crate::train::dropout::{Layer, Mask};

/// Numbers that can be dropped behind the pool, and behind fc1.
const FEATURES: usize = 9216;
const HIDDEN: usize = 128;
/// Bytes of a picture's masks.
pub const PACKED: usize = (FEATURES + HIDDEN) / 8;

/// The bits of these pictures: `places` has for each the steps made before its own, and its place in the batch.
pub fn pack(dropout: &Dropout, places: &[(u64, usize)]) -> Vec<u8> {
    let mut packed = vec![0; places.len() * PACKED];
    let pictures = packed.par_chunks_mut(PACKED).zip(places);
    pictures.for_each(|(packed, &(steps, picture))| {
        let (features, hidden) = packed.split_at_mut(FEATURES / 8);
        fill(features, dropout.mask(Layer::Features, steps, picture));
        fill(hidden, dropout.mask(Layer::Hidden, steps, picture));
    });
    packed
}

fn fill(packed: &mut [u8], mask: Mask) {
    for (byte, first) in packed.iter_mut().zip((0_u32..).step_by(8)) {
        *byte = (0..8).fold(0, |byte, bit| {
            byte | u8::from(mask.factor(first + bit) != 0.0) << bit
        });
    }
}

/// What unpacks them.
pub struct Unpacker {
    /// 256 × 8: row i has the bits of i, as factors of the features.
    features: Tensor,
    /// The same for the hidden units.
    hidden: Tensor,
}

impl Unpacker {
    /// On this device.
    pub fn new(dropout: &Dropout, device: &Device) -> Result<Self> {
        let table = |layer| {
            let kept = dropout.kept(layer);
            let bit = |index: usize| {
                if (index / 8) >> (index % 8) & 1 == 1 {
                    kept
                } else {
                    0.0
                }
            };
            Tensor::from_vec((0..256 * 8).map(bit).collect(), (256, 8), device)
        };
        Ok(Self {
            features: table(Layer::Features)?,
            hidden: table(Layer::Hidden)?,
        })
    }

    /// Factors of n × 9216 features and n × 128 hidden units, from n × [`PACKED`] bytes.
    pub fn unpack(&self, packed: &Tensor) -> Result<(Tensor, Tensor)> {
        let pictures = packed.dim(0)?;
        let factors = |table: &Tensor, start: usize, count: usize| {
            let bytes = packed.narrow(1, start / 8, count / 8)?.flatten_all()?;
            // candle takes the largest index of a type for none.
            let bytes = bytes.to_dtype(DType::U32)?;
            table.index_select(&bytes, 0)?.reshape((pictures, count))
        };
        Ok((
            factors(&self.features, 0, FEATURES)?,
            factors(&self.hidden, FEATURES, HIDDEN)?,
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_are_the_factors_of_the_masks() {
        for dropout in [
            Dropout::reference(4),
            Dropout {
                features: 0.0,
                ..Dropout::reference(4)
            },
        ] {
            let places = [(7, 0), (7, 1), (8, 0)];
            let packed = pack(&dropout, &places);
            let packed = Tensor::from_vec(packed, (places.len(), PACKED), &Device::Cpu).unwrap();
            let unpacker = Unpacker::new(&dropout, &Device::Cpu).unwrap();
            let (features, hidden) = unpacker.unpack(&packed).unwrap();
            for (factors, layer) in [(features, Layer::Features), (hidden, Layer::Hidden)] {
                let factors = factors.to_vec2::<f32>().unwrap();
                for (row, (steps, picture)) in factors.iter().zip(places) {
                    let mask = dropout.mask(layer, steps, picture);
                    let expected: Vec<f32> = (0..row.len() as u32)
                        .map(|element| mask.factor(element))
                        .collect();
                    assert_eq!(
                        *row, expected,
                        "{layer:?} of picture {picture} after {steps} steps"
                    );
                }
            }
        }
    }
}
