//! `/metrics`: it tells what happened, by Prometheus's rules, and its gauges come down again.

use mnistq::job::JobId;
use reqwest::StatusCode;
use rusqlite::Connection;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::told::{Told, address, comes_to};
use crate::dead::enqueue;
use crate::harness::client::{Client, PICTURES, http, id_in, picture};
use crate::harness::installed;
use crate::harness::mnistq::Home;
use crate::harness::process::{Process, command, folder};
use crate::harness::proxy::Proxy;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;

/// Anywhere, as long as it is free.
const ANY: &str = "127.0.0.1:0";

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_what_both_roles_tell() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let mut worker = home.start(&["work", "--metrics-addr", ANY]);
    let client = Client::new(front_end.url());
    for (name, digit) in PICTURES {
        let answer = client.post_and_wait(picture(name)).await;
        assert_eq!(answer.body["predicted_class"], digit);
    }
    client.post(b"no picture".to_vec()).await;
    let places = [format!("{}/metrics", front_end.url()), address(&mut worker).await];
    for place in places {
        let told = Told::at(&place).await;
        assert!(told.value("process_open_fds").is_some(), "{}", told.0);
        let (code, complaints) = promtool(&["check", "metrics"], &told.0).await;
        assert_eq!((code, complaints.as_str()), (Some(0), ""), "{}", told.0);
    }
}

