//! Ten training steps that PyTorch made in float64, made again: log-probabilities, losses, gradients, parameters.
//!
//! `tests/data/golden/gen.py` wrote the figures; its 640 pictures, the first of MNIST's training set, lie beside it.

use candle_core::Device;
use mnistq::model::candle_net::CandleNet;
use mnistq::model::kernels::{CpuNet, Level};
use mnistq::model::parameters::TENSORS;
use mnistq::model::precision::Precision;
use mnistq::model::weights::Weights;
use mnistq::model::{Model, ModelError};
use mnistq::train::augment::Augmenter;
use mnistq::train::candle_learner::CandleLearner;
use mnistq::train::dataset::Dataset;
use mnistq::train::kernels::WinogradLearner;
use mnistq::train::{Dropout, Epoch, Learner, LearnerState, golden};
use serde_json::Value;

use crate::harness::data::{committed, unpacked};

/// How far a figure may be from PyTorch's, in parts of it.
const TOLERANCE: f64 = 1e-4;
const NO_DROPOUT: Dropout = Dropout {
    features: 0.0,
    hidden: 0.0,
    seed: 0,
};

#[test]
fn the_cpu_learner_learns_as_pytorch_does() {
    for level in Level::available() {
        // Rounding more than once a multiply-add flips one choice of a max-pool in step 5, and later steps show it.
        let after = if format!("{level:?}") == "Baseline" {
            1e-3
        } else {
            TOLERANCE
        };
        learns_as_pytorch_does(
            WinogradLearner::at_level(level, &start(), NO_DROPOUT, 2).unwrap(),
            after,
        );
    }
}

#[test]
fn the_candle_learner_learns_as_pytorch_does() {
    learns_as_pytorch_does(
        CandleLearner::new(&start(), NO_DROPOUT, "cpu".to_owned(), Device::Cpu).unwrap(),
        TOLERANCE,
    );
}

#[test]
fn the_kernels_answer_as_candle_does() {
    let weights = Weights::embedded().unwrap();
    let pixels = &unpacked("golden/train640-images-idx3-ubyte.gz")[16..][..64 * 784];
    let expected = candle(Precision::F32).predict(pixels).unwrap();
    for level in Level::available() {
        let mut kernels = CpuNet::at_level(level, &weights.parameters, String::new(), 2).unwrap();
        for (i, (found, expected)) in kernels.predict(pixels).unwrap().iter().zip(&expected).enumerate() {
            assert!(
                (found - expected).abs() < 1e-4,
                "{level:?}, number {i}: {found}, not {expected}"
            );
        }
    }
}

/// The weights in the executable on candle's CPU.
fn candle(precision: Precision) -> CandleNet {
    let parameters = Weights::embedded().unwrap().parameters;
    let device = ("cpu".to_owned(), Device::Cpu);
    CandleNet::new(&parameters, String::new(), precision, device).unwrap()
}

#[test]
fn candle_answers_the_same_in_batches_that_are_padded_to_a_size_that_is_ready() {
    let pixels = &unpacked("golden/train640-images-idx3-ubyte.gz")[16..][..20 * 784];
    let expected = candle(Precision::F32).predict(pixels).unwrap();
    let mut ready = candle(Precision::F32);
    ready.warm_up(8).unwrap();
    // From large to small, so that there is something left behind in the place of each; one is too large.
    for count in [20, 8, 7, 5, 4, 3, 1] {
        let found = ready.predict(&pixels[..count * 784]).unwrap();
        assert_eq!(found.len(), count * 10);
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-4,
                "{count}: {found}, not {expected}"
            );
        }
    }
    assert!(ready.predict(&[]).unwrap().is_empty());
    let error = ready.predict(&pixels[..1000]).unwrap_err();
    assert!(matches!(error, ModelError::Rejected(_)), "{error:?}");
}

#[test]
fn sixteen_bits_answer_nearly_the_same_and_not_just_so() {
    let pixels = &unpacked("golden/train640-images-idx3-ubyte.gz")[16..][..64 * 784];
    let expected = candle(Precision::F32).predict(pixels).unwrap();
    for precision in [Precision::F16, Precision::Bf16] {
        let found = candle(precision).predict(pixels).unwrap();
        let classes = |answers: &[f32]| answers.chunks(10).map(surest).collect::<Vec<_>>();
        assert_eq!(classes(&found), classes(&expected), "{precision}");
        let mut farthest = 0.0_f32;
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 0.02 * (1.0 + expected.abs()),
                "{precision}: {found}, not {expected}"
            );
            farthest = farthest.max((found - expected).abs());
        }
        assert!(farthest > 1e-4, "{precision} rounds nothing");
    }
}

fn surest(row: &[f32]) -> Option<usize> {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]))
}

