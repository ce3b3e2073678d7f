//! `/result/{id}`: from queued to its one outcome, and what is said of ids that nothing is known of.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use mnistq::job::{Failure, FailureCode, JobId, Outcome};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

use super::served::{Served, predicted, problem};
use crate::harness::{eventually, within};

async fn body(served: &Served, id: JobId) -> Value {
    let response = served.get(&format!("/result/{id}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_job_is_queued_until_it_is_answered() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    let response = served.get(&format!("/result/{id}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let queued: Value = response.json().await.unwrap();
    assert_eq!(queued, json!({ "inference_id": id, "status": "queued" }));

    served.work().await;
    eventually("the job is answered", async || {
        body(&served, id).await["status"] == "succeeded"
    })
    .await;
    let answered = body(&served, id).await;
    assert_eq!(answered["predicted_class"], 3);
    assert_eq!(answered["inference_id"], id.to_string());
    assert_eq!(answered["confidence"], 1.0);
    assert_eq!(answered["probabilities"].as_array().unwrap().len(), 10);
    assert_eq!(answered["model"]["name"], "test");
    assert_eq!(answered["timings"]["inference_ms"], 0.0);
    for key in ["worker", "device", "batch_size"] {
        assert!(!answered[key].is_null(), "{key}");
    }
}

#[tokio::test]
async fn other_outcomes_say_why_there_is_no_class() {
    let served = Served::new();
    let error = Failure {
        code: FailureCode::Poison,
        detail: "it ended three workers".to_owned(),
    };
    let cases = [
        (
            Outcome::Failed { error },
            json!({ "status": "failed", "error": { "code": "poison", "detail": "it ended three workers" } }),
        ),
        (Outcome::Expired, json!({ "status": "expired" })),
        (Outcome::Cancelled, json!({ "status": "cancelled" })),
    ];
    for (outcome, mut expected) in cases {
        let id = served.submit("digit 3").await;
        served.finish(id, outcome).await;
        expected["inference_id"] = id.to_string().into();
        assert_eq!(body(&served, id).await, expected);
    }
}

#[tokio::test]
async fn a_client_may_wait_for_the_outcome() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    let request = served.client.get(served.url(&format!("/result/{id}")));
    let waiting = tokio::spawn(request.header("prefer", "wait=30").send());
    served.finish(id, predicted(3)).await;
    let response = within("the result", waiting).await.unwrap().unwrap();
    assert_eq!(response.headers()["preference-applied"], "wait=30");
    assert_eq!(response.json::<Value>().await.unwrap()["predicted_class"], 3);
}

#[tokio::test]
async fn a_wait_is_granted_up_to_the_limit() {
    let served = Served::with(|front_end| front_end.settings.max_wait_s = 0);
    let id = served.submit("digit 3").await;
    let request = served.client.get(served.url(&format!("/result/{id}")));
    let response = request.header("prefer", "wait=99999999999").send().await.unwrap();
    assert_eq!(response.headers()["preference-applied"], "wait=0");
    assert_eq!(response.json::<Value>().await.unwrap()["status"], "queued");
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    for path in [format!("/result/{id}"), "/livez".to_owned(), "/readyz".to_owned()] {
        let response = served.client.head(served.url(&path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.bytes().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn an_id_that_was_never_issued_is_unknown() {
    let served = Served::new();
    let foreign = [
        JobId::issue().to_string(),
        "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
        "nonsense".to_owned(),
        "%FF%00".to_owned(),
    ];
    for id in foreign {
        let unknown = problem(
            served.get(&format!("/result/{id}")).await,
            404,
            "unknown-inference",
        )
        .await;
        assert!(
            unknown["detail"]
                .as_str()
                .unwrap()
                .contains("submit the picture again")
        );
        problem(
            served.get(&format!("/result/{id}/events")).await,
            404,
            "unknown-inference",
        )
        .await;
        let delete = served.client.delete(served.url(&format!("/result/{id}"))).send();
        problem(delete.await.unwrap(), 404, "unknown-inference").await;
    }
}

#[tokio::test]
async fn an_id_older_than_results_are_kept_has_expired() {
    let served = Served::new();
    let long_ago = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .saturating_sub(Duration::from_secs(3700));
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, long_ago.as_secs(), 0));
    problem(
        served.get(&format!("/result/{id}")).await,
        410,
        "expired-inference",
    )
    .await;
}

#[tokio::test]
async fn a_result_past_its_time_to_live_has_expired() {
    let served = Served::with(|front_end| front_end.settings.result_ttl_s = 0);
    let id = served.submit("digit 3").await;
    served.work().await;
    eventually("the result has come and gone", async || {
        served.get(&format!("/result/{id}")).await.status() != StatusCode::OK
    })
    .await;
    problem(
        served.get(&format!("/result/{id}")).await,
        410,
        "expired-inference",
    )
    .await;
}

#[tokio::test]
async fn a_cancelled_job_stays_cancelled() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    for _ in 0..2 {
        let delete = served.client.delete(served.url(&format!("/result/{id}"))).send();
        assert_eq!(delete.await.unwrap().status(), StatusCode::NO_CONTENT);
        assert_eq!(body(&served, id).await["status"], "cancelled");
        // A worker that had the job all along is too late.
        served.finish(id, predicted(3)).await;
        assert_eq!(body(&served, id).await["status"], "cancelled");
    }
}

#[tokio::test]
async fn what_is_deleted_while_it_is_answered_is_gone_or_cancelled() {
    let served = Served::new();
    served.work().await;
    // Often enough that some answers come within a DELETE.
    for _ in 0..300 {
        let id = served.submit("digit 3").await;
        let delete = served.client.delete(served.url(&format!("/result/{id}"))).send();
        assert_eq!(delete.await.unwrap().status(), StatusCode::NO_CONTENT);
        let response = served.get(&format!("/result/{id}")).await;
        if response.status() != StatusCode::NOT_FOUND {
            assert_eq!(response.json::<Value>().await.unwrap()["status"], "cancelled");
        }
    }
}

#[tokio::test]
async fn a_deleted_result_is_gone() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    served.finish(id, predicted(3)).await;
    let delete = || served.client.delete(served.url(&format!("/result/{id}"))).send();
    assert_eq!(delete().await.unwrap().status(), StatusCode::NO_CONTENT);
    problem(
        served.get(&format!("/result/{id}")).await,
        404,
        "unknown-inference",
    )
    .await;
    problem(delete().await.unwrap(), 404, "unknown-inference").await;
}

#[tokio::test]
async fn events_tell_of_the_queue_then_of_the_outcome_and_end() {
    let served = Served::with(|front_end| front_end.settings.event_keep_alive_ms = 10);
    let id = served.submit("digit 3").await;
    let response = served.get(&format!("/result/{id}/events")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut chunks = response.bytes_stream();
    let mut text = String::new();
    let mut read_until = async |end: Option<&str>| {
        while end.is_none_or(|end| !text.contains(end)) {
            let Some(chunk) = within("an event", chunks.next()).await else {
                break;
            };
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        text.clone()
    };
    let queued = read_until(Some("\n\n")).await;
    let data = queued.strip_prefix("id: queued\nevent: queued\ndata: ").unwrap();
    let (data, _) = data.split_once("\n\n").unwrap();
    let expected = json!({ "inference_id": id, "status": "queued" });
    assert_eq!(serde_json::from_str::<Value>(data).unwrap(), expected);
    read_until(Some("\n\n: queued\n\n: queued\n\n")).await;
    served.finish(id, predicted(3)).await;
    let all = read_until(None).await;
    let (_, outcome) = all.split_once("event: succeeded\ndata: ").unwrap();
    let outcome: Value = serde_json::from_str(outcome).unwrap();
    assert_eq!(outcome, body(&served, id).await);
}

#[tokio::test]
async fn events_go_on_at_another_front_end_where_they_were_cut_off() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    let other = served.second_front_end();
    let events = |address: &str, last: &str| {
        let request = served.client.get(format!("http://{address}/result/{id}/events"));
        request.header("last-event-id", last).send()
    };
    let following = events(&other.address, "queued").await.unwrap();
    served.finish(id, predicted(3)).await;
    let text = within("the end of the events", following.text()).await.unwrap();
    assert!(text.starts_with("id: succeeded\nevent: succeeded\n"), "{text}");
    assert_eq!(text.matches("event:").count(), 1);
    let nothing_new = events(&served.address, "succeeded").await.unwrap();
    assert_eq!(nothing_new.status(), StatusCode::NO_CONTENT);
    let foreign = events(&served.address, "7").await.unwrap().text().await.unwrap();
    assert_eq!(foreign, text);
}

#[tokio::test]
async fn the_most_likely_classes_are_told_on_request() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    served.finish(id, predicted(3)).await;
    let of = async |query: &str| -> Value {
        let response = served.get(&format!("/result/{id}{query}")).await;
        response.json::<Value>().await.unwrap()["top"].clone()
    };
    assert_eq!(of("").await, Value::Null);
    let three = json!({ "class": 3, "probability": 1.0 });
    let none = |class: u16| json!({ "class": class, "probability": 0.0 });
    assert_eq!(of("?top=1").await, json!([three]));
    assert_eq!(of("?top=3").await, json!([three, none(0), none(1)]));
    assert_eq!(of("?top=65535").await.as_array().unwrap().len(), 10);
    let events = served.get(&format!("/result/{id}/events?top=1")).await;
    assert!(events.text().await.unwrap().contains("\"top\":[{"));
    for wrong in ["0", "-1", "many", "65536", "1&top=2"] {
        for path in [
            format!("/result/{id}?top={wrong}"),
            format!("/result/{id}/events?top={wrong}"),
        ] {
            problem(served.get(&path).await, 400, "bad-query").await;
        }
        let post = served.client.post(served.url(&format!("/classify?top={wrong}")));
        problem(post.body("digit 3").send().await.unwrap(), 400, "bad-query").await;
    }
    served.work().await;
    let request = served.client.post(served.url("/classify?top=2")).body("digit 4");
    let waited = request.header("prefer", "wait=30").send().await.unwrap();
    let waited: Value = waited.json().await.unwrap();
    assert_eq!(waited["top"][0]["class"], 4);
}

#[tokio::test]
async fn the_time_of_each_stage_is_told_to_browsers_too() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    let Outcome::Succeeded(mut prediction) = predicted(3) else {
        panic!("predicted without a prediction");
    };
    prediction.timings.reading_ms = 0.5;
    prediction.timings.queued_ms = 2.25;
    prediction.timings.inference_ms = 1.0;
    served.finish(id, Outcome::Succeeded(prediction)).await;
    let response = served.get(&format!("/result/{id}")).await;
    assert_eq!(
        response.headers()["server-timing"],
        "reading;dur=0.5, queued;dur=2.25, inference;dur=1"
    );
    let timings = response.json::<Value>().await.unwrap()["timings"].clone();
    assert_eq!(
        timings,
        json!({ "reading_ms": 0.5, "queued_ms": 2.25, "inference_ms": 1.0 })
    );
}

