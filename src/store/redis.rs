//! The store for many machines: Redis or Valkey, through fred.
//!
//! Of a job there are three keys: that it is queued, which ends with its deadline; that it was issued, which outlives
//! that; and its outcome. A fourth says whose it is, if it is somebody's. So the first outcome wins by `SET NX` alone, every write may be repeated, and only Redis's
//! clock decides. Whoever waits is woken by a published message, and looks again by itself in case it is lost.

mod connect;
mod finish;
mod link;
mod look;
mod outbox;
mod wake;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, KeysInterface, PubsubInterface};
use fred::types::{Expiration, SetOptions, Value};
use futures_util::future::OptionFuture;
use tokio::join;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use self::connect::Links;
use self::look::{Found, Outcomes};
use super::waiters::{Patience, Waiters};
use super::{Claim, Entry, Finished, First, Reservation, ResultStore, Settings, StoreError};
use crate::address::ServerUrl;
use crate::job::{JobId, Outcome};
use crate::tls::Trust;

/// Exchanges in flight. fred's own bound stalls the client for good once it is reached, so this is ours.
const IN_FLIGHT: usize = 256;
/// How long an exchange waits for its turn, and for a connection that is being rebuilt.
const TURN: Duration = Duration::from_millis(400);
/// First and longest pause of a waiter that looks by itself.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How long taking leave may take.
const LEAVE: Duration = Duration::from_secs(1);
/// What a key holds of which only its being there matters.
const MARK: &str = "";
/// How long the trace of a check stays.
const CHECKED: Duration = Duration::from_secs(1);

/// Results in Redis.
pub struct RedisStore {
    links: Links,
    waiters: Arc<Waiters>,
    _waking: AbortOnDropHandle<()>,
    turns: Semaphore,
    prefix: String,
    address: String,
}

impl RedisStore {
    /// Connects, by TLS if the URL says so, trying for some seconds. Warns if this Redis may lose results.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be reached, [`StoreError::Refused`] if it does not want us.
    pub async fn connect(url: &ServerUrl, settings: &Settings, trust: &Trust) -> Result<Self, StoreError> {
        let address = url.to_string();
        let links = connect::connect(url, trust).await?;
        connect::warn_of_losses(&links.client, &address).await;
        let channel = channel(&settings.prefix);
        let subscribed = links.subscriber.subscribe(channel.clone()).await;
        subscribed.map_err(|error| classify(&address, error))?;
        let waiters = Arc::new(Waiters::default());
        let outcomes = Outcomes {
            client: links.client.clone(),
            prefix: settings.prefix.clone(),
        };
        let waking = wake::run(links.subscriber.clone(), channel, outcomes, Arc::clone(&waiters));
        let waking = tokio::spawn(waking);
        Ok(Self {
            links,
            waiters,
            _waking: AbortOnDropHandle::new(waking),
            turns: Semaphore::new(IN_FLIGHT),
            prefix: settings.prefix.clone(),
            address,
        })
    }

    /// Waits for a turn and for the connection; on a server that is away, not for long. What fred is given
    /// while it has no connection, it would keep in memory without bound.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        let client = &self.links.client;
        let turn = timeout(TURN, async {
            let turn = self.turns.acquire().await;
            let _ = client.wait_for_connect().await;
            turn
        });
        match turn.await {
            Ok(Ok(turn)) if client.is_connected() => Ok(turn),
            _ if client.is_connected() => {
                let cause = "too many exchanges wait for an answer";
                Err(Error::new(ErrorKind::Timeout, cause))
            }
            _ => Err(Error::new(ErrorKind::IO, "the connection is not back yet")),
        }
    }

    /// Has an exchange in its turn.
    async fn exchange<T>(&self, exchange: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let answer = match self.turn().await {
            Ok(_turn) => exchange.await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| classify(&self.address, error))
    }

    fn queued(&self, id: JobId) -> String {
        format!("{}:q:{id}", self.prefix)
    }

    /// Holds for how many milliseconds it is told that the job expired.
    fn issued(&self, id: JobId) -> String {
        format!("{}:i:{id}", self.prefix)
    }

    /// Holds the name of the owner, as long as anything may be known of the job.
    fn owned(&self, id: JobId) -> String {
        format!("{}:o:{id}", self.prefix)
    }

    fn result(&self, id: JobId) -> String {
        result(&self.prefix, id)
    }
}

#[async_trait]
impl ResultStore for RedisStore {
    async fn reserve(&self, reservation: &Reservation) -> Result<(), StoreError> {
        let Reservation {
            id,
            deadline,
            ttl,
            owner,
        } = reservation;
        let (known_for, told_ms) = (deadline.saturating_add(*ttl), milliseconds(*ttl));
        let set = |key: String, value: Value, ttl: Duration| {
            let client = &self.links.client;
            client.set::<Value, _, _>(key, value, expiration(ttl), Some(SetOptions::NX), false)
        };
        // Given to fred at once, as a batch's outcomes are: see `finish`.
        let reserve = async {
            let owned = OptionFuture::from(
                owner
                    .as_ref()
                    .map(|owner| set(self.owned(*id), owner.as_str().into(), known_for)),
            );
            let issued = set(self.issued(*id), told_ms.into(), known_for);
            let queued = set(self.queued(*id), MARK.into(), *deadline);
            let (owned, issued, queued) = join!(owned, issued, queued);
            owned.transpose().and(issued).and(queued)
        };
        self.exchange(reserve).await.map(drop)
    }

