//! `--help`: every command has examples, each of which runs as it stands; every flag is also a variable.

use std::time::{Duration, SystemTime};

use clap::Command;
use mnistq::broker::{LIVES, SUSPECT_AFTER};
use mnistq::cli;
use mnistq::job::{Job, JobId, Picture};

use crate::dead::enqueue;
use crate::harness::client::picture;
use crate::harness::data::committed;
use crate::harness::eventually;
use crate::harness::mnistq::{Home, Mnistq};
use crate::harness::process::free_port;
use crate::harness::rabbitmq::RabbitMq;
use crate::harness::redis::Redis;
use crate::train::small_mnist;

/// Flags that are no variables. One that is set and forgotten must not drop all jobs.
const NO_VARIABLES: [&str; 3] = ["help", "version", "all"];
/// What fits on any terminal.
const WIDTH: usize = 80;
/// The id in the examples.
const ID: &str = "01a21109-c184-76b9-81af-64d38aef900c";

#[test]
fn every_flag_is_also_a_variable() {
    for (path, command) in commands() {
        for flag in command.get_arguments().filter_map(|argument| {
            let flag = argument.get_long()?;
            argument.get_env().is_none().then_some(flag)
        }) {
            assert!(NO_VARIABLES.contains(&flag), "{path}: --{flag} is no variable");
        }
    }
}

#[tokio::test]
async fn a_switch_is_a_variable_that_is_on_or_off() {
    let home = Home::new();
    home.write("digit.jpg", picture("three.jpg"));
    let asked = ["classify", "digit.jpg", "--local"];
    for (value, start) in [("1", "{"), ("true", "{"), ("0", "3"), ("no", "3")] {
        let output = home.run_with(&asked, &[("MNISTQ_JSON", value)]).await;
        assert!(output.stdout.starts_with(start), "{value}: {output:?}");
    }
    let output = home.run_with(&asked, &[("MNISTQ_JSON", "perhaps")]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[tokio::test]
async fn a_reader_that_has_enough_is_no_failure() {
    let home = Home::new();
    home.write("digit.jpg", picture("three.jpg"));
    let line = "(mnistq classify digit.jpg --local --show; echo $? >&2) | true";
    let output = home.start_shell(line).output().await;
    assert_eq!(output.stderr, "0\n", "{output:?}");
}

#[tokio::test]
async fn the_examples_of_every_command_run() {
    let (rabbitmq, redis) = (RabbitMq::shared().await, Redis::launch().await);
    for (path, _) in commands() {
        let stage = Stage::set(&rabbitmq.url(), &redis.url()).await;
        let examples = stage.examples(&path).await;
        assert!(!examples.is_empty(), "`{path} --help` has no examples");
        for example in examples {
            stage.run(&example).await;
        }
    }
}

/// Every command that a person can type, groups of commands included.
fn commands() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    let mut left = vec![("mnistq".to_owned(), cli::command())];
    while let Some((path, command)) = left.pop() {
        let below = command.get_subcommands().map(|below| {
            let path = format!("{path} {}", below.get_name());
            (path, below.clone())
        });
        left.extend(below);
        found.push((path, command));
    }
    found
}

/// A home with all that examples name.
struct Stage {
    home: Home,
    _front_end: Mnistq,
    /// What stands for what in an example.
    parts: Vec<(&'static str, String)>,
}

impl Stage {
    async fn set(rabbitmq: &str, redis: &str) -> Self {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let home = Home::new()
            .with_variable("MNISTQ_SERVER", &url)
            .with_variable("MNISTQ_BIND", "127.0.0.1:0")
            .with_variable("MNISTQ_DATA", "mnist")
            .with_variable("MNISTQ_SECONDS", "0.2");
        home.write("config/mnistq/mnistq.toml", "[queue]\nqueue = \"help\"\n");
        home.write("digit.png", include_bytes!("../../src/roles/bench/seven.png"));
        let digest = "9f86d081".repeat(8);
        let keys = format!("alice {digest}\nbob {digest}\ncarol {digest}\n");
        home.write("keys", keys);
        home.write("scans/three.jpg", picture("three.jpg"));
        home.write(
            "mine.safetensors",
            include_bytes!("../../weights/mnist.safetensors"),
        );
        for folder in [
            ".local/share/bash-completion/completions",
            ".zfunc",
            ".config/fish/completions",
        ] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        small_mnist(&home);
        let front_end = home.serve_on(port, &[]).await;
        let dead = JobId::issue();
        enqueue(&home, dead, &job(dead).encode(), SUSPECT_AFTER + LIVES);
        eventually("a job is among the dead", async || {
            let list = home.run(&["dead", "list", "--log", "error"]).await;
            list.stdout.contains(&dead.to_string())
        })
        .await;
        let golden = committed("golden/trajectory.json").display().to_string();
        Self {
            home,
            _front_end: front_end,
            parts: vec![
                ("amqp://user:password@rabbit", rabbitmq.to_owned()),
                ("redis://redis", redis.to_owned()),
                ("http://127.0.0.1:8000", url),
                // Another test may listen there.
                ("0.0.0.0:8000", "127.0.0.1:0".to_owned()),
                ("127.0.0.1:9464", "127.0.0.1:0".to_owned()),
                // Not every machine has one, or the time.
                ("--device cuda:0,cuda:1", "--device cpu,auto".to_owned()),
                (
                    "--check",
                    format!("--check --first 64 --batches 1,2 --epochs 1 --golden {golden}"),
                ),
                ("cuda:0", "cpu".to_owned()),
                // There are fewer pictures here.
                ("--hold-out 5000", "--hold-out 40".to_owned()),
                (ID, dead.to_string()),
            ],
        }
    }

    /// The lines of a command's help below `Examples:`, each without what explains it.
    async fn examples(&self, path: &str) -> Vec<String> {
        let help = self.home.start_shell(&format!("{path} --help")).output().await;
        let lines = help
            .stdout
            .lines()
            .skip_while(|line| *line != "Examples:")
            .skip(1);
        let lines = lines.map_while(|line| line.strip_prefix("  "));
        let commands = lines.map(|line| line.split("  ").next().unwrap_or_default().to_owned());
        commands.collect()
    }

    async fn run(&self, example: &str) {
        assert!(example.len() + 2 <= WIDTH, "too wide: {example}");
        let line = self
            .parts
            .iter()
            .fold(example.to_owned(), |line, (from, to)| line.replace(from, to));
        let output = match example.split(' ').nth(1) {
            Some("serve") => {
                let mut front_end = self.home.start_shell(&format!("exec {line}"));
                front_end.listen().await;
                front_end.stop().await
            }
            Some("work") => {
                let mut worker = self.home.start_shell(&format!("exec {line}"));
                worker.logs("opened").await;
                worker.stop().await
            }
            _ => self.home.start_shell(&line).output().await,
        };
        assert_eq!(output.code, Some(0), "{example}: {output:?}");
    }
}

fn job(id: JobId) -> Job {
    Job {
        id,
        picture: Picture::new(28, 28, vec![0; 28 * 28]).unwrap(),
        result_ttl: Duration::from_secs(3600),
        accepted_at: SystemTime::now(),
        reading: Duration::ZERO,
        trace: None,
    }
}
