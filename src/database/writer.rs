//! The writing thread: group commit.
//!
//! In come operations, each with somebody who waits; out go their results after the commit that they share.
//! Knows nothing of what an operation writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

/// Most operations in one transaction, so that none waits for ever behind the others.
const GROUP: usize = 1024;
/// How long an operation waits for others that need the disk.
const PATIENCE: Duration = Duration::from_millis(5);

/// What an operation must survive before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The end of any process.
    Process,
    /// A power cut; but what waits for the disk may wait a little for others that do.
    DiskSoon,
    /// A power cut.
    Disk,
}

/// An operation whose result type is forgotten.
pub trait Operation: Send {
    /// Runs it inside a transaction, which it may have to do again; false if it failed, and must be rolled back.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers whoever waits: the operation's own result, unless the transaction failed.
    fn answer(self: Box<Self>, committed: Committed);
}

/// Why an operation did not do what it should.
#[derive(Debug, Clone)]
pub enum WriteError {
    /// It has changed nothing.
    Undone(Arc<rusqlite::Error>),
    /// It is committed, and may not survive a power cut.
    Unflushed(Arc<rusqlite::Error>),
}

type Answer<T> = oneshot::Sender<Result<T, WriteError>>;

/// An operation and who waits for it.
pub struct Write<T, F> {
    operation: F,
    result: Option<rusqlite::Result<T>>,
    answer: Answer<T>,
}

impl<T, F> Write<T, F> {
    pub fn new(operation: F, answer: Answer<T>) -> Self {
        Self {
            operation,
            result: None,
            answer,
        }
    }
}

impl<T: Send, F: Fn(&Connection) -> rusqlite::Result<T> + Send> Operation for Write<T, F> {
    fn run(&mut self, connection: &Connection) -> bool {
        self.result.insert((self.operation)(connection)).is_ok()
    }

    fn answer(self: Box<Self>, committed: Committed) {
        let result = match (committed, self.result) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(result)) => result.map_err(|error| WriteError::Undone(Arc::new(error))),
            (Ok(()), None) => return,
        };
        // Somebody who no longer waits has lost nothing.
        let _ = self.answer.send(result);
    }
}

type Committed = Result<(), WriteError>;

type Queued = (Durability, Box<dyn Operation>);

/// What waits for the disk alone.
struct Flush;

impl Operation for Flush {
    fn run(&mut self, _: &Connection) -> bool {
        true
    }

    fn answer(self: Box<Self>, _: Committed) {}
}

/// A handle on the writing thread, which ends with it, after all that was put in.
pub struct Writer(mpsc::Sender<Queued>);

impl Writer {
    /// Starts the thread on its connection. `ticks` changes with every commit.
    pub fn start(path: &Path, connection: Connection, ticks: Arc<watch::Sender<u64>>) -> io::Result<Self> {
        let (sender, queue) = mpsc::channel();
        let mut writing = Writing {
            queue,
            transactions: Transactions {
                path: path.to_owned(),
                connection,
                on_disk: None,
            },
            unflushed: Vec::new(),
            due: Instant::now(),
        };
        let write = move || {
            while let Some(first) = writing.next() {
                writing.write(first, &ticks);
            }
        };
        thread::Builder::new()
            .name("database-write".to_owned())
            .spawn(write)?;
        Ok(Self(sender))
    }

    /// Puts an operation behind those before it. If the thread is gone, its answer is dropped, which tells.
    pub fn enqueue(&self, durability: Durability, operation: Box<dyn Operation>) {
        let _ = self.0.send((durability, operation));
    }
}

/// What the thread has in hand.
struct Writing {
    queue: mpsc::Receiver<Queued>,
    transactions: Transactions,
    /// Committed, and not on the disk yet: answered with the next durable commit.
    unflushed: Vec<Box<dyn Operation>>,
    /// When that must be, if there are any.
    due: Instant,
}

impl Writing {
    /// What is to be written next; none once nobody can come any more.
    fn next(&mut self) -> Option<Queued> {
        if self.unflushed.is_empty() {
            return self.queue.recv().ok();
        }
        let patience = self.due.saturating_duration_since(Instant::now());
        let flush = || (Durability::Disk, Box::new(Flush) as Box<dyn Operation>);
        Some(self.queue.recv_timeout(patience).unwrap_or_else(|_| flush()))
    }

