//! Both seams, watched: what they are asked is timed and its failures counted, and nothing else changes.
//!
//! So broker and store need not know that there are metrics.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::seams::Seams;
use crate::broker::{Broker, BrokerError, Buried, Confirm, Consumer, PublishError};
use crate::job::{Job, JobId};
use crate::metrics::{Exchanges, Metrics, Operation, Peer};
use crate::store::{Claim, Entry, Finished, First, Reservation, ResultStore, StoreError};

/// The same seams, watched.
pub fn watched(seams: Seams, metrics: &Metrics) -> Seams {
    let exchanges = metrics.exchanges();
    let (broker, store) = (Arc::clone(&seams.broker), Arc::clone(&seams.store));
    exchanges.count_reconnects(Peer::Broker, move || broker.reconnects());
    exchanges.count_reconnects(Peer::Store, move || store.reconnects());
    Seams {
        broker: Arc::new(WatchedBroker {
            inner: seams.broker,
            exchanges: exchanges.clone(),
        }),
        store: Arc::new(WatchedStore {
            inner: seams.store,
            exchanges,
        }),
        ..seams
    }
}

struct WatchedBroker {
    inner: Arc<dyn Broker>,
    exchanges: Exchanges,
}

impl WatchedBroker {
    fn noted<T, E>(&self, answer: Result<T, E>) -> Result<T, E> {
        if answer.is_err() {
            self.exchanges.note_error(Peer::Broker);
        }
        answer
    }
}

#[async_trait]
impl Broker for WatchedBroker {
    async fn publish(&self, job: &Job, deadline: Duration, confirm: Confirm) -> Result<(), PublishError> {
        // Noted also when the outcome comes before the confirmation, and nobody waits for that any more.
        let _timed = self.exchanges.time_publish();
        let published = self.inner.publish(job, deadline, confirm).await;
        match published {
            // It works, and has no room.
            Err(PublishError::Full) => published,
            published => self.noted(published),
        }
    }

    async fn consume(&self, prefetch: NonZeroU16) -> Result<Consumer, BrokerError> {
        self.inner.consume(prefetch).await
    }

    async fn backlog(&self) -> Result<u64, BrokerError> {
        self.noted(self.inner.backlog().await)
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.inner.check().await
    }

    async fn oldest(&self) -> Result<Option<Duration>, BrokerError> {
        self.inner.oldest().await
    }

    fn reconnects(&self) -> u64 {
        self.inner.reconnects()
    }

    fn server(&self) -> Option<String> {
        self.inner.server()
    }

    async fn buried(&self) -> Result<Vec<Buried>, BrokerError> {
        self.inner.buried().await
    }

    async fn exhume(&self, ids: &[JobId]) -> Result<bool, BrokerError> {
        self.inner.exhume(ids).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct WatchedStore {
    inner: Arc<dyn ResultStore>,
    exchanges: Exchanges,
}

impl WatchedStore {
    fn noted<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if answer.is_err() {
            self.exchanges.note_error(Peer::Store);
        }
        answer
    }
}

#[async_trait]
impl ResultStore for WatchedStore {
    async fn reserve(&self, reservation: &Reservation) -> Result<(), StoreError> {
        let begun = Instant::now();
        let reserved = self.inner.reserve(reservation).await;
        self.exchanges.note_store(Operation::Reserve, begun.elapsed());
        self.noted(reserved)
    }

    async fn owner(&self, id: JobId) -> Result<Option<String>, StoreError> {
        self.noted(self.inner.owner(id).await)
    }

    async fn claim(&self, key: &str, claim: Claim, ttl: Duration) -> Result<Claim, StoreError> {
        self.noted(self.inner.claim(key, claim, ttl).await)
    }

    async fn release(&self, id: JobId) -> Result<(), StoreError> {
        self.noted(self.inner.release(id).await)
    }

    async fn finish(&self, finished: &[Finished]) -> Vec<Result<(), StoreError>> {
        let begun = Instant::now();
        let stored = self.inner.finish(finished).await;
        self.exchanges.note_store(Operation::Finish, begun.elapsed());
        if stored.iter().any(Result::is_err) {
            self.exchanges.note_error(Peer::Store);
        }
        stored
    }

    async fn fetch_all(&self, ids: &[JobId]) -> Result<Vec<Option<Entry>>, StoreError> {
        let begun = Instant::now();
        let fetched = self.inner.fetch_all(ids).await;
        self.exchanges.note_store(Operation::Fetch, begun.elapsed());
        self.noted(fetched)
    }

    async fn wait(&self, id: JobId, limit: Duration, first: First) -> Result<Option<Entry>, StoreError> {
        self.noted(self.inner.wait(id, limit, first).await)
    }

    async fn erase(&self, id: JobId) -> Result<bool, StoreError> {
        self.noted(self.inner.erase(id).await)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    fn reconnects(&self) -> u64 {
        self.inner.reconnects()
    }

    fn server(&self) -> Option<String> {
        self.inner.server()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
