//! From an upload to its answer, through the real executable and over every pair of queue and store.

use std::collections::BTreeSet;

use reqwest::StatusCode;

use crate::harness::client::{Client, PICTURES, id_in, picture};
use crate::harness::eventually;
use crate::harness::mnistq::{Home, Mnistq};
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;

#[tokio::test]
async fn a_front_end_alone_answers_with_no_server_and_no_setting() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    every_picture_is_answered(&Client::new(front_end.url())).await;
    assert!(home.database().is_file(), "no database at its documented place");
    stops_cleanly(front_end).await;
}

#[tokio::test]
async fn sqlite_carries_uploads_to_a_worker_in_another_process() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let worker = home.start(&["work"]);
    every_picture_is_answered(&Client::new(front_end.url())).await;
    stops_cleanly(front_end).await;
    stops_cleanly(worker).await;
}

#[tokio::test]
async fn rabbitmq_and_redis_carry_uploads_and_answers() {
    let (rabbitmq, redis) = (RabbitMq::shared().await, Redis::launch().await);
    answered_over(&rabbitmq.url(), &redis.url()).await;
}

#[tokio::test]
async fn sqlite_and_redis_carry_uploads_and_answers() {
    let (folder, redis) = (Home::new(), Redis::launch().await);
    answered_over(&sqlite(&folder), &redis.url()).await;
}

#[tokio::test]
async fn rabbitmq_and_sqlite_carry_uploads_and_answers() {
    let (folder, rabbitmq) = (Home::new(), RabbitMq::shared().await);
    answered_over(&rabbitmq.url(), &sqlite(&folder)).await;
}

#[tokio::test]
async fn each_file_of_an_upload_is_answered_on_its_own() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let client = Client::new(front_end.url());
    let answer = client
        .post_form(&[
            ("three.jpg", picture("three.jpg")),
            ("notes.txt", b"no picture at all".to_vec()),
            ("seven.webp", picture("seven-bottom.webp")),
        ])
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let parts = answer.body["inferences"].as_array().expect("one entry a file");
    let names: Vec<_> = parts.iter().map(|part| part["filename"].as_str()).collect();
    assert_eq!(names, [Some("three.jpg"), Some("notes.txt"), Some("seven.webp")]);
    assert!(parts[1]["error"].is_object(), "{}", parts[1]);
    for (part, digit) in [(&parts[0], 3), (&parts[2], 7)] {
        assert_eq!(client.outcome(&id_in(part)).await["predicted_class"], digit);
    }
}

#[tokio::test]
async fn two_workers_share_the_load() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let _workers = [home.start(&["work"]), home.start(&["work"])];
    let client = Client::new(front_end.url());
    let mut seen = BTreeSet::new();
    eventually("both workers have answered", async || {
        let uploads: Vec<_> = (0..40)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.upload(picture("three.jpg")).await })
            })
            .collect();
        for upload in uploads {
            let outcome = client.outcome(&upload.await.unwrap()).await;
            assert_eq!(outcome["predicted_class"], 3);
            seen.insert(outcome["worker"].as_str().unwrap().to_owned());
        }
        seen.len() > 1
    })
    .await;
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test]
async fn uploads_wait_for_the_first_worker_also_while_the_front_end_restarts() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let client = Client::new(front_end.url());
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(client.upload(picture("three.jpg")).await);
    }
    stops_cleanly(front_end).await;
    let front_end = home.serve(&["--workers", "0"]).await;
    let client = Client::new(front_end.url());
    for id in &ids {
        assert_eq!(client.result(id).await.body["status"], "queued");
    }
    let _worker = home.start(&["work"]);
    for id in &ids {
        assert_eq!(client.outcome(id).await["predicted_class"], 3);
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let home = Home::new();
    // Whoever reads the log has gone at once; what is answered still goes where it should.
    let line = "{ mnistq serve --bind 127.0.0.1:0 2>&1 >&3 | true; } 3>&1";
    let mut front_end = home.start_shell(line);
    front_end.listen().await;
    every_picture_is_answered(&Client::new(front_end.url())).await;
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_answers_what_it_holds() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let client = Client::new(front_end.url());
    let mut ids = Vec::new();
    for _ in 0..3 {
        let worker = home.start(&["work"]);
        let first = client.upload(picture("three.jpg")).await;
        for _ in 0..20 {
            ids.push(client.upload(picture("three.jpg")).await);
        }
        client.outcome(&first).await;
        stops_cleanly(worker).await;
    }
    let _last = home.start(&["work"]);
    for id in &ids {
        assert_eq!(client.outcome(id).await["predicted_class"], 3);
    }
}

