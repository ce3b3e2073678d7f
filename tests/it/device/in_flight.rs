//! Several batches in flight: a model that can have two gets two, so that its device never waits for the next.

use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use mnistq::broker::Confirm;
use mnistq::job::{Job, JobId, Outcome, Picture};
use mnistq::metrics::Metrics;
use mnistq::model::{Model, ModelCard, ModelError, Pass};
use mnistq::store::{Entry, Reservation};
use mnistq::traces::Traces;
use mnistq::worker::{Engine, Settings, Worker};
use tokio_util::sync::CancellationToken;

use crate::broker::Queue;
use crate::broker::sqlite::SqliteQueue;
use crate::harness::{eventually, within};
use crate::store::Results;
use crate::store::sqlite::SqliteResults;

const TTL: Duration = Duration::from_secs(3600);

/// Has two places. Ends its first pass when it may, and tells how many were in flight at most once it is gone.
struct Twofold {
    card: ModelCard,
    flying: usize,
    most: usize,
    may_end: mpsc::Receiver<()>,
    told: mpsc::Sender<usize>,
}

impl Model for Twofold {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        Ok(pixels.iter().flat_map(|_| [-9.0, -0.001]).collect())
    }

    fn depth(&self) -> usize {
        2
    }

    fn begin(&mut self, _pixels: &[u8]) -> Result<Pass, ModelError> {
        self.flying += 1;
        self.most = self.most.max(self.flying);
        Ok(Pass::InFlight {
            bucket: 0,
            place: 0,
            pictures: 1,
        })
    }

    fn end(&mut self, _pass: Pass) -> Result<Vec<f32>, ModelError> {
        // Nobody holds the other end any more: it need not wait.
        let _ = self.may_end.recv();
        self.flying -= 1;
        Ok(vec![-9.0, -0.001])
    }
}

impl Drop for Twofold {
    fn drop(&mut self) {
        self.told.send(self.most).unwrap();
    }
}

#[tokio::test]
async fn the_next_batch_is_in_flight_before_the_one_before_it_has_ended() {
    let (queue, results) = (SqliteQueue::fresh().await, SqliteResults::fresh().await);
    let (broker, store) = (queue.open_watchful().await, results.open().await);
    let mut ids = Vec::new();
    for number in 0..6 {
        let job = Job {
            id: JobId::issue(),
            picture: Picture::new(1, 1, vec![number]).unwrap(),
            result_ttl: TTL,
            accepted_at: SystemTime::now(),
            reading: Duration::ZERO,
            trace: None,
        };
        store.reserve(&Reservation::new(job.id, TTL, TTL)).await.unwrap();
        broker.publish(&job, TTL, Confirm::AtOnce).await.unwrap();
        ids.push(job.id);
    }
    let (may_end_sender, may_end) = mpsc::channel();
    let (told_sender, told) = mpsc::channel();
    let make = move || {
        let card = ModelCard {
            name: "twofold".to_owned(),
            weights_sha256: String::new(),
            device: "cuda:0".to_owned(),
            width: 1,
            height: 1,
            classes: 2,
        };
        let model: Box<dyn Model> = Box::new(Twofold {
            card,
            flying: 0,
            most: 0,
            may_end,
            told: told_sender,
        });
        Ok(model)
    };
    let metrics = Metrics::new();
    let worker = Worker {
        name: "twofold".to_owned(),
        broker,
        store: Arc::clone(&store),
        engine: Engine::start(make, 1).await.unwrap().into(),
        working: metrics.working(),
        traces: Traces::default(),
        settings: Settings {
            max_batch: std::num::NonZeroU16::MIN,
            ..Settings::default()
        },
    };
    let stop = CancellationToken::new();
    let working = tokio::spawn(worker.run(stop.clone()));
    eventually("one batch is in the model and two wait for it", async || {
        metrics.text().contains("\nmnistq_jobs_in_hand 3\n")
    })
    .await;
    drop(may_end_sender);
    for id in ids {
        eventually("every job has its outcome", async || {
            matches!(
                store.fetch(id).await.unwrap(),
                Some(Entry::Finished(Outcome::Succeeded(_)))
            )
        })
        .await;
    }
    stop.cancel();
    within("the worker stops", working).await.unwrap().unwrap();
    let most = within(
        "the model is gone",
        tokio::task::spawn_blocking(move || told.recv()),
    )
    .await;
    assert_eq!(most.unwrap().unwrap(), 2);
}
