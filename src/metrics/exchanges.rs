//! What is counted of broker and store, from their users' side: how long they take, how often they fail.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramTimer, HistogramVec, IntCounterVec, Opts};

use super::{Metrics, SHORT, fine};

/// A server, or the file in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Where jobs wait.
    Broker,
    /// Where outcomes are kept.
    Store,
}

impl Peer {
    const ALL: [Self; 2] = [Self::Broker, Self::Store];

    fn word(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Store => "store",
        }
    }
}

/// What a store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To note that an id was issued.
    Reserve,
    /// To keep outcomes.
    Finish,
    /// To look for outcomes.
    Fetch,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Reserve, Self::Finish, Self::Fetch];

    fn word(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Finish => "finish",
            Self::Fetch => "fetch",
        }
    }
}

/// Handles for whoever stands before broker and store; clones share what they count.
#[derive(Clone)]
pub struct Exchanges {
    metrics: Metrics,
    publish: Histogram,
    store: [Histogram; 3],
    errors: IntCounterVec,
}

/// Something takes time, until this is dropped.
pub struct Timed(#[allow(dead_code)] HistogramTimer);

impl Metrics {
    /// Those of both seams: to be asked for once.
    #[must_use]
    pub fn exchanges(&self) -> Exchanges {
        let publish = HistogramOpts::new(
            "mnistq_publish_duration_seconds",
            "From a job's publish until it is durable, or refused.",
        );
        let store = HistogramOpts::new(
            "mnistq_store_duration_seconds",
            "Of one exchange with the result store, by what it was for.",
        );
        let errors = Opts::new(
            "mnistq_peer_errors_total",
            "Exchanges with broker or store that failed.",
        );
        let store = self.register(fine(HistogramVec::new(
            store.buckets(SHORT.to_vec()),
            &["operation"],
        )));
        let exchanges = Exchanges {
            metrics: self.clone(),
            publish: self.register(fine(Histogram::with_opts(publish.buckets(SHORT.to_vec())))),
            store: Operation::ALL.map(|operation| store.with_label_values(&[operation.word()])),
            errors: self.register(fine(IntCounterVec::new(errors, &["peer"]))),
        };
        for peer in Peer::ALL {
            exchanges.errors.with_label_values(&[peer.word()]);
        }
        exchanges
    }
}

impl Exchanges {
    /// Counts how often a lost connection to `peer` was rebuilt, as `read` tells.
    pub fn count_reconnects(&self, peer: Peer, read: impl Fn() -> u64 + Send + Sync + 'static) {
        let options = Opts::new(
            "mnistq_reconnects_total",
            "Lost connections to broker or store that were rebuilt.",
        );
        self.metrics.pull(options.const_label("peer", peer.word()), read);
    }

    /// A publish begins; it ends when the answer is dropped.
    #[must_use]
    pub fn time_publish(&self) -> Timed {
        Timed(self.publish.start_timer())
    }

    /// An exchange with the store has ended.
    pub fn note_store(&self, operation: Operation, took: Duration) {
        self.store[operation as usize].observe(took.as_secs_f64());
    }

    /// An exchange has failed.
    pub fn note_error(&self, peer: Peer) {
        self.errors.with_label_values(&[peer.word()]).inc();
    }
}
