//! The figures of a run as lines of JSON: one for every tenth step, one for each epoch.
//!
//! In come figures, out go lines, and back. Knows no page and no TensorBoard, which are made of the same figures.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ReportError, unwritable};
use crate::model::weights::replace;

/// What was measured after a step, or, if it has a `test_accuracy`, after an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps of the whole run so far.
    pub step: u64,
    /// Mean negative log-likelihood of the step's batch, or of all batches of the epoch, each before its step; none
    /// if it is no finite number.
    pub loss: Option<f32>,
    /// What the step was made with.
    pub learning_rate: f32,
    /// Mean negative log-likelihood of the pictures that are tested with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// Share of right answers among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Since the run began, without the time between a break and `--resume`.
    pub seconds: f64,
    /// Pictures learned a second in this epoch so far, without the time of testing.
    pub images_per_second: f64,
    /// Seconds since 1970.
    pub time: f64,
}

/// The figures of a run, and the text that they are kept as.
#[derive(Default)]
pub(super) struct Metrics {
    records: Vec<Record>,
    /// Kept beside the records: what was read is written again to the letter.
    lines: String,
}

impl Metrics {
    /// The figures of an earlier run up to the end of an epoch; none if it left none.
    pub(super) fn read(path: &Path, epochs: u32) -> Result<Self, ReportError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|source| ReportError::Read {
                path: path.to_owned(),
                source,
            })?,
        };
        let mut metrics = Self::default();
        for (line, content) in (1..).zip(text.lines()) {
            let record: Record = serde_json::from_str(content).map_err(|source| ReportError::Format {
                path: path.to_owned(),
                line,
                source,
            })?;
            if record.epoch <= epochs {
                metrics.append(record, content);
            }
        }
        Ok(metrics)
    }

    pub(super) fn push(&mut self, record: Record) {
        // Numbers and names: nothing that has no JSON.
        let line = serde_json::to_string(&record).unwrap_or_default();
        self.append(record, &line);
    }

    fn append(&mut self, record: Record, line: &str) {
        self.records.push(record);
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), ReportError> {
        replace(path, self.lines.as_bytes()).map_err(unwritable(path))
    }
}
