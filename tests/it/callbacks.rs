//! Callbacks: an outcome goes where its client wanted it, signed, and again until it is taken.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Response;
use serde_json::Value;
use sha2::Sha256;

use crate::harness::client::{http, id_in, picture};
use crate::harness::mnistq::{Home, Mnistq};
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::receiver::{Call, Receiver};
use crate::harness::redis::Redis;
use crate::harness::{eventually, stays_pending, within};

const KEY: &[u8] = b"a key of thirty-two bytes or so.";

/// A home whose front ends may call back to this machine, and try again soon.
fn home(more: &str) -> Home {
    let home = Home::new();
    let secret = BASE64_STANDARD.encode(KEY);
    let settings = format!(
        "[callbacks]\nhosts = [\"127.0.0.1\", \"localhost\"]\nsecret = \"whsec_{secret}\"\nfirst_pause_ms = 50\n{more}"
    );
    home.write("config/mnistq/mnistq.toml", settings);
    home
}

async fn upload(front_end: &Mnistq, callback_url: &str) -> Response {
    let post = http().post(format!("{}/classify", front_end.url()));
    let sent = post
        .query(&[("callback_url", callback_url)])
        .body(picture("three.jpg"))
        .send();
    within("an answer to an upload", sent).await.unwrap()
}

async fn ordered(front_end: &Mnistq, callback_url: &str) -> String {
    let response = upload(front_end, callback_url).await;
    assert_eq!(response.status(), 202);
    id_in(&response.json().await.unwrap())
}

async fn refused(front_end: &Mnistq, callback_url: &str) -> Value {
    let response = upload(front_end, callback_url).await;
    assert!(response.status().is_client_error(), "{callback_url}");
    response.json().await.unwrap()
}

/// Waits until so many tries have failed, and the next is kept for whoever is there then.
async fn postponed(front_end: &Mnistq, tries: usize) {
    eventually("a call is put off", async || {
        front_end.log().matches("tried again later").count() >= tries
    })
    .await;
}

/// Checks a call as its receiver would.
fn is_signed(call: &Call) {
    let (id, time) = (&call.headers["webhook-id"], &call.headers["webhook-timestamp"]);
    let mut code = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    code.update(format!("{id}.{time}.{}", call.body).as_bytes());
    let expected = format!("v1,{}", BASE64_STANDARD.encode(code.finalize().into_bytes()));
    assert_eq!(call.headers["webhook-signature"], expected);
}

