//! What `config/` and `.github/` say of mnistq is true: commands, variables, ports, files, names. Runs none of it.

mod compose;
mod image;
mod kubernetes;
mod systemd;
mod workflows;

use std::collections::BTreeSet;
use std::path::Path;

use mnistq::cli;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file.
fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A whole file of one document.
fn document(path: &str) -> Value {
    let mut documents = documents(path);
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

/// The texts in an array, or in a mapping's values.
fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| {
        value
            .as_str()
            .unwrap_or_else(|| panic!("no text: {value}"))
            .to_owned()
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        Value::Object(values) => values.values().map(text).collect(),
        other => panic!("neither an array nor a mapping: {other}"),
    }
}

/// All values of this key, however deep.
fn every<'a>(key: &str, value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| every(key, value, found)),
        Value::Object(values) => {
            for (name, value) in values {
                if name == key {
                    found.push(value);
                }
                every(key, value, found);
            }
        }
        _ => {}
    }
}

/// The command line takes these arguments.
fn assert_runs(place: &str, arguments: &[String]) {
    let command = cli::command().try_get_matches_from([&["mnistq".to_owned()], arguments].concat());
    if let Err(error) = command {
        panic!("{place}: mnistq {}: {error}", arguments.join(" "));
    }
}

/// mnistq reads this variable, if it is one of its own.
fn assert_known(place: &str, variable: &str) {
    let known = cli::variables();
    let strange = !variable.starts_with("MNISTQ_");
    assert!(
        strange || known.contains(variable),
        "{place}: nothing reads {variable}"
    );
}

/// The port at the end of an address, or of a URL's authority.
fn port(address: &str) -> u64 {
    let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let port = authority.rsplit(':').next().unwrap_or_default();
    port.parse().unwrap_or_else(|_| panic!("no port in {address}"))
}

/// Files of ours that a shell script names.
fn named_files(script: &str) -> BTreeSet<String> {
    let words = script.split(|one: char| one.is_whitespace() || "'\"=@,;()<>".contains(one));
    let starts = [".ci/", "config/", "examples/", "tests/", "src/", "weights/"];
    let ours = words.filter(|word| starts.iter().any(|start| word.starts_with(start)));
    ours.map(|word| word.trim_end_matches("/*").to_owned()).collect()
}

fn assert_there(place: &str, path: impl Into<String>) {
    let path = path.into();
    assert!(root().join(&path).exists(), "{place}: there is no {path}");
}
