//! The looks at weights and device: whether a digit that everybody can read is read.

use std::time::Instant;

use anyhow::Context;

use super::finding::Finding;
use crate::config::Config;
use crate::digit::{DigitReader, Reader, Settings};
use crate::model::kernels::Level;
use crate::model::weights::Weights;
use crate::model::{self, Place};
use crate::roles::bench::SEVEN;
use crate::roles::seams;

/// Whether the weights can be read; and the weights.
pub fn weights(config: &Config) -> (Finding, Option<Weights>) {
    let check = "weights";
    let named = match &config.model.weights {
        Some(path) => path.display().to_string(),
        None => "those in this executable".to_owned(),
    };
    match seams::weights(config) {
        Ok(weights) => {
            let detail = format!("{named}, SHA-256 {}", weights.sha256);
            (Finding::well(check, detail), Some(weights))
        }
        Err(error) => {
            let hint = "name another file with --weights, or leave it away: this executable has weights";
            (Finding::wrong(check, format!("{error:#}")).hint(hint), None)
        }
    }
}

/// What the device's name comes to, and whether the model reads a seven there.
pub async fn device(asked: Place, weights: Weights) -> Finding {
    let check = "device";
    let look = tokio::task::spawn_blocking(move || {
        let mut model = model::open(&weights, asked)?;
        let seven = DigitReader::new(&Settings::default()).read(SEVEN)?;
        let started = Instant::now();
        let answer = model.predict(seven.pixels())?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let card = model.card();
        let place = match card.device.as_str() {
            "cpu" => format!(
                "cpu, {:?}, {} threads",
                Level::best(),
                model::threads(asked.threads)
            ),
            gpu => gpu.to_owned(),
        };
        let place = format!("{} on {} ({place})", card.name, asked.device);
        anyhow::Ok((place, answer, milliseconds))
    });
    match look.await.context("the model broke").and_then(|looked| looked) {
        Ok((place, answer, milliseconds)) => match surest(&answer) {
            Some(7) => Finding::well(check, format!("{place}: reads a seven in {milliseconds:.1} ms")),
            Some(digit) => Finding::wrong(check, format!("{place}: takes a seven for a {digit}"))
                .hint("see whether these weights are good: mnistq evaluate --weights FILE --device DEVICE"),
            None => Finding::wrong(check, format!("{place}: answers with what is no number"))
                .hint("take other weights with --weights, or --device cpu"),
        },
        Err(error) => Finding::wrong(check, format!("{error:#}")).hint("take --device cpu or auto"),
    }
}

/// The class with the largest of log-probabilities, if all are numbers.
fn surest(answer: &[f32]) -> Option<usize> {
    if answer.iter().any(|value| value.is_nan()) {
        return None;
    }
    (0..answer.len()).max_by(|a, b| answer[*a].total_cmp(&answer[*b]))
}
