//! What goes with jobs while they are in hand: that they are counted, and that they are told to the collector.
//!
//! Whatever way they end, the count comes down and their spans end.

use std::time::SystemTime;

use crate::broker::Delivery;
use crate::job::TraceParent;
use crate::metrics::{Hold, Working};
use crate::traces::{Span, Traces};

/// What goes with a job.
#[derive(Debug)]
pub struct InHand {
    /// Its way through this worker.
    pub span: Span,
    _counted: Hold,
}

/// What goes with a batch; jobs that leave it take their share along.
pub struct BatchInHand<'a> {
    /// Its way through the model.
    pub span: Span,
    counted: Hold,
    taken: SystemTime,
    traces: &'a Traces,
}

impl<'a> BatchInHand<'a> {
    /// Of a batch that was just taken.
    pub fn new(batch: &[Delivery], working: &Working, traces: &'a Traces) -> Self {
        let mut span = traces.batch(batch.iter().filter_map(place));
        span.note(
            "mnistq.batch_size",
            i64::try_from(batch.len()).unwrap_or(i64::MAX),
        );
        Self {
            span,
            counted: working.hold(batch.len()),
            taken: SystemTime::now(),
            traces,
        }
    }

    /// The share of one of its jobs.
    pub fn one(&mut self, delivery: &Delivery) -> InHand {
        let mut span = self.traces.job(place(delivery), self.taken, &self.span);
        span.note_text("mnistq.inference_id", delivery.id);
        InHand {
            span,
            _counted: self.counted.split(),
        }
    }
}

/// Where in a trace a job was published.
fn place(delivery: &Delivery) -> Option<TraceParent> {
    delivery.job.as_ref().ok()?.trace
}
