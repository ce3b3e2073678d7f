//! `config/k8s`: what the objects say of each other, and of mnistq.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mnistq::broker;
use mnistq::config::Config;
use mnistq::http::Keys;
use serde_json::Value;

use super::{assert_known, assert_runs, assert_there, document, documents, every, port, texts};

const FOLDER: &str = "config/k8s";

/// All objects that are applied.
fn objects() -> Vec<Value> {
    let resources = texts(&document(&format!("{FOLDER}/kustomization.yaml"))["resources"]);
    resources
        .iter()
        .flat_map(|file| documents(&format!("{FOLDER}/{file}")))
        .collect()
}

fn of_kind<'a>(kind: &str, objects: &'a [Value]) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn secret() -> Value {
    document(&format!("{FOLDER}/secret.example.yaml"))
}

#[test]
fn containers_run_what_there_is_with_settings_that_are_read() {
    let objects = objects();
    let deployments = of_kind("Deployment", &objects);
    assert_eq!(deployments.len(), 2);
    for deployment in deployments {
        let place = deployment["metadata"]["name"].as_str().unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["image"], "mnistq", "{place}");
        assert_runs(place, &texts(&container["args"]));
        let ports: BTreeMap<&str, u64> = container["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| {
                (
                    port["name"].as_str().unwrap(),
                    port["containerPort"].as_u64().unwrap(),
                )
            })
            .collect();
        let mut listens = Vec::new();
        let mounts: Vec<&str> = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        for variable in container["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            assert_known(place, name);
            let Some(value) = variable["value"].as_str() else {
                let key = &variable["valueFrom"]["secretKeyRef"];
                assert_eq!(key["name"], secret()["metadata"]["name"], "{place}: {name}");
                let key = key["key"].as_str().unwrap();
                assert!(
                    secret()["stringData"][key].is_string(),
                    "{place}: the Secret has no {key}"
                );
                continue;
            };
            if value.starts_with('/') {
                let folder = Path::new(value).parent().unwrap().to_str().unwrap();
                assert!(mounts.contains(&folder), "{place}: nothing is mounted for {name}");
            } else if value.contains(':') {
                listens.push(port(value));
            }
        }
        // It listens where probes and Prometheus ask.
        assert_eq!(ports.values().copied().collect::<Vec<_>>(), listens, "{place}");
        let mut probes = Vec::new();
        every("httpGet", container, &mut probes);
        assert!(!probes.is_empty(), "{place} has no probe");
        for probe in probes {
            assert!(
                ports.contains_key(probe["port"].as_str().unwrap()),
                "{place}: {probe}"
            );
        }
        let scraped = &deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"];
        assert_eq!(scraped.as_str().unwrap(), ports["metrics"].to_string(), "{place}");
    }
}

#[test]
fn the_keys_of_the_example_are_a_file_of_keys() {
    let keys: Keys = secret()["stringData"]["api-keys"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(keys.lines().len(), 1);
}

#[test]
fn pods_may_do_nothing_but_their_work() {
    for deployment in of_kind("Deployment", &objects()) {
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        let context = &pod["containers"][0]["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(texts(&context["capabilities"]["drop"]), ["ALL"]);
    }
}

#[test]
fn objects_name_each_other_as_they_are_called() {
    let objects = objects();
    let named = |kind: &str, name: &Value| {
        let found = of_kind(kind, &objects)
            .iter()
            .any(|object| object["metadata"]["name"] == *name);
        assert!(found, "there is no {kind} {name}");
    };
    let deployments = of_kind("Deployment", &objects);
    let labels: Vec<&Value> = deployments
        .iter()
        .map(|deployment| &deployment["spec"]["template"]["metadata"]["labels"])
        .collect();
    for object in &objects {
        let kind = object["kind"].as_str().unwrap();
        let spec = &object["spec"];
        if let "HorizontalPodAutoscaler" | "ScaledObject" = kind {
            named("Deployment", &spec["scaleTargetRef"]["name"]);
        }
        let selector = match kind {
            "Service" => &spec["selector"],
            "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
            "PodDisruptionBudget" | "Deployment" => &spec["selector"]["matchLabels"],
            _ => continue,
        };
        let wanted = selector.as_object().unwrap();
        let chosen = labels
            .iter()
            .any(|labels| wanted.iter().all(|(key, value)| labels[key] == *value));
        assert!(chosen, "{kind} {} chooses nothing", object["metadata"]["name"]);
    }
    let all = Value::Array(objects.clone());
    let mut volumes = Vec::new();
    every("configMap", &all, &mut volumes);
    assert!(!volumes.is_empty());
    for volume in volumes {
        named("ConfigMap", &volume["name"]);
    }
    let scaled = of_kind("ScaledObject", &objects)[0];
    let trigger = &scaled["spec"]["triggers"][0];
    named("TriggerAuthentication", &trigger["authenticationRef"]["name"]);
    assert_eq!(
        trigger["metadata"]["queueName"],
        broker::Settings::default().queue
    );
    let formula = scaled["spec"]["advanced"]["scalingModifiers"]["formula"]
        .as_str()
        .unwrap();
    assert!(formula.contains(trigger["name"].as_str().unwrap()), "{formula}");
    let keys = &of_kind("TriggerAuthentication", &objects)[0]["spec"]["secretTargetRef"];
    assert!(
        secret()["stringData"][keys[0]["key"].as_str().unwrap()].is_string(),
        "{keys}"
    );
}

#[test]
fn the_settings_are_a_configuration_file() {
    let objects = objects();
    let settings = &of_kind("ConfigMap", &objects)[0]["data"];
    for (name, text) in settings.as_object().unwrap() {
        Config::parse(Path::new(name), text.as_str().unwrap()).unwrap();
    }
}

#[test]
fn every_file_is_applied_or_an_example() {
    let applied: BTreeSet<String> = texts(&document(&format!("{FOLDER}/kustomization.yaml"))["resources"])
        .into_iter()
        .collect();
    for name in &applied {
        assert_there(FOLDER, format!("{FOLDER}/{name}"));
    }
    for entry in std::fs::read_dir(super::root().join(FOLDER)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = applied.contains(&name) || name == "kustomization.yaml" || name.contains(".example.");
        assert!(known, "nothing applies {FOLDER}/{name}");
    }
}
