//! The CPU kernels against plain loops: the same network, written the way its definition reads.

use mnistq::model::kernels::{CpuNet, Level};
use mnistq::model::parameters::{Parameters, TENSORS};
use mnistq::model::{Model, ModelError};

/// Parameters about as large as trained ones, the same each time.
fn parameters() -> Parameters {
    let mut parameters = Parameters::zeros();
    for (tensor, array) in parameters.arrays_mut().into_iter().enumerate() {
        let outputs = TENSORS[tensor].1[0];
        let scale = if array.len() == outputs {
            0.1
        } else {
            (array.len() as f32 / outputs as f32).sqrt().recip()
        };
        for (i, number) in array.iter_mut().enumerate() {
            *number = ((i * i % 1_000_003 + tensor) as f32 * 0.37).sin() * scale;
        }
    }
    parameters
}

/// `count` different pictures: strokes of ink on an empty ground.
fn pictures(count: usize) -> Vec<u8> {
    (0..count * 784)
        .map(|i| {
            let (picture, y, x) = (i / 784, i % 784 / 28, i % 28);
            let wave = ((x * (picture + 2)) as f32 * 0.11).sin() * 9.0 + 14.0;
            (255.0 - (y as f32 - wave).abs() * 90.0).clamp(0.0, 255.0) as u8
        })
        .collect()
}

/// A valid 3×3 convolution and ReLU of `[channels][side][side]`.
fn convolve(input: &[f64], side: usize, weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let (channels, out) = (input.len() / side / side, side - 2);
    let mut output = Vec::new();
    for (kernels, bias) in weight.chunks(channels * 9).zip(bias) {
        for (y, x) in (0..out).flat_map(|y| (0..out).map(move |x| (y, x))) {
            let mut sum = f64::from(*bias);
            for (channel, kernel) in kernels.chunks(9).enumerate() {
                for (tap, weight) in kernel.iter().enumerate() {
                    sum += f64::from(*weight) * input[(channel * side + y + tap / 3) * side + x + tap % 3];
                }
            }
            output.push(sum.max(0.0));
        }
    }
    output
}

fn dense(input: &[f64], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let rows = weight.chunks(input.len()).zip(bias);
    rows.map(|(row, bias)| {
        f64::from(*bias) + row.iter().zip(input).map(|(w, x)| f64::from(*w) * x).sum::<f64>()
    })
    .collect()
}

/// MNISTNet as its definition reads, in float64.
fn reference(parameters: &Parameters, picture: &[u8]) -> Vec<f64> {
    let [conv1, conv1_bias, conv2, conv2_bias, fc1, fc1_bias, fc2, fc2_bias] = parameters.arrays();
    let pixels: Vec<f64> = picture
        .iter()
        .map(|p| (f64::from(*p) / 255.0 - 0.1307) / 0.3081)
        .collect();
    let conv2 = convolve(&convolve(&pixels, 28, conv1, conv1_bias), 26, conv2, conv2_bias);
    let features: Vec<f64> = (0..64 * 144)
        .map(|i| {
            let corner = i / 144 * 576 + i % 144 / 12 * 48 + i % 12 * 2;
            [0, 1, 24, 25]
                .into_iter()
                .map(|offset| conv2[corner + offset])
                .fold(0.0, f64::max)
        })
        .collect();
    let hidden: Vec<f64> = dense(&features, fc1, fc1_bias)
        .into_iter()
        .map(|unit| unit.max(0.0))
        .collect();
    let logits = dense(&hidden, fc2, fc2_bias);
    let shift = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
    logits.iter().map(|logit| logit - shift).collect()
}

#[test]
fn every_level_agrees_with_the_definition_in_batches_of_any_size() {
    let (parameters, pixels) = (parameters(), pictures(5));
    let expected: Vec<f64> = pixels
        .chunks(784)
        .flat_map(|picture| reference(&parameters, picture))
        .collect();
    for level in Level::available() {
        for (batch, threads) in [
            (0, 2),
            (1, 1),
            (1, 2),
            (2, 3),
            (3, 2),
            (63, 2),
            (64, 3),
            (65, 1),
            (300, 2),
        ] {
            let mut net = CpuNet::at_level(level, &parameters, String::new(), threads).unwrap();
            let repeated: Vec<u8> = pixels.iter().copied().cycle().take(batch * 784).collect();
            let answers = net.predict(&repeated).unwrap();
            assert_eq!(answers.len(), batch * 10);
            for (i, (answer, expected)) in answers.iter().zip(expected.iter().cycle()).enumerate() {
                let difference = (f64::from(*answer) - expected).abs();
                assert!(
                    difference < 1e-4,
                    "{level:?}, batch {batch}, {threads} threads, number {i}: off by {difference}"
                );
            }
        }
    }
}

#[test]
fn a_picture_gets_the_same_answer_alone_and_in_a_batch() {
    let pixels = pictures(7);
    let mut net = CpuNet::new(&parameters(), String::new(), 2).unwrap();
    let together = net.predict(&pixels).unwrap();
    let alone: Vec<f32> = pixels
        .chunks(784)
        .flat_map(|picture| net.predict(picture).unwrap())
        .collect();
    assert_eq!(together, alone);
}

#[test]
fn broken_weights_give_nan_and_no_class() {
    for (tensor, (name, _)) in TENSORS.iter().enumerate() {
        let mut parameters = parameters();
        parameters.arrays_mut()[tensor].fill(f32::NAN);
        let mut net = CpuNet::new(&parameters, String::new(), 2).unwrap();
        let answers = net.predict(&pictures(3)).unwrap();
        assert!(
            answers.iter().all(|answer| answer.is_nan()),
            "{name}: {answers:?}"
        );
    }
}

#[test]
fn part_of_a_picture_is_rejected() {
    let mut net = CpuNet::new(&parameters(), String::new(), 1).unwrap();
    let error = net.predict(&[0; 1000]).unwrap_err();
    assert!(matches!(error, ModelError::Rejected(_)), "{error:?}");
}
