//! What can be wrong with the database, by what the caller should do about it.
//!
//! In comes what SQLite says, out go our own errors. Writes and reads nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use super::file::SCHEMA_VERSION;

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
    /// It was written, and may not survive a power cut.
    #[error("what was written into {path} has not reached the disk")]
    Unflushed {
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
        | Self::Unflushed { path, .. }
        | Self::Closed { path }) = self;
        format!("sqlite:{}", path.display())
    }
}

pub(super) fn classify(path: &Path, error: rusqlite::Error) -> DatabaseError {
    classify_shared(path, Arc::new(error))
}

pub(super) fn classify_shared(path: &Path, source: Arc<rusqlite::Error>) -> DatabaseError {
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
