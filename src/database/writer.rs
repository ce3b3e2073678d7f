//! The writing thread: group commit.
//!
//! In come operations, each with somebody who waits; out go their results after the commit that they share.
//! Knows nothing of what an operation writes.

use std::io;
use std::path::Path;
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
    /// Runs it inside a transaction; false if it failed, and must be rolled back.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers whoever waits: the operation's own result, unless the transaction failed.
    fn answer(self: Box<Self>, committed: Result<(), Arc<rusqlite::Error>>);
}

type Answer<T> = oneshot::Sender<Result<T, Arc<rusqlite::Error>>>;

/// An operation and who waits for it.
pub struct Write<T, F> {
    operation: Option<F>,
    result: Option<rusqlite::Result<T>>,
    answer: Answer<T>,
}

impl<T, F> Write<T, F> {
    pub fn new(operation: F, answer: Answer<T>) -> Self {
        Self {
            operation: Some(operation),
            result: None,
            answer,
        }
    }
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Operation for Write<T, F> {
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.operation.take().map(|operation| operation(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), Arc<rusqlite::Error>>) {
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
        let path = path.to_owned();
        let write = move || {
            let mut durability = None;
            while let Ok(first) = queue.recv() {
                let mut group = vec![first];
                group.extend(queue.try_iter().take(GROUP - 1));
                let committed = commit(&connection, &mut durability, &mut group).map_err(Arc::new);
                if let Err(error) = &committed {
                    tracing::warn!(path = %path.display(), "nothing written: {error}");
                    // The connection may have left the transaction by itself already.
                    let _ = connection.execute_batch("ROLLBACK");
                }
                ticks.send_modify(|count| *count += 1);
                for (_, operation) in group {
                    operation.answer(committed.clone());
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

/// Runs a group in one transaction, each operation in a savepoint of its own.
fn commit(
    connection: &Connection,
    current: &mut Option<Durability>,
    group: &mut [Queued],
) -> rusqlite::Result<()> {
    let needed = group
        .iter()
        .map(|(durability, _)| *durability)
        .max()
        .unwrap_or(Durability::Process);
    if current.replace(needed) != Some(needed) {
        // In WAL mode, FULL flushes the log with each commit, NORMAL only before the log is written back.
        let level = if needed == Durability::Disk {
            "FULL"
        } else {
            "NORMAL"
        };
        connection.pragma_update(None, "synchronous", level)?;
    }
    let execute = |statement: &str| connection.prepare_cached(statement)?.execute([]).map(drop);
    execute("BEGIN IMMEDIATE")?;
    for (_, operation) in group {
        execute("SAVEPOINT operation")?;
        if !operation.run(connection) {
            execute("ROLLBACK TO operation")?;
        }
        execute("RELEASE operation")?;
    }
    execute("COMMIT")
}
