//! What a worker counts: batches, forward passes, and the jobs that it brings to their end.

use std::time::Duration;

use prometheus::{
    CounterVec, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use super::{Hold, LONG, Metrics, SHORT, fine};

/// Upper bounds of batch sizes.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// What closed a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushedBy {
    /// It has as many pictures as a batch may.
    Full,
    /// Its first picture has waited long enough for others.
    Timer,
    /// There was nothing more at hand, and it waits for nothing.
    Idle,
    /// The queue's subscription has ended.
    Shutdown,
}

impl FlushedBy {
    const ALL: [Self; 4] = [Self::Full, Self::Timer, Self::Idle, Self::Shutdown];

    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Timer => "timer",
            Self::Idle => "idle",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A worker's handles; clones, for more workers of this process, share what they count.
#[derive(Clone)]
pub struct Working {
    queue_wait: Histogram,
    batch_size: Histogram,
    batches: IntCounterVec,
    inference: Histogram,
    busy: CounterVec,
    memory_used: GaugeVec,
    memory_total: GaugeVec,
    in_hand: IntGauge,
    finished: IntCounterVec,
    job: Histogram,
    redeliveries: IntCounter,
    dead_letters: IntCounter,
    model: IntGaugeVec,
}

impl Metrics {
    /// Those of all workers of this process: to be asked for once.
    #[must_use]
    pub fn working(&self) -> Working {
        let counter = |name: &str, help: &str| self.register(fine(IntCounter::new(name, help)));
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            self.register(fine(Histogram::with_opts(options)))
        };
        let counters = |name: &str, help: &str, label: &str| {
            self.register(fine(IntCounterVec::new(Opts::new(name, help), &[label])))
        };
        let gauges =
            |name: &str, help: &str| self.register(fine(GaugeVec::new(Opts::new(name, help), &["device"])));
        let working = Working {
            queue_wait: histogram(
                "mnistq_queue_wait_seconds",
                "From the end of an upload's reading until a worker asks the model about it.",
                LONG,
            ),
            batch_size: histogram("mnistq_batch_size", "Jobs that were taken as one batch.", SIZES),
            batches: counters(
                "mnistq_batches_total",
                "Batches, by what closed them.",
                "flushed_by",
            ),
            inference: histogram("mnistq_inference_duration_seconds", "Of one forward pass.", SHORT),
            busy: self.register(fine(CounterVec::new(
                Opts::new(
                    "mnistq_device_busy_seconds_total",
                    "For how long the device had a batch in flight.",
                ),
                &["device"],
            ))),
            memory_used: gauges(
                "mnistq_device_memory_used_bytes",
                "Memory of the device that is taken, by whomever; of a CPU, the machine's.",
            ),
            memory_total: gauges(
                "mnistq_device_memory_bytes",
                "Memory that the device has; of a CPU, the machine's.",
            ),
            in_hand: self.register(fine(IntGauge::new(
                "mnistq_jobs_in_hand",
                "Jobs in batches that are neither answered nor given back.",
            ))),
            finished: counters(
                "mnistq_jobs_finished_total",
                "Jobs whose outcome was stored, by how they ended.",
                "outcome",
            ),
            job: histogram(
                "mnistq_job_duration_seconds",
                "From the moment that a front end took an upload until its outcome was stored, by both machines' clocks.",
                LONG,
            ),
            redeliveries: counter(
                "mnistq_redeliveries_total",
                "Jobs that came although they had been in hand before.",
            ),
            dead_letters: counter(
                "mnistq_dead_letters_total",
                "Jobs that ended without a model's answer, and are kept for the operator.",
            ),
            model: self.info(
                "mnistq_model_info",
                "The model that is asked, and where it runs.",
                &["name", "weights_sha256", "device"],
            ),
        };
        // What has not happened yet counts 0: else its first time would not show as a change.
        for flushed_by in FlushedBy::ALL {
            working.batches.with_label_values(&[flushed_by.word()]);
        }
        for outcome in ["succeeded", "failed", "expired"] {
            working.finished.with_label_values(&[outcome]);
        }
        working
    }
}

impl Working {
    /// From now on this model is asked: its name, the SHA-256 of its weights, and its device; and no longer the one
    /// whose place it takes.
    pub fn note_model(&self, labels: &[&str; 3], instead_of: Option<&[&str; 3]>) {
        if let Some(old) = instead_of {
            // Another worker of this process may have taken it away already.
            let _ = self.model.remove_label_values(old);
        }
        self.model.with_label_values(labels).set(1);
        self.busy.with_label_values(&[labels[2]]);
    }

    /// So many bytes of a device's memory are taken, of so many.
    pub fn note_memory(&self, device: &str, used: u64, total: u64) {
        self.memory_used.with_label_values(&[device]).set(used as f64);
        self.memory_total.with_label_values(&[device]).set(total as f64);
    }

    /// A batch was closed.
    pub fn note_batch(&self, size: usize, flushed_by: FlushedBy) {
        self.batch_size.observe(size as f64);
        self.batches.with_label_values(&[flushed_by.word()]).inc();
    }

    /// So many jobs are in hand.
    #[must_use]
    pub fn hold(&self, count: usize) -> Hold {
        Hold::new(&self.in_hand, count)
    }

    /// A job came that had been in hand before.
    pub fn note_redelivery(&self) {
        self.redeliveries.inc();
    }

    /// A job has waited for so long until the model was asked.
    pub fn note_wait(&self, queued: Duration) {
        self.queue_wait.observe(queued.as_secs_f64());
    }

    /// The model on this device has answered, or has rejected what it was asked: so long after it was asked, of which
    /// it was `busy` with nothing else that is counted here.
    pub fn note_inference(&self, device: &str, took: Duration, busy: Duration) {
        self.inference.observe(took.as_secs_f64());
        self.busy.with_label_values(&[device]).inc_by(busy.as_secs_f64());
    }

    /// An outcome is stored, so long after its upload came.
    pub fn note_finished(&self, outcome: &str, since_upload: Option<Duration>) {
        self.finished.with_label_values(&[outcome]).inc();
        if let Some(took) = since_upload {
            self.job.observe(took.as_secs_f64());
        }
    }

    /// A job is kept for the operator.
    pub fn note_dead_letter(&self) {
        self.dead_letters.inc();
    }

    #[cfg(test)]
    pub(super) fn in_hand(&self) -> i64 {
        self.in_hand.get()
    }
}
