//! Starting and stopping: what was taken is finished, and nobody is left hanging.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mnistq::broker::{Broker, BrokerError, Buried, Confirm, Consumer, PublishError};
use mnistq::http::{HttpError, bind};
use mnistq::job::{Job, JobId};
use mnistq::store::{Claim, Entry, Finished, First, Reservation, ResultStore, StoreError};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use super::served::{Served, predicted, read_until};
use crate::harness::{eventually, stays_pending, within};

/// A broker that publishes at once, and confirms it once its gate is open.
struct GatedBroker {
    inner: Arc<dyn Broker>,
    gate: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

#[async_trait]
impl Broker for GatedBroker {
    async fn publish(&self, job: &Job, deadline: Duration, confirm: Confirm) -> Result<(), PublishError> {
        self.inner.publish(job, deadline, confirm).await?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _open = self.gate.acquire().await.unwrap();
        Ok(())
    }

    async fn consume(&self, prefetch: NonZeroU16) -> Result<Consumer, BrokerError> {
        self.inner.consume(prefetch).await
    }

    async fn backlog(&self) -> Result<u64, BrokerError> {
        self.inner.backlog().await
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.inner.check().await
    }

    async fn buried(&self) -> Result<Vec<Buried>, BrokerError> {
        self.inner.buried().await
    }

    async fn exhume(&self, ids: &[JobId]) -> Result<bool, BrokerError> {
        self.inner.exhume(ids).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A front end whose broker's gate is closed, that gate, and how many publishes wait at it.
fn gated() -> (Served, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let served = Served::with(|front_end| {
        front_end.broker = Arc::new(GatedBroker {
            inner: Arc::clone(&front_end.broker),
            gate: Arc::clone(&gate),
            waiting: Arc::clone(&waiting),
        });
    });
    (served, gate, waiting)
}

/// A store that tells when it is asked to wait.
struct WatchedStore {
    inner: Arc<dyn ResultStore>,
    asked: Arc<Notify>,
}

#[async_trait]
impl ResultStore for WatchedStore {
    async fn reserve(&self, reservation: &Reservation) -> Result<(), StoreError> {
        self.inner.reserve(reservation).await
    }

    async fn owner(&self, id: JobId) -> Result<Option<String>, StoreError> {
        self.inner.owner(id).await
    }

    async fn claim(&self, key: &str, claim: Claim, ttl: Duration) -> Result<Claim, StoreError> {
        self.inner.claim(key, claim, ttl).await
    }

    async fn release(&self, id: JobId) -> Result<(), StoreError> {
        self.inner.release(id).await
    }

    async fn finish(&self, finished: &[Finished]) -> Vec<Result<(), StoreError>> {
        self.inner.finish(finished).await
    }

    async fn fetch_all(&self, ids: &[JobId]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.inner.fetch_all(ids).await
    }

    async fn wait(&self, id: JobId, limit: Duration, first: First) -> Result<Option<Entry>, StoreError> {
        self.asked.notify_one();
        self.inner.wait(id, limit, first).await
    }

    async fn erase(&self, id: JobId) -> Result<bool, StoreError> {
        self.inner.erase(id).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = first.local_addr().unwrap();
    match bind(address) {
        Err(HttpError::Bind { address: named, .. }) => assert_eq!(named, address),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_upload_in_hand_is_finished_and_then_the_front_end_ends() {
    let (served, gate, waiting) = gated();
    let request = served.client.post(served.url("/classify")).body("digit 1");
    let uploading = tokio::spawn(request.send());
    eventually("the upload has reached the broker", async || {
        waiting.load(Ordering::Relaxed) == 1
    })
    .await;
    served.shutdown.cancel();
    eventually("no connection is taken any more", async || {
        TcpStream::connect(&served.address).await.is_err()
    })
    .await;
    gate.add_permits(1);
    let response = within("the upload's answer", uploading).await.unwrap().unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(served.held(), (1, 1));
    within("the front end ends", served.serving)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn whoever_waits_for_an_outcome_gets_it_also_before_its_job_is_confirmed() {
    let (served, _gate, _waiting) = gated();
    served.work().await;
    let upload = || served.client.post(served.url("/classify")).body("digit 4");
    let waiting = upload().header("prefer", "wait=30").send();
    let response = within("the outcome", waiting).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<Value>().await.unwrap()["predicted_class"], 4);
    // An id alone is not given out before.
    for patience in ["wait=0", "return=minimal"] {
        assert!(
            stays_pending(upload().header("prefer", patience).send()).await,
            "{patience}"
        );
    }
}

#[tokio::test]
async fn those_who_wait_get_what_is_known_when_the_front_end_stops() {
    let served = Served::new();
    let id = served.submit("digit 1").await;
    let mut events = served
        .connect(format!("GET /result/{id}/events HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .await;
    read_until(&mut events, "event: queued").await;
    let mut waiting = served
        .connect(format!("GET /result/{id} HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\n\r\n").as_bytes())
        .await;
    let request = served.client.post(served.url("/classify")).body("digit 2");
    let uploading = tokio::spawn(request.header("prefer", "wait=30").send());
    eventually("the upload is queued", async || served.held() == (2, 2)).await;
    served.shutdown.cancel();
    let response = within("the upload's answer", uploading).await.unwrap().unwrap();
    assert_eq!(response.status(), 202);
    let queued = read_until(&mut waiting, "}").await;
    assert!(queued.contains("\"status\":\"queued\""), "{queued}");
    // The chunk of length zero is the proper end of a stream.
    read_until(&mut events, "0\r\n\r\n").await;
    within("the front end ends", served.serving)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_stopping_front_end_is_unready_and_still_takes_requests_for_a_while() {
    let served = Served::with(|front_end| front_end.settings.unready_ms = 600_000);
    assert_eq!(served.get("/readyz").await.status(), 200);
    served.shutdown.cancel();
    let response = served.get("/readyz").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.json::<Value>().await.unwrap()["status"], "stopping");
    served.submit("digit 1").await;
    served.serving.abort();
}

#[tokio::test]
async fn events_end_when_the_client_has_gone() {
    let asked = Arc::new(Notify::new());
    let served = Served::with(|front_end| {
        front_end.settings.event_keep_alive_ms = 10;
        front_end.store = Arc::new(WatchedStore {
            inner: Arc::clone(&front_end.store),
            asked: Arc::clone(&asked),
        });
    });
    let id = served.submit("digit 1").await;
    let mut events = served
        .connect(format!("GET /result/{id}/events HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .await;
    read_until(&mut events, ": queued").await;
    drop(events);
    eventually("nobody waits for the outcome any more", async || {
        stays_pending(asked.notified()).await
    })
    .await;
}

#[tokio::test]
async fn a_front_end_answers_for_jobs_that_another_one_took() {
    let served = Served::new();
    let id = JobId::issue();
    let minute = Duration::from_secs(60);
    served
        .store
        .reserve(&Reservation::new(id, minute, minute))
        .await
        .unwrap();
    let response = served.get(&format!("/result/{}", id)).await;
    assert_eq!(response.json::<Value>().await.unwrap()["status"], "queued");
    served.finish(id, predicted(5)).await;
    let response = served.get(&format!("/result/{}", id)).await;
    assert_eq!(response.json::<Value>().await.unwrap()["predicted_class"], 5);
}
