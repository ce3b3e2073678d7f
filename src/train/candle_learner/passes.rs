//! Forward and backward pass of MNISTNet in candle's operations, the backward pass by hand.
//!
//! In come pictures, labels, masks and parameters on one device, out go gradients and the loss there. By hand, since
//! candle's own gradient of a convolution runs a transposed one number by number, that of its max-pool is a quarter of
//! what it should be, and a graph of operations is built anew for each step. Every convolution here, those of the
//! backward pass too, is a product of matrices, or cuDNN's in a build that has it.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::log_softmax;

/// A batch of n pictures on the device.
pub struct Batch<'a> {
    /// n × 1 × 28 × 28 normalized pixels.
    pub pictures: &'a Tensor,
    /// n labels.
    pub labels: &'a Tensor,
    /// What is multiplied with the pooled features: n × 9216.
    pub features: &'a Tensor,
    /// What is multiplied with the hidden units: n × 128.
    pub hidden: &'a Tensor,
}

/// What does not change from step to step.
pub struct Constants {
    /// 10 × 10: row i is label i as shares of the classes.
    shares: Tensor,
    /// Which of the nine places of a 3 × 3 kernel stands where, once it is turned by half a turn.
    turned: Tensor,
}

impl Constants {
    /// On this device.
    pub fn new(device: &Device) -> Result<Self> {
        let turned: Vec<u32> = (0..9).rev().collect();
        Ok(Self {
            shares: Tensor::eye(10, DType::F32, device)?,
            turned: Tensor::new(turned, device)?,
        })
    }

    /// The gradients of the mean negative log-likelihood, in the order and shapes of the parameters, and that mean as
    /// one number.
    pub fn gradients(&self, tensors: &[Tensor; 8], batch: &Batch<'_>) -> Result<([Tensor; 8], Tensor)> {
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
        let pictures = batch.pictures.dim(0)?;

        let first = convolved(batch.pictures, conv1_weight, conv1_bias)?;
        let second = convolved(&first, conv2_weight, conv2_bias)?;
        let pool = Pool::of(&second)?;
        let features = (&pool.largest * batch.features)?;
        let hidden = features
            .matmul(&fc1_weight.t()?)?
            .broadcast_add(fc1_bias)?
            .relu()?;
        let kept = (&hidden * batch.hidden)?;
        let scores = kept.matmul(&fc2_weight.t()?)?.broadcast_add(fc2_bias)?;
        let log_probabilities = log_softmax(&scores, D::Minus1)?;
        let labels = self.shares.index_select(batch.labels, 0)?;
        let loss = ((&log_probabilities * &labels)?.sum_all()? * (-1.0 / pictures as f64))?;

        let scores = ((log_probabilities.exp()? - labels)? * (1.0 / pictures as f64))?;
        let fc2_weight_gradient = scores.t()?.matmul(&kept)?;
        let hidden = (scores.matmul(fc2_weight)? * (batch.hidden * positive(&hidden)?)?)?;
        let fc1_weight_gradient = hidden.t()?.matmul(&features)?;
        let largest = (hidden.matmul(fc1_weight)? * (batch.features * positive(&pool.largest)?)?)?;
        let second = pool.gradient(&largest)?;
        let conv2_weight_gradient = kernel_gradient(&first, &second)?;
        let first = (self.input_gradient(conv2_weight, &second)? * positive(&first)?)?;
        let conv1_weight_gradient = kernel_gradient(batch.pictures, &first)?;

        let gradients = [
            conv1_weight_gradient,
            first.sum((0, 2, 3))?,
            conv2_weight_gradient,
            second.sum((0, 2, 3))?,
            fc1_weight_gradient,
            hidden.sum(0)?,
            fc2_weight_gradient,
            scores.sum(0)?,
        ];
        Ok((gradients, loss.reshape(1)?))
    }

    /// Of a convolution's input, from its output's: the convolution of that, with a border of two, by the kernels turned.
    fn input_gradient(&self, weight: &Tensor, output: &Tensor) -> Result<Tensor> {
        let (to, from, height, width) = weight.dims4()?;
        let turned = weight
            .reshape((to * from, height * width))?
            .index_select(&self.turned, 1)?;
        let turned = turned.reshape((to, from, height, width))?.transpose(0, 1)?;
        output.conv2d(&turned.contiguous()?, 2, 1, 1, 1)
    }
}

fn convolved(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let bias = bias.reshape((1, bias.dim(0)?, 1, 1))?;
    x.conv2d(weight, 0, 1, 1, 1)?.broadcast_add(&bias)?.relu()
}

/// Of a convolution's kernels, from its input and the gradient of its output: the convolution of one by the other, where
/// pictures take the place of channels.
fn kernel_gradient(input: &Tensor, output: &Tensor) -> Result<Tensor> {
    let (input, output) = (input.transpose(0, 1)?, output.transpose(0, 1)?);
    let gradient = input.contiguous()?.conv2d(&output.contiguous()?, 0, 1, 1, 1)?;
    gradient.transpose(0, 1)?.contiguous()
}

/// 1 where a number is above 0, else 0: the gradient of what is cut off below 0.
fn positive(x: &Tensor) -> Result<Tensor> {
    x.gt(0_f64)?.to_dtype(DType::F32)
}

/// A max-pool of 2 × 2 pixels, and where it found what is largest: of equals the first, as PyTorch has it.
struct Pool {
    /// n × 9216.
    largest: Tensor,
    /// Whether the left one of two pixels is taken: n × 64 × 12 × 2 × 12 × 1.
    left: Tensor,
    /// Whether the upper one of two rows is taken: n × 64 × 12 × 1 × 12 × 1.
    upper: Tensor,
}

impl Pool {
    fn of(x: &Tensor) -> Result<Self> {
        let (pictures, channels, height, width) = x.dims4()?;
        let x = x.reshape(vec![pictures, channels, height / 2, 2, width / 2, 2])?;
        let (left, right) = (x.narrow(5, 0, 1)?, x.narrow(5, 1, 1)?);
        let wider = left.maximum(&right)?;
        let (upper, lower) = (wider.narrow(3, 0, 1)?, wider.narrow(3, 1, 1)?);
        Ok(Self {
            largest: upper.maximum(&lower)?.flatten_from(1)?,
            left: left.ge(&right)?.to_dtype(DType::F32)?,
            upper: upper.ge(&lower)?.to_dtype(DType::F32)?,
        })
    }

    /// Of what was pooled.
    fn gradient(&self, largest: &Tensor) -> Result<Tensor> {
        let largest = largest.reshape(self.upper.shape())?;
        let upper = (&largest * &self.upper)?;
        let rows = Tensor::cat(&[&upper, &(&largest - &upper)?], 3)?;
        let left = (&rows * &self.left)?;
        let pixels = Tensor::cat(&[&left, &(&rows - &left)?], 5)?;
        let (pictures, channels, height, _, width, _) = match *pixels.dims() {
            [a, b, c, d, e, f] => (a, b, c, d, e, f),
            _ => candle_core::bail!("a pool has six axes"),
        };
        pixels.reshape((pictures, channels, height * 2, width * 2))
    }
}
