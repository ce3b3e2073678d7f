//! The store for many machines: Redis or Valkey, through fred.
//!
//! A reservation and an outcome are two keys, so that the first outcome wins by `SET NX` alone, and every write
//! may be repeated. Whoever waits is woken by a published message, and looks again by itself in case it is lost.

mod connect;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::{Client, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, KeysInterface, PubsubInterface};
use fred::types::{Expiration, SetOptions, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::waiters::Waiters;
use super::{Entry, Finished, ResultStore, Settings, StoreError};
use crate::address::ServerUrl;
use crate::job::{JobId, Outcome};

/// Exchanges in flight. fred's own bound stalls the client for good once it is reached, so this is ours.
const IN_FLIGHT: usize = 256;
/// How long an exchange waits for its turn.
const TURN: Duration = Duration::from_secs(1);
/// First and longest pause of a waiter that looks by itself.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How long taking leave may take.
const LEAVE: Duration = Duration::from_secs(1);
/// What a reservation holds; only its being there matters.
const RESERVED: &str = "";

/// Results in Redis.
pub struct RedisStore {
    client: Client,
    subscriber: SubscriberClient,
    waking: JoinHandle<()>,
    waiters: Arc<Waiters>,
    turns: Semaphore,
    prefix: String,
    address: String,
}

impl RedisStore {
    /// Connects, trying for some seconds. Warns if this Redis may lose results.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be reached, [`StoreError::Refused`] if it does not want us.
    pub async fn connect(url: &ServerUrl, settings: &Settings) -> Result<Self, StoreError> {
        let address = url.to_string();
        let (client, subscriber) = connect::connect(url).await?;
        connect::warn_of_losses(&client, &address).await;
        let waiters = Arc::new(Waiters::default());
        let channel = channel(&settings.prefix);
        subscriber
            .subscribe(channel)
            .await
            .map_err(|error| classify(&address, error))?;
        let waking = tokio::spawn(wake::run(subscriber.clone(), Arc::clone(&waiters)));
        let turns = Semaphore::new(IN_FLIGHT);
        Ok(Self {
            client,
            subscriber,
            waking,
            waiters,
            turns,
            prefix: settings.prefix.clone(),
            address,
        })
    }

    /// Waits for a turn; on a server that does not answer, not for long.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        match timeout(TURN, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(StoreError::Unavailable {
                address: self.address.clone(),
                source: "too many exchanges wait for an answer".into(),
            }),
        }
    }

    fn reservation(&self, id: JobId) -> String {
        format!("{}:q:{id}", self.prefix)
    }

    fn result(&self, id: JobId) -> String {
        format!("{}:r:{id}", self.prefix)
    }

    fn error(&self, error: Error) -> StoreError {
        classify(&self.address, error)
    }

    async fn set_all(&self, finished: &[Finished]) -> Vec<Result<Value, Error>> {
        let pipeline = self.client.pipeline();
        for Finished { id, outcome, ttl } in finished {
            let first_wins = Some(SetOptions::NX);
            let queued = pipeline
                .set::<Value, _, _>(
                    self.result(*id),
                    outcome.encode().as_slice(),
                    expiration(*ttl),
                    first_wins,
                    false,
                )
                .await;
            if let Err(error) = queued {
                return vec![Err(error); finished.len()];
            }
        }
        pipeline.try_all().await
    }

    /// Takes back the reservations of finished jobs, which would outlive their outcomes, and wakes who waits.
    /// If it fails, a waiter looks by itself a moment later, and a job may read as queued once its outcome has
    /// expired.
    async fn announce(&self, ids: Vec<JobId>) {
        if ids.is_empty() {
            return;
        }
        let message: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        let reservations: Vec<String> = ids.into_iter().map(|id| self.reservation(id)).collect();
        let pipeline = self.client.pipeline();
        let announced = async {
            pipeline
                .publish::<Value, _, _>(channel(&self.prefix), message.as_slice())
                .await?;
            pipeline.del::<Value, _>(reservations).await?;
            pipeline.all::<Vec<Value>>().await
        };
        if let Err(error) = announced.await {
            tracing::debug!(%error, "finished jobs were not announced");
        }
    }
}

