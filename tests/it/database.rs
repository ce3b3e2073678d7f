//! The embedded database: who writes together harms nobody.

use std::sync::Barrier;
use std::thread;

use futures_util::future::join_all;
use mnistq::database::Database;
use rusqlite::{Connection, Error};

use crate::harness::process::folder;
use crate::harness::within;

#[test]
fn all_who_open_a_new_file_at_the_same_moment_can() {
    for _ in 0..40 {
        let folder = folder();
        let (file, together) = (folder.path().join("queue.db"), Barrier::new(6));
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    together.wait();
                    Database::open(&file).unwrap();
                });
            }
        });
    }
}

#[tokio::test]
async fn an_operation_that_fails_changes_nothing_and_harms_none_that_is_written_with_it() {
    let folder = folder();
    let database = Database::open(&folder.path().join("queue.db")).unwrap();
    let claim = |number: usize| {
        move |connection: &Connection| {
            let insert = "INSERT INTO claims (key, claim, expires_ms) VALUES (?1, x'', 0)";
            connection.execute(insert, [number.to_string()])?;
            match number % 3 {
                0 => Err(Error::InvalidQuery),
                _ => Ok(number),
            }
        }
    };
    let durable = join_all((0..60).map(|number| database.write_durably(claim(number))));
    let soon = join_all((60..120).map(|number| database.write_soon_durably(claim(number))));
    let (durable, soon) = within("all are answered", async { tokio::join!(durable, soon) }).await;
    for (number, written) in durable.into_iter().chain(soon).enumerate() {
        assert_eq!(written.is_ok(), number % 3 != 0, "{number}: {written:?}");
    }
    let count = |connection: &Connection| {
        let count = "SELECT count(*), sum(key % 3 = 0) FROM claims";
        connection.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))
    };
    assert_eq!(database.read(count).unwrap(), (80, 0));
}
