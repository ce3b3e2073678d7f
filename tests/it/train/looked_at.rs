//! The files that a run leaves to look at, as tests compare them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::events;
use super::runs::content;
use crate::harness::mnistq::Home;

/// The figures of a run.
pub fn figures(home: &Home, run: &str) -> Vec<Value> {
    let lines = String::from_utf8(content(home, &format!("{run}/metrics.jsonl"))).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// The page of a run.
pub fn page(home: &Home, run: &str) -> String {
    String::from_utf8(content(home, &format!("{run}/report.html"))).unwrap()
}

/// The only event file of ours.
pub fn events_file(home: &Home, run: &str) -> PathBuf {
    let files = std::fs::read_dir(home.path().join(run)).unwrap();
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("events.out.tfevents.") && name.ends_with(".mnistq")
    };
    let ours: Vec<PathBuf> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_ours(path))
        .collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    ours[0].clone()
}

/// The same without what differs between two equal runs.
pub fn timeless_figures(home: &Home) -> Vec<Value> {
    let mut figures = figures(home, "w.run");
    for line in &mut figures {
        for key in ["seconds", "images_per_second", "time"] {
            line.as_object_mut().unwrap().remove(key).unwrap();
        }
    }
    figures
}

/// The same without what differs between two equal runs.
pub fn timeless_events(home: &Home) -> Vec<(u64, String, f32)> {
    let mut told = events::scalars(&std::fs::read(events_file(home, "w.run")).unwrap());
    told.retain(|(_, tag, _)| tag != "images_per_second");
    told
}

/// The same without what differs between two equal runs.
pub fn timeless_page(home: &Home) -> String {
    let page = page(home, "w.run");
    let mut parts = page.split("class=\"measured\">");
    let mut timeless = parts.next().unwrap().to_owned();
    for part in parts {
        timeless.push_str(&part[part.find('<').unwrap()..]);
    }
    timeless
}
