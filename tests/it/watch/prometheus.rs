//! The shipped dashboard, rules and scrape configuration, on a real Prometheus that scrapes a running system.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::metrics::promtool;
use super::told::address;
use crate::harness::client::{Client, picture};
use crate::harness::eventually;
use crate::harness::mnistq::Home;
use crate::harness::prometheus::Prometheus;

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file)
}

/// What Grafana fills in.
fn filled_in(expression: &str) -> String {
    expression.replace("$__rate_interval", "1m")
}

/// All queries of the dashboard.
fn dashboard() -> BTreeSet<String> {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(expression)) = object.get("expr") {
                    found.insert(filled_in(expression));
                }
                object.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(shipped("grafana/mnistq.json")).unwrap();
    let mut found = BTreeSet::new();
    collect(&serde_json::from_str(&text).unwrap(), &mut found);
    found
}

/// The names of metrics in an expression.
fn names(expression: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    expression
        .split(|letter: char| !is_part(letter))
        .filter(|word| {
            word.starts_with("mnistq_") || word.starts_with("mnistq:") || word.starts_with("process_")
        })
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_rules_and_the_configuration() {
    for (what, file) in [
        ("rules", "prometheus/rules.yml"),
        ("config", "prometheus/prometheus.yml"),
    ] {
        let file = shipped(file);
        let (code, said) = promtool(&["check", what, file.to_str().unwrap()], "").await;
        assert_eq!(code, Some(0), "{said}");
    }
}

#[tokio::test]
async fn every_query_of_the_dashboard_and_of_the_rules_has_an_answer() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let mut worker = home.start(&["work", "--metrics-addr", "127.0.0.1:0"]);
    let told = address(&mut worker).await;
    let told = told.trim_start_matches("http://").trim_end_matches("/metrics");

    // The shipped files, but for where the roles are and how often they are asked.
    let mut configuration = std::fs::read_to_string(shipped("prometheus/prometheus.yml")).unwrap();
    let serve = front_end.url().trim_start_matches("http://");
    for (found, place) in [
        ("dns_sd_configs: [{ names: [serve], type: A, port: 8000 }]", serve),
        ("dns_sd_configs: [{ names: [work], type: A, port: 9464 }]", told),
    ] {
        assert!(configuration.contains(found));
        let place = format!("static_configs: [{{ targets: [\"{place}\"] }}]");
        configuration = configuration.replace(found, &place);
    }
    let configuration = home.write("prometheus.yml", configuration.replace("15s", "500ms"));
    home.write(
        "rules.yml",
        std::fs::read(shipped("prometheus/rules.yml")).unwrap(),
    );
    let prometheus = Prometheus::launch(&configuration).await;

    let client = Client::new(front_end.url());
    let mut without = dashboard();
    assert!(without.len() > 30, "{without:?}");
    eventually("every query of the dashboard has data", async || {
        // What happens before the first look at a counter is not seen.
        client.post_and_wait(picture("three.jpg")).await;
        client.post(b"no picture".to_vec()).await;
        let mut still = BTreeSet::new();
        for expression in &without {
            let series = prometheus.query(expression).await;
            let series = series.unwrap_or_else(|error| panic!("{expression}: {error}"));
            let numbers = series.iter().filter(|one| one["value"][1] != "NaN");
            if numbers.count() == 0 {
                still.insert(expression.clone());
            }
        }
        without = still;
        without.is_empty()
    })
    .await;

    let rules = prometheus.rules().await;
    assert!(rules.len() > 15, "{rules:?}");
    for rule in &rules {
        let expression = rule["query"].as_str().unwrap();
        let is_recorded = rule["type"] == "recording";
        eventually(&format!("all is well by {expression}"), async || {
            let series = prometheus.query(expression).await.unwrap();
            series.is_empty() != is_recorded
        })
        .await;
        // An alert is silent, and so would be one that names no metric of ours.
        for name in names(expression) {
            eventually(&format!("{name} has data"), async || {
                !prometheus.query(&name).await.unwrap().is_empty()
            })
            .await;
        }
    }
    eventually("every rule was evaluated", async || {
        let rules = prometheus.rules().await;
        rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_stands_still_is_an_alert() {
    let home = Home::new();
    let front_end = home.serve(&["--workers", "0"]).await;
    let serve = front_end.url().trim_start_matches("http://");
    let rules = std::fs::read_to_string(shipped("prometheus/rules.yml")).unwrap();
    home.write("rules.yml", rules.replace("for: 2m", "for: 0s"));
    let configuration = format!(
        "global: {{ scrape_interval: 500ms, evaluation_interval: 500ms }}\nrule_files: [rules.yml]\n\
         scrape_configs: [{{ job_name: mnistq-serve, static_configs: [{{ targets: [\"{serve}\"] }}] }}]\n"
    );
    let prometheus = Prometheus::launch(&home.write("prometheus.yml", configuration)).await;
    Client::new(front_end.url()).upload(picture("three.jpg")).await;
    eventually("the alert fires", async || {
        let rules = prometheus.rules().await;
        let still = rules.iter().find(|rule| rule["name"] == "MnistqQueueStandsStill");
        still.is_some_and(|rule| rule["state"] == "firing")
    })
    .await;
}
