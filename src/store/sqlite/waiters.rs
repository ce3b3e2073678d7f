//! Who waits for which outcome, and the one task that wakes them.
//!
//! A thousand waiters cost one query a commit, not a thousand. Knows ids and numbers, not outcomes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rusqlite::Connection;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::database::Database;
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

/// Wakes those whose outcome was stored, with each commit, until the store is gone.
pub async fn wake(database: Database, waiters: Weak<Waiters>) {
    let mut commits = database.commits();
    // The number of the last outcome looked at; none after a time in which nobody waited.
    let mut last = None;
    while commits.changed().await.is_ok() {
        let Some(waiters) = waiters.upgrade() else { return };
        if waiters.lock().is_empty() {
            last = None;
            continue;
        }
        match database.read(|connection| finished_since(connection, last)) {
            Ok((newest, None)) => {
                last = Some(newest);
                waiters.lock().values().for_each(|notify| notify.notify_waiters());
            }
            Ok((newest, Some(ids))) => {
                last = Some(newest);
                let waiting = waiters.lock();
                ids.iter()
                    .filter_map(|id| waiting.get(id))
                    .for_each(|notify| notify.notify_waiters());
            }
            Err(error) => tracing::warn!("waiting clients are not woken: {error}"),
        }
    }
}

/// The newest number, and the ids of those stored after `last`; without a `last`, any may have been.
fn finished_since(connection: &Connection, last: Option<i64>) -> rusqlite::Result<(i64, Option<Vec<JobId>>)> {
    let newest = connection
        .prepare_cached("SELECT last FROM finishes")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    let Some(last) = last else {
        return Ok((newest, None));
    };
    let mut statement =
        connection.prepare_cached("SELECT id FROM results WHERE finished > ?1 AND finished <= ?2")?;
    let ids = statement.query_map([last, newest], |row| row.get::<_, Vec<u8>>(0))?;
    let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok((
        newest,
        Some(ids.iter().filter_map(|id| JobId::from_bytes(id)).collect()),
    ))
}
