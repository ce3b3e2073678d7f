//! Numbers that look random and are the same in every run.

/// A sequence of numbers (splitmix64; Steele, Lea, Flood 2014).
#[derive(Clone)]
pub struct Moments(u64);

impl Moments {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, from 1 to `most`.
    pub fn next(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        1 + ((mixed ^ (mixed >> 31)) % most as u64) as usize
    }
}
