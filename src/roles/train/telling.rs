//! What a person sees while a network learns: lines in a file or a pipe, a bar on a terminal.

use std::io::Write;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::train::evaluation::Evaluation;
use crate::train::report::ReportError;
use crate::train::{Progress, Step, Tested};

/// Without a terminal, one line this often: as PyTorch's example does.
const LINE_EVERY: usize = 10;

fn result(evaluation: &Evaluation) -> String {
    format!(
        "Test set: Average loss: {:.4}, Accuracy: {}/{} ({:.0}%)",
        evaluation.loss,
        evaluation.correct(),
        evaluation.total(),
        evaluation.accuracy() * 100.0
    )
}

/// Standard output that is closed is no reason to stop learning.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// For a file or a pipe.
pub(super) struct Lines;

impl Progress for Lines {
    fn stepped(&mut self, step: &Step) {
        if step.batch.is_multiple_of(LINE_EVERY) {
            let percent = 100.0 * step.seen as f64 / step.total as f64;
            let Step {
                epoch,
                seen,
                total,
                loss,
                ..
            } = step;
            say(&format!(
                "Train Epoch: {epoch} [{seen}/{total} ({percent:.0}%)]  Loss: {loss:.6}"
            ));
        }
    }

    fn tested(&mut self, tested: &Tested<'_>) -> Result<(), ReportError> {
        say(&result(tested.evaluation));
        Ok(())
    }
}

/// For a terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    epoch_started: Option<Instant>,
}

impl Bar {
    /// For epochs of so many pictures.
    pub(super) fn new(pictures: usize) -> anyhow::Result<Self> {
        let template = "{prefix} {wide_bar} {pos}/{len}  {msg}  {eta} left";
        let bar = ProgressBar::new(pictures as u64).with_style(ProgressStyle::with_template(template)?);
        Ok(Self {
            bar,
            epoch_started: None,
        })
    }
}

impl Progress for Bar {
    fn stepped(&mut self, step: &Step) {
        let started = *self.epoch_started.get_or_insert_with(|| {
            self.bar.set_prefix(format!("Epoch {}", step.epoch));
            self.bar.reset();
            Instant::now()
        });
        let seen = step.seen + step.pictures;
        let rate = seen as f64 / started.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_position(seen as u64);
        self.bar
            .set_message(format!("loss {:.4}  {rate:.0} images/s", step.loss));
    }

    fn tested(&mut self, tested: &Tested<'_>) -> Result<(), ReportError> {
        self.epoch_started = None;
        let line = format!("Epoch {}: {}", tested.epoch, result(tested.evaluation));
        self.bar.suspend(|| say(&line));
        Ok(())
    }
}
