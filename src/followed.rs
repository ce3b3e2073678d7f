//! What small files say, followed while they change: keys and certificates come and go without a restart.
//!
//! Files that can't be read or used, half written or gone, change nothing: what they said before still holds. Knows
//! nothing of what they say.

use std::error::Error;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What is made of the files' contents, in their order.
type Parse<T> = fn(&[Vec<u8>]) -> Result<T, Box<dyn Error + Send + Sync>>;

/// What files say.
pub struct Followed<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    parse: Parse<T>,
    current: RwLock<Arc<T>>,
    /// What was read last, or why that could not be used.
    last: Mutex<Result<Vec<Vec<u8>>, String>>,
}

/// Why files say nothing.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// One can't be read.
    #[error("{what} in {file} can't be read")]
    Read {
        /// What was expected there.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// They hold something else.
    #[error("{what} in {file} can't be used")]
    Use {
        /// What was expected there.
        what: &'static str,
        /// The first of them.
        file: PathBuf,
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl<T> Followed<T> {
    /// Reads the files, of which there is one at least. `what` names what is in them, for messages: "the API keys".
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn open(what: &'static str, files: Vec<PathBuf>, parse: Parse<T>) -> Result<Self, FollowError> {
        let contents = read(what, &files)?;
        let value = make(what, &files, parse, &contents)?;
        Ok(Self {
            what,
            files,
            parse,
            current: RwLock::new(Arc::new(value)),
            last: Mutex::new(Ok(contents)),
        })
    }

    /// What holds now.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again, and takes over what they say if it is something else. Says each change, and each fault,
    /// once.
    pub fn follow(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = read(self.what, &self.files).and_then(|contents| {
            if last.as_ref() == Ok(&contents) {
                return Ok(None);
            }
            make(self.what, &self.files, self.parse, &contents).map(|value| Some((contents, value)))
        });
        match changed {
            Ok(None) => {}
            Ok(Some((contents, value))) => {
                tracing::info!("{} have changed", self.what);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                *last = Ok(contents);
            }
            Err(error) => {
                let fault = error.to_string();
                if last.as_ref() != Err(&fault) {
                    let error = &error as &dyn Error;
                    tracing::warn!(error, "{} stay as they were", self.what);
                    *last = Err(fault);
                }
            }
        }
    }
}

fn read(what: &'static str, files: &[PathBuf]) -> Result<Vec<Vec<u8>>, FollowError> {
    let read = |file: &PathBuf| {
        fs::read(file).map_err(|source| FollowError::Read {
            what,
            file: file.clone(),
            source,
        })
    };
    files.iter().map(read).collect()
}

fn make<T>(
    what: &'static str,
    files: &[PathBuf],
    parse: Parse<T>,
    contents: &[Vec<u8>],
) -> Result<T, FollowError> {
    parse(contents).map_err(|source| FollowError::Use {
        what,
        file: files.first().cloned().unwrap_or_default(),
        source,
    })
}
