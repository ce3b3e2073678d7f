//! The parameters of MNISTNet: eight named arrays, in PyTorch's names, shapes and order.
//!
//! What files are read into and written from, and what every implementation of the network is made of.
//! Knows no file format, no device and no arithmetic.

/// Names and shapes, in the order in which PyTorch lists them; 1,199,882 numbers in all.
pub const TENSORS: [(&str, &[usize]); 8] = [
    ("conv1.weight", &[32, 1, 3, 3]),
    ("conv1.bias", &[32]),
    ("conv2.weight", &[64, 32, 3, 3]),
    ("conv2.bias", &[64]),
    ("fc1.weight", &[128, 9216]),
    ("fc1.bias", &[128]),
    ("fc2.weight", &[10, 128]),
    ("fc2.bias", &[10]),
];

/// All parameters: for each of [`TENSORS`], its numbers in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters([Vec<f32>; 8]);

impl Parameters {
    /// The parameters with these numbers, or the index of the first of [`TENSORS`] whose count is wrong.
    ///
    /// # Errors
    /// The index of the array that has too few or too many numbers.
    pub fn new(arrays: [Vec<f32>; 8]) -> Result<Self, usize> {
        match TENSORS
            .iter()
            .zip(&arrays)
            .position(|((_, shape), array)| array.len() != count(shape))
        {
            Some(wrong) => Err(wrong),
            None => Ok(Self(arrays)),
        }
    }

    /// All zero.
    #[must_use]
    pub fn zeros() -> Self {
        Self(TENSORS.map(|(_, shape)| vec![0.0; count(shape)]))
    }

    /// The arrays, in the order of [`TENSORS`].
    #[must_use]
    pub fn arrays(&self) -> &[Vec<f32>; 8] {
        &self.0
    }

    /// The arrays, to write into. Their lengths must stay.
    #[must_use]
    pub fn arrays_mut(&mut self) -> [&mut [f32]; 8] {
        self.0.each_mut().map(Vec::as_mut_slice)
    }
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}
