//! What a page says of a run beside its answers: how far it is, how fast it was, how it was made.
//!
//! In come settings and figures, out go words. Writes no file.

use super::metrics::Record;
use super::page::Speed;
use super::words::grouped;
use crate::train::Settings;
use crate::train::run::{Course, Tested};

/// How far it is, and which weights that is about.
pub(super) fn summary(settings: &Settings, tested: &Tested<'_>) -> String {
    let (epoch, kept) = (tested.epoch, tested.best.kept.epoch);
    let weights = if kept == epoch {
        String::new()
    } else {
        format!(", weights of epoch {kept}")
    };
    let ended = if epoch < settings.epochs && settings.is_patience_over(epoch, kept) {
        "ended early: "
    } else {
        ""
    };
    format!("{ended}epoch {epoch} of {}{weights}", settings.epochs)
}

/// How fast it was, by the records of its epochs.
pub(super) fn speed(records: &[Record]) -> Speed {
    let last = records.last();
    let epochs = records.iter().filter(|record| record.test_accuracy.is_some());
    // All epochs have the same pictures: their mean speed is the harmonic one.
    let (count, slowness) = epochs.fold((0.0, 0.0), |(count, slowness), epoch| {
        (count + 1.0, slowness + 1.0 / epoch.images_per_second)
    });
    Speed {
        seconds: last.map_or(0.0, |record| record.seconds),
        images_per_second: count / slowness,
        verb: "learned",
        ended: last.map_or(0.0, |record| record.time),
    }
}

/// How it was made, by names and values.
pub(super) fn settings(
    course: &Course<'_>,
    device: &str,
    tested: &Tested<'_>,
) -> Vec<(&'static str, String)> {
    let Course {
        settings,
        train,
        test,
        ..
    } = course;
    let pictures = |count: usize, which| format!("{} {which}", grouped(count as u64));
    let tested_with = match settings.hold_out {
        0 => "test pictures",
        _ => "training pictures that were held back",
    };
    let patience = match settings.patience {
        0 => "off".to_owned(),
        epochs => format!("{epochs} epochs"),
    };
    let averaged = match settings.average_from {
        0 => "none".to_owned(),
        epoch => epoch.to_string(),
    };
    let distorted = match (settings.augment, settings.plain_from) {
        (false, _) => "no".to_owned(),
        (true, 0) => "some, anew in each epoch".to_owned(),
        (true, epoch) => format!("some, anew in each epoch before {epoch}"),
    };
    vec![
        ("Network", "MNISTNet".to_owned()),
        ("Epochs", settings.epochs.to_string()),
        ("Patience", patience),
        ("Batch size", settings.batch_size.to_string()),
        ("Learning rate", settings.lr.to_string()),
        (
            "Factor after each epoch",
            format!("{}, down to {}", settings.gamma, settings.lr_floor),
        ),
        ("Averaged from epoch", averaged),
        ("Seed", settings.seed.to_string()),
        ("Learned from", pictures(train.len(), "pictures")),
        ("Distorted", distorted),
        ("Tested with", pictures(test.len(), tested_with)),
        ("Device", device.to_owned()),
        ("mnistq", env!("CARGO_PKG_VERSION").to_owned()),
        ("SHA-256 of the weights", tested.best.kept.weights.sha256.clone()),
    ]
}
