//! Stores the outcomes of a batch and tells who waits for them, in one exchange.
//!
//! In come outcomes, out goes one answer for each. Knows nothing of waiters but the channel on which they listen.

use bytes::Bytes;
use fred::error::Error;
use fred::interfaces::{KeysInterface, PubsubInterface};
use fred::types::{SetOptions, Value};
use futures_util::future::{Either, join_all};

use super::super::Finished;
use super::{RedisStore, channel, expiration, wake};
use crate::job::JobId;

impl RedisStore {
    /// Stores and announces. A message about an outcome that was not stored does no harm: who waits looks, and
    /// waits on.
    ///
    /// Every command is given to fred before the first answer is awaited. fred then writes them to the socket
    /// together, while it writes each command of a pipeline of its own by itself.
    pub(super) async fn store(&self, finished: &[Finished]) -> Vec<Result<(), Error>> {
        let client = &self.links.client;
        let stores = finished.iter().map(|Finished { id, outcome, ttl }| {
            let (key, outcome, ttl) = (self.result(*id), Bytes::from(outcome.encode()), expiration(*ttl));
            client.set::<Value, _, _>(key, outcome, ttl, Some(SetOptions::NX), false)
        });
        let ids: Vec<JobId> = finished.iter().map(|finished| finished.id).collect();
        let messages = wake::messages(&ids)
            .map(|message| client.publish::<Value, _, _>(channel(&self.prefix), Bytes::from(message)));
        // One list, in whose order fred is given them: no message overtakes an outcome that it tells of.
        let all = stores.map(Either::Left).chain(messages.map(Either::Right));
        let answers = join_all(all).await.into_iter().take(finished.len());
        // A nil answer means that an outcome was there already: the first one has won.
        answers.map(|answer| answer.map(drop)).collect()
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
