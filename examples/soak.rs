//! Minutes of steady load, and what they leave: memory, open files, tasks and latencies. Then ten thousand slow clients,
//! and how others are served beside them.
//!
//! ```text
//! make soak
//! cargo run --release --example soak -- --pairing embedded --minutes 10 --share 0.8
//! ```
//!
//! Starts private servers, one front end and a worker; finds the most that they answer, and then sends a share of that.
//! What a process takes is what its own `/metrics` says. Fails if memory grows, if anything stays open, or if an upload
//! was lost. The executable is the `mnistq` beside this one.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unused_imports)]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Parser;
use harness::client::http;
use harness::mnistq::{Home, Mnistq};
use harness::process::free_port;
use harness::rabbitmq::RabbitMq;
use harness::redis::Redis;
use harness::{eventually, holds_within};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

/// Steady load, and what it leaves.
#[derive(Parser)]
struct Arguments {
    /// cluster: RabbitMQ and Redis; embedded: SQLite
    #[arg(long, default_value = "cluster")]
    pairing: String,
    /// How long the load goes on
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// Which share of the most that is answered
    #[arg(long, default_value_t = 0.8)]
    share: f64,
    /// How many clients are slow
    #[arg(long, default_value_t = 10_000)]
    slow: usize,
}

/// At first caches fill, and pools grow to what they need.
const WARM_UP: Duration = Duration::from_secs(120);
/// How long one turn of the load lasts: less than what the harness waits for a command.
const TURN_S: u32 = 50;
/// Growth that is none, in bytes a minute.
const STEADY: f64 = 1e6;
/// Open files and tasks that a process may have more at the end than at first.
const MORE: f64 = 16.0;
/// How long a process may take to close what clients have left.
const SETTLE: Duration = Duration::from_secs(60);
/// When a slow client must be gone: the deadline of a head, and a little.
const CUT: Duration = Duration::from_secs(15);

/// What is asked of each process, by the names of its metrics.
const GAUGES: [&str; 3] = [
    "process_resident_memory_bytes",
    "process_open_fds",
    "mnistq_tasks",
];

/// Each gauge of a process at one moment.
type Gauges = BTreeMap<&'static str, f64>;

/// Memory of a process over time, in seconds and bytes.
type Memory = Mutex<BTreeMap<String, Vec<(f64, f64)>>>;