    async fn owner(&self, id: JobId) -> Result<Option<String>, StoreError> {
        let owner = self.links.client.get::<Option<String>, _>(self.owned(id));
        self.exchange(owner).await
    }

    async fn claim(&self, key: &str, claim: Claim, ttl: Duration) -> Result<Claim, StoreError> {
        let key = format!("{}:k:{key}", self.prefix);
        let claimed = async {
            let client = &self.links.client;
            let (value, if_new) = (claim.encode(), Some(SetOptions::NX));
            let () = client
                .set(&key, value.as_slice(), expiration(ttl), if_new, false)
                .await?;
            client.get::<Option<Vec<u8>>, _>(&key).await
        };
        // Gone in between: its time was over, and it is the client's again.
        let held = self.exchange(claimed).await?;
        Ok(held.and_then(|held| Claim::decode(&held)).unwrap_or(claim))
    }

    async fn release(&self, id: JobId) -> Result<(), StoreError> {
        let keys = vec![self.queued(id), self.issued(id), self.owned(id)];
        let release = self.links.client.del::<i64, _>(keys);
        self.exchange(release).await.map(drop)
    }

    async fn finish(&self, finished: &[Finished]) -> Vec<Result<(), StoreError>> {
        if finished.is_empty() {
            return Vec::new();
        }
        let answers = match self.turn().await {
            Ok(_turn) => self.store(finished).await,
            Err(error) => vec![Err(error); finished.len()],
        };
        let stored = finished.iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
        self.remove_reservations(stored.map(|(finished, _)| finished.id));
        answers
            .into_iter()
            .map(|answer| answer.map_err(|error| classify(&self.address, error)))
            .collect()
    }

    async fn fetch_all(&self, ids: &[JobId]) -> Result<Vec<Option<Entry>>, StoreError> {
        let found = self.look(ids).await?;
        let overdue = found.iter().zip(ids).filter_map(|(found, id)| match found {
            Found::Overdue { told_for } => Some(Finished {
                id: *id,
                outcome: Outcome::Expired,
                ttl: *told_for,
            }),
            _ => None,
        });
        let overdue: Vec<Finished> = overdue.collect();
        if overdue.is_empty() {
            return Ok(found.into_iter().map(Found::entry).collect());
        }
        // Told only once it is stored: an answer of the model may have come first.
        for stored in self.finish(&overdue).await {
            stored?;
        }
        Ok(self.look(ids).await?.into_iter().map(Found::entry).collect())
    }

    async fn wait(&self, id: JobId, limit: Duration, first: First) -> Result<Option<Entry>, StoreError> {
        let patience = Patience {
            limit,
            first,
            looks: LOOKS,
        };
        self.waiters.wait(id, patience, self).await
    }

    async fn erase(&self, id: JobId) -> Result<bool, StoreError> {
        let keys = vec![self.result(id), self.queued(id), self.issued(id)];
        let erase = async {
            let both = self.links.client.pipeline();
            let () = both.del(keys).await?;
            let () = both.del(self.owned(id)).await?;
            both.all::<Vec<i64>>().await
        };
        // Its owner is known for longer than its outcome is.
        self.exchange(erase)
            .await
            .map(|counts| counts.first().is_some_and(|count| *count > 0))
    }

    async fn check(&self) -> Result<(), StoreError> {
        // A server that is full, or that may only be read, would still answer a mere sign of life.
        let (key, ttl) = (format!("{}:check", self.prefix), expiration(CHECKED));
        let write = self.links.client.set::<Value, _, _>(key, MARK, ttl, None, false);
        self.exchange(write).await.map(drop)
    }

    fn reconnects(&self) -> u64 {
        self.links.rebuilt.load(Ordering::Relaxed)
    }

    fn server(&self) -> Option<String> {
        let version = self.links.client.server_version()?;
        Some(format!("Redis {version}"))
    }

    async fn close(&self) {
        let Links {
            client, subscriber, ..
        } = &self.links;
        let _ = tokio::join!(timeout(LEAVE, subscriber.quit()), timeout(LEAVE, client.quit()));
    }
}

fn result(prefix: &str, id: JobId) -> String {
    format!("{prefix}:r:{id}")
}

fn channel(prefix: &str) -> String {
    format!("{prefix}:done")
}

fn expiration(ttl: Duration) -> Option<Expiration> {
    Some(Expiration::PX(milliseconds(ttl)))
}

/// Redis takes no time to live of zero, and none that ends after its clock does.
fn milliseconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis())
        .unwrap_or(i64::MAX)
        .clamp(1, i64::MAX / 4)
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
