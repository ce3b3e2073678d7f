//! The embedded broker: a table of jobs in the database file, shared by the processes of one machine.
//!
//! Publishing is a durable insert; taking marks a row with its owner; acknowledging deletes it. No clock
//! decides anything: a consumer that stops raising its beat loses what it has in hand (see `consumer`).

mod consumer;

use std::num::NonZeroU16;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Broker, BrokerError, Buried, Confirm, Consumer, PublishError, Settings};
use crate::database::{Database, DatabaseError};
use crate::job::{Job, JobId};
use consumer::{Pump, count_waiting};

/// How long a consumer's beat may stand still before its jobs return to the queue. Long enough for a machine
/// that swaps, short enough that a crashed worker's jobs are not missed.
pub const LEASE: Duration = Duration::from_secs(5);

/// A queue in a database file.
pub struct SqliteBroker {
    database: Database,
    queue_limit: u32,
    lease: Duration,
}

impl SqliteBroker {
    /// The queue in this database. The queue's name does not matter: a file holds one queue.
    #[must_use]
    pub fn new(database: Database, settings: &Settings) -> Self {
        Self {
            database,
            queue_limit: settings.queue_limit,
            lease: LEASE,
        }
    }

    /// The same with another lease, for tests that don't want to wait for [`LEASE`].
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    async fn publish(&self, job: &Job, _: Duration, confirm: Confirm) -> Result<(), PublishError> {
        let (id, body, limit) = (*job.id.as_bytes(), job.encode(), self.queue_limit);
        let trace = job.trace.map(|trace| trace.to_string());
        let insert = move |connection: &Connection| {
            let statement = "INSERT INTO jobs (id, body, trace)
                SELECT ?1, ?2, ?3 WHERE (SELECT waiting FROM backlog) < ?4";
            connection
                .prepare_cached(statement)?
                .execute(params![id, body, trace, limit])
        };
        let inserted = match confirm {
            Confirm::AtOnce => self.database.write_durably(insert).await,
            Confirm::Soon => self.database.write_soon_durably(insert).await,
        };
        match inserted {
            Ok(0) => Err(PublishError::Full),
            Ok(_) => Ok(()),
            // Workers see it already.
            Err(DatabaseError::Unflushed { .. }) => Err(PublishError::Unconfirmed),
            Err(error) => Err(BrokerError::from(error).into()),
        }
    }

    async fn consume(&self, prefetch: NonZeroU16) -> Result<Consumer, BrokerError> {
        let (deliveries, received) = mpsc::channel(prefetch.get().into());
        let stop = CancellationToken::new();
        let pump = Pump::register(self.database.clone(), self.lease, deliveries).await?;
        let running = tokio::spawn(pump.run(prefetch.get().into(), stop.clone()));
        Ok(Consumer::new(received, stop, running))
    }

    async fn backlog(&self) -> Result<u64, BrokerError> {
        Ok(self.database.read(count_waiting)?.unsigned_abs())
    }

    async fn oldest(&self) -> Result<Option<Duration>, BrokerError> {
        let first = "SELECT id FROM jobs WHERE owner IS NULL ORDER BY seq LIMIT 1";
        let id = self.database.read(|connection| {
            let mut statement = connection.prepare_cached(first)?;
            statement.query_row([], |row| row.get::<_, Vec<u8>>(0)).optional()
        })?;
        Ok(id.and_then(|id| JobId::from_bytes(&id)).map(|id| id.age()))
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.backlog().await.map(drop)
    }

    fn server(&self) -> Option<String> {
        Some(format!("SQLite {}", rusqlite::version()))
    }

    async fn buried(&self) -> Result<Vec<Buried>, BrokerError> {
        let rows = self.database.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT id, body, reason FROM buried ORDER BY seq")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<Vec<(Vec<u8>, _, _)>>>()
        })?;
        let buried = rows.into_iter().filter_map(|(id, body, reason)| {
            let id = JobId::from_bytes(&id)?;
            Some(Buried { id, body, reason })
        });
        Ok(buried.collect())
    }

    async fn exhume(&self, ids: &[JobId]) -> Result<bool, BrokerError> {
        let ids = ids.to_vec();
        let forget = move |connection: &Connection| {
            let mut statement = connection.prepare_cached("DELETE FROM buried WHERE id = ?1")?;
            let mut all = true;
            for id in &ids {
                all &= statement.execute([id.as_bytes()])? > 0;
            }
            Ok(all)
        };
        Ok(self.database.write_durably(forget).await?)
    }

    async fn close(&self) {}
}

impl From<DatabaseError> for BrokerError {
    fn from(error: DatabaseError) -> Self {
        let address = error.address();
        match error {
            DatabaseError::Full { .. }
            | DatabaseError::Unavailable { .. }
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
