//! Servers that lose what they hold: nobody is left waiting for what is gone, and nobody is told a lie.

use reqwest::StatusCode;

use crate::harness::client::{Client, picture};
use crate::harness::mnistq::Home;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;

#[tokio::test]
async fn a_job_that_rabbitmq_lost_expires_and_later_ones_are_answered() {
    let (rabbitmq, redis) = (RabbitMq::launch().await, Redis::launch().await);
    let home = Home::new();
    let (broker, store) = (rabbitmq.url(), redis.url());
    let seams = ["--broker", broker.as_str(), "--store", store.as_str()];
    let front_end = home.serve(&[&seams[..], &["--workers", "0"]].concat()).await;
    let client = Client::new(front_end.url());
    let lost = client.upload_for("2s", picture("three.jpg")).await;
    rabbitmq.ctl(&["delete_queue", "mnistq.jobs.v1"]).await;
    let _worker = home.start(&[&["work"], &seams[..]].concat());
    assert_eq!(client.outcome(&lost).await["status"], "expired");
    client.ready().await;
    let later = client.upload(picture("seven-bottom.webp")).await;
    assert_eq!(client.outcome(&later).await["predicted_class"], 7);
}

#[tokio::test]
async fn what_redis_lost_is_said_to_be_unknown_until_a_worker_has_answered_it() {
    let redis = Redis::launch().await;
    let home = Home::new();
    let store = redis.url();
    let front_end = home.serve(&["--store", &store, "--workers", "0"]).await;
    let client = Client::new(front_end.url());
    let queued = client.upload(picture("three.jpg")).await;
    redis.ask("FLUSHALL");
    let lost = client.result(&queued).await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND, "{lost:?}");
    let detail = lost.body["detail"].as_str().unwrap();
    assert!(detail.contains("lost") && detail.contains("again"), "{detail}");

    // The queue still has the picture.
    let _worker = home.start(&["work", "--store", &store]);
    let later = client.upload(picture("seven-bottom.webp")).await;
    assert_eq!(client.outcome(&later).await["predicted_class"], 7);
    assert_eq!(client.outcome(&queued).await["predicted_class"], 3);
    redis.ask("FLUSHALL");
    assert_eq!(client.result(&queued).await.status, StatusCode::NOT_FOUND);
}
