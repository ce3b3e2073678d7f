//! The embedded database: one SQLite file that holds queue and results, shared by the processes of a machine.
//!
//! In come operations on a connection, out come their results once they are committed. Knows SQLite and
//! nothing of jobs: the tables belong to `broker::sqlite` and `store::sqlite`.
//!
//! One thread of each process writes. It takes every operation that waits, runs them in one transaction, and
//! commits once: a hundred uploads at the same time cost one write to the disk.

mod error;
mod file;
mod writer;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

pub use error::DatabaseError;
use error::{classify, classify_shared};
use file::{connect, create_private_file, create_private_folder, prepare};
use writer::{Durability, Write, WriteError, Writer};

/// How soon a commit of another process is noticed, while somebody wants to know.
const POLL: Duration = Duration::from_millis(5);

/// A handle on an open database file; clones share it. The file is closed with the last one.
#[derive(Clone)]
pub struct Database {
    path: Arc<Path>,
    writer: Arc<Writer>,
    reader: Arc<Mutex<Connection>>,
    commits: watch::Receiver<u64>,
}

impl Database {
    /// Opens the file, or makes it, with folders that only this user can enter.
    ///
    /// # Errors
    /// [`DatabaseError`]; a file that is not ours is never changed.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let unopened = |source: io::Error| DatabaseError::Open {
            path: path.to_owned(),
            source: Arc::new(source),
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            create_private_folder(folder).map_err(unopened)?;
        }
        create_private_file(path).map_err(unopened)?;
        let mut write = connect(path)?;
        prepare(&mut write)
            .map_err(|error| classify(path, error))?
            .map_or(Ok(()), |found| {
                Err(DatabaseError::Newer {
                    path: path.to_owned(),
                    found,
                })
            })?;
        let reader = Arc::new(Mutex::new(connect(path)?));
        let (ticks, commits) = watch::channel(0);
        let ticks = Arc::new(ticks);
        let writer = Arc::new(Writer::start(path, write, Arc::clone(&ticks)).map_err(unopened)?);
        watch_others(connect(path)?, &ticks, Arc::downgrade(&writer)).map_err(unopened)?;
        Ok(Self {
            path: path.into(),
            writer,
            reader,
            commits,
        })
    }

    /// Which file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs an operation in the next transaction; answers once it is committed and on the disk: it survives
    /// a power cut. An operation that fails changes nothing, whatever else is in its transaction.
    ///
    /// # Errors
    /// [`DatabaseError`]; then nothing was written.
    pub async fn write_durably<T, F>(&self, operation: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.enqueue(Durability::Disk, operation).await
    }

    /// As [`Database::write_durably`], but answers once the operation is committed: it survives the end of
    /// any process, and reaches the disk with the next durable write.
    ///
    /// # Errors
    /// [`DatabaseError`]; then nothing was written.
    pub async fn write<T, F>(&self, operation: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.enqueue(Durability::Process, operation).await
    }

    /// As [`Database::write_durably`], but does not make the disk work by itself: answers with the next durable write, at
    /// the latest after some milliseconds. Everybody sees what it wrote before.
    ///
    /// # Errors
    /// [`DatabaseError::Unflushed`] if it was written and may not survive a power cut; of any other nothing was written.
    pub async fn write_soon_durably<T, F>(&self, operation: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.enqueue(Durability::DiskSoon, operation).await
    }

    /// Puts an operation in front of all that are written after it, and does not wait.
    pub fn post<F>(&self, operation: F)
    where
        F: Fn(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        let (answer, _) = oneshot::channel();
        self.writer
            .enqueue(Durability::Process, Box::new(Write::new(operation, answer)));
    }

    async fn enqueue<T, F>(&self, durability: Durability, operation: F) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.writer
            .enqueue(durability, Box::new(Write::new(operation, answer)));
        match answered.await {
            Ok(result) => result.map_err(|error| match error {
                WriteError::Undone(error) => classify_shared(&self.path, error),
                WriteError::Unflushed(source) => DatabaseError::Unflushed {
                    path: self.path.to_path_buf(),
                    source,
                },
            }),
            Err(_) => Err(DatabaseError::Closed {
                path: self.path.to_path_buf(),
            }),
        }
    }

    /// Reads what is committed. Meant for look-ups by key, which take microseconds: it runs where it is
    /// called, and never waits for a writer.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn read<T>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        operation(&reader).map_err(|error| classify(&self.path, error))
    }

    /// Changes with every commit: of this process at once, of others within milliseconds.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }
}

/// A thread that notices what other processes commit, until the writer is gone.
fn watch_others(
    connection: Connection,
    ticks: &Arc<watch::Sender<u64>>,
    writer: Weak<Writer>,
) -> io::Result<()> {
    let ticks = Arc::clone(ticks);
    let watch = move || {
        let mut seen = None;
        while writer.strong_count() > 0 {
            thread::sleep(POLL);
            let version = connection.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0));
            // A file that can't be read shows at the next use, where somebody can be told.
            let Ok(version) = version else { continue };
            if seen.replace(version).is_some_and(|before| before != version) {
                ticks.send_modify(|count| *count += 1);
            }
        }
    };
    thread::Builder::new()
        .name("database-watch".to_owned())
        .spawn(watch)?;
    Ok(())
}
