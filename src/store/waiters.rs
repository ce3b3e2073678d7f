//! Who waits for which outcome.
//!
//! A thousand waiters are woken by one task of their store, each only for its own job, and with its outcome if the task
//! has it. Knows nothing of how a store learns that there is one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout_at};

use super::{Entry, First, ResultStore, StoreError};
use crate::job::{JobId, Outcome};

/// All who wait, by what they wait for.
#[derive(Default)]
pub struct Waiters {
    waiting: Mutex<HashMap<JobId, Arc<Awaited>>>,
}

/// A job's outcome, once it is told.
#[derive(Default)]
struct Awaited {
    notify: Notify,
    outcome: OnceLock<Outcome>,
}

/// One who waits; leaves when dropped.
struct Waiter<'a> {
    waiters: &'a Waiters,
    id: JobId,
    awaited: Arc<Awaited>,
}

/// How somebody waits.
pub struct Patience {
    /// How long at most.
    pub limit: Duration,
    /// How it begins.
    pub first: First,
    /// First and longest pause after which a waiter looks by itself.
    pub looks: (Duration, Duration),
}

impl Waiters {
    /// What the store knows of a job once it is finished, or unknown, or after the limit.
    pub async fn wait(
        &self,
        id: JobId,
        patience: Patience,
        store: &impl ResultStore,
    ) -> Result<Option<Entry>, StoreError> {
        let deadline = Instant::now() + patience.limit;
        let waiter = self.register(id);
        let mut pause = patience.looks.0;
        let mut look = patience.first == First::Look;
        loop {
            let woken = waiter.woken();
            if let Some(outcome) = waiter.told() {
                return Ok(Some(Entry::Finished(outcome)));
            }
            if look {
                let known = store.fetch(id).await?;
                if known != Some(Entry::Queued) || Instant::now() >= deadline {
                    return Ok(known);
                }
            }
            look = true;
            let _ = timeout_at(deadline.min(Instant::now() + pause), woken).await;
            pause = (pause * 2).min(patience.looks.1);
        }
    }

    /// Registers one who waits for the outcome of this job.
    fn register(&self, id: JobId) -> Waiter<'_> {
        let awaited = Arc::clone(self.lock().entry(id).or_default());
        Waiter {
            waiters: self,
            id,
            awaited,
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Those of these jobs that somebody waits for.
    pub fn among(&self, ids: impl IntoIterator<Item = JobId>) -> Vec<JobId> {
        let waiting = self.lock();
        ids.into_iter().filter(|id| waiting.contains_key(id)).collect()
    }

    /// Wakes those who wait for one of these jobs: with its outcome, or to look for it.
    pub fn wake(&self, jobs: impl IntoIterator<Item = (JobId, Option<Outcome>)>) {
        let waiting = self.lock();
        for (id, outcome) in jobs {
            if let Some(awaited) = waiting.get(&id) {
                if let Some(outcome) = outcome {
                    // It never changes: an earlier one is the same.
                    let _ = awaited.outcome.set(outcome);
                }
                awaited.notify.notify_waiters();
            }
        }
    }

    /// Wakes all, after a time in which a wake-up may have been missed.
    pub fn wake_all(&self) {
        let waiting = self.lock();
        waiting
            .values()
            .for_each(|awaited| awaited.notify.notify_waiters());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Awaited>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Ends at the next wake-up after this call, even if it is awaited later.
    fn woken(&self) -> Notified<'_> {
        self.awaited.notify.notified()
    }

    /// The outcome, if it came with a wake-up.
    fn told(&self) -> Option<Outcome> {
        self.awaited.outcome.get().cloned()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        // The map's own and this one: nobody else waits for it.
        if Arc::strong_count(&self.awaited) == 2 {
            waiting.remove(&self.id);
        }
    }
}
