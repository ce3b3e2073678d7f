//! `mnistq doctor`: each thing that can be wrong is named with what to do, and stops no other look.

use std::net::TcpListener;

use serde_json::Value;

use crate::harness::mnistq::{Home, Output};
use crate::harness::process::free_port;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;

/// All that it looks at where the queue is a file.
const CHECKS: [&str; 11] = [
    "version",
    "configuration",
    "database",
    "broker",
    "store",
    "weights",
    "device",
    "open files",
    "access",
    "address",
    "mnist",
];

fn home() -> Home {
    // Another test may listen on the default address.
    Home::new().with_variable("MNISTQ_BIND", "127.0.0.1:0")
}

async fn doctor(home: &Home, arguments: &[&str]) -> Output {
    home.run(&[&["doctor"], arguments].concat()).await
}

/// What is wrong by a report: the checks, with detail and hint in one text.
fn wrong(output: &Output) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let checks = report["checks"].as_array().unwrap();
    let wrong: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(report["ok"], wrong.is_empty(), "{report}");
    assert_eq!(output.code, Some(i32::from(!wrong.is_empty())), "{output:?}");
    let told = |check: &&Value| {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        (text("check"), format!("{}; {}", text("detail"), text("hint")))
    };
    wrong.iter().map(told).collect()
}

fn detail(output: &Output, check: &str) -> String {
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check} in {report}"));
    found["detail"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_fresh_home_is_well_and_stays_as_it_was() {
    let home = home();
    let output = doctor(&home, &[]).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), "all is well\n"));
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), CHECKS.len(), "{output:?}");
    for (line, check) in lines.iter().zip(CHECKS) {
        assert!(line.starts_with(&format!("ok     {check}")), "{line}");
    }
    let output = doctor(&home, &["--json"]).await;
    assert_eq!(wrong(&output), []);
    assert!(detail(&output, "device").contains("reads a seven"), "{output:?}");
    assert!(!home.database().exists(), "it made a database");
}

#[tokio::test]
async fn servers_are_named_with_their_versions() {
    let (rabbitmq, redis) = (RabbitMq::shared().await, Redis::launch().await);
    let home = home();
    home.write("config/mnistq/mnistq.toml", "[queue]\nqueue = \"doctor\"\n");
    let output = doctor(
        &home,
        &["--json", "--broker", &rabbitmq.url(), "--store", &redis.url()],
    )
    .await;
    assert_eq!(wrong(&output), [], "{output:?}");
    assert!(
        detail(&output, "broker").starts_with("RabbitMQ 3.")
            || detail(&output, "broker").starts_with("RabbitMQ 4."),
        "{output:?}"
    );
    assert!(
        detail(&output, "broker").contains("0 of 100000 wait"),
        "{output:?}"
    );
    assert!(detail(&output, "store").starts_with("Redis "), "{output:?}");
    assert!(
        detail(&output, "configuration").contains("config/mnistq/mnistq.toml"),
        "{output:?}"
    );
}

#[tokio::test]
async fn servers_that_are_away_are_told_and_all_else_is_looked_at() {
    let home = home();
    let amqp = format!("amqp://guest:canary@127.0.0.1:{}/%2f", free_port());
    let redis = format!("redis://:canary@127.0.0.1:{}/0", free_port());
    let output = doctor(&home, &["--json", "--broker", &amqp, "--store", &redis]).await;
    let found = wrong(&output);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].0 == "broker" && found[0].1.contains("start RabbitMQ"),
        "{found:?}"
    );
    assert!(
        found[1].0 == "store" && found[1].1.contains("start Redis"),
        "{found:?}"
    );
    assert!(detail(&output, "device").contains("reads a seven"), "{output:?}");
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn what_is_wrong_on_this_machine_is_told() {
    let home = home();
    home.write("file", "no folder");
    home.write("letter.db", "no database".repeat(100));
    home.write("text.safetensors", "no weights");
    let cases: [(&[&str], &str, &str); 5] = [
        (&["--weights", "text.safetensors"], "weights", "text.safetensors"),
        (&["--device", "cuda:99"], "device", "--device cpu"),
        (
            &["--broker", "sqlite:file/q.db", "--store", "sqlite:here.db"],
            "database",
            "file is no folder",
        ),
        (
            &["--broker", "sqlite:letter.db", "--store", "sqlite:here.db"],
            "broker",
            "letter.db",
        ),
        (&["--store", "amqp://127.0.0.1"], "store", "redis:"),
    ];
    for (flags, check, told) in cases {
        let found = wrong(&doctor(&home, &[&["--json"], flags].concat()).await);
        assert_eq!(found.len(), 1, "{flags:?}: {found:?}");
        assert!(
            found[0].0 == check && found[0].1.contains(told),
            "{flags:?}: {found:?}"
        );
    }
}

#[tokio::test]
async fn an_mnistq_that_serves_is_known_from_a_stranger() {
    let home = home();
    let front_end = home.serve(&[]).await;
    let address = front_end.url().trim_start_matches("http://");
    let output = doctor(&home, &["--json", "--bind", address]).await;
    assert_eq!(wrong(&output), []);
    assert!(detail(&output, "address").contains("is ready"), "{output:?}");
    assert!(detail(&output, "broker").starts_with("SQLite "), "{output:?}");

    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    std::thread::spawn(move || drop(stranger.accept()));
    let found = wrong(&doctor(&home, &["--json", "--bind", &address]).await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].0 == "address" && found[0].1.contains("--bind"),
        "{found:?}"
    );
}

#[tokio::test]
async fn too_few_open_files_are_told_and_a_low_limit_that_can_be_raised_is() {
    let home = home();
    let few = home
        .start_shell("ulimit -n 300; exec mnistq doctor --json")
        .output()
        .await;
    let found = wrong(&few);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].0 == "open files" && found[0].1.contains("max_connections = 172"),
        "{found:?}"
    );
    home.write("config/mnistq/mnistq.toml", "[http]\nmax_connections = 300\n");
    let low = home
        .start_shell("ulimit -Sn 300; exec mnistq doctor --json")
        .output()
        .await;
    assert_eq!(wrong(&low), []);
}

#[tokio::test]
async fn who_may_ask_is_told_and_what_is_wrong_with_keys_and_certificates() {
    let home = home();
    let output = doctor(&home, &["--json"]).await;
    assert!(detail(&output, "access").contains("this machine"), "{output:?}");
    let exposed = doctor(&home, &["--json", "--bind", "0.0.0.0:0"]).await;
    let found = wrong(&exposed);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].0 == "access" && found[0].1.contains("--api-keys"),
        "{found:?}"
    );
    home.write("keys", "no key");
    home.write("server.pem", "no certificate");
    let flags = [
        "--json",
        "--api-keys",
        "keys",
        "--tls-cert",
        "server.pem",
        "--tls-key",
        "server.pem",
    ];
    let found = wrong(&doctor(&home, &flags).await);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].0 == "access" && found[0].1.contains("keys add"),
        "{found:?}"
    );
    assert!(
        found[1].0 == "certificate" && found[1].1.contains("--tls-cert"),
        "{found:?}"
    );
}
