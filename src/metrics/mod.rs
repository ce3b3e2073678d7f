//! What a process counts and measures, in Prometheus's text form and by its naming rules.
//!
//! One [`Metrics`] a process, made by its role and handed down; each part is given handles for what it counts, and
//! bumps them without a lock. Knows the names of all metrics, and nothing of who counts or who asks.

mod exchanges;
mod process;
mod pulled;
mod serving;
mod working;

use prometheus::core::Collector;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

pub use exchanges::{Exchanges, Operation, Peer};
pub use serving::Serving;
pub use working::{FlushedBy, Working};

use process::Process;
use pulled::Pulled;

/// The type of [`Metrics::text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds for what takes microseconds to seconds, in seconds.
const SHORT: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper bounds for what takes milliseconds to an hour, since it may wait for a worker.
const LONG: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    3600.0,
];

/// All metrics of a process; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Those of any process: its version, and what it takes of the machine.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::new(),
        };
        metrics.register(Process::new());
        let build = metrics.info(
            "mnistq_build_info",
            "The version of this executable.",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// All as they are now. What can't be read is left out.
    #[must_use]
    pub fn text(&self) -> String {
        let families = self.registry.gather();
        // Only a family without a metric could fail, and such are not gathered.
        TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }

    /// A counter whose value somebody else keeps, and tells when it is asked.
    fn pull(&self, options: Opts, read: impl Fn() -> u64 + Send + Sync + 'static) {
        self.register(Pulled::new(options, read));
    }

    /// A metric that is always 1, and tells by its labels.
    fn info(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(fine(IntGaugeVec::new(Opts::new(name, help), labels)))
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        fine(self.registry.register(Box::new(collector.clone())));
        collector
    }
}

/// What prometheus answers to a name: an error only if it is ill-formed or taken, and the names stand in this room.
fn fine<T>(made: prometheus::Result<T>) -> T {
    made.expect("the names of all metrics differ and are well-formed")
}

/// Some of what a gauge counts, for as long as this lives: whatever way its owner ends, the gauge comes down.
#[derive(Debug)]
pub struct Hold {
    gauge: IntGauge,
    count: i64,
}

impl Hold {
    fn new(gauge: &IntGauge, count: usize) -> Self {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        gauge.add(count);
        Self {
            gauge: gauge.clone(),
            count,
        }
    }

    /// One of them for another owner; the gauge does not move.
    #[must_use]
    pub fn split(&mut self) -> Self {
        let count = self.count.min(1);
        self.count -= count;
        Self {
            gauge: self.gauge.clone(),
            count,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gauge.sub(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_its_last_owner_is_gone() {
        let working = Metrics::new().working();
        let mut batch = working.hold(3);
        let one = batch.split();
        assert_eq!(working.in_hand(), 3);
        drop(batch);
        assert_eq!(working.in_hand(), 1);
        drop(one);
        assert_eq!(working.in_hand(), 0);
    }

    #[test]
    fn all_metrics_of_a_process_have_names_of_their_own() {
        let metrics = Metrics::new();
        let (_serving, _working, _exchanges) = (metrics.serving(), metrics.working(), metrics.exchanges());
        let text = metrics.text();
        assert!(text.contains("\nmnistq_build_info{version=\""), "{text}");
        assert!(text.contains("\nmnistq_jobs_in_hand 0\n"), "{text}");
    }
}
