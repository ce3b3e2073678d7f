//! `mnistq train`: learns MNIST, and tells how far it is.

mod telling;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tokio_util::sync::CancellationToken;

use super::mnist;
use crate::cli;
use crate::config::Config;
use crate::model::threads;
use crate::shutdown;
use crate::train::augment::Augmenter;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::dataset::{Dataset, Split};
use crate::train::random::initial_parameters;
use crate::train::report::{self, Recorder};
use crate::train::{self, Course, LearnerState, Settings};
use telling::{Bar, Lines};

/// Where the weights go unless told otherwise.
const OUT: &str = "mnist.safetensors";

/// Trains to the end, or until a signal: then the weights of the last whole epoch are what is left.
pub async fn run(flags: &cli::Train, mut config: Config) -> anyhow::Result<()> {
    config.apply_train(flags)?;
    ensure!(config.train.batch_size > 0, "--batch-size: at least 1");
    let out = flags.out.clone().unwrap_or_else(|| PathBuf::from(OUT));
    let run = flags.run.clone().unwrap_or_else(|| report::folder(&out));
    ensure!(run != out, "--run: {} is to be the weight file", run.display());
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
        let recorder = Recorder::open(&course, &run, learner.device())?;
        train_all(learner.as_mut(), &course, recorder, &stop)
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
    recorder: Recorder<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let page = recorder.page_path();
    let epochs = if std::io::stderr().is_terminal() {
        let bar = Bar::new(course.train.len())?;
        train::run(learner, course, &mut (recorder, bar), stop)?
    } else {
        train::run(learner, course, &mut (recorder, Lines), stop)?
    };
    let out = course.out.display();
    if epochs == course.settings.epochs {
        eprintln!("wrote {out} and {}", page.display());
        return Ok(());
    }
    if epochs == 0 {
        bail!("stopped before the end of the first epoch: nothing was written");
    }
    bail!("stopped: {out} has the weights after {epochs} whole epochs; --resume goes on from there")
}
