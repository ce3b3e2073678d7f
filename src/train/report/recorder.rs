//! Listens to a run, and keeps the files of its folder up to date.
//!
//! In come steps and tests, out go files after each whole epoch: like the weights, they tell of whole epochs only, and
//! the files of an earlier run are replaced when there is something to replace them with.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::account;
use super::metrics::{Metrics, Record};
use super::page::Page;
use super::tensorboard::Events;
use super::{ReportError, now, unwritable};
use crate::model::weights::replace;
use crate::train::run::{Course, Progress, Step, Tested};

/// A record for every tenth step: as often as PyTorch's example prints a line.
const EVERY: usize = 10;
const METRICS: &str = "metrics.jsonl";
const PAGE: &str = "report.html";

/// What listens.
pub struct Recorder<'a> {
    course: &'a Course<'a>,
    folder: &'a Path,
    device: String,
    metrics: Metrics,
    /// None before the first epoch of this process.
    events: Option<Events>,
    clock: Clock,
    epoch: Epoch,
}

/// The steps of an epoch so far.
#[derive(Default)]
struct Epoch {
    steps: u64,
    pictures: usize,
    learning_rate: f32,
    batches: u32,
    /// Of the batches' losses.
    sum: f64,
    images_per_second: f64,
}

struct Clock {
    /// When this process began to learn.
    began: Instant,
    /// What it had taken before.
    before: f64,
    epoch_began: Instant,
}

impl<'a> Recorder<'a> {
    /// Listens to this course on this device, and writes into this folder, which is made if it is not there. The
    /// figures of the epochs that lie behind the course are gone on with.
    ///
    /// # Errors
    /// [`ReportError`] if the folder can't be written to: better before hours of training than after.
    pub fn open(course: &'a Course<'a>, folder: &'a Path, device: &str) -> Result<Self, ReportError> {
        fs::create_dir_all(folder).map_err(unwritable(folder))?;
        let probe = folder.join(".probe");
        let probed = replace(&probe, b"").and_then(|()| fs::remove_file(&probe));
        probed.map_err(unwritable(folder))?;
        let metrics = match course.done {
            0 => Metrics::default(),
            done => Metrics::read(&folder.join(METRICS), done)?,
        };
        let before = metrics.records().last().map_or(0.0, |record| record.seconds);
        let now = Instant::now();
        Ok(Self {
            course,
            folder,
            device: device.to_owned(),
            metrics,
            events: None,
            clock: Clock {
                began: now,
                before,
                epoch_began: now,
            },
            epoch: Epoch::default(),
        })
    }

    /// Where the page will be.
    #[must_use]
    pub fn page_path(&self) -> PathBuf {
        self.path(PAGE)
    }

    fn record(&self, epoch: u32, loss: f64) -> Record {
        let loss = loss as f32;
        Record {
            epoch,
            step: self.epoch.steps,
            loss: loss.is_finite().then_some(loss),
            learning_rate: self.epoch.learning_rate,
            test_loss: None,
            test_accuracy: None,
            seconds: rounded(self.clock.before + self.clock.began.elapsed().as_secs_f64()),
            images_per_second: rounded(self.epoch.images_per_second),
            time: rounded(now()),
        }
    }

    fn write(&mut self, tested: &Tested<'_>) -> Result<(), ReportError> {
        self.metrics.write(&self.path(METRICS))?;
        let records = self.metrics.records();
        match &mut self.events {
            Some(events) => events.append(records)?,
            None => self.events = Some(Events::create(self.folder, records)?),
        }
        self.page(tested).write(&self.page_path())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn page<'b>(&'b self, tested: &'b Tested<'_>) -> Page<'b> {
        let Course { settings, out, .. } = self.course;
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        Page {
            title: format!("Training of {name}"),
            summary: account::summary(settings, tested),
            evaluation: &tested.best.evaluation,
            pictures: self.course.test,
            history: self.metrics.records(),
            kept: Some(tested.best.kept.epoch).filter(|kept| *kept != tested.epoch),
            speed: account::speed(self.metrics.records()),
            settings: account::settings(self.course, &self.device, tested),
        }
    }
}

impl Progress for Recorder<'_> {
    fn stepped(&mut self, step: &Step) {
        let epoch = &mut self.epoch;
        epoch.steps = step.step;
        epoch.pictures += step.pictures;
        epoch.learning_rate = step.learning_rate;
        epoch.batches += 1;
        epoch.sum += f64::from(step.loss);
        let seconds = self.clock.epoch_began.elapsed().as_secs_f64().max(1e-9);
        epoch.images_per_second = epoch.pictures as f64 / seconds;
        if step.batch.is_multiple_of(EVERY) {
            let record = self.record(step.epoch, step.loss.into());
            self.metrics.push(record);
        }
    }

    fn tested(&mut self, tested: &Tested<'_>) -> Result<(), ReportError> {
        let mean = self.epoch.sum / f64::from(self.epoch.batches);
        let record = Record {
            test_loss: Some(tested.evaluation.loss).filter(|loss| loss.is_finite()),
            test_accuracy: Some(tested.evaluation.accuracy()),
            ..self.record(tested.epoch, mean)
        };
        self.metrics.push(record);
        self.write(tested)?;
        self.epoch = Epoch::default();
        self.clock.epoch_began = Instant::now();
        Ok(())
    }
}

/// To thousandths: a line is to be read by people, too.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