#[tokio::test]
async fn answers_expire() {
    let home = Home::new();
    let front_end = home.serve(&["--result-ttl", "1"]).await;
    let client = Client::new(front_end.url());
    let answer = client.post_and_wait(picture("three.jpg")).await;
    assert_eq!(answer.body["predicted_class"], 3, "{answer:?}");
    let id = id_in(&answer.body);
    eventually("the answer has expired", async || {
        client.result(&id).await.status == StatusCode::GONE
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_refuses_uploads_until_a_worker_comes() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0", "--queue-limit", "2"]).await;
    let client = Client::new(front_end.url());
    let ids = [
        client.upload(picture("three.jpg")).await,
        client.upload(picture("three.jpg")).await,
    ];
    let refused = client.post(picture("three.jpg")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert!(refused.headers.contains_key("Retry-After"), "{refused:?}");
    let _worker = home.start(&["work"]);
    for id in &ids {
        assert_eq!(client.outcome(id).await["predicted_class"], 3);
    }
    let id = client.upload(picture("three.jpg")).await;
    assert_eq!(client.outcome(&id).await["predicted_class"], 3);
}

/// The pictures of the story, in each form that a client may send them.
async fn every_picture_is_answered(client: &Client) {
    for (name, digit) in PICTURES {
        let form = client.post_form(&[(name, picture(name))]).await;
        assert_eq!(form.status, StatusCode::ACCEPTED, "{form:?}");
        let outcome = client.outcome(&id_in(&form.body)).await;
        assert_eq!(outcome["predicted_class"], digit, "{name} by form: {outcome}");

        let id = client.upload(picture(name)).await;
        let outcome = client.outcome(&id).await;
        assert_eq!(outcome["predicted_class"], digit, "{name} as body: {outcome}");
        assert_eq!(outcome["inference_id"], id.as_str());

        let waited = client.post_and_wait(picture(name)).await;
        assert_eq!(waited.status, StatusCode::OK, "{waited:?}");
        assert_eq!(waited.body["predicted_class"], digit, "{name}, waited for");
    }
}

/// Front end and worker know each other by these two addresses alone.
async fn answered_over(broker: &str, store: &str) {
    // The shared broker keeps this test's queue apart by its name, which a configuration file gives.
    let name = format!("life-{}", uuid::Uuid::now_v7());
    let settings = format!("[queue]\nqueue = \"{name}\"\n[results]\nprefix = \"{name}\"\n");
    let (one, other) = (Home::new(), Home::new());
    for home in [&one, &other] {
        home.write("config/mnistq/mnistq.toml", &settings);
    }
    let flags = ["--broker", broker, "--store", store, "--queue-limit", "1000"];
    let front_end = one.serve(&[&flags[..], &["--workers", "0"]].concat()).await;
    let worker = other.start(&[&["work"], &flags[..]].concat());
    every_picture_is_answered(&Client::new(front_end.url())).await;
    stops_cleanly(worker).await;
    stops_cleanly(front_end).await;
    for home in [one, other] {
        assert!(!home.database().exists(), "it opened the embedded database too");
    }
}

fn sqlite(home: &Home) -> String {
    format!("sqlite:{}", home.path().join("given.db").display())
}

async fn stops_cleanly(process: Mnistq) {
    let output = process.stop().await;
    assert_eq!(output.code, Some(0), "{output:?}");
}
