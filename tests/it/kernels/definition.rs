//! MNISTNet as its definition reads, in float64 and plain loops.

use mnistq::model::parameters::{Parameters, TENSORS};
use mnistq::train::Dropout;
use mnistq::train::dropout::{Layer, Mask};

/// The eight arrays in float64.
pub type Arrays = [Vec<f64>; 8];

pub fn in_float64(parameters: &Parameters) -> Arrays {
    parameters
        .arrays()
        .each_ref()
        .map(|array| array.iter().copied().map(f64::from).collect())
}

/// Parameters about as large as trained ones, the same each time.
pub fn parameters() -> Parameters {
    let mut parameters = Parameters::zeros();
    for (tensor, array) in parameters.arrays_mut().into_iter().enumerate() {
        let outputs = TENSORS[tensor].1[0];
        let inputs = (array.len() / outputs) as f32;
        let scale = if inputs == 1.0 { 0.1 } else { inputs.sqrt().recip() };
        for (i, number) in array.iter_mut().enumerate() {
            *number = ((i * i % 1_000_003 + tensor) as f32 * 0.37).sin() * scale;
        }
    }
    parameters
}

/// `count` different pictures: a stroke of ink on an empty ground.
pub fn pictures(count: usize) -> Vec<u8> {
    (0..count * 784)
        .map(|i| {
            let (picture, y, x) = (i / 784, i % 784 / 28, i % 28);
            let wave = ((x * (picture + 2)) as f32 * 0.11).sin() * 9.0 + 14.0;
            (255.0 - (y as f32 - wave).abs() * 90.0).clamp(0.0, 255.0) as u8
        })
        .collect()
}

/// Ten log-probabilities for each picture, without dropout.
pub fn predict(arrays: &Arrays, pixels: &[u8]) -> Vec<f64> {
    let none = Dropout {
        features: 0.0,
        hidden: 0.0,
        seed: 0,
    };
    pixels
        .chunks(784)
        .flat_map(|picture| forward(arrays, picture, masks(none, 0, 0)))
        .collect()
}

/// The mean negative log-likelihood, with the dropout of the step that follows `steps` steps.
pub fn loss(arrays: &Arrays, (pixels, labels): (&[u8], &[u8]), dropout: Dropout, steps: u64) -> f64 {
    let pictures = pixels.chunks(784).zip(labels).enumerate();
    let losses = pictures.map(|(i, (picture, label))| {
        -forward(arrays, picture, masks(dropout, steps, i))[usize::from(*label)]
    });
    losses.sum::<f64>() / labels.len() as f64
}

fn masks(dropout: Dropout, steps: u64, picture: usize) -> [Mask; 2] {
    [Layer::Features, Layer::Hidden].map(|layer| dropout.mask(layer, steps, picture))
}

fn forward(arrays: &Arrays, picture: &[u8], masks: [Mask; 2]) -> Vec<f64> {
    let [conv1, conv1_bias, conv2, conv2_bias, fc1, fc1_bias, fc2, fc2_bias] = arrays;
    let pixels: Vec<f64> = picture
        .iter()
        .map(|pixel| (f64::from(*pixel) / 255.0 - 0.1307) / 0.3081)
        .collect();
    let conv2 = convolve(&convolve(&pixels, 28, conv1, conv1_bias), 26, conv2, conv2_bias);
    let features = drop_out(pool(&conv2), masks[0]);
    let hidden = drop_out(
        dense(&features, fc1, fc1_bias)
            .into_iter()
            .map(|unit| unit.max(0.0))
            .collect(),
        masks[1],
    );
    let logits = dense(&hidden, fc2, fc2_bias);
    let shift = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
    logits.iter().map(|logit| logit - shift).collect()
}

/// A valid 3×3 convolution of `[channels][side][side]`, and ReLU.
fn convolve(input: &[f64], side: usize, weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let (channels, out) = (input.len() / side / side, side - 2);
    let mut output = Vec::new();
    for (kernels, bias) in weight.chunks(channels * 9).zip(bias) {
        let mut sums = vec![*bias; out * out];
        for (i, weight) in kernels.iter().enumerate() {
            let (channel, dy, dx) = (i / 9, i % 9 / 3, i % 3);
            for (y, sums) in sums.chunks_mut(out).enumerate() {
                let row = &input[(channel * side + y + dy) * side + dx..][..out];
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
            }
        }
        output.extend(sums.into_iter().map(|sum| sum.max(0.0)));
    }
    output
}

/// The largest of each 2×2 of `[64][24][24]`.
fn pool(input: &[f64]) -> Vec<f64> {
    let corners = (0..64 * 144).map(|i| i / 144 * 576 + i % 144 / 12 * 48 + i % 12 * 2);
    corners
        .map(|corner| {
            [0, 1, 24, 25]
                .into_iter()
                .map(|place| input[corner + place])
                .fold(0.0, f64::max)
        })
        .collect()
}

fn drop_out(numbers: Vec<f64>, mask: Mask) -> Vec<f64> {
    numbers
        .into_iter()
        .enumerate()
        .map(|(i, number)| number * f64::from(mask.factor(i as u32)))
        .collect()
}

fn dense(input: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let rows = weight.chunks(input.len()).zip(bias);
    rows.map(|(row, bias)| bias + row.iter().zip(input).map(|(weight, x)| weight * x).sum::<f64>())
        .collect()
}
