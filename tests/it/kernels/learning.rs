//! The CPU learner: its gradients against the definition's, and what it promises of its steps.

use mnistq::model::ModelError;
use mnistq::model::kernels::Level;
use mnistq::model::parameters::{Parameters, TENSORS};
use mnistq::train::kernels::WinogradLearner;
use mnistq::train::{Dropout, Learner, LearnerState};

use super::definition;

const DROPOUT: Dropout = Dropout {
    features: 0.25,
    hidden: 0.5,
    seed: 7,
};

fn start() -> LearnerState {
    LearnerState {
        parameters: definition::parameters(),
        square_average: Parameters::zeros(),
        accumulated_update: Parameters::zeros(),
        steps: 0,
    }
}

fn labels(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7 % 10) as u8).collect()
}

fn learn(learner: &mut WinogradLearner, batch: usize) -> f32 {
    learner
        .step(&definition::pictures(batch), &labels(batch), 1.0)
        .unwrap()
}

/// The gradients that Adadelta's first step was made of: it keeps a tenth of their squares, and moves against them.
fn gradients(before: &LearnerState, after: &LearnerState) -> definition::Arrays {
    std::array::from_fn(|tensor| {
        let squares = after.square_average.arrays()[tensor].iter();
        let moves = before.parameters.arrays()[tensor]
            .iter()
            .zip(&after.parameters.arrays()[tensor]);
        squares
            .zip(moves)
            .map(|(square, (from, to))| f64::from((from - to).signum() * (square * 10.0).sqrt()))
            .collect()
    })
}

#[test]
fn gradients_are_slopes_of_the_defined_loss() {
    let (pixels, labels) = (definition::pictures(3), labels(3));
    let arrays = definition::in_float64(&start().parameters);
    let loss = |arrays: &_| definition::loss(arrays, (&pixels, &labels), DROPOUT, 0);
    for level in Level::available() {
        let mut learner = WinogradLearner::at_level(level, &start(), DROPOUT, 2).unwrap();
        let first_loss = learner.step(&pixels, &labels, 1.0).unwrap();
        assert!(
            (f64::from(first_loss) - loss(&arrays)).abs() < 1e-5,
            "{level:?}: {first_loss}"
        );

        let gradients = gradients(&start(), &learner.state().unwrap());
        for (tensor, gradient) in gradients.iter().enumerate() {
            let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let uphill: Vec<f64> = gradient.iter().map(|g| g / length).collect();
            let anywhere: Vec<f64> = (0..gradient.len())
                .map(|i| ((i * i + 3) as f64 * 0.7).sin() / (gradient.len() as f64).sqrt())
                .collect();
            for direction in [uphill, anywhere] {
                let [ahead, behind] = [1e-6, -1e-6].map(|by| {
                    let mut moved = arrays.clone();
                    moved[tensor]
                        .iter_mut()
                        .zip(&direction)
                        .for_each(|(number, d)| *number += by * d);
                    loss(&moved)
                });
                let slope = (ahead - behind) / 2e-6;
                let expected: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
                let difference = (slope - expected).abs();
                assert!(
                    difference < 1e-3 * length,
                    "{level:?}, {}: {expected}, not {slope}",
                    TENSORS[tensor].0
                );
            }
        }
    }
}

#[test]
fn batches_of_any_size_are_learned_from() {
    let none = Dropout {
        features: 0.0,
        hidden: 0.0,
        seed: 0,
    };
    for batch in [1, 2, 32, 63, 64, 65, 200] {
        let mut learner = WinogradLearner::new(&start(), none, 3).unwrap();
        let answers = learner.predict(&definition::pictures(batch)).unwrap();
        let likelihoods = answers
            .chunks(10)
            .zip(labels(batch))
            .map(|(answer, label)| f64::from(answer[usize::from(label)]));
        let expected = -likelihoods.sum::<f64>() / batch as f64;
        let first = f64::from(learn(&mut learner, batch));
        assert!(
            (first - expected).abs() < 1e-5,
            "batch {batch}: {first}, not {expected}"
        );
        // The next step sees the same batch again, and what the first one learned from it.
        let second = f64::from(
            learner
                .step(&definition::pictures(batch), &labels(batch), 0.0)
                .unwrap(),
        );
        assert!(second < first, "batch {batch}: {second} after {first}");
    }
}

#[test]
fn the_number_of_threads_and_the_width_of_registers_change_nothing() {
    let fused: Vec<Level> = Level::available()
        .into_iter()
        .filter(|level| format!("{level:?}") != "Baseline")
        .collect();
    let mut states = Vec::new();
    for level in fused {
        for threads in [1, 2, 5] {
            let mut learner = WinogradLearner::at_level(level, &start(), DROPOUT, threads).unwrap();
            learn(&mut learner, 21);
            learn(&mut learner, 70);
            states.push(learner.state().unwrap());
        }
    }
    assert!(states.iter().all(|state| *state == states[0]));
}

#[test]
fn a_resumed_learner_goes_on_as_if_it_had_never_stopped() {
    let mut whole = WinogradLearner::new(&start(), DROPOUT, 2).unwrap();
    learn(&mut whole, 20);
    let mut resumed = WinogradLearner::new(&whole.state().unwrap(), DROPOUT, 2).unwrap();
    assert_eq!(learn(&mut resumed, 9), learn(&mut whole, 9));
    assert!(resumed.state().unwrap() == whole.state().unwrap());
}

#[test]
fn a_rate_scales_the_move_and_not_the_averages() {
    let [full, half] = [1.0, 0.5].map(|rate| {
        let mut learner = WinogradLearner::new(&start(), DROPOUT, 2).unwrap();
        learner.step(&definition::pictures(4), &labels(4), rate).unwrap();
        learner.state().unwrap()
    });
    assert!(full.square_average == half.square_average && full.accumulated_update == half.accumulated_update);
    let bias = |state: &LearnerState| state.parameters.arrays()[7].clone();
    for ((start, full), half) in bias(&start()).iter().zip(bias(&full)).zip(bias(&half)) {
        assert!(((start - full) - 2.0 * (start - half)).abs() < 1e-6);
    }
}

#[test]
fn a_batch_that_cannot_be_learned_is_rejected_and_changes_nothing() {
    let mut learner = WinogradLearner::new(&start(), DROPOUT, 1).unwrap();
    for (pixels, labels) in [(784, vec![]), (784, vec![1, 2]), (784, vec![10]), (0, vec![])] {
        let error = learner.step(&vec![0; pixels], &labels, 1.0).unwrap_err();
        assert!(matches!(error, ModelError::Rejected(_)), "{error:?}");
    }
    assert!(learner.state().unwrap() == start());
}
