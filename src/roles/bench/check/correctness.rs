//! Whether a device answers and learns as it should: against this crate's kernels, and against ten steps of PyTorch.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Check;
use super::table::Table;
use crate::model::device::DeviceName;
use crate::model::precision::Precision;
use crate::model::{self, Model, Place};
use crate::train::dataset::{Dataset, PICTURE};
use crate::train::evaluation::{CLASSES, Evaluation};
use crate::train::{self, Dropout, LearnerState, golden};

/// How far a log-probability may be off on a GPU, and a figure of the ten steps in parts of it.
const TOLERANCE: f64 = 1e-3;
/// Pictures asked about at a time.
const BATCH: usize = 64;
/// Pictures in a step of PyTorch's ten.
const STEP: usize = 64;

/// Asks about the test pictures on the device and by the CPU's kernels.
pub fn answers(check: &Check, precision: Precision, table: &mut Table) -> anyhow::Result<()> {
    let place = Place {
        precision,
        ..check.place
    };
    let mut device = model::open_by_candle(&check.weights, place)?;
    device.warm_up(BATCH)?;
    let (found, evaluation) = asked(&mut device, &check.test)?;
    let mut reference = model::open(&check.weights, Place::new(DeviceName::Cpu, check.place.threads))?;
    let (expected, by_reference) = asked(reference.as_mut(), &check.test)?;
    let off = found
        .iter()
        .zip(&expected)
        .map(|(found, expected)| (found - expected).abs());
    // NaN is never the larger of two.
    let off = off.fold(0.0_f32, |most, off| if off <= most { most } else { off });
    let classes = |answers: &[f32]| answers.chunks(CLASSES).map(surest).collect::<Vec<_>>();
    let others = classes(&found)
        .iter()
        .zip(classes(&expected))
        .filter(|(a, b)| **a != *b)
        .count();

    let total = check.test.len();
    let accuracy = format!(
        "{:.2} % ({:.2} %)",
        evaluation.accuracy() * 100.0,
        by_reference.accuracy() * 100.0
    );
    if precision == Precision::F32 {
        let is_right = f64::from(off) <= TOLERANCE;
        table.judge(
            "log-probabilities off by at most",
            format!("{off:.1e}"),
            "1e-3",
            is_right,
        );
        table.judge(
            format!("other classes, of {total}"),
            others.to_string(),
            "0",
            others == 0,
        );
        table.measure("accuracy (by the CPU's kernels)", accuracy, [None, None, None]);
    } else {
        let figure = format!("{precision}: accuracy, other classes, off by");
        let evaluation = format!("{:.2} %, {others}, {off:.1e}", evaluation.accuracy() * 100.0);
        table.measure(figure, evaluation, [None, None, None]);
    }
    Ok(())
}

fn asked(model: &mut dyn Model, test: &Dataset) -> anyhow::Result<(Vec<f32>, Evaluation)> {
    let mut all = Vec::new();
    let evaluation = Evaluation::of(test, |pixels| {
        let mut answers = Vec::new();
        for pixels in pixels.chunks(BATCH * PICTURE) {
            answers.extend(model.predict(pixels)?);
        }
        all.extend(&answers);
        anyhow::Ok(answers)
    })?;
    Ok((all, evaluation))
}

fn surest(row: &[f32]) -> Option<usize> {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]))
}

/// Makes ten steps on the first training pictures, as `tests/data/golden/gen.py` had PyTorch make them.
pub fn steps(check: &Check, golden: &str, table: &mut Table) -> anyhow::Result<()> {
    let golden: Value = serde_json::from_str(golden).context("--golden")?;
    let losses = golden["float64"]["loss"]
        .as_array()
        .context("--golden: no losses")?;
    let count = losses.len() * STEP;
    ensure!(check.whole.len() >= count, "{count} training pictures are needed");
    let dropout = Dropout {
        features: 0.0,
        hidden: 0.0,
        seed: 0,
    };
    let mut learner = train::learner_by_candle(&LearnerState::new(golden::start()), dropout, check.place)?;
    let pictures = check.whole.images()[..count * PICTURE].chunks(STEP * PICTURE);
    let mut off = 0.0_f64;
    for (number, (pixels, labels)) in pictures.zip(check.whole.labels().chunks(STEP)).enumerate() {
        let loss = learner.step(pixels, labels, golden::learning_rate(number))?;
        let expected = losses[number].as_f64().context("--golden: a loss is no number")?;
        off = farther(off, f64::from(loss), expected);
    }
    let answers = learner.predict(&check.whole.images()[..4 * PICTURE])?;
    let expected = &golden["float64"]["log_probs_first4_after"];
    for (place, answer) in answers.iter().enumerate() {
        let expected = expected[place / CLASSES][place % CLASSES].as_f64();
        off = farther(off, f64::from(*answer), expected.context("--golden: no answers")?);
    }
    let figure = "ten steps as PyTorch makes them, off by at most";
    table.judge(figure, format!("{off:.1e}"), "1e-3", off <= TOLERANCE);
    Ok(())
}

/// The larger of two relative differences; what is no number is the largest.
fn farther(off: f64, found: f64, expected: f64) -> f64 {
    let difference = (found - expected).abs() / expected.abs();
    if difference <= off { off } else { difference }
}
