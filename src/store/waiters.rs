//! Who waits for which outcome.
//!
//! A thousand waiters are woken by one task of their store, each only for its own job. Knows ids, and neither
//! outcomes nor how a store learns that there is one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::job::JobId;

/// All who wait, by what they wait for.
#[derive(Default)]
pub struct Waiters {
    waiting: Mutex<HashMap<JobId, Arc<Notify>>>,
}

/// One who waits; leaves when dropped.
pub struct Waiter<'a> {
    waiters: &'a Waiters,
    id: JobId,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Registers one who waits for the outcome of this job.
    pub fn register(&self, id: JobId) -> Waiter<'_> {
        let notify = Arc::clone(self.lock().entry(id).or_default());
        Waiter {
            waiters: self,
            id,
            notify,
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Wakes those who wait for one of these jobs.
    pub fn wake(&self, ids: impl IntoIterator<Item = JobId>) {
        let waiting = self.lock();
        for id in ids {
            if let Some(notify) = waiting.get(&id) {
                notify.notify_waiters();
            }
        }
    }

    /// Wakes all, after a time in which a wake-up may have been missed.
    pub fn wake_all(&self) {
        self.lock().values().for_each(|notify| notify.notify_waiters());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Ends at the next wake-up after this call, even if it is awaited later.
    pub fn woken(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        // The map's own and this one: nobody else waits for it.
        if Arc::strong_count(&self.notify) == 2 {
            waiting.remove(&self.id);
        }
    }
}
