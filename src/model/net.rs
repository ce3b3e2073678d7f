//! MNISTNet in candle, for any of its devices: the network as PyTorch's example has it.
//!
//! Parameters in, log-probabilities out. On a CPU the kernels of this crate are faster; this is what runs on
//! GPUs, and what the kernels are checked against.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Linear, Module, ops};

use super::parameters::{Parameters, TENSORS};
use super::{Model, ModelCard, ModelError};

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
}

/// What is dropped while learning, as factors: n × 64 × 12 × 12 and n × 128.
pub struct Masks {
    /// Behind the max-pool.
    pub features: Tensor,
    /// Behind fc1.
    pub hidden: Tensor,
}

impl Layers {
    /// The layers with these tensors, in the order of [`TENSORS`].
    pub fn new(tensors: [Tensor; 8]) -> Self {
        let [
            conv1_weight,
            conv1_bias,
            conv2_weight,
            conv2_bias,
            fc1_weight,
            fc1_bias,
            fc2_weight,
            fc2_bias,
        ] = tensors;
        let plain = Conv2dConfig::default();
        Self {
            conv1: Conv2d::new(conv1_weight, Some(conv1_bias), plain),
            conv2: Conv2d::new(conv2_weight, Some(conv2_bias), plain),
            fc1: Linear::new(fc1_weight, Some(fc1_bias)),
            fc2: Linear::new(fc2_weight, Some(fc2_bias)),
        }
    }

    /// From n × 1 × 28 × 28 normalized pixels to n × 10 log-probabilities.
    pub fn forward(&self, pictures: &Tensor, masks: Option<&Masks>) -> Result<Tensor> {
        let x = self.conv1.forward(pictures)?.relu()?;
        let x = self.conv2.forward(&x)?.relu()?;
        let x = match masks {
            Some(_) => max_pool_to_learn_through(&x)?,
            None => x.max_pool2d(2)?,
        };
        let x = drop_out(x, masks.map(|masks| &masks.features))?;
        let x = x.flatten_from(1)?;
        let x = self.fc1.forward(&x)?.relu()?;
        let x = drop_out(x, masks.map(|masks| &masks.hidden))?;
        let x = self.fc2.forward(&x)?;
        ops::log_softmax(&x, D::Minus1)
    }
}

/// The same as `max_pool2d(2)`, to learn through: the gradient of candle 0.11's own is a quarter of what it should
/// be, and its reductions give the whole gradient to each of several equal pixels, as even paper has them.
fn max_pool_to_learn_through(x: &Tensor) -> Result<Tensor> {
    let (pictures, channels, height, width) = x.dims4()?;
    let x = x.reshape(vec![pictures, channels, height / 2, 2, width / 2, 2])?;
    let x = x.narrow(5, 0, 1)?.maximum(&x.narrow(5, 1, 1)?)?;
    let x = x.narrow(3, 0, 1)?.maximum(&x.narrow(3, 1, 1)?)?;
    x.reshape((pictures, channels, height / 2, width / 2))
}

fn drop_out(x: Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    match mask {
        Some(mask) => x * mask,
        None => Ok(x),
    }
}

/// The parameters as tensors on a device, in the order of [`TENSORS`].
pub fn tensors(parameters: &Parameters, device: &Device) -> Result<Vec<Tensor>> {
    let arrays = TENSORS.iter().zip(parameters.arrays());
    arrays
        .map(|((_, shape), array)| Tensor::from_slice(array, *shape, device))
        .collect()
}

/// One upload as bytes; everything after that happens on the device.
pub fn normalize(pixels: &[u8], device: &Device) -> Result<Tensor> {
    let bytes = Tensor::from_slice(pixels, (pixels.len() / 784, 1, 28, 28), device)?;
    bytes
        .to_dtype(DType::F32)?
        .affine(1.0 / (255.0 * DEVIATION), -MEAN / DEVIATION)
}

/// MNISTNet on a device of candle's.
pub struct CandleNet {
    card: ModelCard,
    layers: Layers,
    device: Device,
}

impl CandleNet {
    /// The network on this device, which `name` names. Must be called on the thread that will use it.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    pub fn new(
        parameters: &Parameters,
        weights_sha256: String,
        name: String,
        device: Device,
    ) -> std::result::Result<Self, ModelError> {
        let layers = layers(parameters, &device).map_err(|error| broken(&name, error))?;
        let card = ModelCard {
            name: "MNISTNet".to_owned(),
            weights_sha256,
            device: name,
            width: 28,
            height: 28,
            classes: 10,
        };
        Ok(Self { card, layers, device })
    }
}

fn layers(parameters: &Parameters, device: &Device) -> Result<Layers> {
    let tensors = tensors(parameters, device)?;
    match <[Tensor; 8]>::try_from(tensors) {
        Ok(tensors) => Ok(Layers::new(tensors)),
        Err(_) => candle_core::bail!("MNISTNet has eight tensors"),
    }
}

fn broken(device: &str, error: candle_core::Error) -> ModelError {
    ModelError::Broken {
        device: device.to_owned(),
        source: error.into(),
    }
}

impl Model for CandleNet {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn predict(&mut self, pixels: &[u8]) -> std::result::Result<Vec<f32>, ModelError> {
        if pixels.is_empty() {
            return Ok(Vec::new());
        }
        if !pixels.len().is_multiple_of(784) {
            let detail = format!("{} bytes are no whole number of pictures of 28×28", pixels.len());
            return Err(ModelError::Rejected(detail));
        }
        let answers = normalize(pixels, &self.device)
            .and_then(|pictures| self.layers.forward(&pictures, None))
            .and_then(|log_probabilities| log_probabilities.flatten_all()?.to_vec1());
        answers.map_err(|error| broken(&self.card.device, error))
    }
}
