//! The commands that measure: `bench`.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};

/// `mnistq bench`
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  mnistq bench model
  mnistq bench server http://127.0.0.1:8000")]
pub enum Bench {
    /// Images a second of the model, by batch size
    Model(BenchModel),
    /// Results a second and latencies of a server
    Server(BenchServer),
}

/// `mnistq bench model`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq bench model
  mnistq bench model --batches 1,64 --threads 1 --json
  mnistq bench model --check --device cuda:0")]
pub struct BenchModel {
    /// Batch sizes
    #[arg(
        long,
        env = "MNISTQ_BATCHES",
        value_delimiter = ',',
        default_value = "1,8,64,256",
        value_name = "N,…"
    )]
    pub batches: Vec<usize>,
    /// Threads on a CPU [default: the cores of this machine]
    #[arg(long, env = "MNISTQ_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// How long to measure each batch size
    #[arg(long, env = "MNISTQ_SECONDS", default_value_t = 2.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// Instructions that a CPU may use: avx512, avx2 or baseline [default: the best that it has]
    #[arg(long, env = "MNISTQ_INSTRUCTIONS", value_name = "NAME")]
    pub instructions: Option<String>,
    /// See whether the device computes what it should, and measure all that it does, beside PyTorch
    #[arg(long, env = "MNISTQ_CHECK", value_parser = BoolishValueParser::new(), conflicts_with_all = ["json", "instructions"])]
    pub check: bool,
    /// Folder of the four MNIST files, for --check [default: the cache directory, filled on first use]
    #[arg(long, env = "MNISTQ_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What PyTorch's ten steps came to, for --check
    #[arg(
        long,
        env = "MNISTQ_GOLDEN",
        default_value = "tests/data/golden/trajectory.json",
        value_name = "FILE"
    )]
    pub golden: PathBuf,
    /// Python that may have PyTorch, for --check
    #[arg(
        long,
        env = "MNISTQ_PYTHON",
        default_value = "python3",
        value_name = "PROGRAM"
    )]
    pub python: String,
    /// Epochs to learn, for --check
    #[arg(long, env = "MNISTQ_EPOCHS", default_value_t = 3, value_name = "N")]
    pub epochs: u32,
    /// Take only the first N training and test pictures, for --check: for a rehearsal on a CPU
    #[arg(long, env = "MNISTQ_FIRST", value_name = "N")]
    pub first: Option<usize>,
    /// Where the model runs: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, env = "MNISTQ_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,
    /// What the model computes with: f32, bf16 or f16 [default: f32]
    #[arg(long, env = "MNISTQ_DTYPE", value_name = "DTYPE")]
    pub dtype: Option<String>,
    /// Print one JSON object
    #[arg(long, env = "MNISTQ_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// `mnistq bench server`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq bench server http://127.0.0.1:8000
  mnistq bench server http://127.0.0.1:8000 --rate 500 --image digit.png --json")]
pub struct BenchServer {
    /// The front end's address
    #[arg(
        env = "MNISTQ_SERVER",
        default_value = "http://127.0.0.1:8000",
        value_name = "URL"
    )]
    pub url: String,
    /// The key that the server knows us by; best given as the variable
    #[arg(long, env = "MNISTQ_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Requests in flight
    #[arg(long, env = "MNISTQ_CONCURRENCY", default_value_t = 64, value_name = "N")]
    pub concurrency: usize,
    /// Uploads a second, whatever the server answers [default: as many as the concurrency allows]
    #[arg(long, env = "MNISTQ_RATE", value_name = "N")]
    pub rate: Option<f64>,
    /// How long to send uploads
    #[arg(long, env = "MNISTQ_SECONDS", default_value_t = 10.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// Picture to send [default: a digit in this executable]
    #[arg(long, env = "MNISTQ_IMAGE", value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, env = "MNISTQ_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}
