//! The log: lines of JSON, each of a request with its name.

use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

use crate::harness::client::{Client, http, id_in, picture};
use crate::harness::mnistq::Home;
use crate::harness::redis::Redis;
use crate::harness::within;

/// All lines of a log.
fn lines(log: &str) -> Vec<Value> {
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
        line
    });
    lines.collect()
}

/// The status, and what the request is called.
async fn asked(request: RequestBuilder) -> (StatusCode, String) {
    let response = within("an answer", request.send()).await.unwrap();
    let name = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    (response.status(), name)
}

#[tokio::test]
async fn every_line_of_a_request_has_its_name_and_those_of_a_job_its_id() {
    let home = Home::new();
    let front_end = home.serve(&["--log", "info,mnistq=debug"]).await;
    let classify = || http().post(format!("{}/classify", front_end.url()));
    let upload = classify()
        .header("x-request-id", "order-7/3")
        .body(picture("three.jpg"));
    let response = within("an answer", upload.send()).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "order-7/3");
    let id = id_in(&response.json().await.unwrap());
    let (status, own) = asked(classify().header("x-request-id", "two words").body("no picture")).await;
    assert_eq!(status.as_u16(), 415);
    assert!(!own.contains(' '), "{own}");
    let (_, another) = asked(http().get(format!("{}/no/such/path", front_end.url()))).await;
    assert_ne!(own, another);
    Client::new(front_end.url()).outcome(&id).await;
    let log = front_end.stop().await.stderr;

    let lines = lines(&log);
    let of = |name: &str| -> Vec<&Value> {
        let lines = lines.iter().filter(|line| line["span"]["request_id"] == name);
        lines.collect()
    };
    let [queued, answered] = of("order-7/3")[..] else {
        panic!("{log}");
    };
    assert_eq!(
        (&queued["message"], &queued["inference_id"]),
        (&"queued".into(), &id.as_str().into())
    );
    assert_eq!(answered["message"], "answered");
    assert_eq!(answered["route"], "/classify");
    assert_eq!(answered["status"], 202);
    assert!(answered["ms"].is_number(), "{answered}");
    assert_eq!(of(&own)[0]["status"], 415);
    assert_eq!(of(&another)[0]["route"], "none");
    assert!(
        !log.contains("/no/such/path"),
        "a path that anybody may choose is in the log"
    );
    // The worker knows no request, but the job.
    let took = lines.iter().find(|line| line["message"] == "took").unwrap();
    assert_eq!(took["inferences"], id.as_str());
}

#[tokio::test]
async fn what_goes_wrong_is_logged_with_the_name_of_its_request() {
    let mut redis = Redis::launch().await;
    let home = Home::new();
    let front_end = home.serve(&["--store", &redis.url()]).await;
    redis.kill();
    let upload = http().post(format!("{}/classify", front_end.url()));
    let (status, name) = asked(upload.body(picture("three.jpg"))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let log = front_end.log();
    let lines = lines(&log);
    let refused = lines
        .iter()
        .find(|line| line["message"].as_str().unwrap().contains("are refused"));
    let refused = refused.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(refused["span"]["request_id"], name.as_str());
    assert_eq!(refused["level"], "WARN");
}
