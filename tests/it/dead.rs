//! `mnistq dead`: what ended without a model's answer, as an operator sees it.

use std::time::{Duration, SystemTime};

use mnistq::broker::{LIVES, SUSPECT_AFTER};
use mnistq::job::{Job, JobId, Picture};
use mnistq::train::dataset::{Dataset, Split};
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::data::committed;
use crate::harness::eventually;
use crate::harness::mnistq::{Home, Output};

/// A job in the queue of a home, whatever its bytes are, after so many consumers died with it.
pub fn enqueue(home: &Home, id: JobId, body: &[u8], deaths: u32) {
    let database = Connection::open(home.database()).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let insert = "INSERT INTO jobs (id, body, deaths) VALUES (?1, ?2, ?3)";
    let reserve = "INSERT INTO results (id, expires_ms) VALUES (?1, ?2)";
    database.execute(reserve, (id.as_bytes(), i64::MAX)).unwrap();
    database.execute(insert, (id.as_bytes(), body, deaths)).unwrap();
}

async fn dead(home: &Home, arguments: &[&str]) -> Output {
    home.run(&[&["dead"], arguments, &["--log", "error"]].concat())
        .await
}

fn lines(output: &Output) -> Vec<Value> {
    assert_eq!(output.code, Some(0), "{output:?}");
    let lines = output.stdout.lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn what_ended_without_an_answer_is_listed_shown_replayed_and_dropped() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let client = Client::new(front_end.url());
    let none = dead(&home, &["list"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""), "{none:?}");

    let digits = Dataset::read(&committed("held_back"), Split::Test).unwrap();
    let job = Job {
        id: JobId::issue(),
        picture: Picture::new(28, 28, digits.image(0).to_vec()).unwrap(),
        result_ttl: Duration::from_secs(3600),
        accepted_at: SystemTime::now(),
        reading: Duration::from_micros(300),
        trace: None,
    };
    let garbage = JobId::issue();
    enqueue(&home, job.id, &job.encode(), SUSPECT_AFTER + LIVES);
    enqueue(&home, garbage, b"no job", 0);
    let (job, garbage) = (job.id.to_string(), garbage.to_string());
    let poison = client.outcome(&job).await;
    assert_eq!(
        (&poison["status"], &poison["error"]["code"]),
        (&"failed".into(), &"poison".into())
    );
    let unreadable = client.outcome(&garbage).await;
    assert_eq!(unreadable["error"]["code"], "unreadable");

    let mut listed = Vec::new();
    eventually("both are among the dead", async || {
        listed = lines(&dead(&home, &["list", "--json"]).await);
        listed.len() == 2
    })
    .await;
    for (id, outcome) in [(&job, &poison), (&garbage, &unreadable)] {
        let line = listed.iter().find(|line| line["inference_id"] == **id).unwrap();
        assert_eq!(line["reason"], outcome["error"]["detail"]);
    }

    let shown = lines(&dead(&home, &["show", "--json", &job]).await);
    let pixels: Vec<u8> = serde_json::from_value(shown[0]["picture"]["pixels"].clone()).unwrap();
    assert!(pixels == digits.image(0));
    let drawn = dead(&home, &["show", &job, &garbage]).await.stdout;
    // One line for each, and below it fourteen of the picture, or one that says that there is none.
    assert_eq!(drawn.lines().count(), 2 + 14 + 1, "{drawn}");
    assert!(drawn.contains("not a job of mnistq"), "{drawn}");

    let refused = dead(&home, &["replay", &garbage]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains(&format!("{garbage} can't be replayed")),
        "{refused:?}"
    );
    let replayed = lines(&dead(&home, &["replay", "--json", &job]).await);
    let again = replayed[0]["replayed_as"].as_str().unwrap();
    assert_eq!(client.outcome(again).await["predicted_class"], digits.labels()[0]);
    assert_eq!(
        client.outcome(&job).await,
        poison,
        "an outcome that was told has changed"
    );

    let dropped = dead(&home, &["drop", "--all"]).await;
    assert_eq!(dropped.stdout, format!("{garbage} dropped\n"), "{dropped:?}");
    let unknown = dead(&home, &["drop", &garbage]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("dead list"), "{unknown:?}");
}

#[tokio::test]
async fn which_of_them_must_be_said() {
    let output = dead(&Home::new(), &["drop"]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
}
