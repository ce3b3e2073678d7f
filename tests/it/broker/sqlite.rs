//! The embedded broker: a database file holds one queue.

use std::sync::Arc;
use std::time::Duration;

use mnistq::broker::sqlite::SqliteBroker;
use mnistq::broker::{Broker, Confirm, Settings};
use mnistq::database::Database;
use mnistq::job::JobId;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{LONG, Queue, consume, job, take};
use crate::harness::process::folder;
use crate::harness::within;

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

    async fn open_watchful(&self) -> Arc<dyn Broker> {
        let database = Database::open(&self.file()).unwrap();
        let broker = SqliteBroker::new(database, &self.settings);
        Arc::new(broker.with_lease(Duration::from_millis(300)))
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

#[tokio::test]
async fn a_job_that_may_be_confirmed_later_is_confirmed_also_while_others_write_without_end() {
    let folder = folder();
    let database = Database::open(&folder.path().join("queue.db")).unwrap();
    let broker = SqliteBroker::new(database.clone(), &Settings::default());
    let busy = async {
        loop {
            database.write(|_| Ok(())).await.unwrap();
        }
    };
    let job = job();
    tokio::select! {
        () = busy => {}
        confirmed = within("the publish is confirmed", broker.publish(&job, LONG, Confirm::Soon)) => {
            confirmed.unwrap();
        }
    }
}

#[tokio::test]
async fn a_queue_of_an_older_version_is_brought_up_to_date_with_what_waits_in_it() {
    let queue = SqliteQueue::fresh().await;
    let job = job();
    let old = Connection::open(queue.file()).unwrap();
    old.execute_batch(include_str!("../../../src/database/schema/1.sql"))
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    queue.publish_bytes(job.id, &job.encode()).await;
    let broker = queue.open().await;
    let mut consumer = consume(&broker, 4).await;
    let delivery = take(&mut consumer).await;
    assert_eq!(delivery.job.as_ref(), Ok(&job));
    delivery.bury("it is old".to_owned());
    consumer.close().await.unwrap();
    assert_eq!(broker.buried().await.unwrap()[0].id, job.id);
}
