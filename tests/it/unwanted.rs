//! Work that nobody wants any more: it ends as it should, and no model is asked about it.

use crate::harness::client::{Client, picture};
use crate::harness::mnistq::Home;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;

#[tokio::test]
async fn no_model_is_asked_about_cancelled_and_overdue_work_on_sqlite() {
    let home = Home::new();
    is_not_asked_about(&home, &[]).await;
}

#[tokio::test]
async fn no_model_is_asked_about_cancelled_and_overdue_work_on_rabbitmq_and_redis() {
    let (rabbitmq, redis) = (RabbitMq::shared().await, Redis::launch().await);
    let home = Home::new();
    let name = format!("unwanted-{}", uuid::Uuid::now_v7());
    home.write(
        "config/mnistq/mnistq.toml",
        format!("[queue]\nqueue = \"{name}\"\n"),
    );
    is_not_asked_about(&home, &["--broker", &rabbitmq.url(), "--store", &redis.url()]).await;
}

async fn is_not_asked_about(home: &Home, seams: &[&str]) {
    let front_end = home.serve(&[seams, &["--workers", "0"]].concat()).await;
    let client = Client::new(front_end.url());
    let wanted = client.upload(picture("three.jpg")).await;
    let cancelled = client.upload(picture("three.jpg")).await;
    client.delete(&cancelled).await;
    let mut overdue = Vec::new();
    for _ in 0..5 {
        overdue.push(client.upload_for("1ms", picture("three.jpg")).await);
    }
    let last = client.upload_for("1h", picture("seven-bottom.webp")).await;

    let worker = home.start(&[&["work"], seams].concat());
    assert_eq!(client.outcome(&wanted).await["predicted_class"], 3);
    assert_eq!(client.outcome(&last).await["predicted_class"], 7);
    assert_eq!(client.outcome(&cancelled).await["status"], "cancelled");
    for id in &overdue {
        assert_eq!(client.outcome(id).await["status"], "expired");
    }
    // It gives back what it has not settled, and the next one would take it.
    let first = worker.stop().await;
    assert_eq!(first.code, Some(0), "{first:?}");
    let worker = home.start(&[&["work"], seams].concat());
    let another = client.upload(picture("three.jpg")).await;
    assert_eq!(client.outcome(&another).await["predicted_class"], 3);
    let second = worker.stop().await;
    let log = [first.stderr, second.stderr].concat();
    let took: Vec<&str> = log.lines().filter(|line| line.contains("took")).collect();
    assert!(took.iter().any(|line| line.contains(&wanted)), "{log}");
    for id in overdue.iter().chain([&cancelled]) {
        assert!(
            !took.iter().any(|line| line.contains(id)),
            "{id} was asked about: {log}"
        );
    }
}
