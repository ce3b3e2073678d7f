//! The embedded database: one SQLite file that holds queue and results, shared by the processes of a machine.
//!
//! In come operations on a connection, out come their results once they are committed. Knows SQLite and
//! nothing of jobs: the tables belong to `broker::sqlite` and `store::sqlite`.
//!
//! One thread of each process writes. It takes every operation that waits, runs them in one transaction, and
//! commits once: a hundred uploads at the same time cost one write to the disk.

mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{oneshot, watch};

use writer::{Durability, Write, Writer};

/// What makes the layout of each version out of the one before. A file of a later version is refused.
const SCHEMA: [&str; 6] = [
    include_str!("database/schema/1.sql"),
    include_str!("database/schema/2.sql"),
    include_str!("database/schema/3.sql"),
    include_str!("database/schema/4.sql"),
    include_str!("database/schema/5.sql"),
    include_str!("database/schema/6.sql"),
];
const SCHEMA_VERSION: u32 = SCHEMA.len() as u32;
/// How long a statement waits for another process that writes. Whoever waits for its turn behind another waits twice as
/// long, and an upload writes twice: with this it is answered within ten seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How soon a commit of another process is noticed, while somebody wants to know.
const POLL: Duration = Duration::from_millis(5);
/// The log is written back into the file from this many pages on (4 MiB).
const CHECKPOINT_PAGES: u32 = 1000;

/// A handle on an open database file; clones share it. The file is closed with the last one.
#[derive(Clone)]
pub struct Database {
    path: Arc<Path>,
    writer: Arc<Writer>,
    reader: Arc<Mutex<Connection>>,
    commits: watch::Receiver<u64>,
}

/// Why the database can't be used, by what the caller should do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatabaseError {
    /// The file or its folder can't be made or opened.
    #[error("the database {path} can't be opened")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The file is none of ours, or damaged. It was left as it is.
    #[error("{path} is not a database of mnistq, or is damaged: move it away, or name another file")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// A newer mnistq made the file. It was left as it is.
    #[error(
        "the database {path} has version {found}, made by a newer mnistq; this one reads {SCHEMA_VERSION}"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// The disk is full; nothing was written.
    #[error("the disk that holds {path} is full")]
    Full {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// It does not work now; it may later. Nothing was written.
    #[error("the database {path} can't be used now")]
    Unavailable {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// The writing thread has ended.
    #[error("the database {path} is closed")]
    Closed {
        /// Which file.
        path: PathBuf,
    },
}

impl DatabaseError {
    /// The address of the file that it is about.
    #[must_use]
    pub fn address(&self) -> String {
        let (Self::Open { path, .. }
        | Self::Damaged { path, .. }
        | Self::Newer { path, .. }
        | Self::Full { path, .. }
        | Self::Unavailable { path, .. }
        | Self::Closed { path }) = self;
        format!("sqlite:{}", path.display())
    }
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
    /// [`DatabaseError`]; then nothing was written, or it did not reach the disk.
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
            Ok(result) => result.map_err(|error| classify_shared(&self.path, error)),
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

fn connect(path: &Path) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| classify(path, error))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(|error| classify(path, error))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes the tables if the file is new, and brings those of an older version up to date. Answers a version that is too new, having changed nothing.
fn prepare(connection: &mut Connection) -> rusqlite::Result<Option<u32>> {
    let version = |connection: &Connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
    };
    let found = version(connection)?;
    if found > SCHEMA_VERSION {
        return Ok(Some(found));
    }
    keep_a_log(connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have made them in the meantime.
    let here = version(&transaction)?;
    for (step, version) in SCHEMA.iter().zip(1..).skip(here as usize) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()?;
    Ok(None)
}

/// Lets readers read while another writes. SQLite does not wait for its turn to change this, as it does for all else
/// (two who wait for each other would for ever): the processes that make a file together have to ask again.
fn keep_a_log(connection: &Connection) -> rusqlite::Result<()> {
    let give_up = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < give_up =>
            {
                thread::sleep(POLL);
            }
            done => return done,
        }
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

fn classify(path: &Path, error: rusqlite::Error) -> DatabaseError {
    classify_shared(path, Arc::new(error))
}

fn classify_shared(path: &Path, source: Arc<rusqlite::Error>) -> DatabaseError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => DatabaseError::Full { path, source },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => DatabaseError::Damaged { path, source },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            DatabaseError::Open { path, source }
        }
        _ => DatabaseError::Unavailable { path, source },
    }
}

#[cfg(unix)]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// SQLite gives its log files the mode of the database file. A file that is there is not touched: to close it would take away
/// the locks that this process has on it.
fn create_private_file(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}
