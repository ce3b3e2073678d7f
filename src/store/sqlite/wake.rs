//! Wakes those who wait for an outcome, with the commit that stores it: one query a commit, however many wait.
//!
//! What can't be read is left to them: they look, and are told what is wrong.

use std::sync::Weak;

use rusqlite::Connection;

use super::super::waiters::Waiters;
use crate::database::Database;
use crate::job::{JobId, Outcome};

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
        match database.read(|connection| finished_since(connection, last, &waiters)) {
            Ok((newest, finished)) => {
                last = Some(newest);
                match finished {
                    Some(finished) => waiters.wake(finished),
                    None => waiters.wake_all(),
                }
            }
            Err(error) => tracing::warn!("waiting clients are not woken: {error}"),
        }
    }
}

type Told = Vec<(JobId, Option<Outcome>)>;

/// The newest number, and what somebody waits for of what was stored after `last`; without a `last`, any may have been.
fn finished_since(
    connection: &Connection,
    last: Option<i64>,
    waiters: &Waiters,
) -> rusqlite::Result<(i64, Option<Told>)> {
    let newest = connection
        .prepare_cached("SELECT last FROM finishes")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    let Some(last) = last else {
        return Ok((newest, None));
    };
    let mut statement = connection
        .prepare_cached("SELECT id, outcome FROM results WHERE finished > ?1 AND finished <= ?2")?;
    let mut rows = statement.query([last, newest])?;
    let mut told = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_blob().ok().and_then(JobId::from_bytes);
        for id in waiters.among(id) {
            let stored = row.get_ref(1)?.as_bytes().ok();
            told.push((id, stored.and_then(|stored| Outcome::decode(stored).ok())));
        }
    }
    Ok((newest, Some(told)))
}
