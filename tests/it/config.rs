//! The configuration file that ships names every setting of the code, and no other.

use std::collections::BTreeSet;

use mnistq::config::Config;

const SHIPPED: &str = include_str!("../../config/mnistq.toml");

#[test]
fn the_shipped_file_has_every_key_and_no_other() {
    assert_eq!(keys_of_file(), keys_of_code());
}

/// Keys without a default are there as comments: with them, too, it is a file that can be read.
#[test]
fn the_shipped_file_can_be_read_with_its_optional_keys() {
    let whole: String = SHIPPED
        .lines()
        .map(|line| match commented(line) {
            Some(assignment) => format!("{assignment}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let config: Config = toml::from_str(&whole).unwrap();
    assert!(config.broker.is_some() && config.store.is_some());
    assert!(config.model.weights.is_some() && config.model.workers.is_some());
}

/// `section.key` of all keys in the file, also of those that are comments.
fn keys_of_file() -> BTreeSet<String> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in SHIPPED.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some(key) = assigned_key(commented(line).unwrap_or(line)) {
            keys.insert(format!("{section}{key}"));
        }
    }
    keys
}

/// The assignment in a line that is one behind its comment sign.
fn commented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('#')?.trim_start();
    assigned_key(rest).map(|_| rest)
}

fn assigned_key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(" = ")?;
    let plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

/// The same of the code's own types, as their debug form lists their fields: a struct within is a section.
fn keys_of_code() -> BTreeSet<String> {
    let printed = format!("{:#?}", Config::default());
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in printed.lines() {
        let depth = (line.len() - line.trim_start().len()) / 4;
        let Some((name, value)) = line.trim().split_once(": ") else {
            continue;
        };
        match (depth, value.ends_with(" {")) {
            (1, true) => section = format!("{name}."),
            (1, false) => drop(keys.insert(name.to_owned())),
            (2, _) => drop(keys.insert(format!("{section}{name}"))),
            _ => {}
        }
    }
    keys
}