#[test]
fn a_learner_that_keeps_its_data_set_makes_the_same_steps() {
    let pixels = unpacked("golden/train640-images-idx3-ubyte.gz").split_off(16);
    let labels = unpacked("golden/train640-labels-idx1-ubyte.gz").split_off(8);
    let dataset = Dataset::new(pixels, labels).unwrap().first(40);
    let dropout = Dropout {
        features: 0.25,
        hidden: 0.5,
        seed: 3,
    };
    let learner = || CandleLearner::new(&start(), dropout, "cpu".to_owned(), Device::Cpu).unwrap();
    let order: Vec<usize> = (0..40).map(|place| place * 7 % 40).collect();
    for augmenter in [None, Some(Augmenter::new(5, 1).unwrap())] {
        let (mut handed, mut kept) = (learner(), learner());
        let resident = kept.resident().unwrap();
        resident
            .keep(&dataset, augmenter.as_ref().map(Augmenter::seed))
            .unwrap();
        for number in 1..=2 {
            let learning_rate = 1.0 / number as f32;
            let epoch = Epoch {
                number,
                order: &order,
                batch_size: 16,
                learning_rate,
                // A run may end with plain pictures.
                is_distorted: number == 1,
            };
            resident.begin(&epoch).unwrap();
            let mut expected = Vec::new();
            for (batch, indices) in order.chunks(16).enumerate() {
                let pixels = match &augmenter {
                    Some(augmenter) if number == 1 => augmenter.batch(&dataset, number, indices),
                    _ => indices
                        .iter()
                        .flat_map(|index| dataset.image(*index))
                        .copied()
                        .collect(),
                };
                let labels: Vec<u8> = indices.iter().map(|index| dataset.labels()[*index]).collect();
                expected.push(handed.step(&pixels, &labels, learning_rate).unwrap());
                resident.step_on_kept(batch).unwrap();
            }
            // Distorted pictures may be a step of ink apart where two ways of rounding differ.
            let tolerance = if augmenter.is_some() { 1e-2 } else { 0.0 };
            for (found, expected) in resident.losses().unwrap().iter().zip(&expected) {
                assert!((found - expected).abs() <= tolerance, "{found}, not {expected}");
            }
            assert!(resident.losses().unwrap().is_empty());
        }
        if augmenter.is_none() {
            assert_eq!(kept.state().unwrap(), handed.state().unwrap());
        }
    }
}

/// Makes the ten steps with a learner that begins at [`start`] and drops nothing; what is left `after` them may be
/// that far off.
fn learns_as_pytorch_does(mut learner: impl Learner, after: f64) {
    let (pixels, labels) = (
        unpacked("golden/train640-images-idx3-ubyte.gz").split_off(16),
        unpacked("golden/train640-labels-idx1-ubyte.gz").split_off(8),
    );
    let trajectory = std::fs::read(committed("golden/trajectory.json")).unwrap();
    let trajectory: Value = serde_json::from_slice(&trajectory).unwrap();
    let expected = &trajectory["float64"];

    agree_on_answers(
        &mut learner,
        &pixels,
        &expected["log_probs_first4_before"],
        TOLERANCE,
    );
    for (i, (pixels, labels)) in pixels.chunks(64 * 784).zip(labels.chunks(64)).enumerate() {
        let loss = learner.step(pixels, labels, golden::learning_rate(i)).unwrap();
        agree(&format!("loss {i}"), loss, &expected["loss"][i], TOLERANCE);
        if i == 0 {
            agree_on_gradients(&learner.state().unwrap(), &expected["gradient_first_batch"]);
        }
    }
    agree_on_answers(&mut learner, &pixels, &expected["log_probs_first4_after"], after);
    let parameters = learner.state().unwrap().parameters;
    for ((name, _), array) in TENSORS.iter().zip(parameters.arrays()) {
        let expected = &expected["parameters_after"][name];
        agree(
            &format!("length of {name}"),
            length(array.iter().copied()),
            &expected["l2"],
            after,
        );
        for i in 0..3 {
            agree(&format!("{name}[{i}]"), array[i], &expected["first3"][i], after);
        }
    }
}

fn agree_on_answers(learner: &mut impl Learner, pixels: &[u8], expected: &Value, tolerance: f64) {
    let answers = learner.predict(&pixels[..4 * 784]).unwrap();
    for (i, answer) in answers.iter().enumerate() {
        agree(
            &format!("log-probability {i}"),
            *answer,
            &expected[i / 10][i % 10],
            tolerance,
        );
    }
}

/// After Adadelta's first step its average of squares is a tenth of the squared gradient.
fn agree_on_gradients(after: &LearnerState, expected: &Value) {
    for ((name, _), squares) in TENSORS.iter().zip(after.square_average.arrays()) {
        let gradient = squares.iter().map(|square| (square * 10.0).sqrt());
        agree(
            &format!("length of {name}'s gradient"),
            length(gradient),
            &expected[name]["l2"],
            TOLERANCE,
        );
    }
}

#[track_caller]
fn agree(what: &str, found: f32, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    let difference = (f64::from(found) - expected).abs();
    assert!(
        difference <= tolerance * expected.abs(),
        "{what}: {found}, not {expected}"
    );
}

fn length(numbers: impl Iterator<Item = f32>) -> f32 {
    numbers
        .map(|number| f64::from(number).powi(2))
        .sum::<f64>()
        .sqrt() as f32
}

fn start() -> LearnerState {
    LearnerState::new(golden::start())
}
