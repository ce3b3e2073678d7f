//! One file per subcommand: each opens the seams it needs, wires the parts, runs them.
//!
//! The only code that knows every part, and that turns errors into words for a person.

mod bench;
mod classify;
mod dead;
mod digits;
mod doctor;
mod drawing;
mod evaluate;
mod keys;
mod metrics;
mod mnist;
mod open_files;
mod probe;
mod queue;
mod reload;
#[cfg(debug_assertions)]
mod sabotage;
mod seams;
mod serve;
mod service;
mod start;
mod train;
mod watched;
mod work;

use std::process::ExitCode;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use serve::serve;
pub use service::{Opening, Service};
pub use start::start;

use crate::cli::{self, Bench, CommandLine, Role};
use crate::config::Config;

/// Runs the role that was asked for to its end. The exit code is the role's own answer; an error means that it could not work.
///
/// # Errors
/// What went wrong, with its causes, for a person to read.
fn run(asked: CommandLine, config: Config, service: &Service) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime can't be started")?;
    let done = |()| ExitCode::SUCCESS;
    match asked.role {
        Role::Serve(flags) => runtime.block_on(serve::run(&flags, config, service)).map(done),
        Role::Work(flags) => runtime.block_on(work::run(&flags, config, service)).map(done),
        Role::Train(flags) => runtime.block_on(train::run(&flags, config)).map(done),
        Role::Evaluate(flags) => runtime.block_on(evaluate::run(&flags, config)).map(done),
        Role::Classify(flags) => runtime.block_on(classify::run(&flags, config)),
        Role::Dead(asked) => runtime.block_on(dead::run(&asked, config)).map(done),
        Role::Queue(asked) => runtime.block_on(queue::run(&asked, config)).map(done),
        Role::Keys(asked) => keys::run(&asked, &config).map(done),
        Role::Doctor(flags) => runtime.block_on(doctor::run(&flags, &asked.shared, config)),
        Role::Probe(asked) => runtime.block_on(probe::run(&asked, &config)).map(done),
        Role::Completions(asked) => {
            let written = cli::complete(&asked, &mut std::io::stdout());
            written.context("standard output").map(done)
        }
        Role::Bench(Bench::Model(flags)) => runtime.block_on(bench::model::run(&flags, config)),
        Role::Bench(Bench::Server(flags)) => runtime.block_on(bench::server::run(&flags)).map(done),
    }
}

/// Runs the parts of a role until all have ended. The first that ends stops the others: a role is never half
/// alive.
///
/// # Errors
/// The first error of a part, or that one ended although nobody had asked it to.
async fn run_all(mut parts: JoinSet<anyhow::Result<()>>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = parts.join_next().await {
        let asked = shutdown.is_cancelled();
        shutdown.cancel();
        let ended = match ended {
            Ok(Ok(())) if !asked => Err(anyhow::anyhow!("a part of the process ended by itself")),
            Ok(ended) => ended,
            Err(failure) => Err(failure).context("a part of the process broke"),
        };
        result = result.and(ended);
    }
    result
}
