//! Seam between front end and workers: a durable, bounded queue of jobs.
//!
//! In come jobs, out come deliveries, each of which is acknowledged once its outcome is stored, or goes
//! back to the queue. Knows [`Job`] and nothing of pictures, models, results or HTTP.

pub mod amqp;
pub mod sqlite;

use std::num::NonZeroU16;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::job::{Job, JobId, WireError};

/// A durable, bounded queue of jobs.
///
/// Every implementation promises:
/// - A published job is delivered at least once, also after a crash of any process at any moment.
/// - A delivery that is neither acknowledged nor given back returns to the queue when its consumer dies.
/// - The queue never holds more jobs than its limit; what does not fit is refused, never dropped.
/// - What has waited past its deadline is still delivered, be it as [`Standing::Overdue`], by a broker that makes its
///   room free for newer jobs, or as any other job, by one that does not: the result store is the judge of deadlines.
/// - A job whose consumers died with it [`SUSPECT_AFTER`] times is delivered as a suspect: a consumer has one suspect
///   in hand at a time. One that then took [`LIVES`] consumers with it is delivered as condemned.
/// - Lost connections are rebuilt without end, with backoff, and each loss and return is logged.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Puts a job on the queue, which is past its `deadline` after so long. `Ok` means that it is durable. Dropping the
    /// future may leave it queued.
    async fn publish(&self, job: &Job, deadline: Duration, confirm: Confirm) -> Result<(), PublishError>;

    /// Starts taking jobs, at most `prefetch` of which are in hand at any time.
    async fn consume(&self, prefetch: NonZeroU16) -> Result<Consumer, BrokerError>;

    /// How many jobs wait for a worker.
    async fn backlog(&self) -> Result<u64, BrokerError>;

    /// Whether the queue can take a job now: for readiness, in bounded time.
    async fn check(&self) -> Result<(), BrokerError>;

    /// For how long the job has waited that waits longest, by the time in its id; none if nothing waits, or if the
    /// queue does not tell.
    async fn oldest(&self) -> Result<Option<Duration>, BrokerError> {
        Ok(None)
    }

    /// How often a lost connection was rebuilt.
    fn reconnects(&self) -> u64 {
        0
    }

    /// What it is, by name and version, for a person; none if it does not say.
    fn server(&self) -> Option<String> {
        None
    }

    /// What was buried, oldest first: at most [`GRAVES`] jobs, and whoever buries more forgets the oldest.
    async fn buried(&self) -> Result<Vec<Buried>, BrokerError>;

    /// Forgets these buried jobs. True if all were there.
    async fn exhume(&self, ids: &[JobId]) -> Result<bool, BrokerError>;

    /// Lets publishes in flight finish, then disconnects, in bounded time.
    async fn close(&self);
}

/// When a publisher needs to know that its job is durable. Workers may take the job before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// As soon as it is.
    AtOnce,
    /// Some milliseconds later will do, if that saves work: whoever waits for the outcome mostly has it before.
    Soon,
}

/// How many consumers must have died with a job in hand before it is under suspicion. Whoever dies takes all along
/// that it has in hand: the first deaths of a job say little.
pub const SUSPECT_AFTER: u32 = 2;
/// How many consumers a suspect may take along. More than one, since a consumer may also die of another job that it had
/// in hand beside the suspect, or of a power failure.
pub const LIVES: u32 = 4;
/// How many buried jobs are kept for the operator.
pub const GRAVES: u32 = 10_000;

/// What a broker makes of a job, mostly by how many consumers died with it in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not more than may happen to any job.
    Clear,
    /// It may kill its worker: ask about it alone.
    Suspect,
    /// It has had its chances: it must end as a failure, without being asked about.
    Condemned,
    /// It waited past its deadline: it must end as expired, without being asked about.
    Overdue,
}

/// A job that was taken off the queue without an answer from a model, for the operator to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buried {
    /// The job's id.
    pub id: JobId,
    /// Its wire form, or what was in its place.
    pub body: Vec<u8>,
    /// Why: one sentence.
    pub reason: String,
}

/// What every broker is opened with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of the queue; systems that share a broker take different names.
    pub queue: String,
    /// How many jobs may wait; more are refused.
    pub queue_limit: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue: "mnistq".to_owned(),
            queue_limit: 100_000,
        }
    }
}

/// Why a job was not published, by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The queue holds as many jobs as it may; nothing was queued: ask the client to come back.
    #[error("the queue is full")]
    Full,
    /// Nothing was queued.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// No confirmation came in time: the job may have been queued, and may yet be answered.
    #[error("the broker did not confirm in time")]
    Unconfirmed,
}

