//! The commands that learn: `train` and `evaluate`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

/// `mnistq train`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq train --epochs 3
  mnistq train --epochs 14 --data mnist --out mine.safetensors
  mnistq train --epochs 14 --run runs/first       and look at runs/first/report.html
  mnistq train --epochs 50 --hold-out 5000 --patience 5
  mnistq train --epochs 20 --out mine.safetensors --resume")]
pub struct Train {
    /// How often to go through the training set [default: 14]
    #[arg(long, env = "MNISTQ_EPOCHS", value_name = "N")]
    pub epochs: Option<u32>,
    /// Folder of the four MNIST files, plain or gzipped [default: the cache directory, filled on first use]
    #[arg(long, env = "MNISTQ_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Pictures in one step [default: 64]
    #[arg(long, env = "MNISTQ_BATCH_SIZE", value_name = "N")]
    pub batch_size: Option<usize>,
    /// Learning rate of the first epoch [default: 1.0]
    #[arg(long, env = "MNISTQ_LR", value_name = "RATE")]
    pub lr: Option<f64>,
    /// What the learning rate is multiplied by after each epoch [default: 0.7]
    #[arg(long, env = "MNISTQ_GAMMA", value_name = "FACTOR")]
    pub gamma: Option<f64>,
    /// What the learning rate does not fall below [default: 0]
    #[arg(long, env = "MNISTQ_LR_FLOOR", value_name = "RATE")]
    pub lr_floor: Option<f64>,
    /// From this epoch on, let the weights be the mean of those of all epochs; 0: never [default: 0]
    #[arg(long, env = "MNISTQ_AVERAGE_FROM", value_name = "EPOCH")]
    pub average_from: Option<u32>,
    /// Seed of initial weights, order, dropout and distortions [default: 1]
    #[arg(long, env = "MNISTQ_SEED", value_name = "N")]
    pub seed: Option<u64>,
    /// Distort two of five pictures, anew in each epoch: worth it from some twenty epochs on
    #[arg(long, env = "MNISTQ_AUGMENT", value_parser = BoolishValueParser::new())]
    pub augment: bool,
    /// From this epoch on, distort no more; 0: to the last [default: 0]
    #[arg(long, env = "MNISTQ_PLAIN_FROM", value_name = "EPOCH")]
    pub plain_from: Option<u32>,
    /// Hold back the last N training pictures, and test with them instead of the test pictures [default: 0]
    #[arg(long, env = "MNISTQ_HOLD_OUT", value_name = "N")]
    pub hold_out: Option<usize>,
    /// End after N epochs that are no better than the best one, and keep its weights; 0: never [default: 0]
    #[arg(long, env = "MNISTQ_PATIENCE", value_name = "N")]
    pub patience: Option<u32>,
    /// Where to train: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, env = "MNISTQ_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,
    /// Threads on a CPU [default: the cores of this machine]
    #[arg(long, env = "MNISTQ_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// File for the weights, written after each epoch [default: mnist.safetensors]
    #[arg(long, env = "MNISTQ_OUT", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Folder for what can be looked at: report.html, metrics.jsonl and TensorBoard's events [default: beside the
    /// weights, mnist.run for mnist.safetensors]
    #[arg(long, env = "MNISTQ_RUN", value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Go on from the state beside the weights of an earlier run
    #[arg(long, env = "MNISTQ_RESUME", value_parser = BoolishValueParser::new())]
    pub resume: bool,
}

/// `mnistq evaluate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq evaluate
  mnistq evaluate --weights mine.safetensors --data mnist --json
  mnistq evaluate --weights mine.safetensors --report mine.html")]
pub struct Evaluate {
    /// Folder of the MNIST test files, plain or gzipped [default: the cache directory, filled on first use]
    #[arg(long, env = "MNISTQ_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Weights, as safetensors or a PyTorch state_dict [default: those in this executable]
    #[arg(long, env = "MNISTQ_WEIGHTS", value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Where to evaluate: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, env = "MNISTQ_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,
    /// What the model computes with: f32, bf16 or f16 [default: f32]
    #[arg(long, env = "MNISTQ_DTYPE", value_name = "DTYPE")]
    pub dtype: Option<String>,
    /// Threads on a CPU [default: the cores of this machine]
    #[arg(long, env = "MNISTQ_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long, env = "MNISTQ_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// File for a page to look at: answers, figures of each digit, the surest mistakes as pictures
    #[arg(long, env = "MNISTQ_REPORT", value_name = "FILE")]
    pub report: Option<PathBuf>,
}
