//! mnistq beside the systems that it is measured against, in one run, in turns: a table of ratios.
//!
//! ```text
//! make bench-peers
//! cargo run --release --example peers -- --peers DIR --python DIR/bin/python --data DIR
//! ```
//!
//! The peers are scripts that this project does not need: ONNX Runtime and PyTorch on the same network
//! (`model_bench.py`), and the well-known stack of FastAPI, pika, Redis and PyTorch (`python_stack`). Every figure is
//! the median of several rounds; in each round the two sides take turns, so that a busy machine is busy for both.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unused_imports)]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use harness::eventually;
use harness::mnistq::{Home, Mnistq};
use harness::process::{Process, command, folder, free_port};
use harness::rabbitmq::RabbitMq;
use harness::redis::Redis;
use serde_json::Value;
use tempfile::TempDir;

/// mnistq beside its peers.
#[derive(Parser)]
struct Arguments {
    /// Folder of `model_bench.py` and `python_stack`
    #[arg(long)]
    peers: PathBuf,
    /// A Python that has what they need
    #[arg(long)]
    python: PathBuf,
    /// Folder of the MNIST files
    #[arg(long)]
    data: PathBuf,
    /// How often each side has its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each turn of a server
    #[arg(long, default_value_t = 6)]
    seconds: u32,
}

/// A row of the table.
struct Row {
    what: String,
    ours: f64,
    peer: Option<f64>,
    unit: &'static str,
    target: &'static str,
    /// Whether less is better.
    less: bool,
}

#[tokio::main]
async fn main() {
    let asked = Arguments::parse();
    let mut rows = models(&asked).await;
    rows.push(training(&asked).await);
    rows.extend(paths(&asked).await);
    println!("| figure | mnistq | peer | ratio | at least |");
    println!("| --- | ---: | ---: | ---: | --- |");
    for row in rows {
        println!("{row}");
    }
}

/// Inference alone, against ONNX Runtime.
async fn models(asked: &Arguments) -> Vec<Row> {
    let cases = [
        ("inference, batch 64, 2 threads", "64", "2", None, "2.4×"),
        ("inference, batch 1, 1 thread", "1", "1", None, "1.9×"),
        (
            "inference, AVX2 only, batch 64, 2 threads",
            "64",
            "2",
            Some("avx2"),
            "1.2×",
        ),
    ];
    let mut rows = Vec::new();
    for (what, batch, threads, instructions, target) in cases {
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..asked.rounds {
            let mut flags = vec![
                "bench",
                "model",
                "--batches",
                batch,
                "--threads",
                threads,
                "--seconds",
                "2",
                "--json",
            ];
            flags.extend(instructions.map(|name| ["--instructions", name]).iter().flatten());
            let output = Home::new().run(&flags).await;
            ours.push(figure(&output.stdout, &["images_per_second", batch]));
            let output = model_bench(
                asked,
                &["--only", "onnxruntime", "--batches", batch, "--threads", threads],
            )
            .await;
            peer.push(figure(&output, &["onnxruntime", batch]));
        }
        rows.push(Row {
            what: format!("{what}, images/s (ONNX Runtime)"),
            ours: median(ours),
            peer: Some(median(peer)),
            unit: "",
            target,
            less: false,
        });
    }
    rows
}

