//! Killing processes at any moment loses nothing: every id that was given out ends in the right answer.

use std::sync::{Arc, Mutex};

use crate::harness::client::{Client, PICTURES, picture};
use crate::harness::eventually;
use crate::harness::mnistq::Home;
use crate::harness::moments::Moments;
use crate::harness::process::free_port;
use crate::harness::redis::Redis;

/// An id that a client was given, and the digit that it was given it for.
type Given = (String, u64);

#[tokio::test]
async fn killing_the_front_end_with_its_worker_loses_no_id_that_was_given_out() {
    let (home, port) = (Home::new(), free_port());
    let mut moments = Moments::new(0x6d6e_6973_7471);
    let mut given = Vec::new();
    for _ in 0..8 {
        let front_end = home.serve_on(port, &[]).await;
        given.extend(
            upload_until(&Client::new(front_end.url()), moments.next(60), || {
                front_end.kill()
            })
            .await,
        );
    }
    let front_end = home.serve_on(port, &[]).await;
    all_are_answered(&Client::new(front_end.url()), &given).await;
}

#[tokio::test]
async fn killing_workers_loses_no_id_that_was_given_out() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let client = Client::new(front_end.url());
    let mut moments = Moments::new(0x0064_6967_6974);
    let mut given = Vec::new();
    for _ in 0..5 {
        let worker = home.start(&["work", "--max-batch", "4"]);
        let started = client.upload(picture("three.jpg")).await;
        eventually("the worker answers", async || {
            client.result(&started).await.body["status"] != "queued"
        })
        .await;
        given.push((started, 3));
        given.extend(upload_until(&client, moments.next(60), || worker.kill()).await);
    }
    let _worker = home.start(&["work"]);
    all_are_answered(&client, &given).await;
}

#[tokio::test]
async fn killing_front_end_and_worker_in_turn_loses_no_id_that_was_given_out() {
    let (home, port) = (Home::new(), free_port());
    let mut moments = Moments::new(0x0071_7565_7565);
    let mut given = Vec::new();
    let mut worker = home.start(&["work"]);
    for round in 0..6 {
        let front_end = home.serve_on(port, &["--workers", "0"]).await;
        let client = Client::new(front_end.url());
        let kill = || {
            front_end.kill();
            if round % 2 == 0 {
                std::mem::replace(&mut worker, home.start(&["work"])).kill();
            }
        };
        given.extend(upload_until(&client, moments.next(40), kill).await);
    }
    let front_end = home.serve_on(port, &["--workers", "0"]).await;
    all_are_answered(&Client::new(front_end.url()), &given).await;
}

#[tokio::test]
async fn a_worker_that_dies_with_answers_that_it_could_not_store_loses_none() {
    let (home, mut redis) = (Home::new(), Redis::launch().await);
    let url = redis.url();
    let store = ["--store", url.as_str()];
    let front_end = home.serve(&[&store[..], &["--workers", "0"]].concat()).await;
    let client = Client::new(front_end.url());
    let mut worker = home.start(&[&["work"], &store[..]].concat());
    let first = client.upload(picture("three.jpg")).await;
    client.outcome(&first).await;
    // The worker takes the next jobs only when the store is gone.
    worker.signal("STOP");
    let mut given = Vec::new();
    for (name, digit) in PICTURES.iter().cycle().take(24) {
        given.push((client.upload(picture(name)).await, *digit));
    }
    redis.kill();
    worker.signal("CONT");
    worker.logs("outcomes not stored").await;
    worker.kill();
    redis.start().await;
    client.ready().await;
    let _next = home.start(&[&["work"], &store[..]].concat());
    all_are_answered(&client, &given).await;
}

/// Uploads from eight clients at once until `count` ids were given out, and then kills while they go on.
async fn upload_until(client: &Client, count: usize, kill: impl FnOnce()) -> Vec<Given> {
    let given: Arc<Mutex<Vec<Given>>> = Arc::default();
    let uploads: Vec<_> = (0..8)
        .map(|number| {
            let (client, given) = (client.clone(), Arc::clone(&given));
            tokio::spawn(async move {
                for (name, digit) in PICTURES.iter().cycle().skip(number).take(count) {
                    match client.try_upload(picture(name)).await {
                        Some(id) => given.lock().unwrap().push((id, *digit)),
                        None => return,
                    }
                }
            })
        })
        .collect();
    eventually("enough ids were given out", async || {
        given.lock().unwrap().len() >= count
    })
    .await;
    kill();
    for upload in uploads {
        upload.await.unwrap();
    }
    Arc::into_inner(given).unwrap().into_inner().unwrap()
}

async fn all_are_answered(client: &Client, given: &[Given]) {
    assert!(given.len() > 20, "only {} ids were given out", given.len());
    for (id, digit) in given {
        let outcome = client.outcome(id).await;
        assert_eq!(outcome["predicted_class"], *digit, "{id}: {outcome}");
    }
}
