//! `Cancel-After`, and what holds for uploads that don't say: a job that nobody answers expires.

use std::num::NonZeroU64;

use mnistq::job::JobId;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::served::{Served, predicted, problem};
use crate::harness::eventually;

async fn post(served: &Served, cancel_after: &str) -> Response {
    let request = served.client.post(served.url("/classify")).body("digit 3");
    request.header("cancel-after", cancel_after).send().await.unwrap()
}

async fn id_in(response: Response) -> JobId {
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let body: Value = response.json().await.unwrap();
    body["inference_id"].as_str().unwrap().parse().unwrap()
}

async fn status(served: &Served, id: JobId) -> Value {
    let response = served.get(&format!("/result/{id}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json::<Value>().await.unwrap()["status"].take()
}

async fn expires(served: &Served, id: JobId) {
    eventually("the job expires", async || {
        let status = status(served, id).await;
        assert!(status == "queued" || status == "expired", "{status}");
        status == "expired"
    })
    .await;
}

#[tokio::test]
async fn a_job_expires_when_its_upload_said_though_no_worker_runs() {
    let served = Served::new();
    let patient = served.submit("digit 3").await;
    let id = id_in(post(&served, "50ms").await).await;
    expires(&served, id).await;
    served.finish(id, predicted(3)).await;
    assert_eq!(status(&served, id).await, "expired");
    assert_eq!(status(&served, patient).await, "queued");
}

#[tokio::test]
async fn a_job_expires_at_the_default_deadline() {
    let served = Served::with(|front_end| front_end.settings.deadline_s = NonZeroU64::MIN);
    let id = served.submit("digit 3").await;
    expires(&served, id).await;
}

#[tokio::test]
async fn whoever_waits_is_told_of_the_deadline() {
    let served = Served::new();
    let id = id_in(post(&served, "50ms").await).await;
    let events = served.get(&format!("/result/{id}/events")).await;
    let events = events.text().await.unwrap();
    assert!(events.contains("event: expired"), "{events}");
    let request = served.client.post(served.url("/classify")).body("digit 3");
    let request = request.header("prefer", "wait=20").header("cancel-after", "50ms");
    let response = request.send().await.unwrap();
    assert_eq!(response.json::<Value>().await.unwrap()["status"], "expired");
}

#[tokio::test]
async fn a_deadline_that_can_not_be_had_is_refused() {
    let served = Served::new();
    for cancel_after in ["soon", "0s", "-1s", "25h"] {
        problem(post(&served, cancel_after).await, 400, "bad-time").await;
    }
    assert_eq!(served.held(), (0, 0));
}
