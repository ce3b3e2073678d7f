//! The command line: clap types, and nothing else.
//!
//! In come arguments and `MNISTQ_…` variables, out go values as they were given; what they mean, what they
//! default to and what else was configured is the business of [`crate::config`] and the roles.

mod asking;
mod keys;
mod learning;
mod measuring;
mod operating;
mod serving;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, Parser, Subcommand};

pub use asking::Classify;
pub use keys::{Keys, KeysAsked};
pub use learning::{Evaluate, Train};
pub use measuring::{Bench, BenchModel, BenchServer};
pub use operating::{AsJson, Completions, Dead, DeadJobs, DeadList, Doctor, Probe, Queue, complete};
pub use serving::{Serve, Watching, Work, Working};

/// Asynchronous machine-learning inference at scale: an HTTP front end, a queue, workers beside the GPUs.
#[derive(Debug, Parser)]
#[command(name = "mnistq", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  mnistq serve                               front end and worker in one, no server needed
  mnistq classify digit.png --wait           asks it, prints the digit
  mnistq work --device cuda:0                one more worker, beside a GPU
  mnistq train --epochs 3                    learns the digits anew
  mnistq doctor                              says what is wrong and what to do

Every flag but --all is also a variable MNISTQ_…, and every setting a key of the
configuration file.
NO_COLOR=1 takes the colours away.

Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 a worker's model or device is broken.")]
pub struct CommandLine {
    /// What every role is given.
    #[command(flatten)]
    pub shared: Shared,
    /// The role.
    #[command(subcommand)]
    pub role: Role,
}

/// Flags of every role.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Shared {
    /// Configuration file [default: mnistq.toml in the user's configuration directory, if it is there]
    #[arg(long, global = true, env = "MNISTQ_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or directives such as info,mnistq::worker=debug
    #[arg(long, global = true, env = "MNISTQ_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// Where jobs wait: sqlite:FILE, amqp://… or amqps://… [default: a database in the user's state directory]
    #[arg(
        long,
        global = true,
        env = "MNISTQ_BROKER",
        value_name = "URL",
        hide_env_values = true
    )]
    pub broker: Option<String>,
    /// Where outcomes are kept: sqlite:FILE, redis://… or rediss://… [default: the same database]
    #[arg(
        long,
        global = true,
        env = "MNISTQ_STORE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub store: Option<String>,
    /// Certificates by which broker, store and server are known, as PEM [default: those that this system trusts]
    #[arg(long, global = true, env = "MNISTQ_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// How many jobs may wait before uploads are refused; on RabbitMQ the same for all [default: 100000]
    #[arg(long, global = true, env = "MNISTQ_QUEUE_LIMIT", value_name = "N")]
    pub queue_limit: Option<u32>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Takes uploads over HTTP, queues them, and hands out the answers
    Serve(Serve),
    /// Classifies what waits on the queue
    Work(Work),
    /// Learns MNIST, and writes the weights
    Train(Train),
    /// Tells how good weights are: accuracy, per class, confusion matrix
    Evaluate(Evaluate),
    /// Asks a server, or the model in this executable, which digit a picture shows
    Classify(Classify),
    /// Shows jobs that ended without a model's answer, and replays or drops them
    #[command(subcommand)]
    Dead(Dead),
    /// Tells how much waits on the queue, and takes it back
    #[command(subcommand)]
    Queue(Queue),
    /// Makes, lists and revokes the keys by which a server knows its clients
    Keys(Keys),
    /// Looks at all that serving needs, and says what is wrong and what to do
    Doctor(Doctor),
    /// Asks an address once, and fails unless it answers with 2xx: a health check where there is no curl
    Probe(Probe),
    /// Prints what a shell needs to complete this command line
    Completions(Completions),
    /// Measures how fast a server or the model is
    #[command(subcommand)]
    Bench(Bench),
}

/// What the user has asked for. Ends the process with a message and code 2 if it makes no sense, and after
/// `--help` and `--version`.
#[must_use]
pub fn parse() -> CommandLine {
    CommandLine::parse()
}

/// The whole command line, as clap has it.
#[must_use]
pub fn command() -> Command {
    CommandLine::command()
}

/// The names of all variables of the environment that a command reads.
#[must_use]
pub fn variables() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect_variables(&command(), &mut names);
    names
}

fn collect_variables(command: &Command, names: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(clap::Arg::get_env);
    names.extend(variables.map(|name| name.to_string_lossy().into_owned()));
    for subcommand in command.get_subcommands() {
        collect_variables(subcommand, names);
    }
}
