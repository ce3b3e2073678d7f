//! MNISTNet in candle, for any of its devices: the network as PyTorch's example has it.
//!
//! Parameters in, log-probabilities out. On a CPU the kernels of this crate are faster; this is what runs on
//! GPUs, and what the kernels are checked against.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Linear, Module, ops};

use super::parameters::{Parameters, TENSORS};
use super::precision::Precision;

/// Mean and standard deviation of MNIST's training pixels, between 0 and 1: what PyTorch's example takes.
pub const MEAN: f64 = 0.1307;
/// See [`MEAN`].
pub const DEVIATION: f64 = 0.3081;

/// The layers.
pub struct Layers {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    dtype: DType,
    /// What is rounded to where the device computes with 32-bit numbers alone.
    rounding: Option<DType>,
}

impl Layers {
    /// The layers with these parameters, on this device. candle's CPU has no products of 16-bit numbers: there,
    /// parameters and what goes from layer to layer are rounded to them, which is what a GPU's tensor cores do.
    ///
    /// # Errors
    /// Of the device.
    pub fn new(parameters: &Parameters, precision: Precision, device: &Device) -> Result<Self> {
        let asked = precision.dtype();
        let (dtype, rounding) = match (device, asked) {
            (_, DType::F32) => (DType::F32, None),
            (Device::Cpu, asked) => (DType::F32, Some(asked)),
            (_, asked) => (asked, None),
        };
        let tensors = tensors(parameters, device)?;
        let tensor = |index: usize| tensors[index].to_dtype(asked)?.to_dtype(dtype);
        let plain = Conv2dConfig::default();
        Ok(Self {
            conv1: Conv2d::new(tensor(0)?, Some(tensor(1)?), plain),
            conv2: Conv2d::new(tensor(2)?, Some(tensor(3)?), plain),
            fc1: Linear::new(tensor(4)?, Some(tensor(5)?)),
            fc2: Linear::new(tensor(6)?, Some(tensor(7)?)),
            dtype,
            rounding,
        })
    }

    /// From n × 1 × 28 × 28 bytes to n × 10 log-probabilities of 32 bits.
    ///
    /// # Errors
    /// Of the device.
    pub fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        let x = self.round(normalize(pictures)?.to_dtype(self.dtype)?)?;
        let x = self.round(self.conv1.forward(&x)?.relu()?)?;
        let x = self.round(self.conv2.forward(&x)?.relu()?)?;
        let x = x.max_pool2d(2)?.flatten_from(1)?;
        let x = self.round(self.fc1.forward(&x)?.relu()?)?;
        let x = self.fc2.forward(&x)?.to_dtype(DType::F32)?;
        ops::log_softmax(&x, D::Minus1)
    }

    fn round(&self, x: Tensor) -> Result<Tensor> {
        match self.rounding {
            Some(dtype) => x.to_dtype(dtype)?.to_dtype(DType::F32),
            None => Ok(x),
        }
    }
}

/// The parameters as tensors on a device, in the order of [`TENSORS`].
///
/// # Errors
/// Of the device.
pub fn tensors(parameters: &Parameters, device: &Device) -> Result<Vec<Tensor>> {
    let arrays = TENSORS.iter().zip(parameters.arrays());
    arrays
        .map(|((_, shape), array)| Tensor::from_slice(array, *shape, device))
        .collect()
}

/// Bytes as the network takes them. Bytes are what is uploaded: a quarter of the numbers that they become.
///
/// # Errors
/// Of the device.
pub fn normalize(pictures: &Tensor) -> Result<Tensor> {
    pictures
        .to_dtype(DType::F32)?
        .affine(1.0 / (255.0 * DEVIATION), -MEAN / DEVIATION)
}
