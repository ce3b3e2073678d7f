//! A broker or a store that is full, away or silent: the answer is honest, and names nothing private.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mnistq::broker::{Broker, BrokerError, Buried, Confirm, Consumer, PublishError};
use mnistq::http::FrontEnd;
use mnistq::job::{Job, JobId};
use mnistq::store::{Claim, Entry, Finished, First, Reservation, ResultStore, StoreError};
use reqwest::multipart::Form;
use serde_json::json;

use super::served::{Served, file, problem};
use crate::harness::within;

const PRIVATE: &str = "sqlite:/home/somebody/private.db";

/// A broker that publishes nothing, and says so in one way.
struct NoBroker {
    publish: fn() -> PublishError,
    checks: AtomicUsize,
}

impl NoBroker {
    fn new(publish: fn() -> PublishError) -> Arc<Self> {
        let checks = AtomicUsize::new(0);
        Arc::new(Self { publish, checks })
    }
}

#[async_trait]
impl Broker for NoBroker {
    async fn publish(&self, _: &Job, _: Duration, _: Confirm) -> Result<(), PublishError> {
        Err((self.publish)())
    }

    async fn consume(&self, _: NonZeroU16) -> Result<Consumer, BrokerError> {
        Err(broker_away())
    }

    async fn backlog(&self) -> Result<u64, BrokerError> {
        Err(broker_away())
    }

    async fn buried(&self) -> Result<Vec<Buried>, BrokerError> {
        Err(broker_away())
    }

    async fn exhume(&self, _: &[JobId]) -> Result<bool, BrokerError> {
        Err(broker_away())
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        Err(broker_away())
    }

    async fn close(&self) {}
}

fn broker_away() -> BrokerError {
    BrokerError::Unavailable {
        address: PRIVATE.to_owned(),
        source: "it has gone".into(),
    }
}

/// A store that is away.
struct NoStore;

#[async_trait]
impl ResultStore for NoStore {
    async fn reserve(&self, _: &Reservation) -> Result<(), StoreError> {
        Err(store_away())
    }

    async fn owner(&self, _: JobId) -> Result<Option<String>, StoreError> {
        Err(store_away())
    }

    async fn claim(&self, _: &str, _: Claim, _: Duration) -> Result<Claim, StoreError> {
        Err(store_away())
    }

    async fn release(&self, _: JobId) -> Result<(), StoreError> {
        Err(store_away())
    }

    async fn finish(&self, finished: &[Finished]) -> Vec<Result<(), StoreError>> {
        finished.iter().map(|_| Err(store_away())).collect()
    }

    async fn fetch_all(&self, _: &[JobId]) -> Result<Vec<Option<Entry>>, StoreError> {
        Err(store_away())
    }

    async fn wait(&self, _: JobId, _: Duration, _: First) -> Result<Option<Entry>, StoreError> {
        Err(store_away())
    }

    async fn erase(&self, _: JobId) -> Result<bool, StoreError> {
        Err(store_away())
    }

    async fn check(&self) -> Result<(), StoreError> {
        // It does not even answer.
        std::future::pending().await
    }

    async fn close(&self) {}
}

fn store_away() -> StoreError {
    StoreError::Unavailable {
        address: PRIVATE.to_owned(),
        source: "it has gone".into(),
    }
}