#[tokio::test]
async fn a_result_is_kept_for_as_long_as_its_upload_asks() {
    let served = Served::new();
    served.work().await;
    let request = served.client.post(served.url("/classify")).body("digit 3");
    let response = request.header("result-ttl", "1ms").send().await.unwrap();
    let id = response.json::<Value>().await.unwrap()["inference_id"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually("the result has come and gone", async || {
        served.get(&format!("/result/{id}")).await.status() == StatusCode::NOT_FOUND
    })
    .await;
    for wrong in ["0s", "3601s", "long"] {
        let request = served.client.post(served.url("/classify")).body("digit 3");
        let refused = request.header("result-ttl", wrong).send().await.unwrap();
        let refused = problem(refused, 400, "bad-time").await;
        assert!(refused["detail"].as_str().unwrap().contains("Result-TTL"));
    }
}

#[tokio::test]
async fn events_of_a_finished_job_are_its_outcome() {
    let served = Served::new();
    let id = served.submit("digit 3").await;
    served.finish(id, Outcome::Expired).await;
    let text = served.get(&format!("/result/{id}/events")).await.text();
    let text = within("the end of the events", text).await.unwrap();
    assert!(text.starts_with("id: expired\nevent: expired\n"), "{text}");
    assert_eq!(text.matches("event:").count(), 1);
}