/// What is watched.
struct System {
    front_end: Mnistq,
    _worker: Option<Mnistq>,
    /// Where each process tells its metrics.
    processes: BTreeMap<String, String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let asked = Arguments::parse();
    let home = Home::new();
    // The slow ones and the others.
    let most = format!("[http]\nmax_connections = {}\n", asked.slow + 2_000);
    home.write("config/mnistq/mnistq.toml", most);
    let servers = match asked.pairing.as_str() {
        "cluster" => Some((RabbitMq::launch().await, Redis::launch().await)),
        "embedded" => None,
        other => {
            eprintln!("--pairing {other}: expected cluster or embedded");
            return ExitCode::from(2);
        }
    };
    let system = start(&home, servers.as_ref()).await;
    let most = bench(&home, &system, &["--seconds", "20"]).await;
    let rate = number(&most, &["results_per_second"]) * asked.share;
    println!(
        "{}: {rate:.0} uploads a second, {} minutes",
        asked.pairing, asked.minutes
    );
    let mut faults = soak(&home, &system, rate, asked.minutes).await;
    faults.extend(slow_clients(&home, &system, asked.slow).await);
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn start(home: &Home, servers: Option<&(RabbitMq, Redis)>) -> System {
    let Some((rabbitmq, redis)) = servers else {
        let front_end = home.serve(&["--log", "warn"]).await;
        let url = format!("{}/metrics", front_end.url());
        return System {
            front_end,
            _worker: None,
            processes: BTreeMap::from([("serve with a worker".to_owned(), url)]),
        };
    };
    let (broker, store) = (rabbitmq.url(), redis.url());
    let seams = ["--broker", &broker, "--store", &store, "--log", "warn"];
    let front_end = home.serve(&seams).await;
    let address = format!("127.0.0.1:{}", free_port());
    let worker = home.start(&[&["work", "--metrics-addr", &address], &seams[..]].concat());
    let processes = BTreeMap::from([
        ("serve".to_owned(), format!("{}/metrics", front_end.url())),
        ("work".to_owned(), format!("http://{address}/metrics")),
    ]);
    System {
        front_end,
        _worker: Some(worker),
        processes,
    }
}

/// Sends at a rate, and compares what was before with what is after.
async fn soak(home: &Home, system: &System, rate: f64, minutes: u32) -> Vec<String> {
    let mut faults = Vec::new();
    let before = look_at_all(system).await;
    let memory = Memory::default();
    tokio::select! {
        () = load(home, system, (rate, minutes), &mut faults) => {}
        () = watch(&system.processes, &memory) => {}
    }
    let settled = async || {
        let after = look_at_all(system).await;
        after
            .iter()
            .all(|(process, after)| complaints(process, &before[process], after).is_empty())
    };
    holds_within(SETTLE, settled).await;
    let after = look_at_all(system).await;
    println!("| process | memory before / after | growth a minute | open files | tasks |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (process, before) in &before {
        let after = &after[process];
        let growth = growth(&memory.lock().unwrap()[process]);
        println!(
            "| {process} | {:.1} / {:.1} MB | {:+.2} MB | {} / {} | {} / {} |",
            before[GAUGES[0]] / 1e6,
            after[GAUGES[0]] / 1e6,
            growth / 1e6,
            before[GAUGES[1]],
            after[GAUGES[1]],
            before[GAUGES[2]],
            after[GAUGES[2]],
        );
        faults.extend(complaints(process, before, after));
        if growth >= STEADY {
            faults.push(format!("{process} grows by {:.2} MB a minute", growth / 1e6));
        }
    }
    faults
}

/// Sends at a rate for so many minutes.
async fn load(home: &Home, system: &System, (rate, minutes): (f64, u32), faults: &mut Vec<String>) {
    println!("| until, s | results/s | p50, ms | p99, ms | refused | failed |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    let (rate, seconds) = (rate.to_string(), TURN_S.to_string());
    for turn in 1..=(minutes * 60).div_ceil(TURN_S) {
        let until = turn * TURN_S;
        let flags = ["--rate", &rate, "--seconds", &seconds, "--concurrency", "256"];
        let seen = bench(home, system, &flags).await;
        let (refused, failed) = (number(&seen, &["refused"]), number(&seen, &["failed"]));
        println!(
            "| {until} | {:.0} | {:.2} | {:.2} | {refused} | {failed} |",
            number(&seen, &["results_per_second"]),
            number(&seen, &["latency_ms", "p50"]),
            number(&seen, &["latency_ms", "p99"]),
        );
        let errors = seen["errors"].as_object().map_or(0, serde_json::Map::len);
        if failed > 0.0 || errors > 0 {
            faults.push(format!("until {until} s: {} and {failed} failed", seen["errors"]));
        }
    }
}

fn complaints(process: &str, before: &Gauges, after: &Gauges) -> Vec<String> {
    let more = GAUGES[1..]
        .iter()
        .filter(|gauge| after[*gauge] > before[*gauge] + MORE);
    more.map(|gauge| {
        format!(
            "{process}: {gauge} was {}, and is {}",
            before[gauge], after[gauge]
        )
    })
    .collect()
}

/// Clients that send a byte a second, half of them in the head and half in the body, and one at a time that is not slow.
async fn slow_clients(home: &Home, system: &System, count: usize) -> Vec<String> {
    let address = system.front_end.url().trim_start_matches("http://").to_owned();
    let mut clients = JoinSet::new();
    for number in 0..count {
        clients.spawn(dribble(address.clone(), number % 2 == 0));
    }
    let beside = bench(home, system, &["--concurrency", "1", "--seconds", "10"]).await;
    let serving = &system.processes.iter().next().unwrap().1;
    let memory = look(serving).await[GAUGES[0]];
    let mut cut = Vec::new();
    while let Some(lived) = clients.join_next().await {
        cut.extend(lived.unwrap());
    }
    cut.sort_unstable();
    let longest = cut.last().copied().unwrap_or_default();
    println!(
        "{} of {count} slow clients were cut, the last after {:.1} s; beside them p50 {:.2} ms, p99 {:.2} ms, and {:.0} MB",
        cut.len(),
        longest.as_secs_f64(),
        number(&beside, &["latency_ms", "p50"]),
        number(&beside, &["latency_ms", "p99"]),
        memory / 1e6,
    );
    let all = cut.len() == count && number(&beside, &["failed"]) == 0.0;
    (!all)
        .then(|| format!("{} slow clients were not cut", count - cut.len()))
        .into_iter()
        .collect()
}

/// How long it lived; none if it was let be.
async fn dribble(address: String, in_head: bool) -> Option<Duration> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let begun = Instant::now();
    let head = if in_head {
        "POST /classify HTTP/1.1\r\nHost: a\r\nX-Slow: "
    } else {
        "POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    };
    stream.write_all(head.as_bytes()).await.ok()?;
    let (mut read, mut write) = stream.split();
    let dribbling = async {
        let mut tick = interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            if write.write_all(b"a").await.is_err() {
                return;
            }
        }
    };
    let answered = async {
        let mut answer = Vec::new();
        let _ = read.read_to_end(&mut answer).await;
    };
    // Whichever side notices that the other is gone.
    let cut = async {
        tokio::select! {
            () = dribbling => {}
            () = answered => {}
        }
    };
    // A body has longer than a head.
    let limit = CUT
        + if in_head {
            Duration::ZERO
        } else {
            Duration::from_secs(30)
        };
    timeout(limit, cut).await.ok().map(|()| begun.elapsed())
}

/// Runs `mnistq bench server` against it.
async fn bench(home: &Home, system: &System, more: &[&str]) -> Value {
    let arguments = [&["bench", "server", system.front_end.url(), "--json"], more].concat();
    let output = home.run(&arguments).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn number(value: &Value, path: &[&str]) -> f64 {
    let found = path.iter().fold(value, |value, key| &value[*key]);
    found.as_f64().unwrap_or_else(|| panic!("{path:?} in {value}"))
}

async fn look_at_all(system: &System) -> BTreeMap<String, Gauges> {
    let mut all = BTreeMap::new();
    for (process, url) in &system.processes {
        all.insert(process.clone(), look(url).await);
    }
    all
}

/// What a process says of itself, once it does.
async fn look(url: &str) -> Gauges {
    let mut gauges = Gauges::new();
    eventually("a process tells its metrics", async || {
        let Ok(response) = http().get(url).send().await else {
            return false;
        };
        let text = response.text().await.unwrap_or_default();
        for gauge in GAUGES {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(gauge)?.strip_prefix(' '));
            gauges.extend(
                line.and_then(|value| value.parse().ok())
                    .map(|value: f64| (gauge, value)),
            );
        }
        gauges.len() == GAUGES.len()
    })
    .await;
    gauges
}

/// Notes the memory of each process every second.
async fn watch(processes: &BTreeMap<String, String>, memory: &Memory) {
    let begun = Instant::now();
    let mut tick = interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        for (process, url) in processes {
            let bytes = look(url).await[GAUGES[0]];
            let mut memory = memory.lock().unwrap();
            memory
                .entry(process.clone())
                .or_default()
                .push((begun.elapsed().as_secs_f64(), bytes));
        }
    }
}

/// The slope of a line through what was noted after the warm-up (least squares), in bytes a minute.
fn growth(noted: &[(f64, f64)]) -> f64 {
    let steady: Vec<(f64, f64)> = noted
        .iter()
        .filter(|(at, _)| *at >= WARM_UP.as_secs_f64())
        .map(|(at, bytes)| (at / 60.0, *bytes))
        .collect();
    let count = steady.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| steady.iter().map(pick).sum::<f64>() / count;
    let (time, bytes) = (mean(|noted| noted.0), mean(|noted| noted.1));
    let together: f64 = steady
        .iter()
        .map(|noted| (noted.0 - time) * (noted.1 - bytes))
        .sum();
    let spread: f64 = steady.iter().map(|noted| (noted.0 - time).powi(2)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}
