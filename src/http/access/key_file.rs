//! The file of keys, followed while it changes: keys come and go without a restart.
//!
//! A file that can't be read or used, half written or gone, changes nothing: the keys that held before still do.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::AccessError;
use super::keys::Keys;

/// The keys of a file.
pub struct KeyFile {
    path: PathBuf,
    keys: RwLock<Arc<Keys>>,
    /// What was read last, and whether that could be used.
    last: Mutex<Result<String, String>>,
}

impl KeyFile {
    /// Reads them.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open(path: PathBuf) -> Result<Self, AccessError> {
        let text = read(&path)?;
        let keys = parse(&path, &text)?;
        Ok(Self {
            keys: RwLock::new(Arc::new(keys)),
            last: Mutex::new(Ok(text)),
            path,
        })
    }

    /// Those that hold now.
    pub fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads them again, and takes them over if they have changed. Says each change, and each fault, once.
    pub fn follow(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read(&self.path).and_then(|text| {
            if last.as_ref() == Ok(&text) {
                return Ok(None);
            }
            parse(&self.path, &text).map(|keys| Some((text, keys)))
        });
        match read {
            Ok(None) => {}
            Ok(Some((text, keys))) => {
                tracing::info!(keys = keys.lines().len(), "the API keys have changed");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                *last = Ok(text);
            }
            Err(error) => {
                let fault = error.to_string();
                if last.as_ref() != Err(&fault) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the API keys stay as they were");
                    *last = Err(fault);
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<String, AccessError> {
    fs::read_to_string(path).map_err(|source| AccessError::Read {
        path: path.to_owned(),
        source,
    })
}

fn parse(path: &Path, text: &str) -> Result<Keys, AccessError> {
    text.parse().map_err(|source| AccessError::Keys {
        path: path.to_owned(),
        source,
    })
}
