//! `mnistq train`: learns MNIST, and tells how far it is.

mod telling;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tokio_util::sync::CancellationToken;

use super::mnist;
use crate::cli;
use crate::config::Config;
use crate::model::{Place, threads};
use crate::shutdown;
use crate::train::augment::Augmenter;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::dataset::{Dataset, Split};
use crate::train::evaluation::Evaluation;
use crate::train::kept::{Best, Kept};
use crate::train::random::initial_parameters;
use crate::train::report::{self, Recorder};
use crate::train::{self, Course, End, Ended, LearnerState, Settings};
use telling::{Bar, Lines};

/// Where the weights go unless told otherwise.
const OUT: &str = "mnist.safetensors";

/// Trains to the end, or until a signal: then the weights of the last whole epoch, or with patience of the best one, are
/// what is left.
pub async fn run(flags: &cli::Train, mut config: Config) -> anyhow::Result<()> {
    config.apply_train(flags)?;
    let place = Place::new(config.place()?.device, config.model.threads);
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
        let mut learner = train::learner(&start.learner, config.train.seed, place)?;
        let settings = &config.train;
        let kept = start.kept.filter(|_| settings.patience > 0);
        let best = kept.map(|kept| best(kept, &test, place)).transpose()?;
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
            mean: start.mean.as_ref(),
            place,
            best: best.as_ref(),
        };
        let recorder = Recorder::open(&course, &run, learner.device())?;
        if learner.device() != "cpu" {
            tracing::info!("--device {}: took {}", place.device, learner.device());
        }
        train_all(learner.as_mut(), &course, recorder, &stop)
    });
    whole.await.context("training broke")?
}

fn start(out: &Path, resume: bool, settings: &Settings) -> anyhow::Result<Checkpoint> {
    if !resume {
        let learner = LearnerState::new(initial_parameters(settings.seed));
        return Ok(Checkpoint {
            learner,
            epochs: 0,
            mean: None,
            kept: None,
        });
    }
    let state = checkpoint::path(out);
    let checkpoint = Checkpoint::read(&state, settings).context("--resume")?;
    if checkpoint.epochs >= settings.epochs {
        bail!(
            "--resume: {} epochs are done already: ask for more with --epochs",
            checkpoint.epochs
        );
    }
    if let Some(kept) = &checkpoint.kept
        && settings.is_patience_over(checkpoint.epochs, kept.epoch)
    {
        bail!(
            "--resume: the run has ended: {} epochs, none better than epoch {}: ask for more with --patience",
            checkpoint.epochs,
            kept.epoch
        );
    }
    Ok(checkpoint)
}

/// The best epoch of the run to go on with. What its weights answer is asked again: the page shows it.
fn best(kept: Kept, test: &Dataset, place: Place) -> anyhow::Result<Best> {
    let evaluation = Evaluation::of_weights(&kept.weights, test, place)?;
    Ok(Best { kept, evaluation })
}

fn train_all(
    learner: &mut dyn train::Learner,
    course: &Course<'_>,
    recorder: Recorder<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let page = recorder.page_path();
    let ended = if std::io::stderr().is_terminal() {
        let bar = Bar::new(course.train.len())?;
        train::run(learner, course, &mut (recorder, bar), stop)?
    } else {
        train::run(learner, course, &mut (recorder, Lines), stop)?
    };
    let Ended { end, epochs, kept } = ended;
    let out = course.out.display();
    if epochs == 0 {
        bail!("stopped before the end of the first epoch: nothing was written");
    }
    let kept = kept.unwrap_or(epochs);
    if end == End::NoBetter {
        eprintln!(
            "ended after epoch {epochs}: no better than epoch {kept} for {} epochs",
            epochs - kept
        );
    }
    let weights = match end {
        End::Stopped if kept == epochs => {
            bail!("stopped: {out} has the weights after {epochs} whole epochs; --resume goes on from there")
        }
        End::Stopped => bail!(
            "stopped after {epochs} whole epochs: {out} has the weights of epoch {kept}, the best; --resume goes on"
        ),
        _ if kept == epochs => String::new(),
        _ => format!(" with the weights of epoch {kept}, the best,"),
    };
    eprintln!("wrote {out}{weights} and {}", page.display());
    Ok(())
}
