//! `Idempotency-Key`: the same upload under the same key is the same inference, however often it is sent.

use std::num::NonZeroU16;

use mnistq::job::JobId;
use reqwest::multipart::Form;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::served::{Served, file, predicted, problem};

async fn post(served: &Served, key: &str, picture: &'static str) -> Response {
    let request = served.client.post(served.url("/classify")).body(picture);
    request.header("idempotency-key", key).send().await.unwrap()
}

async fn id_in(response: Response) -> JobId {
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let body: Value = response.json().await.unwrap();
    body["inference_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_same_upload_under_the_same_key_has_the_same_id_also_after_its_outcome() {
    let served = Served::new();
    let id = id_in(post(&served, "mine", "digit 3").await).await;
    assert_eq!(id_in(post(&served, "mine", "digit 3").await).await, id);
    served.finish(id, predicted(3)).await;
    assert_eq!(id_in(post(&served, "mine", "digit 3").await).await, id);
    let (jobs, results) = served.held();
    assert_eq!((jobs, results), (2, 1), "what is finished is not queued again");
    assert_ne!(id_in(post(&served, "yours", "digit 3").await).await, id);
}

#[tokio::test]
async fn whoever_waits_under_a_known_key_gets_the_outcome() {
    let served = Served::new();
    let id = id_in(post(&served, "mine", "digit 3").await).await;
    served.finish(id, predicted(3)).await;
    let request = served.client.post(served.url("/classify")).body("digit 3");
    let request = request
        .header("idempotency-key", "mine")
        .header("prefer", "wait=20");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["inference_id"], &body["predicted_class"]),
        (&id.to_string().into(), &3.into())
    );
}

#[tokio::test]
async fn an_upload_that_was_not_queued_the_first_time_is_queued_the_second() {
    let served = Served::new();
    let id = id_in(post(&served, "mine", "digit 3").await).await;
    // As if the front end had died before it was queued.
    let mut consumer = served.broker.consume(NonZeroU16::MIN).await.unwrap();
    consumer.receive().await.unwrap().ack();
    consumer.close().await.unwrap();
    assert_eq!(id_in(post(&served, "mine", "digit 3").await).await, id);
    let mut consumer = served.broker.consume(NonZeroU16::MIN).await.unwrap();
    assert_eq!(consumer.receive().await.unwrap().id, id);
}

#[tokio::test]
async fn a_key_stands_for_one_picture() {
    let served = Served::new();
    id_in(post(&served, "mine", "digit 3").await).await;
    problem(post(&served, "mine", "digit 4").await, 422, "key-taken").await;
    assert_eq!(served.held(), (1, 1));
}

#[tokio::test]
async fn a_key_of_several_files_stands_for_each() {
    let served = Served::new();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let form = Form::new()
            .part("file", file("a", "digit 3"))
            .part("file", file("b", "digit 4"));
        let request = served.client.post(served.url("/classify")).multipart(form);
        let response = request.header("idempotency-key", "both").send().await.unwrap();
        answers.push(response.json::<Value>().await.unwrap());
    }
    assert_eq!(answers[0], answers[1]);
    let ids = answers[0]["inferences"].as_array().unwrap();
    assert_ne!(ids[0]["inference_id"], ids[1]["inference_id"]);
}

#[tokio::test]
async fn a_key_that_can_not_be_used_is_refused() {
    let served = Served::new();
    for key in ["", &"k".repeat(256)] {
        problem(post(&served, key, "digit 3").await, 400, "bad-key").await;
    }
    // An upload that is none leaves its key free.
    problem(post(&served, "mine", "text").await, 415, "not-an-image").await;
    id_in(post(&served, "mine", "digit 3").await).await;
}
