//! The database file: made for this user alone, its tables as this version wants them, connections to it.
//!
//! In comes a path, out go connections. Knows the tables' layout by its files, and nothing of what is in them.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::POLL;
use super::error::{DatabaseError, classify};

/// What makes the layout of each version out of the one before. A file of a later version is refused.
const SCHEMA: [&str; 6] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
];
pub(super) const SCHEMA_VERSION: u32 = SCHEMA.len() as u32;
/// How long a statement waits for another process that writes. Whoever waits for its turn behind another waits twice as
/// long, and an upload writes twice: with this it is answered within ten seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The log is written back into the file from this many pages on (4 MiB).
const CHECKPOINT_PAGES: u32 = 1000;

/// A connection to a file that is there.
pub(super) fn connect(path: &Path) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| classify(path, error))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(|error| classify(path, error))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes the tables if the file is new, and brings those of an older version up to date. Answers a version that is too new, having changed nothing.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<Option<u32>> {
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

#[cfg(unix)]
pub(super) fn create_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
pub(super) fn create_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// SQLite gives its log files the mode of the database file. A file that is there is not touched: to close it would take away
/// the locks that this process has on it.
pub(super) fn create_private_file(path: &Path) -> io::Result<()> {
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