    /// Commits an operation with all that wait behind it, and answers them.
    fn write(&mut self, first: Queued, ticks: &watch::Sender<u64>) {
        let mut group = vec![first];
        group.extend(self.queue.try_iter().take(GROUP - 1));
        let mut needed = group.iter().map(|(durability, _)| *durability).max();
        if !self.unflushed.is_empty() && self.due <= Instant::now() {
            needed = Some(Durability::Disk);
        }
        let on_disk = needed == Some(Durability::Disk);
        let committed = self.transactions.commit_each(&mut group, on_disk);
        ticks.send_modify(|count| *count += 1);
        if on_disk {
            self.answer_unflushed(&committed);
        }
        for ((durability, operation), committed) in group.into_iter().zip(committed) {
            let committed = committed.map(drop).map_err(WriteError::Undone);
            if durability == Durability::DiskSoon && !on_disk && committed.is_ok() {
                if self.unflushed.is_empty() {
                    self.due = Instant::now() + PATIENCE;
                }
                self.unflushed.push(operation);
            } else {
                operation.answer(committed);
            }
        }
    }

    /// One commit that reached the disk took all before it along. Operations that failed by themselves reached nothing:
    /// then it is tried again at once.
    fn answer_unflushed(&mut self, committed: &[Result<bool, Arc<rusqlite::Error>>]) {
        let failed = committed.iter().find_map(|committed| committed.as_ref().err());
        let flushed = match failed {
            _ if committed.iter().any(|committed| matches!(committed, Ok(true))) => Ok(()),
            Some(error) => Err(WriteError::Unflushed(Arc::clone(error))),
            None => return,
        };
        for operation in self.unflushed.drain(..) {
            operation.answer(flushed.clone());
        }
    }
}

/// The connection that writes.
struct Transactions {
    path: PathBuf,
    connection: Connection,
    /// Whether the last transaction was to reach the disk; none before the first.
    on_disk: Option<bool>,
}

impl Transactions {
    /// Runs a group in one transaction; if one of its operations fails, each in one of its own. Answers for each whether
    /// it did what it should; else it has changed nothing.
    fn commit_each(
        &mut self,
        group: &mut [Queued],
        on_disk: bool,
    ) -> Vec<Result<bool, Arc<rusqlite::Error>>> {
        let committed = self.commit(group, on_disk);
        if group.len() > 1 && matches!(committed, Ok(false)) {
            let alone = group.chunks_mut(1);
            return alone
                .flat_map(|operation| self.commit_each(operation, on_disk))
                .collect();
        }
        let committed = committed.map_err(|error| {
            tracing::warn!(path = %self.path.display(), "nothing written: {error}");
            Arc::new(error)
        });
        vec![committed; group.len()]
    }

    /// Whether all operations did what they should; else none has done anything.
    fn commit(&mut self, group: &mut [Queued], on_disk: bool) -> rusqlite::Result<bool> {
        let done = self.try_commit(group, on_disk);
        if !matches!(done, Ok(true)) {
            // An error may have ended the transaction already.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    fn try_commit(&mut self, group: &mut [Queued], on_disk: bool) -> rusqlite::Result<bool> {
        if self.on_disk.replace(on_disk) != Some(on_disk) {
            // In WAL mode, FULL flushes the log with each commit, NORMAL only before the log is written back.
            let level = if on_disk { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level)?;
        }
        let before = self.connection.total_changes();
        self.execute("BEGIN IMMEDIATE")?;
        for (_, operation) in group {
            if !operation.run(&self.connection) {
                return Ok(false);
            }
        }
        if on_disk && self.connection.total_changes() == before {
            // A commit without a change flushes nothing, and earlier ones may wait for it.
            let version = "user_version";
            let same: u32 = self
                .connection
                .pragma_query_value(None, version, |row| row.get(0))?;
            self.connection.pragma_update(None, version, same)?;
        }
        self.execute("COMMIT")?;
        Ok(true)
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }
}