#[async_trait]
impl ResultStore for RedisStore {
    async fn reserve(&self, id: JobId, ttl: Duration) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        let reserved = self.client.set::<Value, _, _>(
            self.reservation(id),
            RESERVED,
            expiration(ttl),
            Some(SetOptions::NX),
            false,
        );
        reserved.await.map(drop).map_err(|error| self.error(error))
    }

    async fn release(&self, id: JobId) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        let released = self.client.del::<i64, _>(self.reservation(id)).await;
        released.map(drop).map_err(|error| self.error(error))
    }

    async fn finish(&self, finished: &[Finished]) -> Vec<Result<(), StoreError>> {
        if finished.is_empty() {
            return Vec::new();
        }
        let results = match self.turn().await {
            Ok(_turn) => self.set_all(finished).await,
            Err(_) => vec![Err(Error::new(ErrorKind::Timeout, "no turn")); finished.len()],
        };
        let stored = finished.iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.announce(stored.map(|(finished, _)| finished.id).collect())
            .await;
        // A nil answer means that an outcome was there already: the first one has won.
        results
            .into_iter()
            .map(|result| result.map(drop).map_err(|error| self.error(error)))
            .collect()
    }

    async fn fetch(&self, id: JobId) -> Result<Option<Entry>, StoreError> {
        let _turn = self.turn().await?;
        let keys = vec![self.result(id), self.reservation(id)];
        let found = self.client.mget::<Vec<Option<Vec<u8>>>, _>(keys).await;
        let mut found = found.map_err(|error| self.error(error))?.into_iter();
        match (found.next().flatten(), found.next().flatten()) {
            (Some(stored), _) => match Outcome::decode(&stored) {
                Ok(outcome) => Ok(Some(Entry::Finished(outcome))),
                Err(error) => Err(StoreError::Refused {
                    address: self.address.clone(),
                    source: Box::new(error),
                }),
            },
            (None, Some(_)) => Ok(Some(Entry::Queued)),
            (None, None) => Ok(None),
        }
    }

    async fn wait(&self, id: JobId, limit: Duration) -> Result<Option<Entry>, StoreError> {
        let deadline = Instant::now() + limit;
        let waiter = self.waiters.register(id);
        let mut pause = LOOKS.0;
        loop {
            let woken = waiter.woken();
            let known = self.fetch(id).await?;
            if known != Some(Entry::Queued) || Instant::now() >= deadline {
                return Ok(known);
            }
            let _ = timeout_at(deadline.min(Instant::now() + pause), woken).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }

    async fn erase(&self, id: JobId) -> Result<bool, StoreError> {
        let _turn = self.turn().await?;
        let erased = self
            .client
            .del::<i64, _>(vec![self.result(id), self.reservation(id)])
            .await;
        erased.map(|count| count > 0).map_err(|error| self.error(error))
    }

    async fn check(&self) -> Result<(), StoreError> {
        let pong = self.client.ping::<String>(None).await;
        pong.map(drop).map_err(|error| self.error(error))
    }

    async fn close(&self) {
        let _ = timeout(LEAVE, self.subscriber.quit()).await;
        let _ = timeout(LEAVE, self.client.quit()).await;
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.waking.abort();
    }
}

fn channel(prefix: &str) -> String {
    format!("{prefix}:done")
}

fn expiration(ttl: Duration) -> Option<Expiration> {
    // Redis takes no time to live of zero.
    Some(Expiration::PX(
        i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1),
    ))
}

/// Redis tells by the first word of its answer what is wrong.
fn classify(address: &str, error: Error) -> StoreError {
    let address = address.to_owned();
    let word = error.details().split_whitespace().next().unwrap_or_default();
    match (error.kind(), word) {
        (_, "OOM" | "MISCONF") => StoreError::Full {
            address,
            source: Box::new(error),
        },
        (ErrorKind::Auth | ErrorKind::Config | ErrorKind::Url, _)
        | (_, "NOAUTH" | "WRONGPASS" | "NOPERM") => StoreError::Refused {
            address,
            source: Box::new(error),
        },
        _ => StoreError::Unavailable {
            address,
            source: Box::new(error),
        },
    }
}
