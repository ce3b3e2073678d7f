//! The embedded store: a table of reservations and outcomes in the database file.
//!
//! The first outcome wins inside one transaction. Whoever waits for an outcome is woken by the commit that
//! stores it, in this process or in another. Times are those of the machine's clock, which all its processes share.

mod outbox;
mod wake;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::time::sleep;

use super::waiters::{Patience, Waiters};
use super::{Claim, Entry, Finished, First, Reservation, ResultStore, Settings, StoreError};
use crate::database::{Database, DatabaseError};
use crate::job::{JobId, Outcome};

/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_secs(10);
/// How often a waiter looks by itself: a deadline passes without a commit.
const LOOK: Duration = Duration::from_secs(1);
/// Rows removed in one transaction, so that nobody waits long for one.
const SWEPT_AT_ONCE: usize = 1000;

/// A result store in a database file.
pub struct SqliteStore {
    database: Database,
    waiters: Arc<Waiters>,
}

impl SqliteStore {
    /// The store in this database. The prefix does not matter: a file holds one store. Starts the tasks that
    /// wake waiters and remove what has expired, which end with it; so it must be called within a runtime.
    #[must_use]
    pub fn new(database: Database, _: &Settings) -> Self {
        let waiters = Arc::new(Waiters::default());
        tokio::spawn(wake::run(database.clone(), Arc::downgrade(&waiters)));
        let (swept, alive) = (database.clone(), Arc::downgrade(&waiters));
        tokio::spawn(async move {
            while alive.strong_count() > 0 {
                sweep(&swept).await;
                sleep(SWEEP).await;
            }
        });
        Self { database, waiters }
    }
}

#[async_trait]
impl ResultStore for SqliteStore {
    async fn reserve(&self, reservation: &Reservation) -> Result<(), StoreError> {
        let Reservation {
            id,
            deadline,
            ttl,
            owner,
        } = reservation.clone();
        let (overdue, expires) = (expiry(deadline), expiry(deadline.saturating_add(ttl)));
        let reserve = move |connection: &Connection| {
            let statement = "INSERT INTO results (id, owner, deadline_ms, expires_ms) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT DO NOTHING";
            connection
                .prepare_cached(statement)?
                .execute(params![id.as_bytes(), owner, overdue, expires])
        };
        Ok(self.database.write(reserve).await.map(drop)?)
    }

    async fn owner(&self, id: JobId) -> Result<Option<String>, StoreError> {
        let find = |connection: &Connection| {
            connection
                .prepare_cached("SELECT owner FROM results WHERE id = ?1 AND expires_ms > ?2")?
                .query_row(params![id.as_bytes(), now_ms()], |row| row.get(0))
                .optional()
        };
        Ok(self.database.read(find)?.flatten())
    }

    async fn claim(&self, key: &str, claim: Claim, ttl: Duration) -> Result<Claim, StoreError> {
        let (key, stored, expires) = (key.to_owned(), claim.encode(), expiry(ttl));
        let claimed = move |connection: &Connection| {
            let insert = "INSERT INTO claims (key, claim, expires_ms) VALUES (?1, ?2, ?3)
                ON CONFLICT (key) DO UPDATE SET claim = excluded.claim, expires_ms = excluded.expires_ms
                WHERE claims.expires_ms <= ?4";
            connection
                .prepare_cached(insert)?
                .execute(params![key, stored, expires, now_ms()])?;
            connection
                .prepare_cached("SELECT claim FROM claims WHERE key = ?1")?
                .query_row([&key], |row| row.get::<_, Vec<u8>>(0))
        };
        let held = self.database.write(claimed).await?;
        Ok(Claim::decode(&held).unwrap_or(claim))
    }

    async fn release(&self, id: JobId) -> Result<(), StoreError> {
        let release = move |connection: &Connection| {
            let statement = "DELETE FROM results WHERE id = ?1 AND outcome IS NULL";
            connection.prepare_cached(statement)?.execute([id.as_bytes()])
        };
        Ok(self.database.write(release).await.map(drop)?)
    }

    async fn finish(&self, finished: &[Finished]) -> Vec<Result<(), StoreError>> {
        let rows: Vec<_> = finished
            .iter()
            .map(|finished| {
                (
                    *finished.id.as_bytes(),
                    finished.outcome.encode(),
                    expiry(finished.ttl),
                )
            })
            .collect();
        // Durable, since the acknowledgement that follows may go to a broker elsewhere.
        let stored = self
            .database
            .write_durably(move |connection| insert_outcomes(connection, &rows))
            .await;
        finished
            .iter()
            .map(|_| stored.clone().map_err(StoreError::from))
            .collect()
    }

    async fn fetch_all(&self, ids: &[JobId]) -> Result<Vec<Option<Entry>>, StoreError> {
        let now = now_ms();
        let found = self.database.read(|connection| find(connection, ids, now))?;
        let overdue = found.iter().zip(ids).filter_map(|(found, id)| match found {
            Some(Found {
                outcome: None,
                deadline_ms: Some(deadline_ms),
                expires_ms,
            }) if *deadline_ms <= now => Some((*id.as_bytes(), Outcome::Expired.encode(), *expires_ms)),
            _ => None,
        });
        let overdue: Vec<Row> = overdue.collect();
        if overdue.is_empty() {
            return found.into_iter().map(|found| self.entry(found)).collect();
        }
        // Told only once it is stored: an answer of the model may have come first.
        self.database
            .write_durably(move |connection| insert_outcomes(connection, &overdue))
            .await?;
        let found = self.database.read(|connection| find(connection, ids, now))?;
        found.into_iter().map(|found| self.entry(found)).collect()
    }

