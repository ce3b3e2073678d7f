//! Messages on their way from one of our queues to another: published there, and only then taken off here.
//!
//! In come parcels, each with the tag of the delivery that it copies; out go the tags once they are there. Tries
//! again until told to stop: a move that is broken off leaves the message where it was, or in both places.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::publisher::{Parcel, Publisher};
use super::reconnect::Backoff;

/// All moves of one link. Dropped, it breaks them off.
pub struct Moves {
    publisher: Arc<Publisher>,
    stop: CancellationToken,
    tasks: JoinSet<(u64, bool)>,
}

impl Moves {
    /// None yet.
    pub fn new(publisher: Arc<Publisher>, stop: CancellationToken) -> Self {
        Self {
            publisher,
            stop,
            tasks: JoinSet::new(),
        }
    }

    /// Starts to move the delivery with this tag.
    pub fn start(&mut self, tag: u64, parcel: Parcel) {
        let (publisher, stop) = (Arc::clone(&self.publisher), self.stop.clone());
        self.tasks.spawn(async move {
            let mut backoff = Backoff::default();
            while let Err(error) = publisher.publish(parcel.clone()).await {
                if stop.is_cancelled() {
                    return (tag, false);
                }
                tracing::warn!(
                    inference_id = %parcel.id,
                    queue = parcel.queue,
                    error = &error as &dyn std::error::Error,
                    "not moved yet"
                );
                tokio::select! {
                    () = sleep(backoff.pause()) => {}
                    () = stop.cancelled() => {}
                }
            }
            (tag, true)
        });
    }

    /// The next that has ended, and whether it is there; never, if there is none. Cancel-safe.
    pub async fn next(&mut self) -> (u64, bool) {
        match self.tasks.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(failure)) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
            _ => std::future::pending().await,
        }
    }
}
