//! One consumer of the embedded queue: takes rows, hands them out, settles them in batches.
//!
//! Each consumer is a row with a beat that it raises. It also watches the beats of the others on its own
//! monotonic clock: one that stands still for the lease loses its jobs, which return to the queue. A process
//! that was only paused finds its row gone, and starts anew; what it settles late changes nothing.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, Row, params};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::super::{BrokerError, Delivery, GRAVES, LIVES, Receipt, SUSPECT_AFTER, Settlement, Standing};
use crate::database::{Database, DatabaseError};
use crate::job::{Job, JobId, WireError};

/// Beats in a lease: one may be late without harm.
const BEATS: u32 = 5;
/// Settlements in one transaction.
const SETTLED_AT_ONCE: usize = 1024;

/// The task behind a consumer.
pub struct Pump {
    database: Database,
    lease: Duration,
    deliveries: mpsc::Sender<Delivery>,
    owner: i64,
    /// Rows in hand, until their settlement is written.
    in_hand: usize,
    receipts: mpsc::UnboundedSender<(u64, Settlement)>,
    settlements: mpsc::UnboundedReceiver<(u64, Settlement)>,
    /// Settled, and not written yet: more than one batch only while the database is away.
    unwritten: Vec<(u64, Settlement)>,
    /// Beats of the others, and since when they are as they are.
    beats: HashMap<i64, (i64, Instant)>,
}

/// A row that was taken.
struct Taken {
    seq: i64,
    id: Vec<u8>,
    body: Vec<u8>,
    deliveries: u32,
    deaths: u32,
    trace: Option<String>,
}

impl Taken {
    /// The job, with what came beside it.
    fn job(&self) -> Result<Job, WireError> {
        let trace = self.trace.as_ref().and_then(|trace| trace.parse().ok());
        Job::decode(&self.body).map(|job| Job { trace, ..job })
    }

    fn standing(&self) -> Standing {
        match self.deaths {
            deaths if deaths < SUSPECT_AFTER => Standing::Clear,
            deaths if deaths < SUSPECT_AFTER + LIVES => Standing::Suspect,
            _ => Standing::Condemned,
        }
    }
}

