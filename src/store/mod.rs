//! Seam between workers and front end: outcomes, kept for a while under their job's id.
//!
//! In come reservations and outcomes, out come entries. Knows [`JobId`] and [`Outcome`], and nothing of
//! queues, pictures, models or HTTP.

pub mod outbox;
pub mod redis;
pub mod sqlite;
mod waiters;

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use crate::job::{JobId, Outcome};

/// Outcomes by job id, each kept until its time to live ends.
///
/// Every implementation promises:
/// - The first outcome of a job wins: later ones change nothing and count as success.
/// - A job that is not finished by its deadline has [`Outcome::Expired`] from then on, whether a worker runs or not.
/// - Every method may be repeated after an error: an unknown result of a write is harmless.
/// - Nothing fails for longer than the server is away; lost connections are rebuilt without end.
#[async_trait]
pub trait ResultStore: Send + Sync {
    /// Notes that an id was issued: it reads as queued until it is finished, or until its deadline, from now on,
    /// has passed. That it expired is told for its time to live after.
    async fn reserve(&self, reservation: &Reservation) -> Result<(), StoreError>;

    /// Whose job it is, as it was reserved; none if it is nobody's, or nothing is known of it.
    async fn owner(&self, id: JobId) -> Result<Option<String>, StoreError>;

    /// Notes what a client's key stands for, for `ttl`. The first claim wins: the answer is the one that holds.
    async fn claim(&self, key: &str, claim: Claim, ttl: Duration) -> Result<Claim, StoreError>;

    /// Takes a reservation back, after the job could not be queued.
    async fn release(&self, id: JobId) -> Result<(), StoreError>;

    /// Stores outcomes in one exchange. The answer has one entry for each of `finished`, in order: only what
    /// is `Ok` is stored (by this call or by an earlier one).
    async fn finish(&self, finished: &[Finished]) -> Vec<Result<(), StoreError>>;

    /// What is known of these jobs, in order, in one exchange; none where nothing is.
    async fn fetch_all(&self, ids: &[JobId]) -> Result<Vec<Option<Entry>>, StoreError>;

    /// What is known of a job; none if nothing is.
    async fn fetch(&self, id: JobId) -> Result<Option<Entry>, StoreError> {
        Ok(self.fetch_all(&[id]).await?.pop().flatten())
    }

    /// As [`ResultStore::fetch`], but while the job is queued, waits until it is finished, at most `limit`.
    async fn wait(&self, id: JobId, limit: Duration, first: First) -> Result<Option<Entry>, StoreError>;

    /// Forgets all about a job. True if something was known.
    async fn erase(&self, id: JobId) -> Result<bool, StoreError>;

    /// Whether results can be stored now: for readiness, in bounded time.
    async fn check(&self) -> Result<(), StoreError>;

    /// How often a lost connection was rebuilt.
    fn reconnects(&self) -> u64 {
        0
    }

    /// What it is, by name and version, for a person; none if it does not say.
    fn server(&self) -> Option<String> {
        None
    }

    /// Disconnects, in bounded time.
    async fn close(&self);
}

/// How a wait begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The job may be finished already, or unknown.
    Look,
    /// The job is reserved, and will be queued only once the wait has been polled: there is nothing to see yet.
    Listen,
}

/// What every store is opened with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Start of every key; systems that share a store take different prefixes.
    pub prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: "mnistq".to_owned(),
        }
    }
}

/// What is noted of a job before it is queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Which.
    pub id: JobId,
    /// How long it may wait for its outcome.
    pub deadline: Duration,
    /// How long its outcome is kept.
    pub ttl: Duration,
    /// Who alone may know of it; none: whoever has its id.
    pub owner: Option<String>,
}

impl Reservation {
    /// Of a job that is nobody's.
    #[must_use]
    pub fn new(id: JobId, deadline: Duration, ttl: Duration) -> Self {
        Self {
            id,
            deadline,
            ttl,
            owner: None,
        }
    }
}

/// What a client's key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub id: JobId,
    /// What was uploaded, by its SHA-256.
    pub fingerprint: [u8; 32],
}

impl Claim {
    /// The stored form: the id's sixteen bytes and the fingerprint.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&self.id.as_bytes()[..], &self.fingerprint].concat()
    }

    /// What a stored form says, if it is one.
    #[must_use]
    pub fn decode(stored: &[u8]) -> Option<Self> {
        let (id, fingerprint) = stored.split_first_chunk::<16>()?;
        Some(Self {
            id: JobId::from_bytes(id)?,
            fingerprint: fingerprint.try_into().ok()?,
        })
    }
}

/// One outcome to store.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Whose.
    pub id: JobId,
    /// What.
    pub outcome: Outcome,
    /// For how long.
    pub ttl: Duration,
}

/// What a store knows of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Issued, and not finished yet.
    Queued,
    /// Finished; this never changes.
    Finished(Outcome),
}

/// Why a store can't be used, by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer now; it may later. A write may have happened all the same.
    #[error("the result store at {address} can't be reached")]
    Unavailable {
        /// Where, without its password.
        address: String,
        /// What happened.
        source: Cause,
    },
    /// It answers, and has no room.
    #[error("the result store at {address} is full")]
    Full {
        /// Where, without its password.
        address: String,
        /// What happened.
        source: Cause,
    },
    /// It answers, and refuses: a wrong password, a damaged file. Trying again will not help.
    #[error("the result store at {address} refuses to work with us")]
    Refused {
        /// Where, without its password.
        address: String,
        /// What happened.
        source: Cause,
    },
}

/// What lies below an error of a seam.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;
