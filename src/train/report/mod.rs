//! What a run leaves to look at: figures for programs, curves for TensorBoard, a page for people.
//!
//! ```text
//! steps and tests ─► recorder ─► metrics.jsonl      one JSON object a line
//!                             ├► events.out.tfevents.…   the same for TensorBoard
//!                             └► report.html        curves, answers, mistakes, settings
//! ```
//!
//! In come figures that others have measured, out go files, each complete or not there. Trains nothing and asks
//! no network.

mod account;
mod axis;
mod chart;
mod classes;
mod curves;
mod metrics;
mod mistakes;
mod page;
mod picture;
mod recorder;
mod tensorboard;
mod tfrecord;
mod words;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use metrics::Record;
pub use page::{Page, Speed};
pub use recorder::Recorder;

/// Why there is no report. The weights are not touched by it.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file, or the folder for it, can't be written.
    #[error("the report's {} can't be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The figures of the run to go on with can't be read.
    #[error("the figures in {} can't be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file that should hold figures holds something else.
    #[error("{}, line {line}: no figures of a training run", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// The folder of a run that belongs to a weight file.
#[must_use]
pub fn folder(weights: &Path) -> PathBuf {
    weights.with_extension("run")
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> ReportError {
    |source| ReportError::Write {
        path: path.to_owned(),
        source,
    }
}