impl Pump {
    /// Registers a consumer that hands its jobs to `deliveries`.
    pub async fn register(
        database: Database,
        lease: Duration,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self, DatabaseError> {
        let owner = database.write(insert_consumer).await?;
        let (receipts, settlements) = mpsc::unbounded_channel();
        Ok(Self {
            database,
            lease,
            deliveries,
            owner,
            in_hand: 0,
            receipts,
            settlements,
            unwritten: Vec::new(),
            beats: HashMap::new(),
        })
    }

    /// Runs until it is stopped and nothing is in hand any more. A database that is away is tried again.
    pub async fn run(mut self, prefetch: usize, stop: CancellationToken) -> Result<(), BrokerError> {
        let mut commits = self.database.commits();
        let mut beat = interval(self.lease / BEATS);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if stop.is_cancelled() {
                if self.in_hand == 0 {
                    return survive(self.leave().await);
                }
            } else {
                commits.mark_unchanged();
                survive(self.take(prefetch).await)?;
            }
            tokio::select! {
                _ = self.settlements.recv_many(&mut self.unwritten, SETTLED_AT_ONCE) => {
                    survive(self.settle().await)?;
                }
                _ = beat.tick() => {
                    survive(self.beat().await)?;
                    survive(self.settle().await)?;
                }
                changed = commits.changed() => if changed.is_err() {
                    return Err(DatabaseError::Closed { path: self.database.path().to_owned() }.into());
                },
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Takes what waits, as much as there is room for, in the order of arrival.
    async fn take(&mut self, prefetch: usize) -> Result<(), DatabaseError> {
        // Deliveries of a lost lease may still fill the channel.
        let room = prefetch
            .saturating_sub(self.in_hand)
            .min(self.deliveries.capacity());
        if room == 0 || self.database.read(count_waiting)? == 0 {
            return Ok(());
        }
        let owner = self.owner;
        let mut rows = self
            .database
            .write(move |connection| take_rows(connection, owner, room))
            .await?;
        // SQLite returns updated rows in any order. A suspect goes first: then no death but its own is counted.
        rows.sort_unstable_by_key(|row| (row.deaths < SUSPECT_AFTER, row.seq));
        for row in rows {
            let Some(id) = JobId::from_bytes(&row.id) else {
                tracing::error!(
                    seq = row.seq,
                    "a job without an id: it stays in hand until this process ends"
                );
                continue;
            };
            self.in_hand += 1;
            let receipt = Receipt::new(row.seq.unsigned_abs(), self.receipts.clone());
            let delivery = Delivery::new(id, row.job(), receipt).again(row.deliveries, row.standing());
            // A receiver that is gone drops it, which settles it as returned.
            let _ = self.deliveries.try_send(delivery);
        }
        Ok(())
    }

    /// Writes all settlements in one transaction. On an error they are kept for the next time.
    async fn settle(&mut self) -> Result<(), DatabaseError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let (owner, settled) = (self.owner, self.unwritten.clone());
        self.database
            .write(move |connection| settle_rows(connection, owner, &settled))
            .await?;
        self.in_hand = self.in_hand.saturating_sub(self.unwritten.len());
        self.unwritten.clear();
        Ok(())
    }

    /// Raises the beat, and returns the jobs of consumers whose beat stands still.
    async fn beat(&mut self) -> Result<(), DatabaseError> {
        let owner = self.owner;
        let Some(others) = self
            .database
            .write(move |connection| raise_beat(connection, owner))
            .await?
        else {
            return self.start_anew().await;
        };
        let now = Instant::now();
        self.beats
            .retain(|owner, _| others.iter().any(|(other, _)| other == owner));
        for (other, beat) in others {
            let seen = self.beats.entry(other).or_insert((beat, now));
            if seen.0 != beat {
                *seen = (beat, now);
            } else if now.duration_since(seen.1) >= self.lease {
                let returned = self
                    .database
                    .write(move |connection| evict(connection, other, beat))
                    .await?;
                if let Some(jobs) = returned {
                    tracing::warn!(
                        consumer = other,
                        jobs,
                        "a consumer died: its jobs return to the queue"
                    );
                }
            }
        }
        Ok(())
    }

    /// After a pause longer than the lease: what was in hand belongs to others.
    async fn start_anew(&mut self) -> Result<(), DatabaseError> {
        tracing::warn!(
            jobs = self.in_hand,
            "paused for too long: what was in hand has returned to the queue"
        );
        self.owner = self.database.write(insert_consumer).await?;
        (self.receipts, self.settlements) = mpsc::unbounded_channel();
        self.unwritten.clear();
        self.in_hand = 0;
        Ok(())
    }

    async fn leave(&self) -> Result<(), DatabaseError> {
        let owner = self.owner;
        let leave = "DELETE FROM consumers WHERE owner = ?1";
        self.database
            .write(move |connection| connection.execute(leave, [owner]))
            .await
            .map(drop)
    }
}

/// Goes on after an error that may pass: the jobs are safe meanwhile, and the next beat tries again.
fn survive(result: Result<(), DatabaseError>) -> Result<(), BrokerError> {
    match result {
        Err(error @ (DatabaseError::Full { .. } | DatabaseError::Unavailable { .. })) => {
            tracing::warn!("the queue does not work, trying again: {error}");
            Ok(())
        }
        result => Ok(result?),
    }
}

fn insert_consumer(connection: &Connection) -> rusqlite::Result<i64> {
    connection.execute("INSERT INTO consumers DEFAULT VALUES", [])?;
    Ok(connection.last_insert_rowid())
}

pub fn count_waiting(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT waiting FROM backlog")?
        .query_row([], |row| row.get(0))
}

/// Takes a suspect, if there is one and this consumer has none, and what else waits.
fn take_rows(connection: &Connection, owner: i64, most: usize) -> rusqlite::Result<Vec<Taken>> {
    const {
        assert!(SUSPECT_AFTER == 2, "the statements here and an index say so");
    }
    let suspect = "UPDATE jobs SET owner = ?1
        WHERE seq IN (SELECT seq FROM jobs WHERE owner IS NULL AND deaths >= 2 ORDER BY seq LIMIT 1)
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE owner = ?1 AND deaths >= 2)
        RETURNING seq, id, body, deliveries, deaths, trace";
    let clear = "UPDATE jobs SET owner = ?1
        WHERE seq IN (SELECT seq FROM jobs WHERE owner IS NULL AND deaths < 2 ORDER BY seq LIMIT ?2)
        RETURNING seq, id, body, deliveries, deaths, trace";
    let taken = |row: &Row<'_>| {
        Ok(Taken {
            seq: row.get(0)?,
            id: row.get(1)?,
            body: row.get(2)?,
            deliveries: row.get(3)?,
            deaths: row.get(4)?,
            trace: row.get(5)?,
        })
    };
    let mut suspect = connection.prepare_cached(suspect)?;
    let mut rows = suspect
        .query_map([owner], taken)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut clear = connection.prepare_cached(clear)?;
    let room = most.saturating_sub(rows.len());
    for row in clear.query_map(params![owner, room as i64], taken)? {
        rows.push(row?);
    }
    Ok(rows)
}

