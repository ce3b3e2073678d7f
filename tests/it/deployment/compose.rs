//! `config/docker/compose.yaml` and what it mounts.

use serde_json::Value;

use super::{assert_known, assert_runs, assert_there, document, port, text, texts};

const FILE: &str = "config/docker/compose.yaml";
const FOLDER: &str = "config/docker";

#[test]
fn services_run_what_there_is_and_are_probed_where_they_listen() {
    let compose = document(FILE);
    let services = compose["services"].as_object().unwrap();
    let ours = services
        .iter()
        .filter(|(_, service)| service["image"] == "mnistq");
    let mut names = Vec::new();
    for (name, service) in ours {
        let place = format!("{FILE}, {name}");
        assert_runs(&place, &texts(&service["command"]));
        let environment = service["environment"].as_object().unwrap();
        for variable in environment.keys() {
            assert_known(&place, variable);
        }
        let probe = texts(&service["healthcheck"]["test"]);
        assert_eq!(probe[..2], ["CMD", "/mnistq"], "{place}");
        assert_runs(&place, &probe[2..]);
        let listens = ["MNISTQ_BIND", "MNISTQ_METRICS_ADDR"]
            .iter()
            .find_map(|name| environment.get(*name));
        assert_eq!(
            port(&probe[3]),
            port(listens.and_then(Value::as_str).unwrap()),
            "{place}"
        );
        names.push(name.as_str());
    }
    assert_eq!(names, ["serve", "work"]);
}

#[test]
fn services_and_files_that_are_named_are_there() {
    let compose = document(FILE);
    let services = compose["services"].as_object().unwrap();
    let volumes = compose["volumes"].as_object().unwrap();
    for (name, service) in services {
        let place = format!("{FILE}, {name}");
        assert!(
            service["healthcheck"].is_object(),
            "{place}: nobody knows whether it is well"
        );
        let needed = match &service["depends_on"] {
            Value::Object(needed) => needed.keys().cloned().collect(),
            Value::Null => Vec::new(),
            needed => texts(needed),
        };
        for needed in needed {
            assert!(services.contains_key(&needed), "{place}: there is no {needed}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            if source.starts_with('.') {
                assert_there(&place, format!("{FOLDER}/{source}"));
            } else {
                assert!(volumes.contains_key(source), "{place}: no volume {source}");
            }
        }
        if let Some(build) = service["build"].as_object() {
            assert_there(&place, build["dockerfile"].as_str().unwrap());
            let stage = format!(" AS {}\n", build["target"].as_str().unwrap());
            assert!(
                text("config/docker/Dockerfile").contains(&stage),
                "{place}:{stage}"
            );
        }
        for published in service["ports"].as_array().into_iter().flatten() {
            let published = published.as_str().unwrap();
            assert!(
                published.starts_with("127.0.0.1:"),
                "{place}: {published} is for everybody"
            );
        }
    }
    // The addresses that ours are given lead to services.
    for address in ["MNISTQ_BROKER", "MNISTQ_STORE"] {
        let address = services["work"]["environment"][address].as_str().unwrap();
        let host = address.rsplit('@').next().unwrap().split(':').next().unwrap();
        assert!(services.contains_key(host), "{FILE}: no service {host}");
    }
    let source = document("config/docker/grafana/datasource.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let provider = document("config/docker/grafana/dashboards.yaml");
    let folder = provider["providers"][0]["options"]["path"].as_str().unwrap();
    let mounted = services["grafana"]["volumes"].as_array().unwrap();
    let below = format!(":{folder}/");
    assert!(
        mounted
            .iter()
            .any(|volume| volume.as_str().unwrap().contains(&below)),
        "{folder}"
    );
}
