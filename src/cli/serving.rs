//! The commands that serve: `serve` and `work`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

/// `mnistq serve`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq serve
  mnistq serve --bind 0.0.0.0:8000 --api-keys keys
  mnistq serve --broker amqp://user:password@rabbit --store redis://redis")]
pub struct Serve {
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:8000]
    #[arg(long, env = "MNISTQ_BIND", value_name = "ADDRESS")]
    pub bind: Option<String>,
    /// File of API keys, as `mnistq keys add` writes it; changes are taken over [default: none, everybody may ask]
    #[arg(long, env = "MNISTQ_API_KEYS", value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
    /// Listen on an address that other machines can reach, though there are no keys
    #[arg(long, env = "MNISTQ_PUBLIC_WITHOUT_KEYS", value_parser = BoolishValueParser::new())]
    pub public_without_keys: bool,
    /// Requests a second of each key, or without keys of each address; 0: no limit [default: 0]
    #[arg(long, env = "MNISTQ_REQUESTS_PER_SECOND", value_name = "N")]
    pub requests_per_second: Option<u32>,
    /// Certificate to speak TLS with, and those between it and an authority's, as PEM; renewals are taken over
    #[arg(long, env = "MNISTQ_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of that certificate, as PEM
    #[arg(long, env = "MNISTQ_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Workers inside this process [default: one a device if the queue is embedded, else 0]
    #[arg(long, env = "MNISTQ_WORKERS", value_name = "N")]
    pub workers: Option<u16>,
    /// How long an outcome is kept, in seconds [default: 3600]
    #[arg(long, env = "MNISTQ_RESULT_TTL", value_name = "SECONDS")]
    pub result_ttl: Option<u64>,
    /// Host that clients may order callbacks to; several: with commas, or again [default: none]
    #[arg(
        long = "callback-host",
        env = "MNISTQ_CALLBACK_HOSTS",
        value_name = "HOST",
        value_delimiter = ','
    )]
    pub callback_hosts: Vec<String>,
    /// What callbacks are signed with: whsec_ and base64; best given as the variable
    #[arg(
        long,
        env = "MNISTQ_CALLBACK_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub callback_secret: Option<String>,
    /// auto brings any picture into MNIST's form; raw takes only pictures that have it [default: auto]
    #[arg(long, env = "MNISTQ_PREPROCESS", value_name = "auto|raw")]
    pub preprocess: Option<String>,
    /// How the in-process workers work.
    #[command(flatten)]
    pub working: Working,
    /// How it is watched.
    #[command(flatten)]
    pub watching: Watching,
}

/// `mnistq work`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq work
  mnistq work --device cuda:0 --max-batch 1024
  mnistq work --device cuda:0,cuda:1 --dtype bf16
  mnistq work --metrics-addr 127.0.0.1:9464
  mnistq work --broker amqp://user:password@rabbit --store redis://redis")]
pub struct Work {
    /// How to work.
    #[command(flatten)]
    pub working: Working,
    /// How it is watched.
    #[command(flatten)]
    pub watching: Watching,
}

/// Flags of whatever runs a worker.
#[derive(Debug, Args)]
pub struct Working {
    /// Where the model runs: auto, cpu, cuda or cuda:N; a worker each: cuda:0,cuda:1 [default: auto]
    #[arg(long, env = "MNISTQ_DEVICE", value_name = "DEVICE,…")]
    pub device: Option<String>,
    /// What the model computes with: f32, bf16 or f16 [default: f32]
    #[arg(long, env = "MNISTQ_DTYPE", value_name = "DTYPE")]
    pub dtype: Option<String>,
    /// Weights, as safetensors or a PyTorch state_dict; read again when the file changes, and on
    /// SIGHUP [default: those in this executable]
    #[arg(long, env = "MNISTQ_WEIGHTS", value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Most pictures in one forward pass [default: 64]
    #[arg(long, env = "MNISTQ_MAX_BATCH", value_name = "N")]
    pub max_batch: Option<u16>,
    /// How long a batch that is not full waits for more, in milliseconds [default: 0]
    #[arg(long, env = "MNISTQ_MAX_WAIT_MS", value_name = "MS")]
    pub max_wait_ms: Option<u64>,
    /// Threads of the model on a CPU [default: the cores of this machine]
    #[arg(long, env = "MNISTQ_THREADS", value_name = "N")]
    pub threads: Option<usize>,
}

/// Flags of whatever stays and can be watched.
#[derive(Debug, Args)]
pub struct Watching {
    /// Address for /metrics alone [default: serve: with the rest, work: none]
    #[arg(long, env = "MNISTQ_METRICS_ADDR", value_name = "ADDRESS")]
    pub metrics_addr: Option<String>,
    /// OpenTelemetry collector that gets traces, over HTTP [default: none]
    #[arg(long, env = "MNISTQ_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}
