//! Traces: one shows an upload's way through both roles, whatever the queue; and a collector that fails harms nobody.

use rusqlite::Connection;

use crate::harness::client::{Client, http, id_in, picture};
use crate::harness::collector::{Collector, Mood, Told};
use crate::harness::mnistq::Home;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;
use crate::harness::{eventually, within};

/// Two clients' places in traces of their own.
const CLIENTS: [(&str, &str); 2] = [
    ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
    ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
];

#[tokio::test]
async fn a_trace_crosses_rabbitmq() {
    let (rabbitmq, redis) = (RabbitMq::shared().await, Redis::launch().await);
    traces_cross(&[], &["--broker", &rabbitmq.url(), "--store", &redis.url()]).await;
}

#[tokio::test]
async fn a_trace_crosses_sqlite() {
    traces_cross(&[], &[]).await;
}

#[tokio::test]
async fn opentelemetrys_own_variable_names_the_collector_too() {
    traces_cross(&["OTEL_EXPORTER_OTLP_ENDPOINT"], &[]).await;
}

/// Two uploads of different traces share a batch, and each trace shows its own way.
async fn traces_cross(variables: &[&str], flags: &[&str]) {
    let collector = Collector::start(Mood::Well).await;
    let variable = variables.first().unwrap_or(&"MNISTQ_OTLP_ENDPOINT");
    let home = Home::new().with_variable(variable, &collector.url());
    let name = format!("traces-{}", uuid::Uuid::now_v7());
    let settings = format!("[queue]\nqueue = \"{name}\"\n[results]\nprefix = \"{name}\"\n");
    home.write("config/mnistq/mnistq.toml", settings);
    let front_end = home.serve(&[flags, &["--workers", "0"]].concat()).await;
    let mut ids = Vec::new();
    for (trace, span) in CLIENTS {
        ids.push(upload(front_end.url(), &format!("00-{trace}-{span}-01")).await);
    }
    let unrecorded = "00-11111111111111111111111111111111-2222222222222222-00";
    let quiet = upload(front_end.url(), unrecorded).await;
    let worker = home.start(&[&["work", "--max-batch", "3", "--max-wait-ms", "30000"], flags].concat());
    let client = Client::new(front_end.url());
    for id in ids.iter().chain([&quiet]) {
        assert_eq!(client.outcome(id).await["predicted_class"], 3);
    }
    // What is left is sent before they end.
    for role in [worker, front_end] {
        let output = role.stop().await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }

    let told = collector.told();
    let batches: Vec<&Told> = told.iter().filter(|told| told.span.name == "batch").collect();
    let [batch] = batches.as_slice() else {
        panic!("not one batch: {batches:#?}");
    };
    assert_eq!(batch.attribute("mnistq.batch_size").unwrap(), "3");
    assert_eq!(
        batch.span.links.len(),
        2,
        "that which nobody records is not linked"
    );
    for ((trace, client), id) in CLIENTS.iter().zip(&ids) {
        let trace_id = bytes(trace);
        let named = |service: &str, name: &str| -> &Told {
            let found: Vec<&Told> = told
                .iter()
                .filter(|told| told.span.trace_id == trace_id && told.span.name == name)
                .collect();
            let [found] = found.as_slice() else {
                panic!("not one {name} in {trace}: {found:#?} of {told:#?}");
            };
            assert_eq!(found.service, service, "{name}");
            found
        };
        let request = named("mnistq-serve", "POST /classify");
        assert_eq!(request.span.parent_span_id, bytes(client));
        assert_eq!(request.attribute("http.route").unwrap(), "/classify");
        assert_eq!(request.attribute("http.response.status_code").unwrap(), "202");
        let decode = named("mnistq-serve", "decode");
        assert_eq!(decode.span.parent_span_id, request.span.span_id);
        let publish = named("mnistq-serve", "publish");
        assert_eq!(publish.span.parent_span_id, request.span.span_id);
        assert_eq!(publish.attribute("mnistq.inference_id").unwrap(), *id);
        let job = named("mnistq-work", "job");
        assert_eq!(job.span.parent_span_id, publish.span.span_id, "across the queue");
        assert_eq!(job.attribute("mnistq.outcome").unwrap(), "succeeded");
        assert_eq!(job.attribute("mnistq.inference_id").unwrap(), *id);
        assert_eq!(job.span.links[0].span_id, batch.span.span_id);
        assert!(
            job.span.end_time_unix_nano >= batch.span.end_time_unix_nano,
            "stored last"
        );
        let links = &batch.span.links;
        let linked = links
            .iter()
            .any(|link| link.trace_id == trace_id && link.span_id == publish.span.span_id);
        assert!(linked, "{links:?}");
    }
    let heard: Vec<&Told> = told
        .iter()
        .filter(|told| told.span.trace_id == bytes(&"1".repeat(32)))
        .collect();
    assert!(heard.is_empty(), "nobody records that trace: {heard:?}");
}

async fn upload(url: &str, place: &str) -> String {
    let upload = http()
        .post(format!("{url}/classify"))
        .header("traceparent", place)
        .body(picture("three.jpg"));
    let answer = within("an answer", upload.send()).await.unwrap();
    id_in(&answer.json().await.unwrap())
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[tokio::test]
async fn without_a_collector_nothing_goes_with_a_job() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let (trace, span) = CLIENTS[0];
    upload(front_end.url(), &format!("00-{trace}-{span}-01")).await;
    let database = Connection::open(home.database()).unwrap();
    let of_jobs = "SELECT count(*), count(trace) FROM jobs";
    let counted = database.query_row(of_jobs, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(counted, Ok((1, 0)));
}

#[tokio::test]
async fn a_collector_that_fails_fails_no_request_and_holds_up_no_end() {
    let (ill, mute) = (
        Collector::start(Mood::Ill).await,
        Collector::start(Mood::Mute).await,
    );
    // The last is one where nobody listens.
    for endpoint in [ill.url(), mute.url(), "http://127.0.0.1:1".to_owned()] {
        let home = Home::new();
        let mut front_end = home.serve(&["--otlp-endpoint", &endpoint]).await;
        let client = Client::new(front_end.url());
        for _ in 0..50 {
            let answer = client.post_and_wait(picture("three.jpg")).await;
            assert_eq!(answer.body["predicted_class"], 3, "{endpoint}: {answer:?}");
        }
        front_end.logs("the collector does not take traces").await;
        let output = front_end.stop().await;
        assert_eq!(output.code, Some(0), "{endpoint}: {output:?}");
        let warned = output
            .stderr
            .matches("the collector does not take traces")
            .count();
        assert_eq!(warned, 1, "{endpoint}: {output:?}");
    }
    eventually("both were asked", async || ill.calls() > 0 && mute.calls() > 0).await;
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused_without_telling_its_password() {
    let home = Home::new();
    for endpoint in ["otel:4318", "http://me:hidden-word@otel:4318"] {
        let output = home.run(&["serve", "--otlp-endpoint", endpoint]).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("--otlp-endpoint"), "{output:?}");
        assert!(!output.stderr.contains("hidden-word"), "{output:?}");
    }
}
