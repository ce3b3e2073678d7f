//! Ordered calls in the database file.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, expiry, now_ms};
use crate::job::JobId;
use crate::store::StoreError;
use crate::store::outbox::{Callback, Outbox};

#[async_trait]
impl Outbox for SqliteStore {
    async fn order(&self, callback: &Callback) -> Result<(), StoreError> {
        let Callback { id, url, .. } = callback.clone();
        let order = move |connection: &Connection| {
            let statement = "INSERT INTO callbacks (id, url, attempts, due_ms) VALUES (?1, ?2, 0, ?3)
                ON CONFLICT DO NOTHING";
            connection
                .prepare_cached(statement)?
                .execute(params![id.as_bytes(), url, now_ms()])
        };
        Ok(self.database.write(order).await.map(drop)?)
    }

    async fn take_due(&self, most: usize, lease: Duration) -> Result<Vec<Callback>, StoreError> {
        let due = |connection: &Connection| {
            let statement = "SELECT EXISTS (SELECT 1 FROM callbacks WHERE due_ms <= ?1)";
            connection
                .prepare_cached(statement)?
                .query_row([now_ms()], |row| row.get(0))
        };
        // Most looks find nothing, and need not write.
        if !self.database.read(due)? {
            return Ok(Vec::new());
        }
        let take = move |connection: &Connection| {
            let statement = "UPDATE callbacks SET due_ms = ?1 WHERE id IN
                (SELECT id FROM callbacks WHERE due_ms <= ?2 ORDER BY due_ms LIMIT ?3)
                RETURNING id, url, attempts, body";
            let mut statement = connection.prepare_cached(statement)?;
            let rows = statement.query_map(params![expiry(lease), now_ms(), most as i64], callback)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(self.database.write(take).await?.into_iter().flatten().collect())
    }

    async fn postpone(&self, callback: &Callback, pause: Duration) -> Result<(), StoreError> {
        let Callback {
            id, attempts, body, ..
        } = callback.clone();
        let postpone = move |connection: &Connection| {
            let statement = "UPDATE callbacks SET attempts = ?2, body = ?3, due_ms = ?4 WHERE id = ?1";
            connection.prepare_cached(statement)?.execute(params![
                id.as_bytes(),
                attempts,
                body,
                expiry(pause)
            ])
        };
        Ok(self.database.write(postpone).await.map(drop)?)
    }

    async fn settle(&self, id: JobId) -> Result<(), StoreError> {
        let settle = move |connection: &Connection| {
            let statement = "DELETE FROM callbacks WHERE id = ?1";
            connection.prepare_cached(statement)?.execute([id.as_bytes()])
        };
        Ok(self.database.write(settle).await.map(drop)?)
    }
}

/// None if the id is none of ours.
fn callback(row: &Row<'_>) -> rusqlite::Result<Option<Callback>> {
    let id: Vec<u8> = row.get(0)?;
    let Some(id) = JobId::from_bytes(&id) else {
        return Ok(None);
    };
    Ok(Some(Callback {
        id,
        url: row.get(1)?,
        attempts: row.get(2)?,
        body: row.get(3)?,
    }))
}