/// An epoch, against PyTorch.
async fn training(asked: &Arguments) -> Row {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    let data = asked.data.display().to_string();
    for _ in 0..asked.rounds {
        let home = Home::new();
        let began = Instant::now();
        let output = home.run(&["train", "--epochs", "1", "--data", &data]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        ours.push(began.elapsed().as_secs_f64());
        let output = model_bench(
            asked,
            &["--only", "train", "--train-steps", "100", "--threads", "2"],
        )
        .await;
        peer.push(60_000.0 / figure(&output, &["pytorch_train_images_per_s"]));
    }
    Row {
        what: "training, batch 64, Adadelta, an epoch (PyTorch)".to_owned(),
        ours: median(ours),
        peer: Some(median(peer)),
        unit: " s",
        target: "4.4×",
        less: true,
    }
}

async fn model_bench(asked: &Arguments, flags: &[&str]) -> String {
    let script = asked.peers.join("model_bench.py");
    let mut python = command(&asked.python, Path::new("/dev/null"));
    python
        .arg(script)
        .args(["--data", &asked.data.display().to_string(), "--json"])
        .args(flags);
    let output = folder();
    let mut process = Process::spawn(python, output.path(), "model_bench");
    let status = process.end().await;
    assert!(status.success(), "model_bench.py: {}", process.output());
    process.stdout()
}

/// A system that takes uploads and gives results.
struct System {
    url: String,
    /// What to read the memory of, by the name of the part.
    processes: Vec<(&'static str, u32)>,
    _parts: Vec<Part>,
}

/// Something that ends when it is dropped.
#[allow(dead_code)]
enum Part {
    Home(Home),
    Mnistq(Mnistq),
    Redis(Redis),
    Peer(Process, TempDir),
}

/// Connections that each wait for a result before they send the next picture. A system counts with what suits it.
const CONNECTIONS: [&str; 2] = ["64", "128"];

/// Uploads and results, against the well-known stack.
async fn paths(asked: &Arguments) -> Vec<Row> {
    let rabbitmq = RabbitMq::launch().await;
    let systems = [
        python_stack(asked, &rabbitmq).await,
        cluster(&rabbitmq).await,
        embedded().await,
    ];
    let mut rates = [const { [const { Vec::new() }; CONNECTIONS.len()] }; 3];
    let mut idle = [const { Vec::new() }; 3];
    for round in 0..=asked.rounds {
        for (place, system) in systems.iter().enumerate() {
            for (rates, connections) in rates[place].iter_mut().zip(CONNECTIONS) {
                let loaded = bench(asked, system, &["--concurrency", connections]).await;
                // The first round is for warming up.
                if round > 0 {
                    rates.push(figure(&loaded, &["results_per_second"]));
                }
            }
            let lone = bench(asked, system, &["--concurrency", "1"]).await;
            if round > 0 {
                idle[place].push((
                    figure(&lone, &["latency_ms", "p50"]),
                    figure(&lone, &["latency_ms", "p99"]),
                ));
            }
        }
    }
    let most = |rates: [Vec<f64>; CONNECTIONS.len()]| rates.map(median).into_iter().fold(0.0, f64::max);
    let [python, cluster, embedded] = rates.map(most);
    let names = ["RabbitMQ + Redis", "embedded"];
    let mut rows = Vec::new();
    for ((name, rate), target) in names.iter().zip([cluster, embedded]).zip(["10×", "12×"]) {
        rows.push(Row {
            what: format!("{name}, results/s (Python stack)"),
            ours: rate,
            peer: Some(python),
            unit: "",
            target,
            less: false,
        });
    }
    let quantile = |place: usize, of: fn(&(f64, f64)) -> f64| median(idle[place].iter().map(of).collect());
    let limits = [("2.3 ms", "4.7 ms"), ("1 ms", "3 ms")];
    for ((place, name), (p50, p99)) in (1..).zip(names).zip(limits) {
        for (quantile_name, of, limit) in [
            ("p50", (|pair| pair.0) as fn(&(f64, f64)) -> f64, p50),
            ("p99", |pair| pair.1, p99),
        ] {
            rows.push(Row {
                what: format!("{name}, one request at a time, {quantile_name} (Python stack)"),
                ours: quantile(place, of),
                peer: Some(quantile(0, of)),
                unit: " ms",
                target: limit,
                less: true,
            });
        }
    }
    for ((place, name), rate) in (1..).zip(names).zip([cluster, embedded]) {
        let half = format!("{:.0}", rate / 2.0);
        let mut late = Vec::new();
        for _ in 0..asked.rounds {
            let output = bench(asked, &systems[place], &["--concurrency", "256", "--rate", &half]).await;
            late.push(figure(&output, &["latency_ms", "p99"]));
        }
        rows.push(Row {
            what: format!("{name}, half of that load ({half}/s), p99"),
            ours: median(late),
            peer: None,
            unit: " ms",
            target: "25 ms",
            less: true,
        });
    }
    for (part, process) in &systems[1].processes {
        let peer = systems[0].processes.iter().find(|(peer, _)| peer == part);
        rows.push(Row {
            what: format!("memory at most, {part} (Python stack)"),
            ours: peak_mb(*process),
            peer: peer.map(|(_, process)| peak_mb(*process)),
            unit: " MB",
            target: if *part == "front end" { "50 MB" } else { "80 MB" },
            less: true,
        });
    }
    drop(systems);
    rows.push(start(asked).await);
    rows
}

/// Exec to ready, with the model loaded and warm.
async fn start(asked: &Arguments) -> Row {
    let mut took = Vec::new();
    for _ in 0..asked.rounds {
        let home = Home::new();
        let began = Instant::now();
        let front_end = home.serve(&[]).await;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        drop(front_end);
    }
    Row {
        what: "start to ready, embedded, looked at every 10 ms".to_owned(),
        ours: median(took),
        peer: None,
        unit: " ms",
        target: "150 ms",
        less: true,
    }
}

async fn cluster(rabbitmq: &RabbitMq) -> System {
    let (redis, home) = (Redis::launch().await, Home::new());
    let (broker, store) = (rabbitmq.url(), redis.url());
    let seams = ["--broker", &broker, "--store", &store, "--log", "warn"];
    let front_end = home.serve(&[&seams[..], &["--workers", "0"]].concat()).await;
    let worker = home.start(&[&["work"], &seams[..]].concat());
    System {
        url: front_end.url().to_owned(),
        processes: vec![("front end", front_end.id()), ("worker", worker.id())],
        _parts: vec![
            Part::Mnistq(worker),
            Part::Mnistq(front_end),
            Part::Home(home),
            Part::Redis(redis),
        ],
    }
}

async fn embedded() -> System {
    let home = Home::new();
    let front_end = home.serve(&["--log", "warn"]).await;
    System {
        url: front_end.url().to_owned(),
        processes: Vec::new(),
        _parts: vec![Part::Mnistq(front_end), Part::Home(home)],
    }
}

async fn python_stack(asked: &Arguments, rabbitmq: &RabbitMq) -> System {
    let redis = Redis::launch().await;
    let port = free_port();
    let start = |arguments: &[&str]| {
        let mut python = command(&asked.python, Path::new("/dev/null"));
        python
            .args(arguments)
            .current_dir(asked.peers.join("python_stack"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PEER_AMQP", rabbitmq.url())
            .env("PEER_REDIS", redis.url())
            .env("OMP_NUM_THREADS", "1");
        let output = folder();
        (Process::spawn(python, output.path(), "peer"), output)
    };
    let port_text = port.to_string();
    let (mut api, api_output) = start(&[
        "-m",
        "uvicorn",
        "api:api",
        "--port",
        &port_text,
        "--log-level",
        "warning",
    ]);
    let (mut worker, worker_output) = start(&["worker.py"]);
    eventually("the Python stack listens", async || {
        assert!(api.ended().is_none(), "api.py: {}", api.output());
        assert!(worker.ended().is_none(), "worker.py: {}", worker.output());
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .await;
    System {
        url: format!("http://127.0.0.1:{port}"),
        processes: vec![("front end", api.id()), ("worker", worker.id())],
        _parts: vec![
            Part::Peer(api, api_output),
            Part::Peer(worker, worker_output),
            Part::Redis(redis),
        ],
    }
}

async fn bench(asked: &Arguments, system: &System, flags: &[&str]) -> String {
    let seconds = asked.seconds.to_string();
    let all = [
        &["bench", "server", &system.url, "--seconds", &seconds, "--json"],
        flags,
    ]
    .concat();
    let output = Home::new().run(&all).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    output.stdout
}

fn figure(json: &str, path: &[&str]) -> f64 {
    let value: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let found = path.iter().try_fold(&value, |value, key| value.get(key));
    found
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no {path:?} in {json}"))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The most memory that a process has had.
fn peak_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kb: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kb / 1024.0
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let printed = |figure: f64| {
            let digits = if figure < 100.0 { 2 } else { 0 };
            format!("{figure:.digits$}{}", self.unit)
        };
        let ratio = self.peer.map(|peer| {
            if self.less {
                peer / self.ours
            } else {
                self.ours / peer
            }
        });
        write!(
            f,
            "| {} | {} | {} | {} | {} |",
            self.what,
            printed(self.ours),
            self.peer.map_or_else(String::new, printed),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}×")),
            self.target
        )
    }
}
