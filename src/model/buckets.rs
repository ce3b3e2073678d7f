//! The sizes of batches that a device is readied for: 1, 2, 4, 8 and so on up to the largest.
//!
//! A batch is padded to the next of them, so that a few shapes are enough for all. Knows no device.

/// Sizes up to `largest`, which is the last of them.
#[must_use]
pub fn sizes(largest: usize) -> Vec<usize> {
    let doubled = std::iter::successors(Some(1_usize), |size| size.checked_mul(2));
    let mut sizes: Vec<usize> = doubled.take_while(|size| *size < largest).collect();
    sizes.push(largest.max(1));
    sizes
}

#[cfg(test)]
mod tests {
    use super::sizes;

    #[test]
    fn sizes_double_up_to_the_largest() {
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(8), [1, 2, 4, 8]);
        assert_eq!(sizes(100), [1, 2, 4, 8, 16, 32, 64, 100]);
    }
}
