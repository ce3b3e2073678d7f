//! Stores outcomes and acknowledges what is stored, however long the store is away.
//!
//! In come predicted batches, out go acknowledgements. Each job's own result decides its own
//! acknowledgement: what isn't stored is held and tried again, and never acknowledged.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::in_hand::InHand;
use super::predict::Predicted;
use crate::broker::Delivery;
use crate::job::{FailureCode, Outcome};
use crate::metrics::Working;
use crate::store::{Finished, ResultStore, StoreError};

/// First and longest pause between two tries at a store that is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a stopping worker still tries to store what it has predicted; after that it goes back to the
/// queue, and another worker predicts it again.
const GRACE: Duration = Duration::from_secs(5);
/// Batches that may go into one exchange with the store.
const MERGED: usize = 8;

/// Stores and acknowledges.
pub struct Finisher {
    pub store: Arc<dyn ResultStore>,
    pub working: Working,
    pub shutdown: CancellationToken,
}

impl Finisher {
    /// Finishes all that comes, until the sender is gone. Ends early, giving all back, if the store refuses.
    pub async fn run(self, mut predicted: mpsc::Receiver<Vec<Predicted>>) -> Result<(), StoreError> {
        let mut batches = Vec::new();
        while predicted.recv_many(&mut batches, MERGED).await > 0 {
            let merged = batches.drain(..).flatten().collect();
            let given_up = async {
                self.shutdown.cancelled().await;
                sleep(GRACE).await;
            };
            tokio::select! {
                finished = self.finish(merged) => finished?,
                () = given_up => tracing::warn!("the store is away: what was predicted returns to the queue"),
            }
        }
        Ok(())
    }

    async fn finish(&self, mut held: Vec<Predicted>) -> Result<(), StoreError> {
        let mut pause = PAUSES.0;
        loop {
            let (finished, deliveries): (Vec<Finished>, Vec<_>) = held
                .drain(..)
                .map(|predicted| (predicted.finished, (predicted.delivery, predicted.in_hand)))
                .unzip();
            let results = self.store.finish(&finished).await;
            let mut last_error = None;
            for ((finished, (delivery, in_hand)), result) in finished.into_iter().zip(deliveries).zip(results)
            {
                match result {
                    Ok(()) => self.conclude(delivery, finished.outcome, in_hand),
                    Err(refused @ StoreError::Refused { .. }) => return Err(refused),
                    Err(error) => {
                        held.push(Predicted {
                            delivery,
                            finished,
                            in_hand,
                        });
                        last_error = Some(error);
                    }
                }
            }
            let Some(error) = last_error else { return Ok(()) };
            tracing::warn!(
                held = held.len(),
                error = &error as &dyn std::error::Error,
                "outcomes not stored"
            );
            // The shutdown shortens the pause, so that the last tries come soon.
            let _ = timeout(pause, self.shutdown.cancelled()).await;
            if self.shutdown.is_cancelled() {
                sleep(PAUSES.0).await;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Takes the job off the queue. What no model was asked about is kept for the operator.
    fn conclude(&self, delivery: Delivery, outcome: Outcome, mut in_hand: InHand) {
        in_hand.span.note("mnistq.outcome", word(&outcome));
        let since_upload = delivery
            .job
            .as_ref()
            .ok()
            .and_then(|job| job.accepted_at.elapsed().ok());
        self.working.note_finished(word(&outcome), since_upload);
        match outcome {
            Outcome::Failed { error } if error.code != FailureCode::Rejected => {
                self.working.note_dead_letter();
                in_hand.span.fail(&error.detail);
                delivery.bury(error.detail);
            }
            _ => delivery.ack(),
        }
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded(_) => "succeeded",
        Outcome::Failed { .. } => "failed",
        Outcome::Expired => "expired",
        Outcome::Cancelled => "cancelled",
    }
}