/// Why a broker can't be used, by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It does not answer now; it may later.
    #[error("the broker at {address} can't be reached")]
    Unavailable {
        /// Where, without its password.
        address: String,
        /// What happened.
        source: Cause,
    },
    /// It answers, and refuses: a wrong password, a queue of the same name with other settings, a damaged
    /// file. Trying again will not help.
    #[error("the broker at {address} refuses to work with us")]
    Refused {
        /// Where, without its password.
        address: String,
        /// What happened.
        source: Cause,
    },
}

/// What lies below an error of a seam.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Jobs as they come, from one subscription that outlives lost connections.
///
/// Dropping it stops the subscription and gives back what it holds.
#[derive(Debug)]
pub struct Consumer {
    deliveries: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
    pump: JoinHandle<Result<(), BrokerError>>,
}

impl Consumer {
    /// Wraps a pump: the task that feeds `deliveries` and settles them, until `stop` is cancelled or every
    /// receiver is gone, and which ends once each receipt handed out is settled.
    #[must_use]
    pub fn new(
        deliveries: mpsc::Receiver<Delivery>,
        stop: CancellationToken,
        pump: JoinHandle<Result<(), BrokerError>>,
    ) -> Self {
        Self {
            deliveries,
            stop,
            pump,
        }
    }

    /// The next delivery; waits for one. `None` only when the subscription has ended for good: then
    /// [`Consumer::close`] tells why. Cancel-safe.
    pub async fn receive(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// A delivery that is here already.
    pub fn try_receive(&mut self) -> Option<Delivery> {
        self.deliveries.try_recv().ok()
    }

    /// Stops the subscription: gives back what was not received, waits until all deliveries in hand are
    /// settled and their settlement has reached the broker.
    ///
    /// # Errors
    /// Why the subscription had ended by itself, if it had.
    pub async fn close(mut self) -> Result<(), BrokerError> {
        self.stop.cancel();
        self.deliveries.close();
        while self.deliveries.recv().await.is_some() {}
        match (&mut self.pump).await {
            Ok(result) => result,
            Err(failure) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One job in hand. Dropped without [`Delivery::ack`], it goes back to the queue.
#[derive(Debug)]
pub struct Delivery {
    /// The job's id, which is known even when the job can't be read.
    pub id: JobId,
    /// The job, or why its bytes are none: then it must end as a failure.
    pub job: Result<Job, WireError>,
    /// How often it was in hand before, as far as the broker knows.
    pub redeliveries: u32,
    /// What the broker makes of that.
    pub standing: Standing,
    receipt: Receipt,
}

impl Delivery {
    /// A first delivery, of which `receipt` tells how it ended.
    #[must_use]
    pub fn new(id: JobId, job: Result<Job, WireError>, receipt: Receipt) -> Self {
        Self {
            id,
            job,
            redeliveries: 0,
            standing: Standing::Clear,
            receipt,
        }
    }

    /// The same after it was in hand before.
    #[must_use]
    pub fn again(self, redeliveries: u32, standing: Standing) -> Self {
        Self {
            redeliveries,
            standing,
            ..self
        }
    }

    /// Takes the job off the queue: its outcome is stored. Lost if the connection is lost at this moment;
    /// then the job comes again.
    pub fn ack(mut self) {
        self.receipt.settle(Settlement::Acked);
    }

    /// As [`Delivery::ack`], and keeps the job for the operator, with the reason.
    pub fn bury(mut self, reason: String) {
        self.receipt.settle(Settlement::Buried(reason));
    }
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Its outcome is stored: take it off the queue.
    Acked,
    /// The same, and the job is kept for the operator, for this reason.
    Buried(String),
    /// It goes back to the queue.
    Returned,
}

/// Tells the pump that made a delivery how it ended, exactly once.
#[derive(Debug)]
pub struct Receipt {
    tag: u64,
    settlements: Option<mpsc::UnboundedSender<(u64, Settlement)>>,
}

impl Receipt {
    /// A receipt by which the pump knows the delivery as `tag`. The channel's room is bounded by the
    /// prefetch. A new connection takes a new channel, so that a late receipt can't settle another's tag.
    #[must_use]
    pub fn new(tag: u64, settlements: mpsc::UnboundedSender<(u64, Settlement)>) -> Self {
        Self {
            tag,
            settlements: Some(settlements),
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        if let Some(settlements) = self.settlements.take() {
            // A pump that is gone has lost its connection: the broker gives the job to another.
            let _ = settlements.send((self.tag, settlement));
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(Settlement::Returned);
    }
}
