//! Stores the outcomes of a batch and tells who waits for them, in one exchange.
//!
//! In come outcomes, out goes one answer for each. Knows nothing of waiters but the channel on which they listen.

use fred::error::Error;
use fred::interfaces::{KeysInterface, PubsubInterface};
use fred::types::{SetOptions, Value};

use super::super::Finished;
use super::{RedisStore, channel, expiration, wake};
use crate::job::JobId;

impl RedisStore {
    /// Stores and announces. A message about an outcome that was not stored does no harm: who waits looks, and
    /// waits on.
    pub(super) async fn store(&self, finished: &[Finished]) -> Vec<Result<(), Error>> {
        let answers = match self.send(finished).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error)],
        };
        match answers.as_slice() {
            // Of an exchange that failed as a whole, fred tells once.
            [Err(error)] => vec![Err(error.clone()); finished.len()],
            // A nil answer means that an outcome was there already: the first one has won.
            _ => answers
                .into_iter()
                .take(finished.len())
                .map(|answer| answer.map(drop))
                .collect(),
        }
    }

    /// At least two commands: so a lone answer is of none of them.
    async fn send(&self, finished: &[Finished]) -> Result<Vec<Result<Value, Error>>, Error> {
        let pipeline = self.links.client.pipeline();
        for Finished { id, outcome, ttl } in finished {
            let (key, outcome, ttl) = (self.result(*id), outcome.encode(), expiration(*ttl));
            let first_wins = Some(SetOptions::NX);
            let () = pipeline
                .set(key, outcome.as_slice(), ttl, first_wins, false)
                .await?;
        }
        let ids: Vec<JobId> = finished.iter().map(|finished| finished.id).collect();
        for message in wake::messages(&ids) {
            let () = pipeline
                .publish(channel(&self.prefix), message.as_slice())
                .await?;
        }
        Ok(pipeline.try_all().await)
    }

    /// Takes back reservations of finished jobs, in the background. If this fails, such a job reads as queued, or as
    /// expired, once its outcome is no longer kept.
    pub(super) fn remove_reservations(&self, ids: impl Iterator<Item = JobId>) {
        let reservations: Vec<String> = ids.flat_map(|id| [self.queued(id), self.issued(id)]).collect();
        if reservations.is_empty() {
            return;
        }
        let client = self.links.client.clone();
        tokio::spawn(async move {
            if let Err(error) = client.del::<i64, _>(reservations).await {
                tracing::debug!(%error, "reservations of finished jobs stay until their time is over");
            }
        });
    }
}
