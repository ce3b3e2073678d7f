//! What a front end counts: requests, uploads, and the queue as it sees it.

use std::time::Duration;

use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};

use super::{Hold, Metrics, SHORT, fine};

/// Upper bounds for requests, some of which wait for a result, in seconds.
const REQUESTS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// A front end's handles; clones share what they count.
#[derive(Clone)]
pub struct Serving {
    requests: HistogramVec,
    in_flight: IntGauge,
    connections: IntGauge,
    accepted: IntCounter,
    refused: IntCounterVec,
    decode: Histogram,
    backlog: Gauge,
    backlog_seconds: Gauge,
    oldest_age: Gauge,
}

impl Metrics {
    /// Those of a front end: to be asked for once.
    #[must_use]
    pub fn serving(&self) -> Serving {
        let counter = |name: &str, help: &str| self.register(fine(IntCounter::new(name, help)));
        let count = |name: &str, help: &str| self.register(fine(IntGauge::new(name, help)));
        let gauge = |name: &str, help: &str| self.register(fine(Gauge::new(name, help)));
        let requests = HistogramOpts::new(
            "mnistq_http_request_duration_seconds",
            "From a request's head to that of its answer.",
        );
        let refused = Opts::new(
            "mnistq_uploads_refused_total",
            "Uploads that were not queued, by the type of the problem that their clients were told.",
        );
        let decode = HistogramOpts::new(
            "mnistq_decode_duration_seconds",
            "From an upload's bytes to its picture, without the wait for a free core.",
        );
        Serving {
            requests: self.register(fine(HistogramVec::new(
                requests.buckets(REQUESTS.to_vec()),
                &["route", "method", "status"],
            ))),
            in_flight: count(
                "mnistq_http_requests_in_flight",
                "Requests whose answer is not sent yet.",
            ),
            connections: count("mnistq_http_connections", "Open connections of clients."),
            accepted: counter("mnistq_uploads_accepted_total", "Uploads that were queued."),
            refused: self.register(fine(IntCounterVec::new(refused, &["reason"]))),
            decode: self.register(fine(Histogram::with_opts(decode.buckets(SHORT.to_vec())))),
            backlog: gauge(
                "mnistq_backlog_messages",
                "Jobs that wait for a worker; NaN while the queue does not tell.",
            ),
            backlog_seconds: gauge(
                "mnistq_backlog_seconds",
                "How long the backlog takes to drain at the pace of the last 15 seconds; +Inf if it stands still.",
            ),
            oldest_age: gauge(
                "mnistq_oldest_message_age_seconds",
                "For how long the job has waited that waits longest: at most, where the queue does not tell.",
            ),
        }
    }
}

impl Serving {
    /// A request that was answered: by which route, method and status.
    pub fn note_request(&self, labels: &[&str; 3], took: Duration) {
        self.requests
            .with_label_values(labels)
            .observe(took.as_secs_f64());
    }

    /// A request in flight.
    #[must_use]
    pub fn request(&self) -> Hold {
        Hold::new(&self.in_flight, 1)
    }

    /// An open connection.
    #[must_use]
    pub fn connection(&self) -> Hold {
        Hold::new(&self.connections, 1)
    }

    /// An upload that was queued.
    pub fn note_accepted(&self) {
        self.accepted.inc();
    }

    /// An upload that was not, for this reason: one of a few.
    pub fn note_refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// An upload that was decoded, or that turned out to be none.
    pub fn note_decoded(&self, took: Duration) {
        self.decode.observe(took.as_secs_f64());
    }

    /// The queue at this moment: jobs that wait, how long they take to drain, and the age of the oldest, in seconds.
    pub fn note_backlog(&self, messages: u64, drains_in: f64, oldest_age: f64) {
        self.backlog.set(messages as f64);
        self.backlog_seconds.set(drains_in);
        self.oldest_age.set(oldest_age);
    }

    /// The queue does not tell at this moment: better no number than an old one.
    pub fn forget_backlog(&self) {
        for gauge in [&self.backlog, &self.backlog_seconds, &self.oldest_age] {
            gauge.set(f64::NAN);
        }
    }
}