#[tokio::test]
async fn a_full_queue_asks_to_come_back_and_keeps_no_reservation() {
    let served = Served::with(|front_end| front_end.broker = NoBroker::new(|| PublishError::Full));
    let response = served.post("digit 1").await;
    assert_eq!(response.headers()["retry-after"], "1");
    problem(response, 429, "queue-full").await;
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn a_broker_that_is_away_is_said_to_be_and_leaves_no_reservation() {
    let away = NoBroker::new(|| broker_away().into());
    let served = Served::with(|front_end| front_end.broker = away);
    for patience in ["return=minimal", "wait=30"] {
        let upload = served.client.post(served.url("/classify")).body("digit 1");
        let response = upload.header("prefer", patience).send();
        let response = within("the refusal", response).await.unwrap();
        assert_eq!(response.headers()["retry-after"], "2");
        let refusal = problem(response, 503, "queue-unavailable").await;
        assert!(!refusal.to_string().contains("private"), "{refusal}");
        assert_eq!(served.held(), (0, 0));
    }
}

#[tokio::test]
async fn a_job_that_may_have_been_queued_can_still_be_asked_for() {
    let served = Served::with(|front_end| front_end.broker = NoBroker::new(|| PublishError::Unconfirmed));
    let response = served.post("digit 1").await;
    assert_eq!(response.headers()["retry-after"], "2");
    let refusal = problem(response, 503, "unconfirmed").await;
    let id = refusal["inference_id"].as_str().unwrap();
    assert_eq!(served.get(&format!("/result/{id}")).await.status(), 200);
}

#[tokio::test]
async fn several_files_at_a_full_queue_are_worth_another_try() {
    let served = Served::with(|front_end| front_end.broker = NoBroker::new(|| PublishError::Full));
    let form = Form::new()
        .part("file", file("1", "digit 1"))
        .part("file", file("2", "blank"));
    let response = served.post_form(form).await;
    assert_eq!(response.headers()["retry-after"], "1");
    problem(response, 429, "queue-full").await;
}

#[tokio::test]
async fn a_store_that_is_away_is_said_to_be_and_nothing_is_queued() {
    let served = Served::with(|front_end| front_end.store = Arc::new(NoStore));
    let id = JobId::issue();
    let delete = served.client.delete(served.url(&format!("/result/{id}"))).send();
    let answers = [
        served.post("digit 1").await,
        served.get(&format!("/result/{id}")).await,
        served.get(&format!("/result/{id}/events")).await,
        delete.await.unwrap(),
    ];
    for response in answers {
        assert_eq!(response.headers()["retry-after"], "2");
        let refusal = problem(response, 503, "store-unavailable").await;
        assert!(!refusal.to_string().contains("private"), "{refusal}");
    }
    assert_eq!(served.held(), (0, 0));
}

#[tokio::test]
async fn a_bad_picture_is_refused_for_what_it_is_even_when_all_is_away() {
    let served = Served::with(|front_end| {
        front_end.broker = NoBroker::new(|| PublishError::Full);
        front_end.store = Arc::new(NoStore);
    });
    problem(served.post("text").await, 415, "not-an-image").await;
}

#[tokio::test]
async fn readiness_tells_which_part_is_away() {
    let served = Served::new();
    let response = served.get("/readyz").await;
    assert_eq!(response.status(), 200);
    let ready = json!({ "status": "ready", "broker": "ready", "store": "ready" });
    assert_eq!(response.json::<serde_json::Value>().await.unwrap(), ready);

    let served = Served::with(|front_end: &mut FrontEnd| {
        front_end.broker = NoBroker::new(|| PublishError::Full);
        front_end.store = Arc::new(NoStore);
    });
    let response = served.get("/readyz").await;
    assert_eq!(response.status(), 503);
    let away = json!({ "status": "unready", "broker": "unavailable", "store": "timed_out" });
    assert_eq!(response.json::<serde_json::Value>().await.unwrap(), away);
    assert_eq!(served.get("/livez").await.status(), 200);
}

#[tokio::test]
async fn readiness_is_found_out_once_a_second_however_often_it_is_asked_for() {
    let broker = NoBroker::new(|| PublishError::Full);
    let asked = Arc::clone(&broker);
    let served = Served::with(|front_end| front_end.broker = asked);
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(served.get("/readyz").await.status(), 503);
    }
    let most = 1 + usize::try_from(began.elapsed().as_secs()).unwrap();
    let checks = broker.checks.load(Ordering::Relaxed);
    assert!((1..=most).contains(&checks), "{checks} checks, at most {most}");
}
