//! How loss and accuracy went, as pictures and as a table.
//!
//! In come a run's figures, out goes a part of a page.

use super::axis::Axis;
use super::chart::{Chart, Curve};
use super::metrics::Record;
use super::words::{duration, grouped, loss, percent};

/// Points of the batches' curve, at most: more hide where it goes.
const POINTS: usize = 120;

/// The curves of a run that has made at least an epoch.
pub(super) fn section(history: &[Record], kept: Option<u32>) -> String {
    let epochs: Vec<&Record> = history.iter().filter(|record| is_epoch(record)).collect();
    let Some(last) = epochs.last() else {
        return String::new();
    };
    let marked = |chart: Chart| chart.marked("kept", kept.map(f64::from)).svg();
    let losses = marked(losses(history, last));
    let accuracies = marked(accuracies(&epochs, last));
    let table = table(&epochs);
    format!(
        r#"<section class="wide" aria-labelledby="curves">
<h2 id="curves">How it went</h2>
<div class="charts">
<figure>
<figcaption><b>Loss</b> <span class="key batch">batches</span> <span class="key train">training, mean of an epoch</span>
<span class="key test">test</span></figcaption>
{losses}
</figure>
<figure>
<figcaption><b>Accuracy</b> <span class="key test">test</span></figcaption>
{accuracies}
</figure>
</div>
<p class="hint">The loss is the mean negative log-likelihood, on a logarithmic scale. In training it is taken before
each step and with dropout, so that it lies above the test's.</p>
<details><summary>Each epoch in figures</summary>{table}</details>
</section>
"#
    )
}

fn is_epoch(record: &Record) -> bool {
    record.test_accuracy.is_some()
}

/// Where a record stands between the epochs: at 1.0 the first one is whole.
fn place(record: &Record, last: &Record) -> f64 {
    record.step as f64 * f64::from(last.epoch) / last.step as f64
}

fn losses(history: &[Record], last: &Record) -> Chart {
    let batches = history.iter().filter(|record| !is_epoch(record));
    let batches: Vec<_> = batches
        .filter_map(|record| Some((place(record, last), f64::from(record.loss?))))
        .collect();
    let epochs = history.iter().filter(|record| is_epoch(record));
    let train = epochs
        .clone()
        .filter_map(|epoch| Some((f64::from(epoch.epoch), f64::from(epoch.loss?))));
    let test = epochs.filter_map(|epoch| Some((f64::from(epoch.epoch), epoch.test_loss?)));
    let curve = |class, points, figures| Curve {
        class,
        points,
        figures,
    };
    let written: fn(f64) -> String = |mean| loss(Some(mean));
    let curves = vec![
        curve("batch", thinned(&batches), None),
        curve("train", train.collect(), Some(("training loss", written))),
        curve("test", test.collect(), Some(("test loss", written))),
    ];
    let numbers = curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|(_, number)| *number);
    Chart {
        description: format!(
            "Loss by epoch: after epoch {} it is {} in training and {} in the test.",
            last.epoch,
            loss(last.loss.map(f64::from)),
            loss(last.test_loss)
        ),
        up: Axis::magnitudes("loss", numbers),
        across: Axis::counted("epoch", last.epoch),
        mark: None,
        curves,
    }
}

fn accuracies(epochs: &[&Record], last: &Record) -> Chart {
    let points: Vec<_> = epochs
        .iter()
        .filter_map(|epoch| Some((f64::from(epoch.epoch), epoch.test_accuracy?)))
        .collect();
    let accuracy = percent(last.test_accuracy.unwrap_or_default());
    Chart {
        description: format!(
            "Test accuracy by epoch: after epoch {} it is {accuracy}.",
            last.epoch
        ),
        up: Axis::shares("accuracy", points.iter().map(|(_, share)| *share)),
        across: Axis::counted("epoch", last.epoch),
        mark: None,
        curves: vec![Curve {
            class: "test",
            points,
            figures: Some(("test accuracy", percent)),
        }],
    }
}

/// Neighbours as their mean, so that no more than [`POINTS`] are left.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let neighbours = points.len().div_ceil(POINTS).max(1);
    let means = points.chunks(neighbours).map(|chunk| {
        let sum = chunk
            .iter()
            .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        (sum.0 / chunk.len() as f64, sum.1 / chunk.len() as f64)
    });
    means.collect()
}

fn table(epochs: &[&Record]) -> String {
    let mut rows = String::new();
    for record in epochs {
        let Record {
            epoch, learning_rate, ..
        } = record;
        rows.push_str(&format!(
            r#"<tr><th scope="row">{epoch}</th><td>{learning_rate:.4}</td><td>{}</td><td>{}</td><td>{}</td><td class="measured">{}</td><td class="measured">{}</td></tr>
"#,
            loss(record.loss.map(f64::from)),
            loss(record.test_loss),
            percent(record.test_accuracy.unwrap_or_default()),
            duration(record.seconds),
            grouped(record.images_per_second.round() as u64),
        ));
    }
    format!(
        r#"<div class="scroll"><table class="figures"><thead><tr><th scope="col">Epoch</th><th scope="col">Learning rate</th>
<th scope="col">Training loss</th><th scope="col">Test loss</th><th scope="col">Test accuracy</th>
<th scope="col">After</th><th scope="col">Images/s</th></tr></thead><tbody>
{rows}</tbody></table></div>"#
    )
}