    async fn wait(&self, id: JobId, limit: Duration, first: First) -> Result<Option<Entry>, StoreError> {
        let patience = Patience {
            limit,
            first,
            looks: (LOOK, LOOK),
        };
        self.waiters.wait(id, patience, self).await
    }

    async fn erase(&self, id: JobId) -> Result<bool, StoreError> {
        let erase = move |connection: &Connection| {
            let statement = "DELETE FROM results WHERE id = ?1 AND expires_ms > ?2";
            connection
                .prepare_cached(statement)?
                .execute(params![id.as_bytes(), now_ms()])
        };
        Ok(self.database.write(erase).await? > 0)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let probe = |connection: &Connection| {
            connection
                .prepare_cached("SELECT last FROM finishes")?
                .query_row([], |row| row.get::<_, i64>(0))
        };
        Ok(self.database.read(probe).map(drop)?)
    }

    fn server(&self) -> Option<String> {
        Some(format!("SQLite {}", rusqlite::version()))
    }

    async fn close(&self) {}
}

/// A row of a job that is known.
struct Found {
    outcome: Option<Vec<u8>>,
    deadline_ms: Option<i64>,
    expires_ms: i64,
}

impl SqliteStore {
    fn entry(&self, found: Option<Found>) -> Result<Option<Entry>, StoreError> {
        match found {
            None => Ok(None),
            Some(Found { outcome: None, .. }) => Ok(Some(Entry::Queued)),
            Some(Found {
                outcome: Some(stored),
                ..
            }) => match Outcome::decode(&stored) {
                Ok(outcome) => Ok(Some(Entry::Finished(outcome))),
                Err(error) => Err(StoreError::Refused {
                    address: format!("sqlite:{}", self.database.path().display()),
                    source: Box::new(error),
                }),
            },
        }
    }
}

fn find(connection: &Connection, ids: &[JobId], now: i64) -> rusqlite::Result<Vec<Option<Found>>> {
    let statement = "SELECT outcome, deadline_ms, expires_ms FROM results WHERE id = ?1 AND expires_ms > ?2";
    let mut statement = connection.prepare_cached(statement)?;
    let found = ids.iter().map(|id| {
        let row = statement.query_row(params![id.as_bytes(), now], |row| {
            Ok(Found {
                outcome: row.get(0)?,
                deadline_ms: row.get(1)?,
                expires_ms: row.get(2)?,
            })
        });
        row.optional()
    });
    found.collect()
}

type Row = ([u8; 16], Vec<u8>, i64);

fn insert_outcomes(connection: &Connection, rows: &[Row]) -> rusqlite::Result<()> {
    let number = "UPDATE finishes SET last = last + ?1 RETURNING last - ?1";
    let before: i64 = connection
        .prepare_cached(number)?
        .query_row([rows.len() as i64], |row| row.get(0))?;
    // A row that has expired is as good as none.
    let insert = "INSERT INTO results (id, outcome, finished, expires_ms) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (id) DO UPDATE
        SET outcome = excluded.outcome, finished = excluded.finished, expires_ms = excluded.expires_ms
        WHERE results.outcome IS NULL OR results.expires_ms <= ?5";
    let mut insert = connection.prepare_cached(insert)?;
    for ((id, outcome, expires), number) in rows.iter().zip(before + 1..) {
        insert.execute(params![id, outcome, number, expires, now_ms()])?;
    }
    Ok(())
}

async fn sweep(database: &Database) {
    loop {
        let remove = |connection: &Connection| {
            let results = "DELETE FROM results WHERE id IN
                (SELECT id FROM results WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)";
            let claims = "DELETE FROM claims WHERE key IN
                (SELECT key FROM claims WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)";
            let mut most = 0;
            for statement in [results, claims] {
                let mut statement = connection.prepare_cached(statement)?;
                most = statement
                    .execute(params![now_ms(), SWEPT_AT_ONCE as i64])?
                    .max(most);
            }
            Ok(most)
        };
        match database.write(remove).await {
            Ok(removed) if removed == SWEPT_AT_ONCE => {}
            Ok(_) => return,
            Err(error) => return tracing::warn!("expired results stay for now: {error}"),
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn expiry(ttl: Duration) -> i64 {
    now_ms().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        let address = error.address();
        match error {
            DatabaseError::Full { .. } => Self::Full {
                address,
                source: Box::new(error),
            },
            DatabaseError::Unavailable { .. }
            | DatabaseError::Unflushed { .. }
            | DatabaseError::Closed { .. } => Self::Unavailable {
                address,
                source: Box::new(error),
            },
            DatabaseError::Open { .. } | DatabaseError::Damaged { .. } | DatabaseError::Newer { .. } => {
                Self::Refused {
                    address,
                    source: Box::new(error),
                }
            }
        }
    }
}
