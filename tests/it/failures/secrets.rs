//! Passwords that work, on servers that ask for them: they show in no log, however much is logged.

use crate::harness::client::{Client, picture};
use crate::harness::mnistq::Home;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;

const CANARY: &str = "canary5ecret";

#[tokio::test]
async fn passwords_that_work_show_in_no_log() {
    let (rabbitmq, redis) = (
        RabbitMq::launch().await,
        Redis::launch_with(&["--requirepass", CANARY]).await,
    );
    rabbitmq.ctl(&["add_user", "keeper", CANARY]).await;
    rabbitmq
        .ctl(&["set_permissions", "keeper", ".*", ".*", ".*"])
        .await;
    let broker = rabbitmq.url().replace("guest:guest", &format!("keeper:{CANARY}"));
    let store = redis.url().replace("redis://", &format!("redis://:{CANARY}@"));
    let home = Home::new();
    let flags = ["--broker", &broker, "--store", &store, "--log", "trace"];
    let front_end = home.serve(&[&flags[..], &["--workers", "0"]].concat()).await;
    let worker = home.start(&[&["work"], &flags[..]].concat());
    let client = Client::new(front_end.url());
    let id = client.upload(picture("three.jpg")).await;
    assert_eq!(client.outcome(&id).await["predicted_class"], 3);
    // What a reconnection says of its address counts too.
    rabbitmq.ctl(&["close_all_connections", "maintenance"]).await;
    client.ready().await;
    for process in [front_end, worker] {
        let output = process.stop().await;
        assert_eq!(output.code, Some(0));
        let said = output.stdout + &output.stderr;
        assert!(said.contains("TRACE"), "it logs nothing to look at");
        for line in said.lines() {
            assert!(!line.contains(CANARY), "{line}");
        }
    }
}
