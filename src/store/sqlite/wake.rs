//! Wakes those who wait for an outcome, with the commit that stores it: one query a commit, however many wait.

use std::sync::Weak;

use rusqlite::Connection;

use super::super::waiters::Waiters;
use crate::database::Database;
use crate::job::JobId;

/// Runs until the store is gone.
pub async fn run(database: Database, waiters: Weak<Waiters>) {
    let mut commits = database.commits();
    // The number of the last outcome looked at; none after a time in which nobody waited.
    let mut last = None;
    while commits.changed().await.is_ok() {
        let Some(waiters) = waiters.upgrade() else { return };
        if waiters.is_empty() {
            last = None;
            continue;
        }
        match database.read(|connection| finished_since(connection, last)) {
            Ok((newest, ids)) => {
                last = Some(newest);
                match ids {
                    Some(ids) => waiters.wake(ids),
                    None => waiters.wake_all(),
                }
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
