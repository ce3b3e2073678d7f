//! How good a network is: its answers to labelled pictures, counted.
//!
//! Takes any function from pixels to log-probabilities. Prints nothing.

use super::dataset::{Dataset, PICTURE};
use crate::model::weights::Weights;
use crate::model::{self, ModelError, Place};

/// Classes of MNIST.
pub const CLASSES: usize = 10;
/// Pictures asked about at a time.
const BATCH: usize = 1000;

/// Answers counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// How often a label (row) got an answer (column).
    pub confusion: [[u32; CLASSES]; CLASSES],
    /// Mean negative log-likelihood of the labels.
    pub loss: f64,
    /// The wrong ones, in the order of the pictures.
    pub mistakes: Vec<Mistake>,
}

/// A wrong answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake {
    /// The picture's place in its data set, counted from 0.
    pub index: usize,
    /// What it shows.
    pub label: u8,
    /// What was answered.
    pub answer: u8,
    /// The probability that the network gave to its answer.
    pub confidence: f32,
}

impl Evaluation {
    /// Asks about all pictures of a data set.
    ///
    /// # Errors
    /// What `predict` answers.
    pub fn of<E>(
        dataset: &Dataset,
        mut predict: impl FnMut(&[u8]) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let mut confusion = [[0; CLASSES]; CLASSES];
        let mut loss = 0.0;
        let mut mistakes = Vec::new();
        let mut indices = 0..;
        let batches = dataset
            .images()
            .chunks(BATCH * PICTURE)
            .zip(dataset.labels().chunks(BATCH));
        for (pixels, labels) in batches {
            let log_probabilities = predict(pixels)?;
            let answers = log_probabilities.chunks(CLASSES).zip(labels);
            for ((row, &label), index) in answers.zip(&mut indices) {
                let answer = most_likely(row);
                confusion[usize::from(label)][answer] += 1;
                loss -= f64::from(row[usize::from(label)]);
                if answer != usize::from(label) {
                    mistakes.push(Mistake {
                        index,
                        label,
                        answer: answer as u8,
                        confidence: row[answer].exp(),
                    });
                }
            }
        }
        Ok(Self {
            confusion,
            loss: loss / dataset.len().max(1) as f64,
            mistakes,
        })
    }

    /// Asks the network with these weights, at this place.
    ///
    /// # Errors
    /// [`ModelError::Broken`] if the device fails.
    pub fn of_weights(weights: &Weights, dataset: &Dataset, place: Place) -> Result<Self, ModelError> {
        let mut network = model::open(weights, place)?;
        Self::of(dataset, |pixels| network.predict(pixels))
    }

    /// How many answers.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.confusion.as_flattened().iter().sum()
    }

    /// How many right ones.
    #[must_use]
    pub fn correct(&self) -> u32 {
        (0..CLASSES).map(|class| self.confusion[class][class]).sum()
    }

    /// Share of right answers.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        share(self.correct(), self.total())
    }

    /// Share of right answers among the pictures of a class.
    #[must_use]
    pub fn recall(&self, class: usize) -> f64 {
        share(self.confusion[class][class], self.confusion[class].iter().sum())
    }

    /// Share of right answers among the answers of a class.
    #[must_use]
    pub fn precision(&self, class: usize) -> f64 {
        share(
            self.confusion[class][class],
            self.confusion.iter().map(|row| row[class]).sum(),
        )
    }

    /// The mistakes that the network was most certain of, at most so many, the surest first.
    #[must_use]
    pub fn surest_mistakes(&self, count: usize) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.clone();
        // Stable: of equals the first picture comes first, in every run.
        mistakes.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
        mistakes.truncate(count);
        mistakes
    }
}

fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 {
        0.0
    } else {
        f64::from(part) / f64::from(whole)
    }
}

fn most_likely(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = class;
        }
    }
    best
}
