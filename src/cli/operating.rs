//! The commands of an operator: `dead`, `queue`, `doctor`, `probe` and `completions`.

use std::io;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::{Serve, command};

/// `mnistq dead`
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  mnistq dead list
  mnistq dead replay --all")]
pub enum Dead {
    /// Lists them, oldest first
    #[command(after_help = "\
Examples:
  mnistq dead list
  mnistq dead list --json | head -n 5")]
    List(DeadList),
    /// Shows them, with their pictures
    #[command(after_help = "\
Examples:
  mnistq dead show --all
  mnistq dead show 01a21109-c184-76b9-81af-64d38aef900c --json")]
    Show(DeadJobs),
    /// Puts them on the queue again, under new ids: an outcome that was told never changes
    #[command(after_help = "\
Examples:
  mnistq dead replay 01a21109-c184-76b9-81af-64d38aef900c
  mnistq dead replay --all")]
    Replay(DeadJobs),
    /// Forgets them
    #[command(after_help = "\
Examples:
  mnistq dead drop 01a21109-c184-76b9-81af-64d38aef900c
  mnistq dead drop --all")]
    Drop(DeadJobs),
}

/// `mnistq queue`
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  mnistq queue stats
  mnistq queue purge")]
pub enum Queue {
    /// Tells how many jobs wait
    #[command(after_help = "\
Examples:
  mnistq queue stats
  mnistq queue stats --broker amqp://user:password@rabbit --json")]
    Stats(AsJson),
    /// Cancels all that wait
    #[command(after_help = "\
Examples:
  mnistq queue purge")]
    Purge(AsJson),
}

/// How to print.
#[derive(Debug, Args)]
pub struct AsJson {
    /// Print one JSON object
    #[arg(long, env = "MNISTQ_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// `mnistq doctor`
#[derive(Debug, Args)]
#[command(after_help = "\
Takes the flags of `serve`: what is looked at is what they name. Starts nothing, and makes no database.

Examples:
  mnistq doctor
  mnistq doctor --broker amqp://user:password@rabbit --store redis://redis
  mnistq doctor --weights mine.safetensors --device cuda:0 --json

Exit codes: 0 all is well, 1 something is not, 2 asked wrongly.")]
pub struct Doctor {
    /// What would be served.
    #[command(flatten)]
    pub serve: Serve,
    /// Print one JSON object
    #[arg(long, env = "MNISTQ_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// `mnistq probe`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq probe http://127.0.0.1:8000/livez
  mnistq probe http://127.0.0.1:8000/readyz")]
pub struct Probe {
    /// What to ask
    #[arg(value_name = "URL")]
    pub url: String,
}

/// `mnistq completions`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq completions bash > ~/.local/share/bash-completion/completions/mnistq
  mnistq completions zsh > ~/.zfunc/_mnistq
  mnistq completions fish > ~/.config/fish/completions/mnistq.fish")]
pub struct Completions {
    /// For which shell
    pub shell: Shell,
}

/// `mnistq dead list`
#[derive(Debug, Args)]
pub struct DeadList {
    /// One JSON object a line
    #[arg(long, env = "MNISTQ_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Which of them.
#[derive(Debug, Args)]
pub struct DeadJobs {
    /// Their inference ids
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// All that there are
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// One JSON object a line
    #[arg(long, env = "MNISTQ_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Writes what a shell needs to complete the command line.
///
/// # Errors
/// Of the output.
pub fn complete(asked: &Completions, output: &mut dyn io::Write) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut command(), "mnistq", &mut script);
    output.write_all(&script)
}
