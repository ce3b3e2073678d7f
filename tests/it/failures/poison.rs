//! A picture that kills every worker that asks the model about it: it alone fails, and all others are answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mnistq::broker::{Broker, Confirm, LIVES, SUSPECT_AFTER};
use mnistq::job::{FailureCode, Job, JobId, Outcome, Picture};
use mnistq::metrics::Metrics;
use mnistq::model::{Model, ModelCard, ModelError};
use mnistq::store::{Entry, Reservation, ResultStore};
use mnistq::traces::Traces;
use mnistq::worker::{Engine, Settings, Worker};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::broker::Queue;
use crate::broker::amqp::AmqpQueue;
use crate::broker::sqlite::SqliteQueue;
use crate::harness::{dying_process, eventually, within};
use crate::store::Results;
use crate::store::redis::RedisResults;
use crate::store::sqlite::SqliteResults;

const POISON: u8 = 0xee;
const TTL: std::time::Duration = std::time::Duration::from_secs(3600);

/// Takes every picture for a 1; dies of one that begins with [`POISON`].
struct Mortal {
    card: ModelCard,
    /// How many pictures it was asked about when it died.
    dying: mpsc::UnboundedSender<usize>,
}

impl Model for Mortal {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        if pixels.chunks(16).any(|picture| picture[0] == POISON) {
            self.dying.send(pixels.len() / 16).unwrap();
            loop {
                std::thread::park();
            }
        }
        Ok(pixels.chunks(16).flat_map(|_| [-9.0, -0.001]).collect())
    }
}

#[tokio::test]
async fn a_picture_that_kills_workers_fails_alone_on_sqlite() {
    fails_alone::<SqliteQueue, SqliteResults>().await;
}

#[tokio::test]
async fn a_picture_that_kills_workers_fails_alone_on_rabbitmq_and_redis() {
    fails_alone::<AmqpQueue, RedisResults>().await;
}

#[tokio::test]
async fn a_suspect_is_asked_about_alone_on_sqlite() {
    is_asked_about_alone::<SqliteQueue, SqliteResults>().await;
}

#[tokio::test]
async fn a_suspect_is_asked_about_alone_on_rabbitmq_and_redis() {
    is_asked_about_alone::<AmqpQueue, RedisResults>().await;
}

async fn fails_alone<Q: Queue, R: Results>() {
    let (queue, results) = (Q::fresh().await, R::fresh().await);
    let (broker, store) = (queue.open_watchful().await, results.open().await);
    let mut jobs = HashMap::new();
    for number in 0..64_u8 {
        let first = if number == 20 { POISON } else { number };
        jobs.insert(submit(&broker, &store, first).await, first);
    }

    let mut deaths = 0;
    let ids: Vec<JobId> = jobs.keys().copied().collect();
    while let Some(asked) = dies(&queue, &results, &ids) {
        deaths += 1;
        assert!(deaths <= 20, "workers go on dying");
        assert!(
            asked == 1 || deaths <= SUSPECT_AFTER,
            "a suspect is not asked about alone"
        );
    }

    assert_eq!(deaths, SUSPECT_AFTER + LIVES);
    for (id, first) in &jobs {
        match store.fetch(*id).await.unwrap() {
            Some(Entry::Finished(Outcome::Succeeded(prediction))) if *first != POISON => {
                assert_eq!(prediction.predicted_class, 1);
            }
            Some(Entry::Finished(Outcome::Failed { error })) if *first == POISON => {
                assert_eq!(error.code, FailureCode::Poison);
                let buried = broker.buried().await.unwrap();
                assert_eq!(buried.len(), 1);
                assert_eq!((buried[0].id, &buried[0].reason), (*id, &error.detail));
            }
            entry => panic!("a picture that begins with {first} ends as {entry:?}"),
        }
    }
}

async fn is_asked_about_alone<Q: Queue, R: Results>() {
    let (queue, results) = (Q::fresh().await, R::fresh().await);
    let (broker, store) = (queue.open_watchful().await, results.open().await);
    let mut ids = vec![submit(&broker, &store, POISON).await];
    for death in 1..=SUSPECT_AFTER + LIVES {
        if death > SUSPECT_AFTER {
            // Others that come with it.
            for number in 0..8 {
                ids.push(submit(&broker, &store, number).await);
            }
        }
        assert_eq!(dies(&queue, &results, &ids), Some(1), "death {death}");
    }
    assert_eq!(dies(&queue, &results, &ids), None);
}

/// Reserves and publishes a picture that begins with this byte.
async fn submit(broker: &Arc<dyn Broker>, store: &Arc<dyn ResultStore>, first: u8) -> JobId {
    let job = Job {
        id: JobId::issue(),
        picture: Picture::new(4, 4, [first; 16].to_vec()).unwrap(),
        result_ttl: TTL,
        accepted_at: SystemTime::now(),
        reading: Duration::from_micros(300),
        trace: None,
    };
    store.reserve(&Reservation::new(job.id, TTL, TTL)).await.unwrap();
    broker.publish(&job, TTL, Confirm::AtOnce).await.unwrap();
    job.id
}

/// Runs a worker in a process of its own until it dies, asked about so many pictures, or every job has its outcome.
fn dies<Q: Queue, R: Results>(queue: &Q, results: &R, ids: &[JobId]) -> Option<usize> {
    dying_process(async || {
        let (broker, store) = (queue.open_watchful().await, results.open().await);
        let (dying, mut died) = mpsc::unbounded_channel();
        let card = ModelCard {
            name: "mortal".to_owned(),
            weights_sha256: String::new(),
            device: "cpu".to_owned(),
            width: 4,
            height: 4,
            classes: 2,
        };
        let engine = Engine::start(move || Ok(Box::new(Mortal { card, dying })), 1)
            .await
            .unwrap();
        let worker = Worker {
            name: "mortal".to_owned(),
            broker: Arc::clone(&broker),
            store: Arc::clone(&store),
            engine: engine.into(),
            working: Metrics::new().working(),
            traces: Traces::default(),
            // All that waits comes into one batch.
            settings: Settings {
                max_wait_ms: 200,
                ..Settings::default()
            },
        };
        let stop = CancellationToken::new();
        let working = tokio::spawn(worker.run(stop.clone()));
        let all_ended = async || {
            for id in ids {
                if !matches!(store.fetch(*id).await.unwrap(), Some(Entry::Finished(_))) {
                    return false;
                }
            }
            true
        };
        tokio::select! {
            asked = died.recv() => asked,
            () = eventually("every job has its outcome", all_ended) => {
                stop.cancel();
                within("the worker stops", working).await.unwrap().unwrap();
                None
            }
        }
    })
}
