//! How fast a device learns MNIST that lies on it, and how well.

use std::time::Instant;

use anyhow::Context;

use super::Check;
use super::pytorch::PyTorch;
use super::table::Table;
use crate::train::evaluation::Evaluation;
use crate::train::random::{initial_parameters, order};
use crate::train::{self, Dropout, Epoch, LearnerState, Settings};

/// Steps between two looks at the losses.
const UNTOLD: usize = 50;

/// Learns some epochs of batches of this size. The fastest epoch counts: the first one readies the device.
pub fn epochs(
    check: &Check,
    batch_size: usize,
    peer: Option<&PyTorch>,
    table: &mut Table,
) -> anyhow::Result<()> {
    let settings = Settings::default();
    let state = LearnerState::new(initial_parameters(settings.seed));
    let mut learner = train::learner_by_candle(&state, Dropout::reference(settings.seed), check.place)?;
    let resident = learner.resident().context("this learner keeps no data set")?;
    resident.keep(&check.train, None)?;
    let mut fastest = f64::INFINITY;
    for number in 1..=check.epochs {
        let order = order(settings.seed, number, check.train.len());
        let epoch = Epoch {
            number,
            order: &order,
            batch_size,
            learning_rate: settings.rate(number),
            is_distorted: false,
        };
        let started = Instant::now();
        resident.begin(&epoch)?;
        for batch in 0..order.len().div_ceil(batch_size) {
            resident.step_on_kept(batch)?;
            if batch % UNTOLD == UNTOLD - 1 {
                resident.losses()?;
            }
        }
        resident.losses()?;
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    let evaluation = Evaluation::of(&check.test, |pixels| learner.predict(pixels))?;
    let others = peer.map(|peer| peer.training(batch_size)).unwrap_or_default();
    let seconds = |seconds: f64| format!("{seconds:.2}");
    table.measure(
        format!("s an epoch, batches of {batch_size}"),
        seconds(fastest),
        others.map(|figure| figure.map(|(took, _)| seconds(took))),
    );
    let percent = |accuracy: f64| format!("{:.2} %", accuracy * 100.0);
    table.measure(
        format!("accuracy after {} epochs, batches of {batch_size}", check.epochs),
        percent(evaluation.accuracy()),
        others.map(|figure| figure.map(|(_, accuracy)| percent(accuracy))),
    );
    Ok(())
}
