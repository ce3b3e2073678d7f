//! The command line: clap types, and nothing else.
//!
//! In come arguments and `MNISTQ_…` variables, out go values as they were given; what they mean, what they
//! default to and what else was configured is the business of [`crate::config`] and the roles.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

/// Asynchronous machine-learning inference at scale: an HTTP front end, a queue, workers beside the GPUs.
#[derive(Debug, Parser)]
#[command(name = "mnistq", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  mnistq serve                               front end and worker in one, no server needed
  mnistq classify digit.png --wait           asks it, prints the digit
  mnistq work --device cuda:0                one more worker, beside a GPU
  mnistq train --epochs 3                    learns the digits anew

Every flag is also a variable MNISTQ_… and a key of the configuration file.")]
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
pub struct Shared {
    /// Configuration file [default: mnistq.toml in the user's configuration directory, if it is there]
    #[arg(long, global = true, env = "MNISTQ_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or directives such as info,mnistq::worker=debug
    #[arg(long, global = true, env = "MNISTQ_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// Where jobs wait: sqlite:FILE or amqp://… [default: a database in the user's state directory]
    #[arg(
        long,
        global = true,
        env = "MNISTQ_BROKER",
        value_name = "URL",
        hide_env_values = true
    )]
    pub broker: Option<String>,
    /// Where outcomes are kept: sqlite:FILE or redis://… [default: the same database]
    #[arg(
        long,
        global = true,
        env = "MNISTQ_STORE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub store: Option<String>,
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
    /// Prints what a shell needs to complete this command line
    Completions(Completions),
    /// Measures how fast a server or the model is
    #[command(subcommand)]
    Bench(Bench),
}

/// `mnistq serve`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq serve
  mnistq serve --bind 0.0.0.0:8000 --broker amqp://user:password@rabbit:5672/%2f --store redis://redis:6379/0")]
pub struct Serve {
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:8000]
    #[arg(long, env = "MNISTQ_BIND", value_name = "ADDRESS")]
    pub bind: Option<String>,
    /// Workers inside this process [default: 1 if the queue is embedded, else 0]
    #[arg(long, env = "MNISTQ_WORKERS", value_name = "N")]
    pub workers: Option<u16>,
    /// How long an outcome is kept, in seconds [default: 3600]
    #[arg(long, env = "MNISTQ_RESULT_TTL", value_name = "SECONDS")]
    pub result_ttl: Option<u64>,
    /// auto brings any picture into MNIST's form; raw takes only pictures that have it [default: auto]
    #[arg(long, env = "MNISTQ_PREPROCESS", value_name = "auto|raw")]
    pub preprocess: Option<String>,
    /// How the in-process workers work.
    #[command(flatten)]
    pub working: Working,
}

/// `mnistq work`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq work
  mnistq work --device cuda:0 --max-batch 1024 --broker amqp://rabbit --store redis://redis:6379/0")]
pub struct Work {
    /// How to work.
    #[command(flatten)]
    pub working: Working,
}

/// Flags of whatever runs a worker.
#[derive(Debug, Args)]
pub struct Working {
    /// Where the model runs: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, env = "MNISTQ_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,
    /// Weights, as safetensors or a PyTorch state_dict [default: those in this executable]
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

/// `mnistq train`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq train --epochs 3
  mnistq train --epochs 14 --data mnist --out mine.safetensors
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
    /// Seed of initial weights, order, dropout and distortions [default: 1]
    #[arg(long, env = "MNISTQ_SEED", value_name = "N")]
    pub seed: Option<u64>,
    /// Distort the pictures anew for each epoch: worth it from some twenty epochs on
    #[arg(long, env = "MNISTQ_AUGMENT")]
    pub augment: bool,
    /// Hold back the last N training pictures, and test with them instead of the test pictures [default: 0]
    #[arg(long, env = "MNISTQ_HOLD_OUT", value_name = "N")]
    pub hold_out: Option<usize>,
    /// Where to train: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, env = "MNISTQ_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,
    /// Threads on a CPU [default: the cores of this machine]
    #[arg(long, env = "MNISTQ_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// File for the weights, written after each epoch [default: mnist.safetensors]
    #[arg(long, env = "MNISTQ_OUT", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Go on from the state beside the weights of an earlier run
    #[arg(long)]
    pub resume: bool,
}

/// `mnistq evaluate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq evaluate
  mnistq evaluate --weights mine.safetensors --data mnist --json")]
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
    /// Threads on a CPU [default: the cores of this machine]
    #[arg(long, env = "MNISTQ_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `mnistq classify`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq classify digit.png --wait
  mnistq classify scans/ --wait --json
  cat digit.png | mnistq classify - --local

Exit codes: 0 all classified (or queued, without --wait), 1 some failed, 2 asked wrongly.")]
pub struct Classify {
    /// Pictures, folders of pictures, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub inputs: Vec<PathBuf>,
    /// Wait for the digit and print it, instead of the id
    #[arg(long)]
    pub wait: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// The front end's address [default: http://127.0.0.1:8000]
    #[arg(long, env = "MNISTQ_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Classify in this process, with no server
    #[arg(long)]
    pub local: bool,
    /// Weights for --local, as safetensors or a PyTorch state_dict [default: those in this executable]
    #[arg(long, env = "MNISTQ_WEIGHTS", value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Longest time for one picture, in seconds [default: 60]
    #[arg(long, env = "MNISTQ_TIMEOUT", value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

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

/// `mnistq bench`
#[derive(Debug, Subcommand)]
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
  mnistq bench model --batches 1,64 --threads 1 --json")]
pub struct BenchModel {
    /// Batch sizes
    #[arg(long, value_delimiter = ',', default_value = "1,8,64,256", value_name = "N,…")]
    pub batches: Vec<usize>,
    /// Threads on a CPU [default: the cores of this machine]
    #[arg(long, env = "MNISTQ_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// How long to measure each batch size
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// Instructions that a CPU may use: avx512, avx2 or baseline [default: the best that it has]
    #[arg(long, value_name = "NAME")]
    pub instructions: Option<String>,
    /// Where the model runs: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, env = "MNISTQ_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `mnistq bench server`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mnistq bench server http://127.0.0.1:8000
  mnistq bench server http://127.0.0.1:8000 --rate 500 --seconds 30 --json")]
pub struct BenchServer {
    /// The front end's address
    #[arg(default_value = "http://127.0.0.1:8000", value_name = "URL")]
    pub url: String,
    /// Requests in flight
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub concurrency: usize,
    /// Uploads a second, whatever the server answers [default: as many as the concurrency allows]
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// How long to send uploads
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// Picture to send [default: a digit in this executable]
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What the user has asked for. Ends the process with a message and code 2 if it makes no sense, and after
/// `--help` and `--version`.
#[must_use]
pub fn parse() -> CommandLine {
    CommandLine::parse()
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
