//! Parses the command line, starts the log, runs one role, picks the exit code.

use std::io;
use std::process::ExitCode;

use super::Service;
use crate::cli::{self, CommandLine};
use crate::config::{self, Config, ConfigError};
use crate::telemetry;
use crate::worker::{EngineError, WorkerError};

/// The role did not do what it was asked.
const FAILED: u8 = 1;
/// It was asked wrongly; clap exits with the same code.
const ASKED_WRONGLY: u8 = 2;
/// Its model or the model's device fails or answers wrongly: what starts it again somewhere else should know that.
const BROKEN: u8 = 3;

/// All that an executable does which offers this service.
#[must_use]
pub fn start(service: &Service) -> ExitCode {
    let command_line = cli::parse();
    let config = match configure(&command_line) {
        Ok(config) => config,
        Err(error) => return report(&error.into(), ASKED_WRONGLY),
    };
    if let Err(error) = telemetry::start(&config.log) {
        return report(&anyhow::anyhow!("--log: {error}"), ASKED_WRONGLY);
    }
    match super::run(command_line, config, service) {
        Ok(code) => code,
        Err(error) if error.is::<ConfigError>() => report(&error, ASKED_WRONGLY),
        Err(error) if reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) if is_broken(&error) => report(&error, BROKEN),
        Err(error) => report(&error, FAILED),
    }
}

/// Whoever read the results has enough: `mnistq dead list | head`.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}

/// A worker has found its device out of order, or one was to start beside such a device.
fn is_broken(error: &anyhow::Error) -> bool {
    let engine = match error.downcast_ref() {
        Some(WorkerError::Engine(engine)) => Some(engine),
        _ => error.downcast_ref::<EngineError>(),
    };
    engine.is_some_and(EngineError::is_broken)
}

fn configure(command_line: &CommandLine) -> Result<Config, ConfigError> {
    let mut known = cli::variables();
    if cfg!(debug_assertions) {
        // See `sabotage`.
        known.insert("MNISTQ_SABOTAGE".to_owned());
    }
    config::check_variables(&known)?;
    Config::load(&command_line.shared)
}

/// One line: what happened, and what caused it.
fn report(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("mnistq: {error:#}");
    ExitCode::from(code)
}