/// Only rows that still have this owner: a lease that was lost settles nothing.
fn settle_rows(connection: &Connection, owner: i64, settled: &[(u64, Settlement)]) -> rusqlite::Result<()> {
    let mut acked = connection.prepare_cached("DELETE FROM jobs WHERE seq = ?1 AND owner = ?2")?;
    let returned = "UPDATE jobs SET owner = NULL, deliveries = deliveries + 1 WHERE seq = ?1 AND owner = ?2";
    let mut returned = connection.prepare_cached(returned)?;
    for (seq, settlement) in settled {
        let seq = seq.cast_signed();
        match settlement {
            Settlement::Acked => acked.execute(params![seq, owner])?,
            Settlement::Returned => returned.execute(params![seq, owner])?,
            Settlement::Buried(reason) => {
                bury(connection, seq, owner, reason)?;
                acked.execute(params![seq, owner])?
            }
        };
    }
    Ok(())
}

fn bury(connection: &Connection, seq: i64, owner: i64, reason: &str) -> rusqlite::Result<()> {
    let bury =
        "INSERT INTO buried (id, body, reason) SELECT id, body, ?3 FROM jobs WHERE seq = ?1 AND owner = ?2";
    connection.execute(bury, params![seq, owner, reason])?;
    let forget = "DELETE FROM buried WHERE seq <= (SELECT max(seq) FROM buried) - ?1";
    connection.execute(forget, [GRAVES]).map(drop)
}

/// The beats of the other consumers; none if this one is no longer registered.
fn raise_beat(connection: &Connection, owner: i64) -> rusqlite::Result<Option<Vec<(i64, i64)>>> {
    let raise = "UPDATE consumers SET beat = beat + 1 WHERE owner = ?1";
    if connection.prepare_cached(raise)?.execute([owner])? == 0 {
        return Ok(None);
    }
    let mut others = connection.prepare_cached("SELECT owner, beat FROM consumers WHERE owner != ?1")?;
    let others = others.query_map([owner], |row| Ok((row.get(0)?, row.get(1)?)))?;
    others.collect::<rusqlite::Result<_>>().map(Some)
}

/// Returns the jobs of a consumer whose beat is still this one; how many, or none if it has beaten since.
fn evict(connection: &Connection, owner: i64, beat: i64) -> rusqlite::Result<Option<usize>> {
    let remove = "DELETE FROM consumers WHERE owner = ?1 AND beat = ?2";
    if connection.execute(remove, [owner, beat])? == 0 {
        return Ok(None);
    }
    let give_back = "UPDATE jobs SET owner = NULL, deliveries = deliveries + 1, deaths = deaths + 1
        WHERE owner = ?1";
    connection.execute(give_back, [owner]).map(Some)
}
