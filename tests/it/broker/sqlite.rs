//! The embedded broker: a database file holds one queue.

use std::sync::Arc;
use std::time::Duration;

use mnistq::broker::sqlite::SqliteBroker;
use mnistq::broker::{Broker, Settings};
use mnistq::database::Database;
use mnistq::job::JobId;
use rusqlite::Connection;
use tempfile::TempDir;

use super::Queue;
use crate::harness::process::folder;

/// A queue in a file of its own.
pub struct SqliteQueue {
    folder: TempDir,
    settings: Settings,
}

impl SqliteQueue {
    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("queue.db")
    }
}

impl Queue for SqliteQueue {
    async fn with_limit(queue_limit: u32) -> Self {
        let settings = Settings {
            queue_limit,
            ..Settings::default()
        };
        Self {
            folder: folder(),
            settings,
        }
    }

    async fn beside(&self) -> Self {
        Self::with_limit(self.settings.queue_limit).await
    }

    async fn open(&self) -> Arc<dyn Broker> {
        let database = Database::open(&self.file()).unwrap();
        Arc::new(SqliteBroker::new(database, &self.settings))
    }

    async fn publish_bytes(&self, id: JobId, body: &[u8]) {
        let connection = Connection::open(self.file()).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection
            .execute(
                "INSERT INTO jobs (id, body) VALUES (?1, ?2)",
                (id.as_bytes(), body),
            )
            .unwrap();
    }
}
