//! The embedded store: a database file holds one system's results.

use std::sync::Arc;

use mnistq::database::Database;
use mnistq::store::outbox::Outbox;
use mnistq::store::sqlite::SqliteStore;
use mnistq::store::{ResultStore, Settings};
use tempfile::TempDir;

use super::Results;
use crate::harness::process::folder;

/// Results in a file of their own.
pub struct SqliteResults(TempDir);

impl SqliteResults {
    fn store(&self) -> SqliteStore {
        let database = Database::open(&self.0.path().join("results.db")).unwrap();
        SqliteStore::new(database, &Settings::default())
    }
}

impl Results for SqliteResults {
    async fn fresh() -> Self {
        Self(folder())
    }

    async fn beside(&self) -> Self {
        Self::fresh().await
    }

    async fn open(&self) -> Arc<dyn ResultStore> {
        Arc::new(self.store())
    }

    async fn open_outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.store())
    }
}
