//! The commands of an operator: `dead`, `queue`, `doctor` and `completions`.

use std::io;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::{Serve, command};

/// `mnistq dead`
#[derive(Debug, Subcommand)]
pub enum Dead {
    /// Lists them, oldest first
    List(DeadList),
    /// Shows them, with their pictures
    Show(DeadJobs),
    /// Puts them on the queue again, under new ids: an outcome that was told never changes
    Replay(DeadJobs),
    /// Forgets them
    Drop(DeadJobs),
}

/// `mnistq queue`
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// Tells how many jobs wait
    Stats(AsJson),
    /// Cancels all that wait
    Purge(AsJson),
}

/// How to print.
#[derive(Debug, Args)]
pub struct AsJson {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `mnistq doctor`
#[derive(Debug, Args)]
#[command(after_help = "\
Takes the flags of `serve`: what is looked at is what they name. Starts nothing, and makes no database.

Examples:
  mnistq doctor
  mnistq doctor --broker amqp://rabbit --store redis://redis:6379/0
  mnistq doctor --weights mine.safetensors --device cuda:0 --json

Exit codes: 0 all is well, 1 something is not, 2 asked wrongly.")]
pub struct Doctor {
    /// What would be served.
    #[command(flatten)]
    pub serve: Serve,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `mnistq completions`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq completions bash > /etc/bash_completion.d/mnistq
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
    #[arg(long)]
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
    #[arg(long)]
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
