//! The CPU kernels against plain loops: the same network, written the way its definition reads.

use mnistq::model::kernels::{CpuNet, Level};
use mnistq::model::parameters::TENSORS;
use mnistq::model::{Model, ModelError};

mod definition;
mod learning;

use definition::{parameters, pictures};

#[test]
fn every_level_agrees_with_the_definition_in_batches_of_any_size() {
    let (parameters, pixels) = (parameters(), pictures(5));
    let expected = definition::predict(&definition::in_float64(&parameters), &pixels);
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
