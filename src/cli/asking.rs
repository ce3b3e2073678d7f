//! The command that asks: `classify`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

/// `mnistq classify`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq classify digit.png --wait
  mnistq classify digit.png --show
  mnistq classify scans/ --wait --json
  cat digit.png | mnistq classify - --local

Exit codes: 0 all classified (or queued, without --wait), 1 some failed, 2 asked wrongly.")]
pub struct Classify {
    /// Pictures, folders of pictures, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub inputs: Vec<PathBuf>,
    /// Wait for the digit and print it, instead of the id
    #[arg(long, env = "MNISTQ_WAIT", value_parser = BoolishValueParser::new())]
    pub wait: bool,
    /// Wait, and show the picture that the model saw, and how sure it is of each digit
    #[arg(long, env = "MNISTQ_SHOW", value_parser = BoolishValueParser::new(), conflicts_with = "json")]
    pub show: bool,
    /// Print one JSON object a line
    #[arg(long, env = "MNISTQ_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// The front end's address [default: http://127.0.0.1:8000]
    #[arg(long, env = "MNISTQ_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// The key that the server knows us by; best given as the variable
    #[arg(long, env = "MNISTQ_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Classify in this process, with no server
    #[arg(long, env = "MNISTQ_LOCAL", value_parser = BoolishValueParser::new())]
    pub local: bool,
    /// Weights for --local, as safetensors or a PyTorch state_dict [default: those in this executable]
    #[arg(long, env = "MNISTQ_WEIGHTS", value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Longest time for one picture, in seconds [default: 60]
    #[arg(long, env = "MNISTQ_TIMEOUT", value_name = "SECONDS")]
    pub timeout: Option<u64>,
}
