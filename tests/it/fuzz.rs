//! The bytes that fuzzing began with and what it has found, through the same doors, in the stable compiler.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/bodies.rs"]
mod bodies;

/// What a checkout can bear.
const MOST_BYTES: u64 = 200_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_corpus_breaks_no_promise() {
    for (name, body) in bodies::BODIES {
        let seeds = files(&folder().join("corpus").join(name));
        assert!(seeds.len() > 2, "{name} has nothing to begin with");
        for seed in seeds {
            // Shown if it fails.
            eprintln!("{}", seed.display());
            body(&fs::read(&seed).unwrap());
        }
    }
}

#[test]
fn every_door_has_its_target_and_the_corpus_stays_small() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let mut bytes = 0;
    for (name, _) in bodies::BODIES {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"targets/{name}.rs\"")),
            "{name}"
        );
        let target = fs::read_to_string(folder().join(format!("targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("bodies::{name}(bytes)")), "{target}");
        for seed in files(&folder().join("corpus").join(name)) {
            bytes += fs::metadata(seed).unwrap().len();
        }
    }
    assert_eq!(manifest.matches("[[bin]]").count(), bodies::BODIES.len());
    assert_eq!(files(&folder().join("corpus")).len(), bodies::BODIES.len());
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
}
