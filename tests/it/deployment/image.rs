//! `config/docker/Dockerfile` and `.dockerignore`.

use super::{assert_known, assert_runs, assert_there, text, texts};

const FILE: &str = "config/docker/Dockerfile";

#[test]
fn images_are_built_with_the_compiler_that_the_manifest_asks_for() {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let version = manifest["package"]["rust-version"].as_str().unwrap();
    let dockerfile = text(FILE);
    for says in [
        format!("FROM rust:{version}-bookworm "),
        format!("--default-toolchain {version}.0"),
    ] {
        assert!(dockerfile.contains(&says), "{FILE}: not {says}");
    }
}

#[test]
fn what_images_run_is_there() {
    let dockerfile = text(FILE);
    let mut runs = 0;
    for line in dockerfile.lines() {
        let exec = |start: &str| {
            let (before, words) = line.split_once(start)?;
            (before.is_empty() || before.starts_with("HEALTHCHECK"))
                .then(|| texts(&serde_json::from_str(words).unwrap()))
        };
        if let Some(words) = exec("CMD ") {
            let arguments = words.strip_prefix(&["/mnistq".to_owned()]).unwrap_or(&words);
            assert_runs(FILE, arguments);
            runs += 1;
        }
        if let Some(settings) = line.strip_prefix("ENV ") {
            for setting in settings.split(' ') {
                assert_known(FILE, setting.split('=').next().unwrap());
            }
        }
    }
    assert_eq!(runs, 3, "two stages and a health check");
}

#[test]
fn all_that_a_build_needs_reaches_it() {
    let taken = text(".dockerignore");
    let taken: Vec<&str> = taken.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for needed in ["Cargo.toml", "Cargo.lock", "src", "weights", "benches"] {
        assert!(taken.contains(&needed), ".dockerignore keeps {needed} away");
    }
    for name in taken {
        assert_there(".dockerignore", name);
    }
}