#[tokio::test]
async fn the_outcome_comes_signed_and_once() {
    let home = home("private_addresses = true");
    let receiver = Receiver::start().await;
    let front_end = home.serve(&[]).await;
    let id = ordered(
        &front_end,
        &format!("http://localhost:{}/hook?mine=1", receiver.port()),
    )
    .await;
    let calls = receiver.got(1).await;
    is_signed(&calls[0]);
    assert_eq!(calls[0].headers["content-type"], "application/json");
    assert_eq!(calls[0].headers["webhook-id"], format!("msg_{id}"));
    let message = calls[0].json();
    assert_eq!(message["type"], "inference.succeeded");
    let told = http()
        .get(format!("{}/result/{id}", front_end.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(message["data"], told.json::<Value>().await.unwrap());
    assert!(message["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(stays_pending(receiver.got(2)).await);
}

#[tokio::test]
async fn a_call_that_is_not_taken_is_made_again_also_by_another_front_end() {
    let home = home("private_addresses = true\nattempts = 1000");
    let receiver = Receiver::start().await;
    receiver.answers("503 Service Unavailable\r\n");
    let front_end = home.serve(&[]).await;
    ordered(&front_end, &format!("http://127.0.0.1:{}/", receiver.port())).await;
    let calls = receiver.got(2).await;
    // Another time, and so another signature: the same message.
    assert_eq!(calls[0].headers["webhook-id"], calls[1].headers["webhook-id"]);
    assert_eq!(calls[0].body, calls[1].body);
    postponed(&front_end, 2).await;
    front_end.kill();
    receiver.answers("200 OK\r\n");
    let before = receiver.calls().len();
    let _front_end = home.serve(&[]).await;
    let calls = receiver.got(before + 1).await;
    assert_eq!(calls[before].body, calls[0].body);
    assert!(stays_pending(receiver.got(before + 2)).await);
}

#[tokio::test]
async fn whoever_has_gone_or_never_answers_is_left_alone() {
    let home = home("private_addresses = true\nattempts = 3");
    let (gone, failing) = (Receiver::start().await, Receiver::start().await);
    gone.answers("410 Gone\r\n");
    failing.answers("500 Internal Server Error\r\n");
    let front_end = home.serve(&[]).await;
    for receiver in [&gone, &failing] {
        ordered(&front_end, &format!("http://127.0.0.1:{}/", receiver.port())).await;
    }
    failing.got(3).await;
    assert!(stays_pending(failing.got(4)).await);
    assert_eq!(gone.calls().len(), 1);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let home = home("private_addresses = true\nattempts = 2");
    let (elsewhere, receiver) = (Receiver::start().await, Receiver::start().await);
    receiver.answers(&format!(
        "307 Temporary Redirect\r\nLocation: http://127.0.0.1:{}/\r\n",
        elsewhere.port()
    ));
    let front_end = home.serve(&[]).await;
    ordered(&front_end, &format!("http://127.0.0.1:{}/", receiver.port())).await;
    receiver.got(2).await;
    assert_eq!(elsewhere.calls().len(), 0);
}

#[tokio::test]
async fn what_the_operator_does_not_allow_is_refused_and_nothing_queued() {
    let home = home("");
    let receiver = Receiver::start().await;
    let front_end = home.serve(&[]).await;
    for (url, why) in [
        ("http://example.org/".to_owned(), "does not allow"),
        (
            format!("http://127.0.0.1:{}/", receiver.port()),
            "not a public one",
        ),
        ("ftp://localhost/".to_owned(), "http://"),
        ("nonsense".to_owned(), "no address"),
    ] {
        let problem = refused(&front_end, &url).await;
        assert_eq!(problem["type"], "/problems/bad-callback");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    }
    let stats = home.run(&["queue", "stats", "--json"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&stats.stdout).unwrap()["waiting"],
        0,
        "{stats:?}"
    );
    // A name is looked up when it is called: this one leads here.
    ordered(&front_end, &format!("http://localhost:{}/", receiver.port())).await;
    eventually("the call is refused", async || {
        front_end.log().contains("has no public address")
    })
    .await;
    assert_eq!(receiver.calls().len(), 0);

    let without = Home::new();
    let front_end = without.serve(&[]).await;
    let problem = refused(&front_end, "https://example.org/").await;
    assert_eq!(problem["type"], "/problems/callbacks-off");
}

#[tokio::test]
async fn callbacks_need_a_secret_which_is_never_shown() {
    let home = Home::new();
    let output = home.run(&["serve", "--callback-host", "example.org"]).await;
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("set `secret` in [callbacks]"),
        "{output:?}"
    );
    let short = [("MNISTQ_CALLBACK_SECRET", "whsec_c2VjcmV0")];
    let output = home.run_with(&["serve"], &short).await;
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("whsec_"), "{output:?}");
    assert!(!output.stderr.contains("c2VjcmV0"), "{output:?}");
}

#[tokio::test]
async fn on_rabbitmq_and_redis_any_front_end_makes_the_call() {
    let redis = Redis::launch().await;
    let rabbitmq = RabbitMq::shared().await;
    let home = home("private_addresses = true\n[queue]\nqueue = \"callbacks\"\n");
    let receiver = Receiver::start().await;
    receiver.answers("503 Service Unavailable\r\n");
    let (broker, store) = (rabbitmq.url(), redis.url());
    let seams = ["--broker", &broker, "--store", &store, "--workers", "1"];
    let front_end = home.serve(&seams).await;
    ordered(&front_end, &format!("http://localhost:{}/", receiver.port())).await;
    postponed(&front_end, 1).await;
    front_end.kill();
    receiver.answers("204 No Content\r\n");
    let before = receiver.calls().len();
    let _front_end = home.serve(&seams).await;
    let calls = receiver.got(before + 1).await;
    calls.iter().for_each(is_signed);
}
