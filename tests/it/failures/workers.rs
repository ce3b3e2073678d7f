//! Workers that are told to stop under load, and jobs that come more often than once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mnistq::broker::amqp::AmqpBroker;
use mnistq::broker::{Broker, Confirm, Settings};
use mnistq::job::{Job, JobId, Picture};
use mnistq::tls::Trust;

use crate::broker::amqp::url;
use crate::harness::client::{Client, picture};
use crate::harness::eventually;
use crate::harness::mnistq::Home;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;

/// A system of one queue name and one prefix on shared servers, and what a process is told of it.
async fn cluster(name: &str, redis: &Redis) -> (Home, Vec<String>) {
    let home = Home::new();
    home.write(
        "config/mnistq/mnistq.toml",
        format!("[queue]\nqueue = \"{name}\"\n"),
    );
    let rabbitmq = RabbitMq::shared().await;
    let seams = ["--broker", &rabbitmq.url(), "--store", &redis.url()].map(str::to_owned);
    (home, seams.to_vec())
}

#[tokio::test]
async fn workers_told_to_stop_under_load_finish_what_they_took_and_take_nothing_twice() {
    let redis = Redis::launch().await;
    let (home, seams) = cluster(&format!("told-{}", JobId::issue()), &redis).await;
    let seams: Vec<&str> = seams.iter().map(String::as_str).collect();
    let front_end = home.serve(&[&seams[..], &["--workers", "0"]].concat()).await;
    let client = Client::new(front_end.url());
    let (mut ids, mut logs) = (Vec::new(), String::new());
    for _ in 0..5 {
        let worker = home.start(&[&["work", "--max-batch", "8"], &seams[..]].concat());
        let uploads: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move {
                    let mut ids = Vec::new();
                    for _ in 0..20 {
                        ids.push(client.upload(picture("three.jpg")).await);
                    }
                    ids
                })
            })
            .collect();
        eventually("the worker is at work", async || worker.log().contains("took")).await;
        let output = worker.stop().await;
        assert_eq!(output.code, Some(0), "{output:?}");
        logs.push_str(&output.stderr);
        for upload in uploads {
            ids.extend(upload.await.unwrap());
        }
    }
    let last = home.start(&[&["work"], &seams[..]].concat());
    for id in &ids {
        assert_eq!(client.outcome(id).await["predicted_class"], 3);
    }
    logs.push_str(&last.stop().await.stderr);
    let mut taken: HashMap<&str, u32> = HashMap::new();
    for line in logs.lines().filter(|line| line.contains("took")) {
        for id in ids.iter().filter(|id| line.contains(id.as_str())) {
            *taken.entry(id).or_default() += 1;
        }
    }
    for id in &ids {
        assert_eq!(taken.get(id.as_str()), Some(&1), "{id} was taken so often");
    }
}

#[tokio::test]
async fn a_job_that_comes_three_times_has_one_outcome() {
    let redis = Redis::launch().await;
    let name = format!("thrice-{}", JobId::issue());
    let (home, seams) = cluster(&name, &redis).await;
    let seams: Vec<&str> = seams.iter().map(String::as_str).collect();
    let settings = Settings {
        queue: name,
        ..Settings::default()
    };
    let address = url(&RabbitMq::shared().await.url());
    let broker: Arc<dyn Broker> = Arc::new(
        AmqpBroker::connect(&address, &settings, &Trust::default())
            .await
            .unwrap(),
    );
    let hour = Duration::from_secs(3600);
    let mut ids = Vec::new();
    for _ in 0..20 {
        let job = Job {
            id: JobId::issue(),
            picture: Picture::new(28, 28, vec![0; 784]).unwrap(),
            result_ttl: hour,
            accepted_at: SystemTime::now(),
            reading: Duration::from_micros(300),
            trace: None,
        };
        for _ in 0..3 {
            broker.publish(&job, hour, Confirm::AtOnce).await.unwrap();
        }
        ids.push(job.id.to_string());
    }
    let front_end = home.serve(&[&seams[..], &["--workers", "0"]].concat()).await;
    let client = Client::new(front_end.url());
    let _workers = [
        home.start(&[&["work", "--max-batch", "4"], &seams[..]].concat()),
        home.start(&[&["work", "--max-batch", "4"], &seams[..]].concat()),
    ];
    let mut told = HashMap::new();
    for id in &ids {
        eventually("the job is answered", async || {
            client.result(id).await.status == 200
        })
        .await;
        told.insert(id, client.result(id).await.body);
    }
    eventually("the queue is empty", async || {
        broker.backlog().await.unwrap() == 0
    })
    .await;
    for (id, outcome) in told {
        assert_eq!(outcome["status"], "succeeded");
        assert_eq!(client.result(id).await.body, outcome);
    }
}
