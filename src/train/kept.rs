//! Which epoch's weights are kept, of how many they are the mean, and when a run has waited long enough for better ones.
//!
//! In come tested epochs, out go decisions. Reads and writes nothing.

use super::Settings;
use super::evaluation::Evaluation;
use crate::model::weights::Weights;

/// The epoch whose weights are in the weight file.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Counted from 1.
    pub epoch: u32,
    /// What is in the file.
    pub weights: Weights,
}

/// The same with what its weights answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Which epoch.
    pub kept: Kept,
    /// Its answers.
    pub evaluation: Evaluation,
}

impl Settings {
    /// Of how many epochs the weights are the mean, after so many in all; 0: they are those of the last.
    #[must_use]
    pub fn averaged(&self, epochs: u32) -> u32 {
        match self.average_from {
            0 => 0,
            from => (epochs + 1).saturating_sub(from),
        }
    }

    /// Whether an epoch with these answers is kept in the place of the best before it: without patience each is.
    #[must_use]
    pub fn keeps(&self, evaluation: &Evaluation, best: &Best) -> bool {
        self.patience == 0 || evaluation.correct() > best.evaluation.correct()
    }

    /// Whether a run that has made so many epochs, and kept this one, has waited long enough.
    #[must_use]
    pub fn is_patience_over(&self, epochs: u32, kept: u32) -> bool {
        self.patience > 0 && epochs.saturating_sub(kept) >= self.patience
    }
}
