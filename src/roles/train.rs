//! `mnistq train`: learns MNIST, and tells how far it is.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::mnist;
use crate::cli;
use crate::config::Config;
use crate::model::threads;
use crate::shutdown;
use crate::train::augment::Augmenter;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::dataset::{Dataset, Split};
use crate::train::evaluation::Evaluation;
use crate::train::random::initial_parameters;
use crate::train::{self, Course, LearnerState, Progress, Settings, Step};

/// Where the weights go unless told otherwise.
const OUT: &str = "mnist.safetensors";
/// Without a terminal, one line this often: as PyTorch's example does.
const LINE_EVERY: usize = 10;

/// Trains to the end, or until a signal: then the weights of the last whole epoch are what is left.
pub async fn run(flags: &cli::Train, mut config: Config) -> anyhow::Result<()> {
    config.apply_train(flags)?;
    ensure!(config.train.batch_size > 0, "--batch-size: at least 1");
    let out = flags.out.clone().unwrap_or_else(|| PathBuf::from(OUT));
    let folder = mnist::folder(flags.data.as_deref(), &config.train.mirrors).await?;
    let train = Dataset::read(&folder, Split::Train)?;
    let (train, test) = match config.train.hold_out {
        0 => (train, Dataset::read(&folder, Split::Test)?),
        count => train
            .hold_out(count)
            .context("--hold-out: more training pictures than there are")?,
    };
    let start = start(&out, flags.resume, &config.train)?;
    let stop = shutdown::on_signal().context("signals can't be handled")?;
    let whole = tokio::task::spawn_blocking(move || {
        let device = config.model.device;
        let mut learner = train::learner(&start.learner, config.train.seed, device, config.model.threads)?;
        let settings = &config.train;
        let augmenter = settings
            .augment
            .then(|| Augmenter::new(settings.seed, threads(config.model.threads)))
            .transpose()?;
        let course = Course {
            settings,
            train: &train,
            augmenter: augmenter.as_ref(),
            test: &test,
            out: &out,
            done: start.epochs,
        };
        train_all(learner.as_mut(), &course, &stop)
    });
    whole.await.context("training broke")?
}

fn start(out: &Path, resume: bool, settings: &Settings) -> anyhow::Result<Checkpoint> {
    if !resume {
        let learner = LearnerState::new(initial_parameters(settings.seed));
        return Ok(Checkpoint { learner, epochs: 0 });
    }
    let state = checkpoint::path(out);
    let checkpoint = Checkpoint::read(&state, settings).context("--resume")?;
    if checkpoint.epochs >= settings.epochs {
        bail!(
            "--resume: {} epochs are done already: ask for more with --epochs",
            checkpoint.epochs
        );
    }
    Ok(checkpoint)
}

fn train_all(
    learner: &mut dyn train::Learner,
    course: &Course<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let epochs = if std::io::stderr().is_terminal() {
        train::run(learner, course, &mut Bar::new(course.train.len())?, stop)?
    } else {
        train::run(learner, course, &mut Lines, stop)?
    };
    let out = course.out.display();
    if epochs == course.settings.epochs {
        eprintln!("wrote {out}");
        return Ok(());
    }
    if epochs == 0 {
        bail!("stopped before the end of the first epoch: nothing was written");
    }
    bail!("stopped: {out} has the weights after {epochs} whole epochs; --resume goes on from there")
}

fn tested(evaluation: &Evaluation) -> String {
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
struct Lines;

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

    fn tested(&mut self, _: u32, evaluation: &Evaluation) {
        say(&tested(evaluation));
    }
}

/// For a terminal.
struct Bar {
    bar: ProgressBar,
    epoch_started: Option<Instant>,
}

impl Bar {
    fn new(pictures: usize) -> anyhow::Result<Self> {
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

    fn tested(&mut self, epoch: u32, evaluation: &Evaluation) {
        self.epoch_started = None;
        self.bar
            .suspend(|| say(&format!("Epoch {epoch}: {}", tested(evaluation))));
    }
}
