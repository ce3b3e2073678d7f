//! Passwords and keys that work: they show in no log, however much is logged.

use crate::harness::authority::Authority;
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

#[tokio::test]
async fn keys_and_secrets_that_work_show_in_no_log() {
    let home = Home::new();
    let made = home.run(&["keys", "add", "alice", "--api-keys", "keys"]).await;
    let key = made.stdout.trim().to_owned();
    let authority = Authority::found(home.path(), "authority");
    let (certificate, private, _) = authority.issue("server");
    let private_text = std::fs::read_to_string(&private).unwrap();
    let secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let flags = [
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--api-keys",
        "keys",
        "--log",
        "trace",
        "--callback-host",
        "example.org",
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        private.to_str().unwrap(),
    ];
    let signed = home.with_variable("MNISTQ_CALLBACK_SECRET", &format!("whsec_{secret}"));
    let mut front_end = signed.start(&flags);
    front_end.listen().await;
    signed.write("three.jpg", picture("three.jpg"));
    let ca = authority.certificate.to_str().unwrap();
    let asked = [
        "classify",
        "three.jpg",
        "--wait",
        "--log",
        "trace",
        "--tls-ca",
        ca,
        "--server",
        front_end.url(),
    ];
    let answer = signed.run_with(&asked, &[("MNISTQ_API_KEY", &key)]).await;
    assert_eq!(answer.stdout, "3\n", "{answer:?}");
    let wrong = signed
        .run_with(&asked, &[("MNISTQ_API_KEY", &format!("{key}x"))])
        .await;
    assert_eq!(wrong.code, Some(1));
    let served = front_end.stop().await;
    let secrets = private_text.lines().filter(|line| !line.contains("-----"));
    let secrets: Vec<&str> = secrets.chain([key.as_str(), secret]).collect();
    for output in [served, answer, wrong] {
        let said = output.stdout + &output.stderr;
        assert!(said.contains("TRACE"), "it logs nothing to look at");
        for line in said.lines() {
            assert!(!secrets.iter().any(|secret| line.contains(secret)), "{line}");
        }
    }
}
