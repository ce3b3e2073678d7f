//! `mnistq bench model --check`: whether a device computes what it should, and how fast, in one short table.
//!
//! The code under test is that of GPUs, also where `--device cpu` has it run on the CPU: then it is a rehearsal. What is
//! wrong makes the command fail; what is slow is told, and nothing more.

mod correctness;
mod pytorch;
mod speed;
mod table;
mod training;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cli;
use crate::config::Config;
use crate::model::precision::Precision;
use crate::model::weights::Weights;
use crate::model::{Place, limits};
use crate::roles::{mnist, seams};
use crate::train::dataset::{Dataset, Split};
use pytorch::PyTorch;
use table::Table;

/// Pictures in a step.
const LEARNED_AT_ONCE: [usize; 2] = [64, 1024];
/// How often a batch is asked about to see whether memory grows.
const REPEATED: usize = 10_000;

/// What is checked, and with what.
struct Check {
    place: Place,
    weights: Weights,
    /// All training pictures: the ten steps are made on the first of them.
    whole: Dataset,
    train: Dataset,
    test: Dataset,
    batches: Vec<usize>,
    epochs: u32,
    /// For each figure.
    duration: Duration,
    /// How often a batch is asked about to see whether memory grows.
    repeated: usize,
}

/// Checks and measures. Fails if something is wrong.
pub async fn run(flags: &cli::BenchModel, config: &Config) -> anyhow::Result<ExitCode> {
    let folder = mnist::folder(flags.data.as_deref(), &config.train.mirrors).await?;
    let first = flags.first.unwrap_or(usize::MAX);
    ensure!(first > 0, "--first: at least 1");
    let test = Dataset::read(&folder, Split::Test)?.first(first);
    let whole = Dataset::read(&folder, Split::Train)?;
    let check = Check {
        place: config.place()?,
        weights: seams::weights(config)?,
        train: whole.first(first),
        whole,
        repeated: flags.first.map_or(REPEATED, |first| first.div_ceil(10)),
        test,
        batches: flags.batches.clone(),
        epochs: flags.epochs,
        duration: Duration::from_secs_f64(flags.seconds.max(0.0)),
    };
    let golden = std::fs::read_to_string(&flags.golden)
        .with_context(|| format!("--golden {}", flags.golden.display()))?;
    let mut table = Table::default();

    let limits = limits::measure(check.place)?;
    println!("{}: {limits}", limits.device);
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        correctness::answers(&check, precision, &mut table)?;
    }
    correctness::steps(&check, &golden, &mut table)?;
    let peer = PyTorch::find(&flags.python, &check);
    match &peer {
        Ok(peer) => println!("beside it: {}", peer.name),
        Err(error) => println!("no PyTorch beside it: {error:#}"),
    }
    let peer = peer.ok();
    speed::inference(&check, &limits, peer.as_ref(), &mut table)?;
    speed::memory(&check, &mut table)?;
    for at_once in LEARNED_AT_ONCE {
        training::epochs(&check, at_once, peer.as_ref(), &mut table)?;
    }
    println!();
    table.print();
    Ok(if table.is_all_right() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