/// Its exit code and what it says, of this input.
pub async fn promtool(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let folder = folder();
    let file = folder.path().join("input");
    std::fs::write(&file, input).unwrap();
    let mut command = command(&installed(&["promtool"], &[]), &file);
    command.args(arguments);
    let mut process = Process::spawn(command, folder.path(), "promtool");
    let code = process.end().await.code();
    (code, process.stdout() + &process.stderr())
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let client = Client::new(front_end.url());
    let answered = client.post_and_wait(picture("three.jpg")).await.body;
    let id = id_in(&answered);
    client.result(&id).await;
    client.result("no-id-at-all").await;
    assert_eq!(client.post(b"no picture".to_vec()).await.status.as_u16(), 415);
    let files = [("one.jpg", picture("three.jpg")), ("none.txt", b"text".to_vec())];
    client.post_form(&files).await;
    let strange = http().request("BREW".parse().unwrap(), format!("{}/pot/{id}", front_end.url()));
    strange.send().await.unwrap();

    let place = format!("{}/metrics", front_end.url());
    comes_to(
        &place,
        r#"mnistq_jobs_finished_total{outcome="succeeded"}"#,
        |count| count == 2.0,
    )
    .await;
    let told = Told::at(&place).await;
    let requests =
        |labels: &str| told.value(&format!("mnistq_http_request_duration_seconds_count{{{labels}}}"));
    let expected = [
        (r#"method="POST",route="/classify",status="200""#, 1.0),
        (r#"method="POST",route="/classify",status="202""#, 1.0),
        (r#"method="POST",route="/classify",status="415""#, 1.0),
        (r#"method="GET",route="/result/{id}",status="200""#, 1.0),
        (r#"method="GET",route="/result/{id}",status="404""#, 1.0),
        (r#"method="other",route="none",status="404""#, 1.0),
    ];
    for (labels, count) in expected {
        assert_eq!(requests(labels), Some(count), "{labels}: {}", told.0);
    }
    assert!(!told.0.contains(&id), "an id is a label");
    let model = &answered["model"];
    let (name, sha, device) = (&model["name"], &model["weights_sha256"], &answered["device"]);
    let info = format!("mnistq_model_info{{device={device},name={name},weights_sha256={sha}}}");
    let expected = [
        ("mnistq_uploads_accepted_total", 2.0),
        (r#"mnistq_uploads_refused_total{reason="not-an-image"}"#, 2.0),
        ("mnistq_decode_duration_seconds_count", 4.0),
        ("mnistq_publish_duration_seconds_count", 2.0),
        (r#"mnistq_store_duration_seconds_count{operation="reserve"}"#, 2.0),
        ("mnistq_queue_wait_seconds_count", 2.0),
        ("mnistq_job_duration_seconds_count", 2.0),
        ("mnistq_batch_size_sum", 2.0),
        ("mnistq_redeliveries_total", 0.0),
        ("mnistq_dead_letters_total", 0.0),
        (r#"mnistq_peer_errors_total{peer="broker"}"#, 0.0),
        (r#"mnistq_reconnects_total{peer="store"}"#, 0.0),
        (info.as_str(), 1.0),
    ];
    for (series, value) in expected {
        assert_eq!(told.value(series), Some(value), "{series}: {}", told.0);
    }
    assert_eq!(
        told.sum("mnistq_batches_total"),
        told.sum("mnistq_batch_size_count")
    );
    let of_device = |name: &str| told.value(&format!("{name}{{device={device}}}"));
    assert!(of_device("mnistq_device_busy_seconds_total") > Some(0.0));
    let (used, all) = ("mnistq_device_memory_used_bytes", "mnistq_device_memory_bytes");
    assert!(
        of_device(used) > Some(0.0) && of_device(used) < of_device(all),
        "{}",
        told.0
    );
}

#[tokio::test]
async fn the_backlog_is_told_and_how_old_its_oldest_job_is() {
    let rabbitmq = RabbitMq::shared().await;
    let home = Home::new();
    let name = format!("watch-{}", uuid::Uuid::now_v7());
    home.write(
        "config/mnistq/mnistq.toml",
        format!("[queue]\nqueue = \"{name}\"\n"),
    );
    // One tells how old its jobs are, with the other it is known from what was queued.
    for broker in [format!("sqlite:{name}.db"), rabbitmq.url()] {
        let flags = ["--broker", &broker, "--queue-limit", "1000"];
        let front_end = home.serve(&[&flags[..], &["--workers", "0"]].concat()).await;
        let place = format!("{}/metrics", front_end.url());
        let client = Client::new(front_end.url());
        for _ in 0..3 {
            client.upload(picture("three.jpg")).await;
        }
        comes_to(&place, "mnistq_backlog_messages", |jobs| jobs == 3.0).await;
        comes_to(&place, "mnistq_oldest_message_age_seconds", |age| age > 1.0).await;
        comes_to(&place, "mnistq_backlog_seconds", |seconds| {
            seconds == f64::INFINITY
        })
        .await;
        let _worker = home.start(&[&["work"], &flags[..]].concat());
        comes_to(&place, "mnistq_backlog_messages", |jobs| jobs == 0.0).await;
        comes_to(&place, "mnistq_oldest_message_age_seconds", |age| age == 0.0).await;
    }
}

#[tokio::test]
async fn gauges_come_back_to_zero_after_a_storm_of_clients_that_go_away() {
    let home = Home::new();
    let mut front_end = home.serve(&["--workers", "0", "--metrics-addr", ANY]).await;
    let place = address(&mut front_end).await;
    let url = front_end.url().to_owned();
    let elsewhere = http().get(format!("{url}/metrics")).send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND, "metrics have moved");
    drop(elsewhere);
    let client = Client::new(&url);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(client.upload(picture("three.jpg")).await);
    }
    let mut waiting = Vec::new();
    for id in ids.clone() {
        let result = format!("{url}/result/{id}");
        waiting.push(tokio::spawn(
            http().get(&result).header("Prefer", "wait=30").send(),
        ));
        let events = http().get(format!("{result}/events")).send();
        waiting.push(tokio::spawn(async {
            let mut stream = events.await?;
            while stream.chunk().await?.is_some() {}
            Ok(stream)
        }));
    }
    // And some whose upload never ends.
    let mut halves = Vec::new();
    for _ in 0..20 {
        let mut half = TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .unwrap();
        let head = "POST /classify HTTP/1.1\r\nhost: here\r\ncontent-length: 9000\r\n\r\nhalf";
        half.write_all(head.as_bytes()).await.unwrap();
        halves.push(half);
    }
    let in_flight = "mnistq_http_requests_in_flight";
    comes_to(&place, in_flight, |count| count == 60.0).await;
    assert!(Told::at(&place).await.value("mnistq_http_connections") >= Some(60.0));
    for wait in &waiting {
        wait.abort();
    }
    drop(halves);
    drop(client);
    comes_to(&place, in_flight, |count| count == 0.0).await;
    comes_to(&place, "mnistq_http_connections", |count| count == 0.0).await;

    // What was cancelled in the meantime is in nobody's hand.
    let client = Client::new(&url);
    for id in &ids[..10] {
        client.delete(id).await;
    }
    let mut worker = home.start(&["work", "--metrics-addr", ANY]);
    let place = address(&mut worker).await;
    comes_to(
        &place,
        r#"mnistq_jobs_finished_total{outcome="succeeded"}"#,
        |count| count == 10.0,
    )
    .await;
    comes_to(&place, "mnistq_jobs_in_hand", |count| count == 0.0).await;
}

#[tokio::test]
async fn connections_that_were_rebuilt_are_counted() {
    let (rabbitmq, redis) = (RabbitMq::shared().await, Redis::launch().await);
    let (to_broker, to_store) = (
        Proxy::before(rabbitmq.port()).await,
        Proxy::before(redis.port()).await,
    );
    let broker = format!("amqp://guest:guest@127.0.0.1:{}/%2f", to_broker.port());
    let store = format!("redis://127.0.0.1:{}/0", to_store.port());
    let home = Home::new();
    let name = format!("watch-{}", uuid::Uuid::now_v7());
    home.write(
        "config/mnistq/mnistq.toml",
        format!("[queue]\nqueue = \"{name}\"\n"),
    );
    let flags = ["--broker", &broker, "--store", &store, "--workers", "1"];
    let mut front_end = home.serve(&flags).await;
    front_end.logs("waiting for work").await;
    let client = Client::new(front_end.url());
    let place = format!("{}/metrics", front_end.url());
    for (proxy, peer) in [(&to_broker, "broker"), (&to_store, "store")] {
        let series = format!("mnistq_reconnects_total{{peer=\"{peer}\"}}");
        assert_eq!(Told::at(&place).await.value(&series), Some(0.0));
        proxy.reset();
        // Of the broker one connection publishes and one consumes, of the store one carries messages.
        comes_to(&place, &series, |count| count == 2.0).await;
    }
    client.ready().await;
    let answer = client.post_and_wait(picture("three.jpg")).await;
    assert_eq!(answer.body["predicted_class"], 3, "{answer:?}");
}

#[tokio::test]
async fn jobs_that_come_again_and_dead_letters_are_counted() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    Client::new(front_end.url()).upload(picture("three.jpg")).await;
    let database = Connection::open(home.database()).unwrap();
    database.execute("UPDATE jobs SET deliveries = 1", []).unwrap();
    enqueue(&home, JobId::issue(), b"no job", 0);
    let mut worker = home.start(&["work", "--metrics-addr", ANY]);
    let place = address(&mut worker).await;
    for series in [
        "mnistq_redeliveries_total",
        "mnistq_dead_letters_total",
        r#"mnistq_jobs_finished_total{outcome="succeeded"}"#,
        r#"mnistq_jobs_finished_total{outcome="failed"}"#,
    ] {
        comes_to(&place, series, |count| count == 1.0).await;
    }
    comes_to(&place, "mnistq_jobs_in_hand", |count| count == 0.0).await;
}

#[tokio::test]
async fn an_address_for_metrics_that_is_taken_ends_a_role_with_advice() {
    let home = Home::new();
    let front_end = home.serve(&[]).await;
    let taken = front_end.url().trim_start_matches("http://").to_owned();
    for role in [&["work"][..], &["serve", "--bind", ANY]] {
        let output = home.run(&[role, &["--metrics-addr", &taken]].concat()).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("--metrics-addr"), "{output:?}");
    }
    let output = home.run(&["work", "--metrics-addr", "nowhere"]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
}
