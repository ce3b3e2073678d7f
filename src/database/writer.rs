//! The writing thread: group commit.
//!
//! In come operations, each with somebody who waits; out go their results after the commit that they share.
//! Knows nothing of what an operation writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

/// Most operations in one transaction, so that none waits for ever behind the others.
const GROUP: usize = 1024;

/// What an operation must survive before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The end of any process.
    Process,
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

type Answer<T> = oneshot::Sender<Result<T, Arc<rusqlite::Error>>>;

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
            (Ok(()), Some(result)) => result.map_err(Arc::new),
            (Ok(()), None) => return,
        };
        // Somebody who no longer waits has lost nothing.
        let _ = self.answer.send(result);
    }
}

type Queued = (Durability, Box<dyn Operation>);

/// A handle on the writing thread, which ends with it, after all that was put in.
pub struct Writer(mpsc::Sender<Queued>);

impl Writer {
    /// Starts the thread on its connection. `ticks` changes with every commit.
    pub fn start(path: &Path, connection: Connection, ticks: Arc<watch::Sender<u64>>) -> io::Result<Self> {
        let (sender, queue) = mpsc::channel();
        let mut transactions = Transactions {
            path: path.to_owned(),
            connection,
            durability: None,
        };
        let write = move || {
            while let Ok(first) = queue.recv() {
                let mut group = vec![first];
                group.extend(queue.try_iter().take(GROUP - 1));
                let committed = transactions.commit_each(&mut group);
                ticks.send_modify(|count| *count += 1);
                for ((_, operation), committed) in group.into_iter().zip(committed) {
                    operation.answer(committed);
                }
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

type Committed = Result<(), Arc<rusqlite::Error>>;

/// The connection that writes.
struct Transactions {
    path: PathBuf,
    connection: Connection,
    /// What the last transaction survives.
    durability: Option<Durability>,
}

impl Transactions {
    /// Runs a group in one transaction; if one of its operations fails, each in one of its own.
    fn commit_each(&mut self, group: &mut [Queued]) -> Vec<Committed> {
        let committed = self.commit(group);
        if group.len() > 1 && matches!(committed, Ok(false)) {
            let alone = group.chunks_mut(1).flat_map(|operation| self.commit_each(operation));
            return alone.collect();
        }
        let committed = committed.map(drop).map_err(|error| {
            tracing::warn!(path = %self.path.display(), "nothing written: {error}");
            Arc::new(error)
        });
        vec![committed; group.len()]
    }

    /// Whether all operations did what they should; else none has done anything.
    fn commit(&mut self, group: &mut [Queued]) -> rusqlite::Result<bool> {
        let done = self.try_commit(group);
        if !matches!(done, Ok(true)) {
            // An error may have ended the transaction already.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    fn try_commit(&mut self, group: &mut [Queued]) -> rusqlite::Result<bool> {
        let needed = group.iter().map(|(durability, _)| *durability).max();
        let needed = needed.unwrap_or(Durability::Process);
        if self.durability.replace(needed) != Some(needed) {
            // In WAL mode, FULL flushes the log with each commit, NORMAL only before the log is written back.
            let level = match needed {
                Durability::Disk => "FULL",
                Durability::Process => "NORMAL",
            };
            self.connection.pragma_update(None, "synchronous", level)?;
        }
        self.execute("BEGIN IMMEDIATE")?;
        for (_, operation) in group {
            if !operation.run(&self.connection) {
                return Ok(false);
            }
        }
        self.execute("COMMIT")?;
        Ok(true)
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }
}
